"""`clue data check`: what is counted, and what is broken in good faith."""

import json

import pytest
from drawn_data import draw, invig_entry, make_invig, make_it2p, make_refcoco, make_scenes, scene_line, write_lines

from clue_ros.cli.main import main
from clue_ros.data import open_data
from clue_ros.data.check import check
from clue_ros.problems import Kind


def counts(path, **options):
    return {k.value: n for k, n in check(open_data(path, **options)).problems.counts.items()}


@pytest.mark.parametrize("make", [make_invig, make_it2p, make_refcoco, make_scenes])
def test_good_data_passes(tmp_path, capsys, make):
    assert main(["data", "check", str(make(tmp_path / "set"))]) == 0
    assert "nothing is broken" in capsys.readouterr().out


def test_data_without_a_sample_does_not_pass(tmp_path, capsys):
    (tmp_path / "empty.jsonl").write_text("")
    assert main(["data", "check", str(tmp_path / "empty.jsonl")]) == 1
    assert "no sample" in capsys.readouterr().out


def test_the_report_counts(tmp_path, capsys):
    make_invig(tmp_path)
    assert main(["data", "check", str(tmp_path), "--json", str(tmp_path / "out/report.json")]) == 0
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["format"] == "invig" and report["ok"] and report["records"] == 10
    assert report["splits"]["train"] == {
        "samples": 6,
        "images": 6,
        "ambiguous": 4,
        "clear": 2,
        "unknown": 0,
        "dialogues": 4,
        "questions": 7,
        "closings": 0,
        "boxes": 6,
        "points": 0,
        "absent": 0,
    }
    capsys.readouterr()
    assert main(["data", "check", str(tmp_path), "--json", "-", "--depth", "header", "--workers", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["records"] == 10


def test_what_is_broken_is_found(tmp_path, capsys):
    make_invig(tmp_path)
    images = tmp_path / "invig21k_imgs"
    file = tmp_path / "invig21k_anns/invig21k_train_anns.jsonl"
    (images / "0000.jpg").write_bytes((images / "0000.jpg").read_bytes()[:400])  # truncated
    write_lines(
        file,
        [
            invig_entry(0),
            invig_entry(77),
            invig_entry(1, width=640, height=480),  # truncated, missing, another size
            invig_entry(2, ann={"ref_bboxes": [[20, 8, 90, 32]]}),
            invig_entry(2, ann={"bboxes": [[5, 5, 5, 9]]}),
            invig_entry(3, ann={"ref_bboxes": [[20, 8, "x", 32]]}),
            json.dumps(invig_entry(3)).replace("8, 40", "NaN, 40"),
            json.dumps(invig_entry(3)).replace("8, 40", "1e999, 40"),
            "{",
            b'{"filename": "\xff\xfe"}',
            "[1]",
            invig_entry(3, ann={"answers": []}),
            invig_entry(3, ann={"ref_exp": " "}),
            invig_entry(3, width=-5),
            {**invig_entry(3), "ann": 3},
            invig_entry(4, ann={"ref_exp": "x" * 2000}),
            "[" * 50_000,
        ],
    )
    report = check(open_data(tmp_path))
    assert report.problems.counts == {Kind.IMAGE: 3, Kind.OUTSIDE: 1, Kind.EMPTY: 1, Kind.LINE: 12}
    lines = {p.place.line: p.text for p in report.problems.first}
    assert "runcated" in lines[1] and "no such image file" in lines[2] and "the data set says 640x480" in lines[3]
    assert lines[4] == "target [20.0, 8.0, 90.0, 32.0] in an image of 64x48"
    assert "not finite" in lines[8] and "not UTF-8" in lines[10] and "2 questions but 0 answers" in lines[12]
    assert "1000" in lines[16] and "too deeply" in lines[17]
    assert main(["data", "check", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "broken image" in out and "invig21k_train_anns.jsonl:4" in out


def test_points_outside_and_images_that_are_missing_in_it2p(tmp_path):
    make_it2p(tmp_path)
    write_lines(tmp_path / "train_script/0001.txt", ["64 1 too far", "nan 1 no", "1 1", "x y z", b"1 1 \xff", "1 1 ok"])
    write_lines(tmp_path / "train_script/0009.txt", ["1 1 no image"])
    report = check(open_data(tmp_path))
    assert report.problems.counts == {Kind.LINE: 4, Kind.OUTSIDE: 1, Kind.IMAGE: 1}
    assert {(p.place.file, p.place.line) for p in report.problems.first if p.kind is Kind.LINE} == {
        ("train_script/0001.txt", n) for n in (2, 3, 4, 5)
    }


def test_broken_references_tables_and_scenes(tmp_path):
    make_refcoco(tmp_path / "r")
    refs = tmp_path / "r/refcoco/refs(unc).json"
    good = json.loads(refs.read_text())
    bad = [{**good[0], "ann_id": 999}, 7, {**good[0], "sentences": [{"raw": None}]}, {"split": "train"}]
    refs.write_text(json.dumps(good + bad))
    assert counts(tmp_path / "r") == {"broken line": 4}
    refs.write_text(json.dumps(good)[:-30])
    assert counts(tmp_path / "r") == {"broken line": 1}  # nothing can be read beyond that place
    draw(tmp_path / "c/a.png")
    write_lines(
        tmp_path / "c/x.csv",
        [
            "image,instruction,label",
            "a.png,the mug,maybe",
            "a.png",
            b"a.png,\xff,yes",
            "a.png,,yes",
            "b.png,the mug,no",
            "a.png,the mug,no",
        ],
    )
    assert counts(tmp_path / "c") == {"broken line": 4, "broken image": 1}
    make_scenes(tmp_path / "s", 1)
    line = scene_line(0)
    line["objects"][0]["box"] = [9, 9, 1, 1]
    write_lines(tmp_path / "s/scenes-00001.jsonl", [line, {"id": "x"}, "7"])
    assert counts(tmp_path / "s") == {"broken line": 3}


def test_a_json_file_that_breaks_off_is_one_problem(tmp_path):
    make_refcoco(tmp_path)
    image = {"file_name": "COCO_train2014_000000000001.jpg", "width": 64, "height": 48, "id": 0, "caption": "it"}
    text = json.dumps({"annotations": [{"id": 0, "image_id": 0, "bbox": [1, 2, 3, 4]}], "images": [image, image]})
    file = tmp_path / "finetune_refcoco_val.json"
    file.write_text(text)
    assert check(open_data(file, images=tmp_path / "train2014")).ok
    file.write_text(text[:-20])
    report = check(open_data(file, images=tmp_path / "train2014"))
    assert not report.ok and "is not JSON from character" in report.problems.first[0].text


def test_a_misspelt_field_is_named(tmp_path):
    draw(tmp_path / "a.png")
    line = {"image": "a.png", "expression": "it"}
    write_lines(
        tmp_path / "x.jsonl",
        [
            {**line, "bboxes": []},
            {**line, "my_note": 1},
            {**line, "turns": [{}]},
            {**line, "size": [64]},
            {**line, "label": "perhaps"},
            {**line, "boxes": 3},
            {**line, "point": [1]},
            {**line, "image": 5},
            {"image": "a.png"},
        ],
    )
    report = check(open_data(tmp_path / "x.jsonl"))
    assert report.problems.counts == {Kind.LINE: 7, Kind.PATH: 1}
    assert "the field is 'boxes'" in report.problems.first[0].text


def test_wrong_use_is_one_line(tmp_path, capsys):
    assert main(["data", "check", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith("clue: ") and main(["data", "check", str(tmp_path)]) == 2
    with pytest.raises(SystemExit):
        main(["data"])
