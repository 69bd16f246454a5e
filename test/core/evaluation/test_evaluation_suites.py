"""`clue evaluate grounding | ambiguity | dialogue`: by command, resumed, of two models, of any data."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from drawn_data import draw, make_invig, make_it2p, write_lines

import clue_ros
from clue_ros.cli.main import main
from clue_ros.evaluation.ambiguity_suite import AmbiguitySuite
from clue_ros.evaluation.dialogue_suite import DialogueSuite
from clue_ros.evaluation.grounding_suite import GroundingSuite, histories
from clue_ros.evaluation.interactive_suite import InteractiveSuite
from clue_ros.evaluation.oracle import RecordedOracle
from clue_ros.evaluation.samples import Selection
from clue_ros.evaluation.subject import Subject
from clue_ros.evaluation.tabletop_suite import TabletopSuite
from clue_ros.measures.results import load
from clue_ros.types import Answer, Turn

MODEL = Path(clue_ros.__file__).parent / "models" / "tabletop"
pytestmark = pytest.mark.usefixtures("without_java")


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


def test_a_run_on_a_file_whose_boxes_have_changed_is_another(dialogues, tmp_path, capsys):
    data = tmp_path / "lines.jsonl"
    line = {"image": "a.png", "size": [64, 48], "expression": "the mug", "boxes": [[1, 2, 30, 40]]}
    write_lines(data, [line])
    draw(tmp_path / "a.png")
    write_lines(tmp_path / "given.jsonl", [{"id": "lines/1", "box": [1, 2, 30, 40]}])
    run = ("grounding", data, "--predictions", tmp_path / "given.jsonl", "-o", tmp_path / "g")
    assert evaluate(*run) == 0 and evaluate(*run) == 0
    write_lines(data, [{**line, "boxes": [[40, 2, 60, 40]]}])
    assert evaluate(*run) == 2 and "annotations was" in capsys.readouterr().err


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
