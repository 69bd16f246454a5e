"""The suites over small data made here, by their commands, with the tiny and the embedded model; and `clue report`."""

import csv
import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from drawn_data import draw, make_invig, make_it2p, write_lines

import clue_ros
from clue_ros.cli.main import main
from clue_ros.evaluation.ambiguity_suite import AmbiguitySuite
from clue_ros.evaluation.dialogue_suite import DialogueSuite, ranks
from clue_ros.evaluation.grounding_suite import GroundingSuite, histories
from clue_ros.evaluation.interaction import caption, measures, play, terms, turns_table
from clue_ros.evaluation.interactive_suite import InteractiveSuite
from clue_ros.evaluation.oracle import GestureOracle, ModelOracle, RecordedOracle, SceneOracle, choose_oracle
from clue_ros.evaluation.oracle_command import CommandOracle
from clue_ros.evaluation.report_page import page
from clue_ros.evaluation.samples import Selection
from clue_ros.evaluation.subject import CannotAnswerError, Subject
from clue_ros.evaluation.tabletop_suite import TabletopSuite
from clue_ros.images.files import ImageArray
from clue_ros.measures import dialogue_text
from clue_ros.measures.bootstrap import Estimate
from clue_ros.measures.results import (
    Curve,
    Measure,
    Picture,
    Results,
    ResultsError,
    Series,
    Table,
    from_dict,
    load,
    save,
    shown,
    to_dict,
)
from clue_ros.simulation.dataset import generate
from clue_ros.simulation.renderer import SimulationError
from clue_ros.types import Ambiguity, Answer, Box, ClueError, Decision, Outcome, Turn
from clue_ros.vlm.likelihood import Likelihood

MODEL = Path(clue_ros.__file__).parent / "models" / "tabletop"


@pytest.fixture(autouse=True)
def without_java(monkeypatch):
    """METEOR's program reads its tables for ten seconds; it is tested with the other figures."""
    monkeypatch.setattr(dialogue_text.shutil, "which", lambda name: None)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "test"
    try:
        generate(folder, 3, 5, progress=False, shard=3)
    except SimulationError as error:
        pytest.skip(f"scenes cannot be rendered here: {error}")
    return folder


@pytest.fixture(scope="module")
def dialogues(tmp_path_factory):
    """Two splits of our own format, in words of the embedded model's vocabulary."""
    folder = tmp_path_factory.mktemp("dialogues")
    lines = []
    for n in range(5):
        draw(folder / f"{n}.png", n)
        turns = [
            {"question": "do you mean the red mug or the blue mug ?", "answer": "the red one"},
            {"question": "do you mean the left mug or the right mug ?", "answer": "the left one"},
        ][: n % 3]
        line = {
            "id": str(n),
            "image": f"{n}.png",
            "expression": "hand me the mug",
            "boxes": [[20, 8, 40, 32]],
            "objects": [[0, 0, 10, 10], [20, 8, 41, 32]],
            "turns": turns,
            "split": "test",
            "label": "ambiguous" if turns else "clear",
            "question_candidates": [
                [f"do you mean the {c} {k} ?" for c in ("red", "green", "white") for k in ("ball", "bowl", "can")]
                for _ in turns
            ],
            "answer_candidates": [["the blue one", "green"] for _ in turns],
        }
        lines.append(line)
    lines += [
        {"id": "gone", "image": "0.png", "expression": "the banana", "boxes": [], "label": "clear", "split": "test"},
        {
            "id": "many",
            "image": "0.png",
            "expression": "the mug",
            "boxes": [[0, 0, 5, 5], [20, 8, 40, 32]],
            "label": "ambiguous",
            "split": "test",
        },
        {
            "id": "strange",
            "image": "0.png",
            "expression": "the zebra",
            "boxes": [[0, 0, 5, 5]],
            "label": "clear",
            "split": "test",
        },
        {
            "id": "blind",
            "image": "none.png",
            "size": [9, 9],
            "expression": "the mug",
            "boxes": [[0, 0, 5, 5]],
            "label": "clear",
            "split": "test",
        },
    ]
    write_lines(folder / "data.jsonl", lines)
    return folder / "data.jsonl"


