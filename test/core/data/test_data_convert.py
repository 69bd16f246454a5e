"""`clue data convert | show`: every format becomes ours and back."""

import json

import numpy as np
import pytest
from drawn_data import invig_entry, make_invig, make_it2p, make_refcoco, make_scenes, write_lines

from clue_ros.cli.main import main
from clue_ros.data import SampleStream, open_data
from clue_ros.data.check import check
from clue_ros.data.convert import convert


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
