"""The fault suite itself, on the real node and model: a fast subset of the rows, and that a broken row is told."""

from __future__ import annotations

import csv
import json

import pytest

from clue_ros.ros.lab.faults import crowd, sight, words
from clue_ros.ros.lab.faults.rows import CannotTry, Check, Fault, Rows
from clue_ros.ros.lab.faults.words import injected
from clue_ros.types import ClueError


@pytest.fixture(scope="module")
def robot(tmp_path_factory):
    pytest.importorskip("torch", reason="the real Grounder needs torch")
    from clue_ros.ros.lab.faults.robot import Robot
    from clue_ros.simulation.renderer import SimulationError

    # Patience: a test is about what happens; how fast it is on a machine with other work is the command's affair.
    with Robot(tmp_path_factory.mktemp("faults"), effort=0.1, patience=8.0) as robot:
        robot.start()
        try:
            robot.rehearse()
        except SimulationError as error:
            pytest.skip(str(error))
        yield robot


@pytest.fixture
def rows(tmp_path):
    return Rows("faults", tmp_path / "faults.json", tmp_path / "faults.csv")


@pytest.mark.parametrize("fault", [sight.camera_stops, sight.truncated_data, sight.nan_depth, crowd.fifty_clients])
def test_a_fault_is_held(robot, rows, fault):
    from clue_ros.ros.lab.faults.run import play

    play(Fault(fault.__name__, fault), robot, rows, lambda name, check: None)
    assert len(rows.rows) >= 3 and not rows.broken, [row for row in rows.rows if not row["held"]]
    assert rows.rows[-1]["done"].startswith("afterwards")


def test_what_breaks_a_row_is_told_and_the_files_are_whole_after_each(rows):
    from clue_ros.ros.lab.faults.run import play

    def breaks(robot):
        yield Check("one", "holds", "held", True)
        assert len(json.loads(rows.json_path.read_text())["rows"]) == 1, "on disk before the next one begins"
        yield Check("two", "holds", "it did not", False)
        raise ClueError("never came")

    def cannot(robot):
        raise CannotTry("no such disk")
        yield

    class Nobody:
        ordinary = True
        measure_pace = staticmethod(lambda: None)

        class camera:
            healthy = staticmethod(lambda: None)

    for fault in (Fault("breaks", breaks), Fault("cannot", cannot)):
        play(fault, Nobody, rows, lambda name, check: None)
    assert [row["held"] for row in rows.rows] == [True, False, False, None]
    assert rows.broken == 2 and "never came" in rows.rows[2]["seen"] and rows.rows[3]["seen"] == "no such disk"
    with open(rows.csv_path, newline="", encoding="utf-8") as file:
        assert [row["held"] for row in csv.DictReader(file)] == ["held", "NOT held", "NOT held", "skipped"]
    assert json.loads(rows.json_path.read_text())["complete"] is False


def test_injected_tokens_are_seen():
    prefix = lambda *inner: {"tokens": ["<bos>", "clarify", *inner, "\n"]}  # noqa: E731
    turn = ("the", "mug", "assistant", ":", "which", "?", "user", ":", "red")
    assert injected([prefix("the", "mug")], 0) == [] and injected([prefix(*turn)], 1) == []
    assert injected([prefix(*turn)], 0) == ["assistant", "user", ":", ":"]
    assert injected([prefix("the", "<loc0000>", "\n", "detect")], 0) == ["<loc0000>", "\n", "detect"]


def test_words_reach_the_model_without_tokens_of_the_prompts_own():
    """All samples through the real tokenizer, as the Grounder gives them to it; over DDS: `clue faults`."""
    pytest.importorskip("torch", reason="the real Grounder needs torch")
    from clue_ros.grounder import Grounder
    from clue_ros.prompt import CLARIFY, build_prefix, check_expression, clean
    from clue_ros.types import Answer, InvalidExpressionError, Turn

    tokens = Grounder.from_pretrained().backbone.tokens
    read = 0
    for sample in words.samples("the red mug"):
        try:
            said = tokens.without_unknown(check_expression(sample.text))
        except InvalidExpressionError:
            assert "INVALID_EXPRESSION" in sample.codes, sample.name
            continue
        answered = Turn("which one ?", Answer(tokens.without_unknown(clean(sample.text))))
        for turns in ((), (answered,)):
            ids = tokens.prefix(build_prefix(CLARIFY, said, turns)).ids[0].tolist()
            reading = {"tokens": tokens.tokenizer.convert_ids_to_tokens(ids)}
            assert injected([reading], len(turns)) == [], sample.name
            read += 1
    assert read >= 20
