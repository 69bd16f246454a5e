"""`clue evaluate photographs`: the first decision counts, and a click settles what was asked about."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
from drawn_data import draw, write_lines

from clue_ros.cli.main import main
from clue_ros.evaluation.oracle import GestureOracle
from clue_ros.evaluation.photograph_suite import PhotographSuite
from clue_ros.evaluation.samples import Selection
from clue_ros.evaluation.suite import run_suite
from clue_ros.types import Ambiguity, Box, Decision, Outcome

MUG, OTHER = [10, 10, 30, 30], [32, 10, 46, 30]
LINES = {  # expression: (label, boxes, what the robot does first)
    "the right mug": ("clear", [MUG], MUG),
    "the wrong mug": ("clear", [MUG], OTHER),
    "the doubted mug": ("clear", [MUG], "ask"),
    "the missed mug": ("clear", [MUG], "not_found"),
    "the zebra": ("clear", [MUG], "unknown_words"),
    "the mug": ("ambiguous", [MUG], "ask"),
    "a mug": ("ambiguous", [MUG], "ask"),
    "some mug": ("ambiguous", [MUG, OTHER], MUG),
    "the banana": ("clear", [], "not_found"),
    "the fork": ("clear", [], MUG),
    "the spoon": ("clear", [], "ask"),
}


class Robot:
    threshold = 0.5

    def encode(self, image):
        return image

    def ground(self, image, expression, turns=(), *, may_ask=True, threshold=None):
        first = LINES[expression][2]
        if turns:
            answer = turns[-1].answer
            if answer.point is None:  # "none of them"
                return Decision(Outcome.NOT_FOUND, expression)
            first = OTHER if expression == "a mug" else MUG if answer.point == Box(*MUG).center else OTHER
        reading = Ambiguity(0.5, 0.5, first == "ask", np.zeros((4, 4), np.float32))
        if isinstance(first, list):
            return Decision(Outcome.FOUND, expression, reading, Box(*map(float, first)), 0.8)
        return Decision(Outcome(first), expression, reading, question="which one?" if first == "ask" else "")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for n in range(3):
        draw(folder / f"{n}.png", n)
    lines = [
        {"id": said, "image": f"{n % 3}.png", "expression": said, "label": label, "boxes": boxes, "source": "ours"}
        for n, (said, (label, boxes, _)) in enumerate(LINES.items())
    ]
    unlabelled = {"id": "nobody knows", "image": "0.png", "expression": "the mug", "boxes": [MUG]}
    write_lines(folder / "photos.jsonl", [*lines, unlabelled])
    return folder / "photos.jsonl"


@pytest.fixture
def subject():
    robot = Robot()
    return SimpleNamespace(
        grounder=robot, look_at=lambda sample, rgb: rgb, knows=lambda *_: True, about=lambda: {"model": "robot"}
    )


def test_the_figures_by_hand(data, subject, tmp_path):
    suite = PhotographSuite(subject, Selection(data), GestureOracle("click"))
    results = run_suite(suite, tmp_path / "r", gallery=1)
    found = {m.name: (m.estimate.value, m.estimate.count) for m in results.measures}
    assert found == {
        "acc_at_50": (pytest.approx(1 / 5), 5),
        "f1": (pytest.approx(2 * 2 / (4 + 3)), 11),  # asked about 4, of which 2 of the 3 ambiguous ones
        "clear_not_found": (pytest.approx(1 / 5), 5),
        "clear_asked": (pytest.approx(1 / 5), 5),
        "clear_unknown_words": (pytest.approx(1 / 5), 5),
        "ambiguous_asked": (pytest.approx(2 / 3), 3),
        "success_ambiguous": (pytest.approx(1 / 3), 3),  # "a mug" ends with the other one, "some mug" was not asked
        "absent_recognised": (pytest.approx(1 / 3), 3),  # a question that ends with "not there" comes too late
    }
    assert all(m.estimate.low <= m.estimate.value <= m.estimate.high for m in results.measures)
    firsts = next(t for t in results.tables if t.title == "What the robot did first")
    assert firsts.columns == ("truth", "count", "box", "question", "not found", "unknown words")
    assert firsts.rows == (("ambiguous", 3, 1, 2, 0, 0), ("clear", 5, 2, 1, 1, 1), ("absent", 3, 1, 1, 1, 0))
    assert results.notes[0] == "1 samples not used: no label says whether it is ambiguous"
    assert any("--oracle click" in note for note in results.notes)
    rows = {row["item"]: row for row in csv.DictReader((tmp_path / "r/rows.csv").open())}
    assert rows["the spoon"]["outcome"] == "not_found" and rows["the spoon"]["success"] == "True"
    assert len(list((tmp_path / "r/pictures").glob("*.webp"))) == 2


def test_two_robots_are_compared_on_the_same_items(data, subject, tmp_path):
    def run(name, **options):
        suite = PhotographSuite(subject, Selection(data), GestureOracle("click"))
        return run_suite(suite, tmp_path / name, gallery=0, **options)

    run("a")
    table = run("b", against=tmp_path / "a").tables[-1]
    assert "ambiguity F1" in {line[0] for line in table.rows}


def test_the_command_and_who_may_answer(tiny_model_dir, data, tmp_path, capsys):
    common = ("evaluate", "photographs", str(data), "--model", str(tiny_model_dir), "--pictures", "0")
    assert main([*common, "-o", str(tmp_path / "p"), "--limit", "2"]) == 0
    about = json.loads((tmp_path / "p/results.json").read_text())["about"]
    assert about["oracle"] == "click" and about["max_questions"] == 3
    with pytest.raises(SystemExit):
        main([*common, "--oracle", "scene"])
    assert "click" in capsys.readouterr().err
