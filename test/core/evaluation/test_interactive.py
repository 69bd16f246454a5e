"""`clue evaluate interactive`: who answers, what counts as a success, and after how many turns."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from clue_ros.cli.main import main
from clue_ros.evaluation.interaction import caption, measures, play, terms, turns_table
from clue_ros.evaluation.oracle import GestureOracle, ModelOracle, RecordedOracle, SceneOracle, choose_oracle
from clue_ros.evaluation.samples import Selection
from clue_ros.evaluation.subject import CannotAnswerError, Subject
from clue_ros.measures.results import load
from clue_ros.simulation.dataset import generate
from clue_ros.simulation.renderer import SimulationError
from clue_ros.types import Ambiguity, Answer, Box, ClueError, Decision, Outcome

pytestmark = pytest.mark.usefixtures("without_java")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "test"
    try:
        generate(folder, 3, 5, progress=False, shard=3)
    except SimulationError as error:
        pytest.skip(f"scenes cannot be rendered here: {error}")
    return folder


def evaluate(*arguments):
    return main(["evaluate", *map(str, arguments)])


def rows_of(folder):
    return list(csv.DictReader((Path(folder) / "rows.csv").open()))


def test_interactive_by_its_command(tiny_model_dir, scenes, tmp_path, capsys):
    assert evaluate("interactive", scenes, "--model", tiny_model_dir, "-o", tmp_path / "i", "--limit", 6) == 0
    out = capsys.readouterr().out
    assert "success as InViG counts it" in out and "How the dialogues ended" in out
    results, _ = load(tmp_path / "i")
    assert results.about["max_questions"] == 9
    by_turns = next(t for t in results.tables if t.title.startswith("Success by turns"))
    assert [line[0] for line in by_turns.rows] == [str(n) for n in range(1, 11)]
    assert results.about["oracle"] == "scene" and (tmp_path / "i/interactive-accuracy-over-iou.png").is_file()
    assert {r["truth"] for r in rows_of(tmp_path / "i")} >= {"clear"}


def test_interactive_with_recorded_answers_and_without_a_person(tiny_model_dir, dialogues, tmp_path, capsys):
    common = ("interactive", dialogues, "--model", tiny_model_dir)
    assert evaluate(*common, "-o", tmp_path / "r", "--oracle", "recorded") == 0
    rows = {r["item"]: r for r in rows_of(tmp_path / "r")}
    assert rows["1"]["truth"] == "ambiguous" and rows["gone"]["truth"] == "absent" and rows["many"]["skipped"]
    assert rows["strange"]["outcome"] == "unknown_words" and "none.png" in rows["blind"]["skipped"]
    assert evaluate(*common, "-o", tmp_path / "m", "--oracle", "model") == 2
    assert "nobody trained it to" in capsys.readouterr().err
    assert evaluate(*common, "-o", tmp_path / "m", "--oracle", "click", "--oracle-model", tiny_model_dir) == 2
    assert "give one of --oracle" in capsys.readouterr().err
    assert evaluate(*common, "-o", tmp_path / "c") == 0
    assert "answered by a click" in capsys.readouterr().out and load(tmp_path / "c")[0].about["oracle"] == "click"
    assert evaluate(*common, "-o", tmp_path / "m", "--oracle", "scene") == 2
    assert "needs rendered scenes" in capsys.readouterr().err


class Scripted:
    threshold = 0.5

    def __init__(self, *outcomes, box=Box(0, 0, 10, 10)):
        self.outcomes, self.box, self.seen = list(outcomes), box, []

    def encode(self, image):
        return image

    def ground(self, image, expression, turns=(), *, may_ask=True, threshold=None):
        self.seen.append(turns)
        outcome = self.outcomes.pop(0)
        ask = outcome is Outcome.ASK
        reading = Ambiguity(0.9 if ask else 0.1, 0.5, ask, np.zeros((4, 4), np.float32))
        return Decision(
            outcome,
            expression,
            reading,
            self.box if outcome is Outcome.FOUND else None,
            0.8,
            "which one?" if ask else "",
        )


@pytest.mark.parametrize("kind, gesture", [("click", Answer(point=(5.0, 5.0))), ("box", Answer(box=Box(0, 0, 10, 10)))])
def test_a_person_may_answer_by_a_gesture(kind, gesture):
    sample = SimpleNamespace(boxes=(Box(0, 0, 10, 10),))
    grounder = Scripted(Outcome.ASK, Outcome.FOUND)
    row, _ = play(grounder, "image", "the mug", "ambiguous", sample.boxes, GestureOracle(kind).person(sample, None))
    assert row["success"] and grounder.seen[-1][0].answer == gesture
    absent = GestureOracle(kind).person(SimpleNamespace(boxes=()), None)
    assert absent.answer("which one?") == "none of them"


class Says:
    def answer(self, question):
        return "the red one"


@pytest.mark.parametrize(
    "truth, outcomes, boxes, success, right",
    [
        ("ambiguous", [Outcome.ASK, Outcome.FOUND], [Box(0, 0, 10, 10)], True, True),
        ("ambiguous", [Outcome.FOUND], [Box(0, 0, 10, 10)], False, True),  # lucky, but it should have asked
        ("ambiguous", [Outcome.ASK, Outcome.FOUND], [Box(50, 50, 60, 60)], False, False),
        ("clear", [Outcome.FOUND], [Box(50, 50, 60, 60), Box(0, 0, 10, 11)], True, True),
        ("clear", [Outcome.ASK, Outcome.FOUND], [Box(0, 0, 10, 10)], False, True),
        ("unknown", [Outcome.ASK, Outcome.FOUND], [Box(0, 0, 10, 10)], True, True),
        ("absent", [Outcome.NOT_FOUND], [], True, None),
        ("absent", [Outcome.FOUND], [], False, None),
    ],
)
def test_what_counts_as_a_success(truth, outcomes, boxes, success, right):
    row, result = play(Scripted(*outcomes), np.zeros((64, 64, 3), np.uint8), "the mug", truth, boxes, Says())
    assert (row["success"], row["right"]) == (success, right) and row["asked"] == len(result.questions)
    json.dumps(row)
    assert bool(row["reason"]) != success and (row["reason"] in caption(row))


class Improving(Scripted):
    """Finds it ambiguous for ever and asks as long as it may; its box is right from the second answer on."""

    def ground(self, image, expression, turns=(), *, may_ask=True, threshold=None):
        self.seen.append((len(turns), may_ask))
        reading = Ambiguity(0.9, 0.5, True, np.zeros((4, 4), np.float32))
        if may_ask:
            return Decision(Outcome.ASK, expression, reading, None, 0.0, "which one?")
        box = Box(0, 0, 10, 10) if len(turns) >= 2 else Box(50, 50, 60, 60)
        return Decision(Outcome.FOUND, expression, reading, box, 0.8)


def test_with_the_questions_spent_the_last_box_counts_for_invig_and_not_for_us():
    target = [Box(0, 0, 10, 10)]
    row, _ = play(Improving(), "image", "the mug", "ambiguous", target, Says(), max_questions=3, forced=True)
    assert row["outcome"] == "ambiguous" and row["right"] is False and row["success"] is False
    assert row["right_last"] is True and row["iou_last"] == 1.0
    assert row["turn_ious"] == [0.0, 0.0, 1.0, 1.0]  # the box that it would have given after 0, 1, 2 and 3 answers
    grounder = Improving()
    play(grounder, "image", "the mug", "ambiguous", target, Says(), max_questions=3)
    assert grounder.seen == [(0, True), (1, True), (2, True), (3, False)]  # nothing is forced unless asked for
    absent, _ = play(Improving(), "image", "the mug", "absent", [], Says(), forced=True)
    assert absent["right_last"] is None and absent["turn_ious"] is None
    unknown, _ = play(Scripted(Outcome.UNKNOWN_WORDS), "image", "x", "clear", target, Says(), forced=True)
    assert unknown["right_last"] is False and unknown["turn_ious"] == [0.0]


def test_success_at_each_number_of_turns_by_both_rules():
    def row(right, *ious):
        asked = len(ious) - 1
        return {"truth": "unknown", "asked": asked, "right": right, "turn_ious": list(ious), "image": str(ious)}

    rows = [row(True, 0.6), row(True, 0.7, 0.2, 0.9), row(False, 0.1, 0.5), {**row(None), "turn_ious": None}]
    table = turns_table(rows, 4)
    assert [line[:2] for line in table.rows] == [("1", 3), ("2", 3), ("3", 3), ("4", 3)]
    assert [line[2].value for line in table.rows] == pytest.approx([2 / 3, 2 / 3, 1, 1])  # a box is forced
    assert [line[3].value for line in table.rows] == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3])  # found by then
    assert turns_table([{**rows[0], "turn_ious": None}], 4).rows == ()


def test_interactive_figures_by_hand():
    def row(truth, asked, right):
        return {
            "truth": truth,
            "asked": asked,
            "right": right,
            "right_last": right is not None,
            "image": "a",
            "item": "a",
            "success": bool(right and (asked > 0) == (truth == "ambiguous")),
        }

    rows = [
        row("ambiguous", 1, True),
        row("ambiguous", 3, False),
        row("ambiguous", 0, True),
        row("clear", 0, True),
        row("clear", 1, True),
        {**row("absent", 0, None), "success": True},
    ]
    found = {m.name: m.estimate.value for m in measures(rows)}
    assert found["success_ambiguous"] == pytest.approx(1 / 3) and found["silent_ambiguous"] == pytest.approx(1 / 3)
    assert found["questions_ambiguous"] == pytest.approx(4 / 3) and found["asked_clear"] == 0.5
    assert found["absent_recognised"] == 1 and found["found_success"] == 0.8 and found["ivg_success"] == 1
    old = [{k: v for k, v in r.items() if k != "right_last"} for r in rows]  # rows of a run before this figure
    assert "ivg_success" not in {m.name for m in measures(old)}
    assert found["right_ambiguous"] == pytest.approx(2 / 3)
    assert terms([{"skipped": "x"}])["final box right"] == ([0.0], [0.0])


def test_oracles(scenes, dialogues, tiny_model_dir, monkeypatch):
    sample = next(s for s in Selection(scenes) if s.boxes and len(s.boxes) == 1 and s.label.value == "clear")
    person = SceneOracle(scenes).person(sample, sample.pixels())
    assert person.click() == pytest.approx(sample.boxes[0].center, abs=0.1)
    told = next(s for s in Selection(dialogues) if len(s.turns) == 2)
    recorded = RecordedOracle().person(told, told.pixels())
    assert [recorded.answer("?") for _ in range(3)] == ["the red one", "the left one", "i do not know"]
    subject = Subject.load(tiny_model_dir)
    for other in (None, subject):  # --oracle model, --oracle-model DIR
        with pytest.raises(CannotAnswerError, match="--oracle-command"):
            choose_oracle("model", subject, dialogues, "jsonl", other=other)
    assert choose_oracle("auto", subject, dialogues, "jsonl").kind == "click"
    monkeypatch.setattr(Subject, "can_answer", True)
    oracle = choose_oracle("auto", subject, dialogues, "jsonl")
    assert isinstance(oracle, ModelOracle) and oracle.person(told, told.pixels()).answer("which one ?")
    with pytest.raises(ClueError, match="no oracle"):
        choose_oracle("mother", subject, dialogues, "jsonl")
    subject.close()