def evaluate(*arguments):
    return main(["evaluate", *map(str, arguments)])


def rows_of(folder):
    return list(csv.DictReader((Path(folder) / "rows.csv").open()))


def test_grounding_by_its_command(tiny_model_dir, dialogues, tmp_path, capsys):
    assert evaluate("grounding", dialogues, "--model", tiny_model_dir, "-o", tmp_path / "g", "--pictures", 1) == 0
    out = capsys.readouterr().out
    assert "Acc@0.5" in out and "IoU > t" in out and "clue report" in out and "without last 3" in out
    results, _ = load(tmp_path / "g")
    assert results.complete and results.about["data"] == str(dialogues) and results.about["split"] == "test"
    table = results.tables[0]
    assert [row[0] for row in table.rows] == [f"0.{n}" for n in range(1, 10)]
    assert table.columns[-1] == "guesser, IoU > t"
    assert any("no one box is right" in note for note in results.notes)
    assert any("did not know a word" in note for note in results.notes)
    assert any("none.png" in note for note in results.notes)
    histories_ = [r["history"] for r in rows_of(tmp_path / "g") if r["item"] == "2"]
    assert histories_ == ["full history", "without last 1", "without last 2", "without last 3"]
    assert (tmp_path / "g" / "accuracy-over-iou.png").stat().st_size > 5000
    assert {m.name for m in results.measures} >= {"acc_at_50", "guesser_acc_at_50", "absent_recognised"}
    assert {r["measure"] for r in csv.DictReader((tmp_path / "g" / "summary.csv").open())} >= {"acc_at_50"}


def test_histories_lose_their_last_turns():
    turns = tuple(Turn(str(n), Answer("a")) for n in range(2))
    assert [(name, len(kept)) for name, kept in histories(turns)] == [
        ("full history", 2),
        ("without last 1", 1),
        ("without last 2", 0),
        ("without last 3", 0),
    ]
    assert histories(()) == [("full history", ())]


def test_points_count_where_a_data_set_has_no_boxes(tiny_model_dir, tmp_path, capsys):
    assert evaluate("grounding", make_it2p(tmp_path / "it2p"), "--model", tiny_model_dir, "-o", tmp_path / "o") == 0
    assert "annotated point inside the box" in capsys.readouterr().out


def test_a_run_that_was_stopped_goes_on(tiny_model_dir, dialogues, tmp_path, monkeypatch, capsys):
    arguments = ("grounding", dialogues, "--model", tiny_model_dir, "-o", tmp_path / "g", "--pictures", "0")
    judge, judged = GroundingSuite._judge, []

    def stopping(self, sample, *seen):
        judged.append(sample.source_id)
        if len(judged) == 4:
            raise KeyboardInterrupt
        return judge(self, sample, *seen)

    monkeypatch.setattr(GroundingSuite, "_judge", stopping)
    assert evaluate(*arguments) == 130
    assert "goes on where it stopped" in capsys.readouterr().err and not load(tmp_path / "g")[0].complete
    assert evaluate(*arguments) == 0 and judged[4:] == judged[3:4] + judged[5:]
    first = json.loads((tmp_path / "g/results.json").read_text())
    assert first["complete"]
    assert evaluate(*arguments) == 0 and len(judged) == len(set(judged)) + 1
    assert json.loads((tmp_path / "g/results.json").read_text()) == first
    assert evaluate(*arguments, "--limit", 2) == 2 and "limit was None, is 2" in capsys.readouterr().err
    assert evaluate(*arguments, "--limit", 2, "--fresh") == 0
    assert len({r["item"] for r in rows_of(tmp_path / "g")}) == 2


