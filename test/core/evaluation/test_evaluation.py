"""Metrics, the score of an episode, the episode runner and `clue evaluate demo`, with a scripted grounder."""

import csv
import json
import sys
import types

import numpy as np
import pytest

from clue_ros.cli.main import main
from clue_ros.evaluation import demo
from clue_ros.evaluation.episode_runner import EpisodeResult, picture_of, run_episode, score_episode
from clue_ros.geometry import box_iou
from clue_ros.measures.metrics import mean, median, wilson_interval
from clue_ros.types import Ambiguity, Box, ClueError, Decision, Outcome

TRUTH = Box(10, 10, 30, 30)


def test_box_iou():
    assert box_iou(TRUTH, TRUTH) == 1.0
    assert box_iou(TRUTH, Box(20, 10, 40, 30)) == pytest.approx(1 / 3)
    assert box_iou(TRUTH, Box(30, 10, 40, 30)) == 0.0
    assert box_iou(TRUTH, Box(15, 15, 15, 15)) == 0.0
    assert box_iou(Box(5, 5, 5, 5), Box(5, 5, 5, 5)) == 0.0


def test_wilson_interval():
    low, high = wilson_interval(8, 10)  # 0.490, 0.943: the textbook value
    assert low == pytest.approx(0.490, abs=1e-3) and high == pytest.approx(0.943, abs=1e-3)
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert wilson_interval(10, 10)[1] == 1.0 and wilson_interval(0, 10)[0] == 0.0
    with pytest.raises(ValueError):
        wilson_interval(3, 2)


def test_mean_and_median():
    assert mean([]) is None and median([]) is None
    assert mean([1, 2, 6]) == 3 and median([3, 1, 2]) == 2 and median([4, 1, 2, 3]) == 2.5


@pytest.mark.parametrize(
    "truth, outcome, asked, box, more, success",
    [
        ("clear", "found", 0, TRUTH, {}, True),
        ("clear", "found", 1, TRUTH, {}, False),
        ("clear", "found", 0, Box(0, 0, 12, 12), {}, False),
        ("clear", "not_found", 0, None, {}, False),
        ("ambiguous", "found", 1, TRUTH, {}, True),
        ("ambiguous", "found", 0, TRUTH, {}, False),
        ("ambiguous", "ambiguous", 3, None, {}, False),
        ("ambiguous", "found", 1, TRUTH, {"must_click": True, "clicked": True}, True),
        ("ambiguous", "found", 1, TRUTH, {"must_click": True}, False),
        ("absent", "not_found", 0, None, {}, True),
        ("absent", "unknown_words", 0, None, {}, False),
        ("absent", "found", 0, TRUTH, {}, False),
        ("absent", "error", 0, None, {}, False),
    ],
)
def test_score(truth, outcome, asked, box, more, success):
    score = score_episode(truth, outcome, asked, box, None if truth == "absent" else TRUTH, **more)
    assert score.success is success and bool(score.reason) is not success
    assert (score.iou is None) == (truth == "absent")


def test_score_refuses_an_unknown_truth():
    with pytest.raises(ValueError):
        score_episode("maybe", "found", 0, TRUTH, TRUTH)


class ScriptedGrounder:
    """Gives the decisions it was made with, in order; remembers the turns it saw."""

    threshold = 0.5

    def __init__(self, *outcomes, box=TRUTH):
        self.outcomes, self.box, self.seen, self.closed = list(outcomes), box, [], False

    def encode(self, rgb):
        return rgb

    def ground(self, image, expression, turns=(), *, may_ask=True, threshold=None, **_):
        self.seen.append(tuple(turns))
        outcome = self.outcomes.pop(0)
        if outcome is None:
            raise ClueError("the model failed")
        ambiguous = outcome is Outcome.ASK
        reading = Ambiguity(0.9 if ambiguous else 0.2, 0.5, ambiguous, np.zeros((4, 4), np.float32))
        box = self.box if outcome is Outcome.FOUND else None
        return Decision(outcome, expression, reading, box, 0.8, "which color?" if ambiguous else "")

    def close(self):
        self.closed = True


class ScriptedPerson:
    def __init__(self, words="the red one"):
        self.words = words

    def answer(self, question):
        return self.words

    def click(self):
        return (20.0, 20.0)


def _episode(truth="ambiguous", click=False):
    target = None if truth == "absent" else 0
    kind = types.SimpleNamespace(value="click" if click else truth)
    return types.SimpleNamespace(
        kind=kind, expression="the mug", truth=truth, target_index=target, answer_by_click=click, scene=None
    )


VIEW = types.SimpleNamespace(rgb=np.full((48, 64, 3), 99, np.uint8), objects=(types.SimpleNamespace(box=TRUTH),))


