"""Data sets of our own lines as other people write them: named wrongly, measured otherwise, as one list, as
PaliGemma's.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from drawn_data import draw

from clue_ros.cli.main import main
from clue_ros.data.check import check
from clue_ros.data.formats import detect, open_data
from clue_ros.data.sample import Label
from clue_ros.data.stream import SampleStream
from clue_ros.problems import DataError, Kind

WIDTH, HEIGHT = 64, 48
PIXELS = (16.0, 12.0, 48.0, 36.0)


@pytest.fixture
def write(tmp_path):
    """write(entries, name) -> a file of such entries beside images/0.jpg, 1.jpg, …; a .json file is one list."""

    def file(entries, name="lines.jsonl") -> Path:
        lines = [{"image": f"images/{n}.jpg", **entry} for n, entry in enumerate(entries)]
        for n in range(len(lines)):
            draw(tmp_path / f"images/{n}.jpg", n, WIDTH, HEIGHT)
        path = tmp_path / name
        whole = name.endswith(".json")
        path.write_text(json.dumps(lines) if whole else "".join(json.dumps(line) + "\n" for line in lines))
        return path

    return file


def read(path, **options):
    stream = SampleStream(open_data(path, **options))
    return list(stream), stream.problems


MUG = {"expression": "the mug"}


@pytest.mark.parametrize(
    "name", ["box", "bbox", "bboxes", "bounding_box", "Boxes", "gt_boxes", "BBox", "target_box", "region"]
)
def test_a_box_under_another_name_is_no_sample_without_a_box(write, name):
    path = write([{**MUG, name: list(PIXELS)}])
    samples, problems = read(path)
    assert not samples and problems.total == 1
    assert name in str(problems.first[0]) and "'boxes'" in str(problems.first[0])
    assert not check(open_data(path)).ok


@pytest.mark.parametrize("names", ["x0 y0 x1 y1", "xmin ymin xmax ymax", "x y w h", "left top right bottom"])
def test_sides_in_fields_of_their_own_are_told(write, names):
    path = write([{**MUG, **dict(zip(names.split(), PIXELS))}])
    for options in ({}, {"boxes": "xyxy"}):
        samples, problems = read(path, **options)
        assert not samples and "'boxes'" in str(problems.first[0])


@pytest.mark.parametrize("field", [{"target": {"bbox": [1, 2, 3, 4]}}, {"polygon": [[1, 2], [3, 4], [5, 6]]}])
def test_a_box_further_down_is_told_too(write, field):
    (name,) = field
    samples, problems = read(write([{**MUG, **field}]))
    assert not samples and name in str(problems.first[0])


@pytest.mark.parametrize("whole, unit", [(100, "100"), (1000, "1000")])
def test_numbers_that_never_leave_a_round_scale_are_told(write, whole, unit, tmp_path):
    """Each box alone could be pixels; all of them together are not."""
    path = write([{**MUG, "boxes": [[0.1 * whole, 0.2 * whole, 0.9 * whole, 0.8 * whole]]}] * 16)
    for n in range(16):
        draw(tmp_path / f"images/{n}.jpg", n, int(1.6 * whole), int(1.2 * whole))
    report = check(open_data(path), images="none")
    assert report.problems.total == 1 and f"--boxes xyxy{unit}" in str(report.problems.first[0])
    assert check(open_data(path, boxes=f"xyxy{unit}"), images="none").ok


def test_a_folder_a_split(tmp_path):
    """As Roboflow exports and maestro reads: train/annotations.jsonl beside its images, which may have one name."""
    for n, split in enumerate(("train", "valid", "test")):
        draw(tmp_path / split / "0.jpg", n)
        line = {"image": "0.jpg", "prefix": "detect mug", "suffix": "<loc0256><loc0256><loc0767><loc0767> mug"}
        (tmp_path / split / "annotations.jsonl").write_text(json.dumps(line) + "\n")
    source = open_data(tmp_path)
    assert (source.name, source.splits) == ("paligemma", ("test", "train", "valid"))
    samples, problems = read(tmp_path)
    assert [(s.split, s.image.path.parent.name) for s in samples] == [(s, s) for s in source.splits]
    assert not problems.total and check(source).ok


def test_split_names_in_capitals(write):
    path = write([{**MUG, "split": "Train"}, {**MUG, "split": "TEST"}, {**MUG, "split": "Val"}])
    assert set(open_data(path).splits) == {"train", "test", "valid"}


def test_other_fields_are_no_matter(write):
    samples, problems = read(write([{**MUG, "note": "x", "scores": [0.1, 0.2], "tags": [], "year": 2026}]))
    assert len(samples) == 1 and not problems.total


@pytest.mark.parametrize("name", ["boxes", "bbox", "box", "BBox", "region"])
@pytest.mark.parametrize(
    "form, numbers",
    [
        ("xyxy", [16, 12, 48, 36]),
        ("xywh", [16, 12, 32, 24]),
        ("cxcywh", [32, 24, 32, 24]),
        ("xyxy01", [0.25, 0.25, 0.75, 0.75]),
        ("xywh01", [0.25, 0.25, 0.5, 0.5]),
        ("cxcywh01", [0.5, 0.5, 0.5, 0.5]),
        ("yxyx", [12, 16, 36, 48]),
        ("xywh100", [25, 25, 50, 50]),
        ("yxyx1000", [250, 250, 750, 750]),
    ],
)
def test_where_the_form_is_given_the_boxes_are_pixels(write, form, numbers, name):
    samples, problems = read(write([{**MUG, name: numbers}, {**MUG, name: [numbers]}]), boxes=form)
    assert [sample.boxes for sample in samples] == [(PIXELS,), (PIXELS,)] and not problems.total


@pytest.mark.parametrize(
    "entry",
    [
        {"boxes": [[0.1, 0.2, 0.5, 0.6]]},
        {"boxes": [[0, 0, 1, 1]]},
        {"boxes": [[0.0, 0.0, 0.02, 0.01], [0.5, 0.5, 1.0, 1.0]]},
        {"point": [0.4, 0.6]},
        {"boxes": [list(PIXELS)], "objects": [[0.1, 0.2, 0.5, 0.6]]},
        {"boxes": [list(PIXELS)], "turns": [{"question": "which?", "answer": {"box": [0.1, 0.2, 0.5, 0.6]}}]},
        {"boxes": [list(PIXELS)], "turns": [{"question": "which?", "answer": {"point": [0.5, 0.25]}}]},
    ],
)
def test_shares_of_the_image_are_no_pixels(write, entry):
    path = write([{**MUG, **entry}])
    samples, problems = read(path)
    assert not samples and problems.counts[Kind.UNIT] == 1
    report = check(open_data(path))
    assert not report.ok and report.problems.counts[Kind.UNIT] == 1
    assert "xyxy01" in str(report.problems.first[0])


def test_shares_are_read_as_such_where_they_are_named(write):
    entry = {"boxes": [[0.25, 0.25, 0.75, 0.75]], "objects": [[0, 0, 0.5, 0.5]], "point": [0.5, 0.75]}
    turns = [{"question": "which?", "answer": {"point": [0.5, 0.25], "box": [0, 0, 1, 0.5]}}]
    (sample,), problems = read(write([{**MUG, **entry, "turns": turns}]), boxes="xyxy01")
    assert not problems.total
    assert (sample.boxes, sample.objects, sample.point) == ((PIXELS,), ((0, 0, 32, 24),), (32, 36))
    assert (sample.turns[0].answer.point, sample.turns[0].answer.box) == ((32, 12), (0, 0, 64, 24))


def test_a_small_thing_in_the_corner_stays(write):
    samples, problems = read(write([{**MUG, "boxes": [[0, 0, 2.5, 1]], "point": [0, 1]}]))
    assert len(samples) == 1 and not problems.total


def test_corners_in_the_wrong_order_that_fit_as_width_and_height_are_told(write):
    path = write([{**MUG, "boxes": [[40, 30, 20, 10]]}, {**MUG, "boxes": [[50, 40, 20, 10]]}])
    report = check(open_data(path))
    told, silent = (str(problem) for problem in report.problems.first)
    assert report.problems.counts[Kind.EMPTY] == 2 and "--boxes xywh" in told and "--boxes" not in silent


@pytest.mark.parametrize("option", ["xyyx", "", "XYWH"])
def test_a_form_that_is_none(write, option):
    with pytest.raises(DataError, match="xywh01"):
        open_data(write([MUG]), boxes=option)


def test_only_our_lines_are_told_their_form(tmp_path):
    (tmp_path / "a.csv").write_text("image,instruction,label\n")
    with pytest.raises(DataError, match="csv"):
        open_data(tmp_path / "a.csv", boxes="xywh")


def test_the_command_converts(write, tmp_path, capsys):
    path = write([{**MUG, "bbox": [0.25, 0.25, 0.75, 0.75]}])
    assert main(["data", "check", str(path)]) == 1
    out = tmp_path / "right.jsonl"
    assert main(["data", "convert", str(path), "--boxes", "xyxy01", "-o", str(out)]) == 0
    assert main(["data", "check", str(out)]) == 0
    assert json.loads(out.read_text())["boxes"] == [list(PIXELS)]


def test_a_json_list_is_read_as_lines_are(write):
    entries = [{**MUG, "boxes": [list(PIXELS)], "split": "train"}, {**MUG, "split": "val"}, {"boxes": []}]
    path = write(entries, "all.json")
    assert detect(path) == "jsonl"
    source = open_data(path)
    assert source.splits == ("train", "valid") and source.count() == 3 and source.count("valid") == 1
    samples, problems = read(path)
    assert [s.boxes for s in samples] == [(PIXELS,), None] and "'expression' is missing" in str(problems.first[0])
    assert problems.first[0].place.line == 3


@pytest.mark.parametrize(
    "text, words",
    [
        ('[{"a": 1}, 2]', "no known data set"),
        ("{}", "no known data set"),
        ("[]", "no known data set"),
        ("nonsense", "no known data set"),
        ('{"images": [1], "version": 3}', "no known data set"),
        ('[{"ref_id": 1, "sentences": [{"raw": "the mug"}]}]', "instances.json is missing"),
    ],
)
def test_another_json_file_is_refused_in_words(tmp_path, text, words, capsys):
    path = tmp_path / "some.json"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        open_data(path)
    assert main(["data", "check", str(path)]) == 2 and "Traceback" not in capsys.readouterr().err


def loc(*values):
    return "".join(f"<loc{v:04d}>" for v in values)


@pytest.mark.parametrize(
    "prefix, suffix",
    [
        ("<image>detect mug ; red plate", f"{loc(1, 2, 300, 400)} mug ; {loc(500, 600, 700, 800)} red plate<eos>"),
        ("detect mug;red plate", f"{loc(1, 2, 300, 400)} mug {loc(500, 600, 700, 800)} red plate"),
        ("<image><bos>detect mug ; red plate\n", f"{loc(1, 2, 300, 400)} mug{loc(500, 600, 700, 800)} red plate"),
    ],
)
def test_signs_and_separators_of_paligemma_differ(write, prefix, suffix):
    samples, problems = read(write([{"prefix": prefix, "suffix": suffix}]))
    assert not problems.total and [(s.expression, len(s.boxes)) for s in samples] == [("mug", 1), ("red plate", 1)]


def test_lines_of_paligemma_are_read_as_what_they_are(write):
    """As Roboflow exports and maestro trains on: ymin xmin ymax xmax of 1024; several classes with ' ; '."""
    entries = [
        {"prefix": "detect mug", "suffix": loc(256, 256, 767, 767) + " mug"},
        {"prefix": "detect mug ; red plate", "suffix": f"{loc(0, 0, 512, 512)} mug ; {loc(10, 20, 512, 700)} mug"},
        {"prefix": "caption en", "suffix": "a mug"},
        {"prefix": "detect mug", "suffix": loc(3, 4, 5) + " mug"},
        {
            "prefix": "segment mug\n",
            "suffix": loc(0, 0, 1023, 1023) + "".join(f"<seg{n:03d}>" for n in range(16)) + " mug",
        },
    ]
    path = write(entries, "_annotations.train.jsonl")
    assert detect(path) == "paligemma"
    samples, problems = read(path)
    assert [(s.expression, len(s.boxes), s.label, s.split) for s in samples] == [
        ("mug", 1, Label.CLEAR, "train"), ("mug", 2, Label.UNKNOWN, "train"), ("red plate", 0, Label.UNKNOWN, "train"),
        ("mug", 1, Label.CLEAR, "train"),
    ]  # fmt: skip
    assert samples[0].boxes[0] == pytest.approx((256 / 1023 * 64, 256 / 1023 * 48, 767 / 1023 * 64, 767 / 1023 * 48))
    assert samples[3].boxes[0] == (0, 0, WIDTH, HEIGHT)
    assert len({s.source_id for s in samples}) == 4
    assert problems.total == 2 and "caption" in str(problems.first[0]) and "four" in str(problems.first[1])
    report = check(open_data(path))
    assert report.form == "paligemma" and report.splits["train"].boxes == 4 and report.splits["train"].absent == 1