def test_two_models_side_by_side(tiny_model_dir, dialogues, tmp_path, capsys):
    common = ("grounding", dialogues, "--model", tiny_model_dir, "--pictures", "0")
    assert evaluate(*common, "-o", tmp_path / "a") == 0
    assert evaluate(*common, "-o", tmp_path / "b", "--against", tmp_path / "a") == 0
    table = load(tmp_path / "b")[0].tables[-1]
    assert table.columns[3] == "this − that" and {row[4] for row in table.rows} <= {"no", "-"}
    assert evaluate(*common, "-o", tmp_path / "c", "--against", tmp_path / "a", "--limit", 3) == 2
    assert "another limit" in capsys.readouterr().err
    assert evaluate(*common, "-o", tmp_path / "c", "--against", tmp_path / "none") == 2


def test_ambiguity_by_its_command(tiny_model_dir, tmp_path, capsys):
    words = [("the red mug", "no"), ("the mug", "yes"), ("the mug on the left", "no"), ("the can", "yes")]
    lines = ["image,instruction,label"]
    for n, (text, label) in enumerate(words * 3):
        draw(tmp_path / f"{n}.png", n)
        lines.append(f"{n}.png,{text},{label}")
    (tmp_path / "a.csv").write_text("\n".join(lines))
    assert evaluate("ambiguity", tmp_path / "a.csv", "--model", tiny_model_dir, "-o", tmp_path / "o") == 0
    out = capsys.readouterr().out
    assert "Operating points" in out and "0.5, the paper's" in out and "Reliability" in out and "position" in out
    results, _ = load(tmp_path / "o")
    assert {m.name for m in results.measures} == {"accuracy", "precision", "recall", "f1", "auc", "ece"}
    assert {c.name for c in results.curves} == {"detector-roc", "detector-reliability"}
    assert (tmp_path / "o/detector-roc.png").is_file() and results.measures[0].estimate.count == 12
    assert len(results.pictures) >= 1
    # Another threshold counts as another model: both runs are held to what they themselves said.
    more = ("--model", tiny_model_dir, "-o", tmp_path / "p", "--threshold", "0", "--against", tmp_path / "o")
    assert evaluate("ambiguity", tmp_path / "a.csv", *more) == 0
    row = next(r for r in load(tmp_path / "p")[0].tables[-1].rows if r[0] == "accuracy")
    assert row[1] == pytest.approx(results.measures[0].estimate.value) and row[2] == 0.5


def test_dialogue_by_its_command(tiny_model_dir, dialogues, tmp_path, capsys):
    assert evaluate("dialogue", dialogues, "--model", tiny_model_dir, "-o", tmp_path / "d") == 0
    out = capsys.readouterr().out
    assert (
        "Recall@1 of questions (M-VQG)" in out
        and "mean over tokens" in out
        and "clue finetune answer" in out
        and "M-VQG" in out
    )
    assert "BLEU-4" in out or "pip install pycocoevalcap" in out
    rows = [r for r in rows_of(tmp_path / "d") if r["side"]]
    assert len(rows) == 1 + 2 + 1 and all(r["candidates"] == "9" and 1 <= float(r["rank"]) <= 10 for r in rows)


def test_answers_are_ranked_by_a_model_that_can_answer(tiny_model_dir, dialogues, monkeypatch):
    monkeypatch.setattr(Subject, "can_answer", True)  # of an adapter that changes nothing
    subject = Subject.load(tiny_model_dir)
    suite = DialogueSuite(subject, Selection(dialogues, limit=3))
    rows = [row for item in suite.judged(()) for row in item.rows]
    answers = [r for r in rows if r.get("side") == "answer"]
    assert len(answers) == 3 and all(r["candidates"] == 2 and r["rank"] in (1, 2, 3) for r in answers)
    found = suite.summarise([{"item": "x", **r} for r in rows])
    assert {"answer_recall_at_1", "question_mean_rank"} <= {m.name for m in found.measures}
    assert set(suite.terms(rows)) >= {"Recall@5 of answers (M-VQA)"}
    subject.close()


