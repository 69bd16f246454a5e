"""`clue data check | convert | show`, on good, broken and malicious data sets."""

import json
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from drawn_data import draw, invig_entry, make_invig, make_it2p, make_refcoco, make_scenes, scene_line, write_lines
from PIL import Image

from clue_ros.cli.main import main
from clue_ros.data import BrokenImageError, ImageArray, Sample, SampleStream, UnsafePathError, open_data
from clue_ros.data.check import check
from clue_ros.data.convert import convert
from clue_ros.data.jsonl import to_line
from clue_ros.images.files import ImageRoot, read_image, verify_image
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


def test_a_photo_cut_anywhere_is_broken_for_check_and_reader_alike(tmp_path):
    cv2.imwrite(str(tmp_path / "a.jpg"), np.random.default_rng(0).integers(0, 255, (256, 320, 3), np.uint8))
    whole = (tmp_path / "a.jpg").read_bytes()
    verify_image(tmp_path / "a.jpg", (320, 256))
    for share in (0.05, 0.3, 0.6, 0.9, 0.97):
        (tmp_path / "b.jpg").write_bytes(whole[: int(len(whole) * share)])
        for look in (verify_image, read_image):
            with pytest.raises(BrokenImageError):
                look(tmp_path / "b.jpg", (320, 256))


# Names that lead out of the data set, files that are not what they say


def test_names_that_leave_the_folder_are_refused(tmp_path):
    secret = draw(tmp_path / "secret.png")
    root = tmp_path / "set"
    draw(root / "img/a.png")
    (root / "img/link.png").symlink_to(secret)
    (root / "img/inner.png").symlink_to(root / "img/a.png")
    (root / "up").symlink_to(tmp_path)
    names = [
        "../secret.png",
        "img/../../secret.png",
        "..\\secret.png",
        str(secret),
        "img/link.png",
        "up/secret.png",
        "https://example.org/a.png",
        "img/\u0000.png",
        "",
        "x" * 5000,
    ]
    write_lines(root / "x.jsonl", [{"image": n, "expression": "it"} for n in names])
    assert counts(root) == {"unsafe path": len(names)}
    good = ["img/a.png", "img\\a.png", str(root / "img/a.png"), "./img/a.png", "img/inner.png"]
    write_lines(root / "x.jsonl", [{"image": n, "expression": f"it {n}"} for n in good])
    assert counts(root) == {}
    with pytest.raises(UnsafePathError, match="name it with --images"):
        ImageRoot(root).locate("img/link.png")
    # The folder that the user named may itself be a link.
    (tmp_path / "shortcut").symlink_to(root / "img")
    write_lines(root / "x.jsonl", [{"image": "a.png", "expression": "it"}])
    assert counts(root, images=tmp_path / "shortcut") == {}


def test_annotation_files_that_link_out_are_not_read(tmp_path):
    (tmp_path / "private.txt").write_text("a private line\n")
    make_it2p(tmp_path / "set")
    (tmp_path / "set/script_ambiguous/0001.txt").symlink_to(tmp_path / "private.txt")
    report = check(open_data(tmp_path / "set"))
    assert report.problems.counts == {Kind.PATH: 1}
    assert main(["data", "convert", str(tmp_path / "set"), "-o", str(tmp_path / "out.jsonl")]) == 1
    assert "private line" not in (tmp_path / "out.jsonl").read_text()


def test_images_that_are_bombs_pipes_or_something_else(tmp_path):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )
    (tmp_path / "bomb.png").write_bytes(bomb)
    (tmp_path / "large.png").write_bytes(bomb.replace(struct.pack(">II", 60000, 60000), struct.pack(">II", 9000, 9000)))
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "script.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "empty.png").write_bytes(b"")
    names = ["bomb", "large", "pipe", "script", "folder", "empty"]
    for name in names:
        with pytest.raises(BrokenImageError):
            read_image(tmp_path / f"{name}.png")
    write_lines(tmp_path / "x.jsonl", [{"image": f"{n}.png", "expression": "it"} for n in names])
    assert counts(tmp_path) == {"broken image": 6}


