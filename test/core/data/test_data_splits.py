"""What stands in two splits, and rows that name none."""

import json

import pytest
from drawn_data import draw, invig_entry, make_invig, write_lines
from PIL import Image

from clue_ros.cli.main import main
from clue_ros.data import SampleStream, open_data
from clue_ros.data.check import check
from clue_ros.problems import Kind


def test_duplicates_between_splits_go_by_content(tmp_path):
    make_invig(tmp_path)
    images = tmp_path / "invig21k_imgs"
    (images / "copy.jpg").write_bytes((images / "0002.jpg").read_bytes())
    write_lines(
        tmp_path / "invig21k_anns/invig21k_test_anns.jsonl",
        [
            invig_entry(2, filename="copy.jpg"),  # the same image under another name, the same words
            invig_entry(3, ann={"ref_exp": "something else"}),
            invig_entry(200),
            invig_entry(200),
        ],
    )
    report = check(open_data(tmp_path))
    assert report.problems.counts == {Kind.DUPLICATE: 1, Kind.SHARED: 2}
    assert all("also in the split" in problem.text for problem in report.problems.first)
    assert report.shared_images == 2 and report.repeated == 1 and report.splits["test"].images == 3
    by_name = check(open_data(tmp_path), images="none")
    assert not by_name.ok and by_name.shared_images == 1
    wanted = check(open_data(tmp_path), images="none", allow_shared=True)
    assert wanted.ok and wanted.shared_images == 1


def test_an_image_in_two_splits_is_a_leak_unless_both_are_for_testing(tmp_path, capsys):
    """RefCOCO's testA and testB may share an image; what was trained on must not be tested on."""
    draw(tmp_path / "a.png")
    row = {"image": "a.png", "boxes": [[1, 2, 30, 40]]}
    path = tmp_path / "all.jsonl"
    write_lines(path, [{**row, "expression": f"thing {n}", "split": s} for n, s in enumerate(("testA", "testB"))])
    assert check(open_data(path)).ok
    write_lines(path, [{**row, "expression": f"thing {n}", "split": s} for n, s in enumerate(("train", "val"))])
    assert main(["data", "check", str(path)]) == 1
    assert "image in several splits" in capsys.readouterr().out
    assert main(["data", "check", str(path), "--allow-shared-images"]) == 0
    assert "1 images stand in more than one split" in capsys.readouterr().out


def test_a_copy_in_another_encoding_is_a_leak_too(tmp_path, capsys):
    for n in range(4):
        draw(tmp_path / f"{n}.png", n, 256, 192)
    for name in ("copy.jpg", "small.png"):
        with Image.open(tmp_path / "0.png") as image:
            image.resize((128, 96)).save(tmp_path / name) if name[0] == "s" else image.save(tmp_path / name, quality=60)
    line = lambda name, split: {"image": name, "expression": f"it {name}", "split": split}  # noqa: E731
    lines = [line("0.png", "train"), line("1.png", "train"), line("copy.jpg", "valid"), line("2.png", "test")]
    write_lines(tmp_path / "a.jsonl", [*lines, line("small.png", "testA"), line("3.png", "testB")])
    assert main(["data", "check", str(tmp_path / "a.jsonl"), "--json", str(tmp_path / "r.json")]) == 1
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["images_in_several_splits"] == 3  # valid and testA with train, testA with valid
    assert "copy.jpg looks like 0.png of the split 'train'" in capsys.readouterr().out
    assert main(["data", "check", str(tmp_path / "a.jsonl"), "--allow-shared-images"]) == 0


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv", "x.json"])
def test_a_row_without_a_split_among_others_counts_as_training_data(tmp_path, name, capsys):
    rows = [("0.png", "test"), ("1.png", ""), ("2.png", ""), ("3.png", "valid")]
    for n in range(4):
        draw(tmp_path / f"{n}.png", n)
    if name.endswith("csv"):
        lines = ["image,instruction,label,split", *(f"{image},it,yes,{split}" for image, split in rows)]
        path = write_lines(tmp_path / name, lines)
    else:
        entries = [{"image": i, "expression": "it", **({"split": s} if s else {})} for i, s in rows]
        path = write_lines(tmp_path / name, [json.dumps(entries)] if name.endswith(".json") else entries)
    source = open_data(path)
    assert set(source.splits) == {"train", "valid", "test"} and source.unsplit == 2
    assert [s.image.name for s in SampleStream(source, "train")] == ["1.png", "2.png"]
    assert source.count("train") == 2 and source.count() == 4
    assert main(["data", "check", str(path)]) == 0
    assert "2 rows name no split" in capsys.readouterr().out


def test_a_file_without_a_split_beside_files_of_splits_is_training_data(tmp_path):
    for n, file in enumerate(("test.jsonl", "more.jsonl", "valid.jsonl")):
        draw(tmp_path / f"{n}.png", n)
        write_lines(tmp_path / file, [{"image": f"{n}.png", "expression": "it"}])
    source = open_data(tmp_path)
    assert [s.image.name for s in SampleStream(source, "train")] == ["1.png"] and source.unsplit == 1
