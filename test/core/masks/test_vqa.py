"""Questions with options, answered by a program about the whole picture and the focused one."""

import csv
import sys

import numpy as np
import pytest
from drawn_data import draw, write_lines

from clue_ros.cli.main import main
from clue_ros.evaluation.vqa_suite import is_right
from clue_ros.masks.focus import SHADE, focused_crop
from clue_ros.measures.results import load

PROGRAM = """
import json, sys
from PIL import Image
for line in sys.stdin:
    asked = json.loads(line)
    size = Image.open(asked["image"]).size
    print(json.dumps({"answer": "A" if size == (64, 48) else "(B) blue"}), flush=True)
"""


def test_a_program_answers_about_both_pictures(with_head, tiny_model_dir, tmp_path, capsys):
    draw(tmp_path / "direct/a.png")
    text = "What is the color of the mug?\n(A) red\n(B) blue\nAnswer with the option's letter directly."
    line = {"image": "direct/a.png", "text": text, "category": "direct", "question_id": 0}
    lines = [{**line, "label": "A"}, {**line, "label": "B"}, {**line, "label": "A", "image": "none.png"}, {"text": "?"}]
    file = write_lines(tmp_path / "test_questions.jsonl", lines)
    (tmp_path / "answers.py").write_text(PROGRAM)
    command = ["evaluate", "vqa", str(file), "-o", str(tmp_path / "out")]
    asking = ["--answer-command", sys.executable, str(tmp_path / "answers.py")]
    assert main([*command, "--model", str(with_head), *asking]) == 0
    results, _ = load(tmp_path / "out")
    rows = list(csv.DictReader((tmp_path / "out/rows.csv").open()))
    assert [r["right"] for r in rows if r["said"]] == ["True", "False"]
    assert {m.name: m.estimate.value for m in results.measures}["accuracy"] == 0.5
    assert "focused" in capsys.readouterr().out and any("could not be read" in note for note in results.notes)
    assert main([*command, "--model", str(tiny_model_dir), *asking]) == 2
    assert "no mask head" in capsys.readouterr().err
    assert main([*command, "--model", str(with_head)]) == 2


@pytest.mark.parametrize(
    "answer, right",
    [("B", True), ("(B) blue", True), ("B.", True), ("Blue.", True), ("blue", True), ("A", False), ("Because", False)],
)
def test_an_answer_is_a_letter_or_the_option_s_words(answer, right):
    options = {"A": "red", "B": "blue"}
    assert is_right(answer, "B", options) is right and is_right(answer, "blue", options) is right


def test_overlay_and_crop_together():
    image = np.arange(48 * 64 * 3, dtype=np.uint32).astype(np.uint8).reshape(48, 64, 3)
    active = np.zeros((48, 64), bool)
    active[10:20, 30], active[10, 30:50] = True, True
    cut = focused_crop(image, active)
    assert cut.shape == (10, 20, 3) and (cut[0] == image[10, 30:50]).all() and (cut[1:, 1:] == SHADE).all()
    assert focused_crop(image, np.zeros_like(active)) is image