def test_images_of_other_kinds_come_as_rgb_and_upright_as_annotated(tmp_path):
    image = np.zeros((20, 30, 3), np.uint8)
    image[:10] = (255, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(image).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    assert read_image(tmp_path / "turned.jpg").shape == (30, 20, 3)
    assert read_image(tmp_path / "turned.jpg", (20, 30)).shape == (30, 20, 3)  # annotated upright
    stored = read_image(tmp_path / "turned.jpg", (30, 20))  # annotated as stored
    assert stored.shape == (20, 30, 3) and stored[2, 2, 0] > 200
    cv2.imwrite(str(tmp_path / "deep.png"), np.full((4, 5), 65535, np.uint16))
    assert (read_image(tmp_path / "deep.png") == 255).all()
    Image.new("LA", (5, 4)).save(tmp_path / "alpha.png")
    Image.new("P", (5, 4)).save(tmp_path / "palette.bmp")
    assert read_image(tmp_path / "alpha.png").shape == read_image(tmp_path / "palette.bmp").shape == (4, 5, 3)


def test_closings_are_counted_and_kept_by_a_conversion(tmp_path, capsys):
    ann = {"questions": ["Which one?", "Okay, here it is."], "answers": ["The left one.", "Thank you very much!"]}
    make_invig(tmp_path / "set")
    write_lines(tmp_path / "set/invig21k_anns/invig21k_train_anns.jsonl", [invig_entry(0, ann=ann)])
    assert main(["data", "check", str(tmp_path / "set")]) == 0
    assert "1 exchange at the end of a dialogue was cut" in capsys.readouterr().out
    assert check(open_data(tmp_path / "set")).splits["train"].closings == 1
    assert main(["data", "convert", str(tmp_path / "set"), "-o", str(tmp_path / "x.jsonl"), "--copy-images"]) == 0
    before, after = (list(SampleStream(open_data(tmp_path / name), "train")) for name in ("set", "x.jsonl"))
    assert before[0].closing == after[0].closing != () and before[0].turns == after[0].turns


# Conversion


@pytest.mark.parametrize("make", [make_invig, make_it2p, make_refcoco, make_scenes])
def test_every_format_becomes_ours_and_back_without_loss(tmp_path, capsys, make):
    source = open_data(make(tmp_path / "set"))
    before = list(SampleStream(source))
    assert main(["data", "convert", str(tmp_path / "set"), "-o", str(tmp_path / "out/all.jsonl"), "--copy-images"]) == 0
    after = list(SampleStream(open_data(tmp_path / "out/all.jsonl"), strict=True))
    for a, b in zip(before, after):
        assert (a.source_id, a.expression, a.turns, a.boxes, a.point, a.label, a.split, a.objects, a.size) == (
            b.source_id,
            b.expression,
            b.turns,
            b.boxes,
            b.point,
            b.label,
            b.split,
            b.objects,
            b.size,
        )
        assert a.question_candidates == b.question_candidates and a.answer_candidates == b.answer_candidates
        assert np.array_equal(a.pixels(), b.pixels())
    assert len(before) == len(after) > 2
    result = convert(SampleStream(source), tmp_path / "names.jsonl")
    assert len(list(SampleStream(open_data(tmp_path / "names.jsonl", images=result.images), strict=True))) == len(after)


def test_conversion_makes_splits_and_stops_when_strict(tmp_path, capsys):
    make_it2p(tmp_path / "set")
    (tmp_path / "set/train_script/0001.txt").write_text("oops\n")
    args = ["data", "convert", str(tmp_path / "set"), "-o", str(tmp_path / "x.jsonl")]
    assert main([*args, "--strict"]) == 2 and "train_script/0001.txt:1" in capsys.readouterr().err
    assert not list(tmp_path.glob("x.jsonl*"))  # nothing half written
    assert main(args) == 1 and (tmp_path / "x.jsonl").exists()
    assert (
        main(
            [
                "data",
                "convert",
                str(tmp_path / "x.jsonl"),
                "--images",
                str(tmp_path / "set/train_img"),
                "-o",
                str(tmp_path / "y.jsonl"),
                "--split",
                "valid",
            ]
        )
        == 2
    )
    assert "no split 'valid'; it has: train" in capsys.readouterr().err


def test_show_prints_samples_and_pairs(tmp_path, capsys):
    make_invig(tmp_path)
    assert main(["data", "show", str(tmp_path), "--split", "train", "-n", "2"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert json.loads(out[0])["expression"] == "Get me the thing 0, please."
    assert out[1].startswith("    clarify get me the thing 0, please.  ->  <loc")


def test_wrong_use_is_one_line(tmp_path, capsys):
    assert main(["data", "check", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith("clue: ") and main(["data", "check", str(tmp_path)]) == 2
    with pytest.raises(SystemExit):
        main(["data"])


def test_an_image_in_memory_is_a_sample_too():
    sample = Sample("x", ImageArray(np.zeros((4, 6, 3), np.uint8), "x.png"), "it")
    assert sample.size == (6, 4) and sample.pixels().shape == (4, 6, 3)
    assert json.loads(to_line(sample)) == {"id": "x", "image": "x.png", "size": [6, 4], "expression": "it"}
