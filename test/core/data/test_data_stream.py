"""Streams: shuffled by seed, shared out, resumed at the very next sample; broken records counted or raised."""

import itertools
import tracemalloc

import numpy as np
import pytest
from drawn_data import draw, invig_entry, make_it2p, make_scenes, write_lines
from hypothesis import given, settings
from hypothesis import strategies as st

from clue_ros.data import BrokenDataError, DataError, MissingDataError, SampleStream, open_data
from clue_ros.data.source import hashed_split, split_in, split_name
from clue_ros.data.stream import worker_share
from clue_ros.data.textfiles import read_json_arrays, read_lines


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """40 samples in one file; every fifth line is broken."""
    root = tmp_path_factory.mktemp("numbers")
    draw(root / "a.png")
    lines = [{"image": "a.png", "size": [64, 48], "expression": f"thing {n}"} for n in range(40)]
    return write_lines(root / "n.jsonl", [b'{"image": ' if n % 5 == 4 else line for n, line in enumerate(lines)])


def names(stream):
    return [s.expression for s in stream]


def test_the_order_depends_on_seed_and_epoch_only(numbers):
    source = open_data(numbers)
    plain = names(SampleStream(source))
    assert plain == [f"thing {n}" for n in range(40) if n % 5 != 4]
    one, again, other = (names(SampleStream(source, buffer=8, seed=s)) for s in (1, 1, 2))
    assert one == again != other and sorted(one) == sorted(plain) and one != plain
    two = names(itertools.islice(SampleStream(source, buffer=8, seed=1, repeat=True), 64))
    assert two[:32] == one and two[32:] != one and sorted(two[32:]) == sorted(one)


def test_shares_are_disjoint_and_complete(numbers):
    shares = [names(SampleStream(open_data(numbers), buffer=3, rank=r, world=3)) for r in range(3)]
    assert sorted(sum(shares, [])) == sorted(names(SampleStream(open_data(numbers))))
    assert all(len(s) >= 9 for s in shares)


@settings(max_examples=25, deadline=None)
@given(stop=st.integers(0, 90), buffer=st.sampled_from([0, 1, 7, 100]), world=st.sampled_from([1, 2]))
def test_a_stream_resumes_at_the_very_next_sample(numbers, stop, buffer, world):
    options = {"buffer": buffer, "seed": 5, "rank": world - 1, "world": world, "repeat": True}
    whole = names(itertools.islice(SampleStream(open_data(numbers), **options), 110))
    stream = SampleStream(open_data(numbers), **options)
    before = names(itertools.islice(stream, stop))
    after = SampleStream(open_data(numbers), resume=stream.state(), **options)
    assert before + names(itertools.islice(after, 110 - stop)) == whole


def test_resume_inside_a_record_of_several_samples(tmp_path):
    source = open_data(make_it2p(tmp_path))
    whole = names(SampleStream(source, seed=1, buffer=2))
    for stop in range(len(whole)):
        stream = SampleStream(source, seed=1, buffer=2)
        head = names(itertools.islice(stream, stop))
        assert head + names(SampleStream(source, seed=1, buffer=2, resume=stream.state())) == whole


def test_broken_lines_are_counted_with_their_numbers_or_raised(numbers):
    stream = SampleStream(open_data(numbers))
    assert len(list(stream)) == 32 and stream.problems.total == 8
    assert [p.place.line for p in stream.problems.first] == [5, 10, 15, 20, 25, 30, 35, 40]
    with pytest.raises(BrokenDataError, match="n.jsonl:5: broken line: .*Expecting value"):
        list(SampleStream(open_data(numbers), strict=True))


def test_nothing_usable_does_not_repeat_for_ever(tmp_path):
    file = write_lines(tmp_path / "x.jsonl", [b"no"] * 3)
    with pytest.raises(MissingDataError, match="no sample that can be used .3 problems"):
        next(iter(SampleStream(open_data(file), repeat=True)))