def test_run_an_ambiguous_episode():
    grounder = ScriptedGrounder(Outcome.ASK, Outcome.FOUND)
    result = run_episode(grounder, VIEW, _episode(), person=ScriptedPerson())
    assert result.success and result.iou == 1.0 and result.outcome == "found" and result.probability == 0.9
    assert result.questions == ("which color?",) and result.answers == ("the red one",)
    assert grounder.seen[1][0].answer.text == "the red one" and len(result.decisions) == 2
    row = json.loads(json.dumps(result.to_dict()))
    assert {"expression", "truth", "probability", "questions", "answers", "box", "iou", "latency_s", "outcome"} <= set(
        row
    )
    assert row["box"] == [10, 10, 30, 30] and row["transcript"][-1] == {"speaker": "robot", "text": "I see it."}
    assert picture_of(VIEW.rgb, result, "a title").shape[1] == 1280


def test_run_a_click_episode():
    grounder = ScriptedGrounder(Outcome.ASK, Outcome.FOUND)
    result = run_episode(grounder, VIEW, _episode(click=True), person=ScriptedPerson())
    assert result.success and result.clicks == ((20.0, 20.0),) and grounder.seen[1][0].answer.point == (20.0, 20.0)


def test_run_an_absent_episode():
    result = run_episode(ScriptedGrounder(Outcome.NOT_FOUND), VIEW, _episode("absent"), person=ScriptedPerson())
    assert result.success and result.iou is None and result.box is None and result.to_dict()["iou"] is None


def test_run_without_an_end_in_sight():
    grounder = ScriptedGrounder(*[Outcome.ASK] * 9)
    result = run_episode(grounder, VIEW, _episode(), person=ScriptedPerson(), max_questions=2)
    assert result.outcome == "ambiguous" and len(result.questions) == 2 and not result.success
    silent = run_episode(ScriptedGrounder(Outcome.ASK), VIEW, _episode(), person=ScriptedPerson(""))
    assert silent.outcome == "canceled" and not silent.success


def _result(kind, success, questions=(), iou=1.0, outcome="found"):
    return EpisodeResult(kind, "the mug", "clear", 0.1, questions, questions, TRUTH, iou, 0.2, outcome, success)


def test_summary_by_kind():
    rows = [
        _result("clear", True).to_dict(),
        _result("clear", False, ("q",), 0.2).to_dict(),
        _result("absent", True, iou=None).to_dict(),
    ]
    clear, absent, everything = demo.summarise(rows)
    assert (clear["kind"], clear["episodes"], clear["success_rate"], clear["asked_rate"]) == ("clear", 2, 0.5, 0.5)
    assert clear["mean_iou"] == pytest.approx(0.6) and clear["mean_questions"] == 0.5
    assert absent["mean_iou"] is None and everything["successes"] == 2
    assert demo.summarise([])[0]["success_rate"] is None


@pytest.fixture
def fake_demo(monkeypatch, tmp_path):
    """`clue evaluate demo` over made-up episodes: `rows` may raise part of the way."""
    grounder = ScriptedGrounder()
    fake = types.SimpleNamespace(from_pretrained=lambda path, device, **_: grounder)
    monkeypatch.setitem(sys.modules, "clue_ros.grounder", types.SimpleNamespace(Grounder=fake))
    monkeypatch.chdir(tmp_path)

    def install(interrupt_after=None):
        def play(grounder, seeds, **_):
            for number in range(6 * len(seeds)):
                if number == interrupt_after:
                    raise KeyboardInterrupt
                yield {
                    "seed": number // 6,
                    "index": number % 6,
                    **_result(f"kind{number % 6}", number % 6 > 0).to_dict(),
                }

        monkeypatch.setattr(demo, "play", play)
        return grounder

    return install


def test_evaluate_prints_a_table_and_writes_json_and_csv(fake_demo, tmp_path, capsys):
    grounder = fake_demo()
    assert main(["evaluate", "demo", "--seeds", "2"]) == 0
    out = capsys.readouterr().out
    assert "kind3" in out and "83% (55%–95%)" in out and "out/evaluate/demo.json" in out and grounder.closed
    content = json.loads((tmp_path / "out/evaluate/demo.json").read_text())
    assert content["complete"] and len(content["episodes"]) == 12 and content["summary"][-1]["successes"] == 10
    rows = list(csv.DictReader((tmp_path / "out/evaluate/demo.csv").open()))
    assert len(rows) == 12 and rows[0]["kind"] == "kind0"
    assert main(["evaluate", "demo", "--seeds", "1", "--at-least", "0.9"]) == 1
    assert main(["evaluate", "demo", "--seeds", "1", "--at-least", "0.8"]) == 0


def test_evaluate_interrupted_keeps_what_it_has(fake_demo, tmp_path, capsys):
    fake_demo(interrupt_after=4)
    assert main(["evaluate", "demo", "--seeds", "2", "-o", str(tmp_path / "x.json")]) == 130
    captured = capsys.readouterr()
    assert "interrupted after 4 of 12" in captured.err and "partial results" in captured.out
    content = json.loads((tmp_path / "x.json").read_text())
    assert not content["complete"] and len(content["episodes"]) == 4
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 5


def test_evaluate_errors(fake_demo, tmp_path, capsys):
    fake_demo()
    (tmp_path / "file").touch()
    assert main(["evaluate", "demo", "--seeds", "1", "-o", str(tmp_path / "file/x.json")]) == 2
    assert "choose another --output" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["evaluate", "demo", "--seeds", "0"])
    with pytest.raises(SystemExit):
        main(["evaluate", "refcoco"])