ORACLE = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps({"scores": [-len(c) for c in asked["candidates"]]} if "candidates" in asked else
          {"answer": f"{len(asked['turns'])} {asked['target'][0]:g} {asked['image'][-5:]}"}), flush=True)
"""


@pytest.fixture
def program(tmp_path):
    (tmp_path / "oracle.py").write_text(ORACLE)
    return [sys.executable, str(tmp_path / "oracle.py")]


def test_a_program_answers_and_ranks(tiny_model_dir, dialogues, program, tmp_path, capsys):
    command = ("dialogue", dialogues, "--model", tiny_model_dir, "-o", tmp_path / "d", "--oracle-command", *program)
    assert evaluate(*command) == 0
    rows = [r for r in rows_of(tmp_path / "d") if r["side"] == "answer"]
    assert [r["generated"] for r in rows] == ["0 20 1.png", "0 20 2.png", "1 20 2.png", "0 20 4.png"]
    assert {r["rank"] for r in rows} == {"2.0", "2.5"} and {r["rank_token"] for r in rows} == {""}
    results, _ = load(tmp_path / "d")
    assert results.about["answers"] == " ".join(program) and "Recall@1 of answers (M-VQA)" in capsys.readouterr().out


def test_a_program_is_a_person(dialogues, program):
    told = next(s for s in Selection(dialogues) if len(s.turns) == 2)
    oracle = CommandOracle(program)
    person = oracle.person(replace(told, image=ImageArray(told.pixels())), told.pixels())
    assert person.answer("which one?").text == "0 20 e.png" and person.answer("left?").text == "1 20 e.png"
    oracle.close()
    for line, complaint in (("{}", "must write"), ('{"answer": 3}', "must write"), ("no", "must write"), ("", "ended")):
        broken = CommandOracle([sys.executable, "-c", f"input(); print({line!r})" if line else "input()"])
        with pytest.raises(ClueError, match=complaint):
            broken.person(told, told.pixels()).answer("which one?")
        broken.close()


def test_what_was_really_said_is_no_rival_of_itself():
    found = ranks(
        "The red one.",
        [["the red one.", "blue", "green"]],
        0,
        lambda texts: [Likelihood(-float(n), 1 + n) for n, _ in enumerate(texts)],
    )
    assert found == {"candidates": 2, "rank": 1.0, "rank_token": 1.0}
    assert ranks("a", [], 0, None)["rank"] is None and ranks("a", [["A"]], 0, None)["rank"] is None


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


NASTY = "<script>alert(1)</script>\"'&"


def made_up(folder):
    """Results whose every text is hostile."""
    (folder / "pictures").mkdir(parents=True)
    from PIL import Image

    Image.new("RGB", (8, 8)).save(folder / "pictures/failure-01.webp")
    (folder.parent / "secret.png").write_bytes(b"secret")
    estimate = Estimate(0.5, 0.4, 0.6, 10)
    results = Results(
        "x",
        NASTY,
        {"model": NASTY, "list": [1]},
        (
            Measure("m", NASTY, estimate, "rate", 0.4, True, NASTY),
            Measure("n", "number", Estimate(1.5, None, None, 2), "number"),
        ),
        (Table(NASTY, (NASTY, "v"), ((NASTY, estimate), ("none", None), ("text", NASTY))),),
        (Curve("c", "a $x$ " + NASTY, NASTY, NASTY, (Series(NASTY, (0, 1), (0.1, None), (0, None), (0.2, None)),)),),
        (NASTY,),
        (
            Picture("pictures/failure-01.webp", NASTY, False),
            Picture("../secret.png", "s", True),
            Picture("/etc/hostname", "s", True),
        ),
        False,
    )
    save(results, [{"a": 1, "b": [1, 2]}, {"c": None}], folder)
    return results


def test_results_survive_the_way_to_disk(tmp_path):
    results = made_up(tmp_path / "x")
    assert load(tmp_path / "x")[0] == results == from_dict(json.loads(json.dumps(to_dict(results))))
    assert rows_of(tmp_path / "x") == [{"a": "1", "b": "[1, 2]", "c": ""}, {"a": "", "b": "", "c": ""}]
    for content in ("{}", "[]", "nonsense", '{"format": 1}', '{"format": 9}'):
        (tmp_path / "x/results.json").write_text(content)
        with pytest.raises(ResultsError):
            load(tmp_path / "x")
    with pytest.raises(ResultsError, match="give the output folder"):
        load(tmp_path / "none")


def test_the_page_escapes_everything_and_needs_nothing_else(tmp_path):
    folder = tmp_path / "x"
    text = page([(made_up(folder), folder)], NASTY)
    assert "<script" not in text and "secret" not in text
    assert text.count("data:image/webp;base64,") == 1 and "data:image/svg+xml;base64," in text
    links = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", text) + re.findall(r"url\(", text)
    assert all(link.startswith(("data:", "#")) for link in links)
    assert "Content-Security-Policy" in text and "interrupted" in text and "≤ 40 % not reached" in text


def test_report_errors(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2 and "results.json is missing" in capsys.readouterr().err
    made_up(tmp_path / "x")
    (tmp_path / "file").touch()
    assert main(["report", str(tmp_path / "x"), "-o", str(tmp_path / "file/r.html")]) == 2
    assert "choose another --output" in capsys.readouterr().err


def test_numbers_as_people_read_them():
    e = Estimate(0.921, 0.898, 0.941, 9)
    assert shown(e) == "0.921 (0.898–0.941)" and shown(e, "rate") == "92.1 % (89.8–94.1)"
    assert shown(None) == shown(Estimate(None, None, None, 0)) == "-"
    assert shown(3) == "3" and shown(1.25, "number") == "1.25"


def test_a_run_without_any_item_says_so(tiny_model_dir, dialogues):
    subject = Subject.load(tiny_model_dir)
    selection = Selection(dialogues)
    for suite in (
        GroundingSuite(subject, selection),
        DialogueSuite(subject, selection),
        TabletopSuite(subject, 1),
        AmbiguitySuite(subject, selection),
        InteractiveSuite(subject, selection, RecordedOracle()),
    ):
        assert suite.summarise([]).measures == () and all(not any(top) for top, _ in suite.terms([]).values())
    subject.close()


def test_data_that_nothing_can_be_judged_on_is_an_error(tiny_model_dir, tmp_path, capsys):
    (tmp_path / "mine.jsonl").write_text('{"image": "a.png", "expression": "the mug", "lable": "clear"}\n')
    arguments = ["evaluate", "ambiguity", str(tmp_path / "mine.jsonl"), "--model", str(tiny_model_dir)]
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 2
    assert "mine.jsonl can be judged by this suite: look at clue data check" in capsys.readouterr().err


@pytest.mark.skipif(not MODEL.is_dir(), reason="the embedded model is not there")
def test_a_stock_model_is_evaluated_too(dialogues, tmp_path):
    model = tmp_path / "stock"
    shutil.copytree(MODEL, model, ignore=shutil.ignore_patterns("adapters", "ambiguity.safetensors", "*.md"))
    clue = json.loads((model / "clue.json").read_text())
    keep = ("prefix_attention", "tap_layer", "tap_rows", "closed_vocabulary", "ignored_words")
    (model / "clue.json").write_text(json.dumps({k: clue[k] for k in keep}))
    for name, more in (("grounding", ()), ("dialogue", ()), ("interactive", ("--oracle", "recorded"))):
        assert evaluate(name, dialogues, "--model", model, "-o", tmp_path / name, "--limit", 2, *more) == 0
        assert load(tmp_path / name)[0].complete


def test_invig_runs_through_every_suite(tiny_model_dir, tmp_path):
    root = make_invig(tmp_path / "invig")
    for name, more in (("grounding", ()), ("dialogue", ()), ("interactive", ("--oracle", "recorded"))):
        assert evaluate(name, root, "--model", tiny_model_dir, "-o", tmp_path / name, "--split", "test", *more) == 0
        assert load(tmp_path / name)[0].complete