def test_images_that_cannot_be_decoded_are_left_out(tmp_path):
    draw(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes((tmp_path / "good.png").read_bytes()[:60])
    lines = [{"image": f"{n}.png", "size": [64, 48], "expression": n} for n in ("good", "bad", "missing", "good")]
    file = write_lines(tmp_path / "x.jsonl", lines)
    stream = SampleStream(open_data(file))
    pairs = list(stream.with_pixels())
    assert [s.expression for s, _ in pairs] == ["good", "good"] and pairs[0][1].dtype == np.uint8
    assert stream.problems.total == 2
    with pytest.raises(BrokenDataError, match="bad.png: cannot be read"):
        list(SampleStream(open_data(file), strict=True).with_pixels())


def test_targets_that_teach_nothing_are_left_out(tmp_path):
    draw(tmp_path / "a.png")
    boxes = [[0, 0, 70, 10], [70, 0, 90, 10], [10, 10, 10, 20], [20, 10, 5, 20], [float("nan"), 0, 1, 1]]
    lines = [{"image": "a.png", "size": [64, 48], "expression": "it", "boxes": [b]} for b in boxes]
    stream = SampleStream(open_data(write_lines(tmp_path / "x.jsonl", lines)))
    assert [s.boxes[0][2] for s in stream] == [70]  # partly outside: location tokens clip it
    assert stream.problems.to_dict() == {
        "broken line": {"count": 1, "first": [{"file": "x.jsonl", "line": 5, "text": "NaN is not JSON"}]},
        "box outside the image": {
            "count": 1,
            "first": [{"file": "x.jsonl", "line": 2, "text": "target [[70.0, 0.0, 90.0, 10.0]] in an image of 64x48"}],
        },
        "empty box": {
            "count": 2,
            "first": [
                {"file": "x.jsonl", "line": 3, "text": "target [[10.0, 10.0, 10.0, 20.0]] in an image of 64x48"},
                {"file": "x.jsonl", "line": 4, "text": "target [[20.0, 10.0, 5.0, 20.0]] in an image of 64x48"},
            ],
        },
    }


def test_a_single_split_is_divided(tmp_path):
    source = open_data(make_it2p(tmp_path))
    parts = [names(SampleStream(source, s, fractions=(50, 25, 25))) for s in ("train", "valid", "test")]
    assert sorted(sum(parts, [])) == sorted(names(SampleStream(source))) and max(map(len, parts)) < 5


def test_splits_by_hash_keep_an_image_together(tmp_path):
    for n in range(60):
        draw(tmp_path / f"{n}.png", n)
    rows = [f"{n}.png,thing {k},{'yes' if k else 'no'}" for n in range(60) for k in range(2)]
    source = open_data(write_lines(tmp_path / "x.csv", ["image,instruction,label", *rows]))
    parts = {s: list(SampleStream(source, s, fractions=(70, 15, 15))) for s in ("train", "val", "test")}
    assert sum(map(len, parts.values())) == 120 and len(parts["train"]) > 60 > len(parts["val"]) > 0
    images = [{s.image.name for s in part} for part in parts.values()]
    assert not images[0] & images[1] and not images[0] & images[2] and not images[1] & images[2]
    assert parts["val"][0].split == "valid"
    with pytest.raises(MissingDataError, match="none of its own"):
        SampleStream(source, "train")
    shares = [hashed_split(str(n).encode()) for n in range(4000)]
    assert abs(shares.count("train") / 4000 - 0.7) < 0.03 and abs(shares.count("test") / 4000 - 0.15) < 0.03


def test_splits_by_hash_follow_the_image_whatever_it_is_called(tmp_path):
    """`data convert --copy-images` renames files; another copy of a photograph is the same photograph."""
    for n in range(30):
        draw(tmp_path / f"here/{n}.png", n)
        draw(tmp_path / f"there/copy of {29 - n}.png", n)
    here = write_lines(tmp_path / "here/x.csv", ["image,instruction,label", *(f"{n}.png,it,yes" for n in range(30))])
    rows = (f"copy of {29 - n}.png,it,yes" for n in range(30))
    there = write_lines(tmp_path / "there/x.csv", ["image,instruction,label", *rows])
    for split in ("train", "valid", "test"):
        parts = [
            {s.image.path.read_bytes() for s in SampleStream(open_data(path), split, fractions=(60, 20, 20))}
            for path in (here, there)
        ]
        assert parts[0] == parts[1] and parts[0]


def test_arguments_that_make_no_sense(numbers, tmp_path):
    source = open_data(numbers)
    for options in ({"rank": 2, "world": 2}, {"rank": -1}, {"buffer": -1}, {"fractions": (1, 2)}):
        with pytest.raises(DataError):
            SampleStream(source, **options)
    for split in ("train", "test"):
        make_scenes(tmp_path / split)
    with pytest.raises(DataError, match="splits of its own"):
        SampleStream(open_data(tmp_path), fractions=(1, 1, 1))


def test_loader_workers_share_a_stream(numbers):
    torch_data = pytest.importorskip("torch.utils.data")

    class Names(torch_data.IterableDataset):
        def __iter__(self):
            rank, world = worker_share(0, 1)
            return iter(names(SampleStream(open_data(numbers), rank=rank, world=world)))

    assert worker_share(1, 2) == (1, 2)
    loaded = list(torch_data.DataLoader(Names(), batch_size=None, num_workers=2))
    assert sorted(loaded) == sorted(names(SampleStream(open_data(numbers))))


def test_memory_stays_small_however_long_the_file(tmp_path):
    draw(tmp_path / "invig21k_imgs/0001.jpg")
    line = invig_entry(1, ann={"bboxes": [[1, 1, 9, 9]] * 100})
    file = write_lines(tmp_path / "invig21k_train_anns.jsonl", [line] * 6000)
    assert file.stat().st_size > 8_000_000
    stream = SampleStream(open_data(tmp_path), "train", buffer=100)
    tracemalloc.start()
    assert sum(1 for _ in itertools.islice(stream, 150)) == 150
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_json_arrays_are_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("clue_ros.data.textfiles._CHUNK", 3)
    file = tmp_path / "x.json"
    file.write_text(
        ' {"info": {"a": [1, 2]}, "n": 12345, "images": [{"id": 1}, {"id": "}]"}], "none": [] ,"x": [1.5,20]}'
    )
    assert list(read_json_arrays(file)) == [
        ("images", 1, {"id": 1}),
        ("images", 2, {"id": "}]"}),
        ("x", 1, 1.5),
        ("x", 2, 20),
    ]
    file.write_text('[{"a": 1}, {"a": 2}, {"a": ')
    rows = read_json_arrays(file)
    assert next(rows)[2] == {"a": 1} and next(rows)[2] == {"a": 2}
    with pytest.raises(BrokenDataError, match="is not JSON from character 2"):
        next(rows)
    for text in ("", "7", "[1 2]", '{"a" 1}', "[NaN]", "[" * 100_000):
        file.write_text(text)
        with pytest.raises(BrokenDataError):
            list(read_json_arrays(file))


def test_lines_that_are_too_long_do_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("clue_ros.data.textfiles.MAX_LINE", 100)
    file = tmp_path / "x.jsonl"
    file.write_bytes(b"\xef\xbb\xbf{}\n" + b"x" * 1000 + b"\n\n{}")
    assert [(n, len(line) < 100) for n, line in read_lines(file)] == [(1, True), (2, True), (4, True)]
    assert [line for _, line in read_lines(file)][::2] == [b"{}", b"{}"]


def test_names_of_splits():
    assert split_name("Validation") == "valid" and split_name("testA") == "testA" and split_name("x") == "x"
    assert split_in("invig21k_valid_anns.jsonl") == "valid" and split_in("refcoco+_testB.jsonl") == "testB"
    assert split_in("finetune_refcoco_train.json") == "train" and split_in("contest.csv") == split_in("a.csv") == ""
