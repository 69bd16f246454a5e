"""InViG as the Hugging Face hub has it: parquet files with images inside, English and Chinese; hub ids."""

import json

import pytest
from drawn_data import draw

from clue_ros.cli.main import main
from clue_ros.data import Label, MissingDataError, SampleStream, hub, open_data
from clue_ros.data.invig_parquet import dialogue_of

CHINESE = [["", "帮我拿一下那个杯子。"], ["你要哪一个？", "红色的。"], ["左边的吗？", "是的，谢谢。"]]
ENGLISH = [
    ["", "Get me the mug."],
    ["Which one?", "The red one."],
    ["The left one?", "Yes."],
    ["OK, here you are.", "Thanks."],
]


def row(folder, number, **reference):
    """A row as the dataset's card describes it."""
    file = draw(folder / f"{number:016x}.jpg", number)
    one = {
        "bbox": [0.25, 0.25, 0.5, 0.75],
        "category": "Mug",
        "dialog": ENGLISH,
        "dialog_cn": CHINESE,
        "id": str(number),
    }
    other = {**one, "bbox": [8.0, 6.0, 30.0, 40.0], "dialog": ENGLISH[:1], "id": f"{number}b"}
    info = {"file_name": file.name, "height": 48, "id": file.stem, "width": 64}
    return {
        "ref_list": [{**one, **reference}, other],
        "image_info": info,
        "image": {"bytes": file.read_bytes(), "path": None},
    }


@pytest.fixture
def release(tmp_path, monkeypatch):
    """The release's layout, its column types and row groups of two rows; images are unpacked under tmp_path."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pairs = pa.list_(pa.list_(pa.string()))
    reference = {
        "bbox": pa.list_(pa.float64()),
        "category": pa.string(),
        "dialog": pairs,
        "dialog_cn": pairs,
        "id": pa.string(),
    }
    info = {"file_name": pa.string(), "height": pa.int64(), "id": pa.string(), "width": pa.int64()}
    schema = pa.schema(
        {
            "ref_list": pa.list_(pa.struct(reference)),
            "image_info": pa.struct(info),
            "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
        }
    )

    def write(name, rows):
        path = tmp_path / "invig/data" / f"{name}-00000-of-00001-0123456789abcdef.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pa.Table.from_pylist(rows, schema), path, row_group_size=2)

    for split, numbers in {"train": range(5), "validation": (10,), "test": (20, 21)}.items():
        write(split, [row(tmp_path / "drawn", n) for n in numbers])
    return tmp_path / "invig", write


def test_the_release_is_read_as_it_is(release, tmp_path):
    root, _ = release
    source = open_data(root)
    assert source.name == "parquet" and source.splits == ("test", "train", "valid") and source.count("train") == 5
    samples = list(SampleStream(source, "train"))
    assert len(samples) == 10 and samples[0].source_id == "invig21k/train/0" and samples[0].label is Label.AMBIGUOUS
    first, second = samples[:2]
    assert first.boxes == ((16, 12, 32, 36),) and second.boxes == ((8, 6, 30, 40),)  # shares, and pixels
    assert first.objects == second.boxes and second.label is Label.CLEAR
    assert [t.question for t in first.turns] == ["Which one?", "The left one?"] and len(first.closing) == 1
    assert first.pixels().shape == (48, 64, 3) and str(first.file.path).startswith(str(tmp_path / "cache"))
    shuffled = SampleStream(source, "train", buffer=3, seed=1)
    assert {s.source_id for s in shuffled} == {s.source_id for s in samples}


def test_only_what_is_wanted_is_unpacked(release, tmp_path):
    next(iter(SampleStream(open_data(release[0], images=tmp_path / "here"), "train")))
    assert len(list((tmp_path / "here/train").iterdir())) == 2 and not (tmp_path / "cache").exists()


def test_chinese_dialogues_pass_untouched(release):
    sample = next(iter(SampleStream(open_data(release[0], subset="zh"), "test")))
    assert sample.expression == CHINESE[0][1]
    assert [[t.question, t.answer.text] for t in sample.turns] == CHINESE[1:] and not sample.closing
    with pytest.raises(MissingDataError, match="en, zh"):
        open_data(release[0], subset="fr")


def test_check_convert_and_a_hub_id(release, tmp_path, monkeypatch, capsys):
    root, write = release
    asked = []
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **k: asked.append((name, k)) or str(root))
    assert main(["data", "check", "hf:jxu124/invig"]) == 0 and "nothing is broken" in capsys.readouterr().out
    assert asked == [("jxu124/invig", {"repo_type": "dataset", "allow_patterns": ["*.parquet"]})]
    assert main(["data", "convert", str(root), "-o", str(tmp_path / "out/invig.jsonl"), "--copy-images"]) == 0
    lines = [json.loads(line) for line in (tmp_path / "out/invig.jsonl").read_text().splitlines()]
    assert len(lines) == 16 and all((tmp_path / "out" / line["image"]).is_file() for line in lines)
    bad = row(tmp_path / "drawn", 30, dialog=[["What?", "it"]])
    worse = row(tmp_path / "drawn", 31)
    worse["image_info"]["file_name"] = "../31.jpg"
    write("test", [bad, worse, row(tmp_path / "drawn", 32, dialog=[])])
    assert main(["data", "check", str(root)]) == 1
    out = capsys.readouterr().out
    assert "unsafe path" in out and "broken line" in out and not (tmp_path / "cache/clue_ros/31.jpg").exists()


def test_other_parquet_files_and_broken_ones_are_told(release, tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"text": ["a"]}), tmp_path / "other.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(MissingDataError, match="no column ref_list"):
        open_data(tmp_path / "other.parquet")
    assert main(["data", "check", str(tmp_path / "broken.parquet")]) == 2


def test_ids_of_the_hub_and_dialogues_without_pyarrow(tmp_path, monkeypatch):
    assert hub.hub_id("hf:jxu124/invig") == hub.hub_id("hf:/datasets/jxu124/invig") == "jxu124/invig"
    assert hub.hub_id("jxu124/invig") is None and hub.hub_id("hf:../x") is None
    with pytest.raises(MissingDataError, match="hf:OWNER/NAME"):
        open_data(tmp_path / "jxu124/invig")
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **k: 1 / 0)
    with pytest.raises(MissingDataError, match="cannot be had"):
        open_data("hf:a/b")
    assert dialogue_of(CHINESE)[2] == tuple(CHINESE[2])
    for wrong in (None, [], [["a", "b"]], [["", "b", "c"]], [["", None]]):
        with pytest.raises(ValueError):
            dialogue_of(wrong)
