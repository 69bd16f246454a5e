"""Answers that come early, late, twice, empty, by a click: each over DDS, by speech and by the service."""

from __future__ import annotations

import threading
import time

import pytest
from bench import ABORTED, SUCCEEDED, TIMEOUT, wait_until
from test_speech import say, watch

from clue_ros.action import Ground
from clue_ros.srv import Answer
from clue_ros.testing.fake_grounder import Say, ScriptedGrounder
from clue_ros.types import Box

Code, State = Ground.Result, Ground.Feedback
QUESTION = "Which mug?"
MUGS = [Say.ask(QUESTION), Say.found(Box(1, 2, 3, 4))]
TEXT, POINT, BOX = Answer.Request.TEXT, Answer.Request.POINT, Answer.Request.BOX


class Held(ScriptedGrounder):
    """Thinks about a dialogue of `turns` turns until it is let go."""

    def __init__(self, script, turns):
        super().__init__(script)
        self.let_go, self.turns, self.holds = threading.Event(), turns, False

    def _line(self, expression, turns):
        self.holds = len(turns) == self.turns
        return super()._line(expression, turns)

    def _work(self, seconds, should_stop):
        while self.holds and not self.let_go.wait(0.01) and not should_stop():
            pass
        super()._work(seconds, should_stop)


def answers(bench):
    """What the model was given as answers, in its last reading."""
    return [turn.answer.text or turn.answer.point for turn in bench.grounder.calls[-1][1]]


@pytest.mark.parametrize("way", ["speech", "service"])
def test_early_before_the_question(make_bench, monkeypatch, way):
    bench = make_bench(grounder=Held({"the mug": MUGS}, 0))
    words = watch(bench, monkeypatch)
    goal = bench.goal("the mug")
    assert bench.grounder.working.wait(TIMEOUT)
    if way == "speech":
        say(bench, words, "the red one")
    else:
        early = bench.answer(kind=TEXT, text="the red one")
        assert not early.accepted and early.message == "no question is open"
    bench.grounder.let_go.set()
    bench.hear(QUESTION)
    assert not goal.done, "what came before the question does not answer it"
    assert bench.answer(kind=TEXT, text="the blue one").accepted
    assert goal.finish()[0] == SUCCEEDED and answers(bench) == ["the blue one"]


@pytest.mark.parametrize("way", ["speech", "service"])
def test_late_after_the_limit(make_bench, monkeypatch, way):
    bench = make_bench({"the mug": Say.ask(QUESTION)}, speech_mode="answer")
    words = watch(bench, monkeypatch)
    status, result = bench.ground("the mug", answer_timeout=0.2)
    assert (status, result.error_code) == (ABORTED, Code.ANSWER_TIMEOUT)
    calls = len(bench.grounder.calls)
    if way == "speech":
        say(bench, words, "the red one")
    else:
        late = bench.answer(kind=TEXT, text="the red one")
        assert not late.accepted and late.message == "no question is open"
    time.sleep(0.1)
    assert len(bench.grounder.calls) == calls and not bench.node.busy and not bench.targets


def test_twice(make_bench, monkeypatch):
    bench = make_bench(grounder=Held({"the mug": MUGS}, 1))
    words = watch(bench, monkeypatch)
    goal = bench.goal("the mug")
    bench.hear(QUESTION)
    bench.say("the red one")
    wait_until(lambda: goal.reached(State.GROUNDING))
    say(bench, words, "the blue one")
    second = bench.answer(kind=TEXT, text="the blue one")
    assert not second.accepted and second.message == "no question is open"
    bench.grounder.let_go.set()
    assert goal.finish()[0] == SUCCEEDED and answers(bench) == ["the red one"]
    third = bench.answer(kind=TEXT, text="the red one")  # after the result: the same words correct nothing
    assert not third.accepted and not bench.corrections


@pytest.mark.parametrize("fields", [{"text": ""}, {"text": " \n "}, {"kind": BOX}], ids=["empty", "blank", "empty box"])
def test_empty(make_bench, monkeypatch, fields):
    bench = make_bench({"the mug": [Say.ask(QUESTION), Say.found()]})
    words = watch(bench, monkeypatch)
    goal = bench.goal("the mug")
    bench.hear(QUESTION)
    refused = bench.answer(**fields)
    assert not refused.accepted and "empty" in refused.message
    say(bench, words, fields.get("text", ""))
    assert not goal.done and bench.grounder.calls[-1][1] == (), "the question is still open"
    assert bench.answer(kind=TEXT, text="the red one").accepted
    assert goal.finish()[0] == SUCCEEDED


def test_a_click_early_late_and_in_time(make_bench):
    bench = make_bench(grounder=Held({"the mug": MUGS, "the cup": Say.ask("Which cup?")}, 0))
    click = {"kind": POINT, "x": 12.0, "y": 30.0}
    assert not bench.answer(**click).accepted, "before anything"
    goal = bench.goal("the mug")
    assert bench.grounder.working.wait(TIMEOUT)
    assert not bench.answer(**click).accepted, "before the question"
    bench.grounder.let_go.set()
    bench.hear(QUESTION)
    assert bench.answer(**click).accepted
    assert goal.finish()[0] == SUCCEEDED and answers(bench) == [(12.0, 30.0)]
    assert not bench.answer(**click).accepted, "the same click once more corrects nothing"
    assert bench.ground("the cup", answer_timeout=0.2)[1].error_code == Code.ANSWER_TIMEOUT
    assert not bench.answer(**click).accepted, "after the limit"
