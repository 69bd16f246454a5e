"""The replay's rules (whose answer, which frame, how long), on events without a bag, with a scripted Grounder."""

from __future__ import annotations

import numpy as np
import pytest

from clue_ros.bags.replay import NS, Frame, Heard, Replay, ReplaySettings
from clue_ros.testing.fake_grounder import Say, ScriptedGrounder
from clue_ros.types import Box, ClueError

START = 1_767_225_600 * NS
GREY = np.full((24, 32, 3), 90, np.uint8)
MUG = Box(4, 4, 12, 12)
ASKS = {"the mug": [Say.ask("The red one or the blue one?"), Say.found(MUG)], "the ball": Say.found(MUG)}


@pytest.fixture
def grounder():
    return ScriptedGrounder(ASKS)


def play(grounder, events, **settings):
    replay = Replay(grounder, ReplaySettings(**settings))
    ordered = [
        Frame(START + int(t * NS), stamp if stamp is None else START + int(stamp * NS), lambda rgb=rgb: rgb)
        if kind == "frame" else Heard(START + int(t * NS), rgb, stamp)
        for kind, t, stamp, rgb in events
    ]  # fmt: skip
    return list(replay.run(ordered)), replay.not_taken


def frame(t, stamp=None, rgb=GREY):
    return "frame", t, t if stamp is None else stamp, rgb


def heard(t, text, index=0):
    return "heard", t, index, text


def test_an_answer_reaches_the_question_about_the_same_image(grounder):
    red = np.zeros_like(GREY)
    events = [frame(0), heard(0.5, "the mug"), frame(1, rgb=red), heard(3, " the red one "), heard(4, "the ball")]
    played, not_taken = play(grounder, events, max_image_age_s=5.0)
    assert [p.outcome for p in played] == ["found", "found"] and not not_taken
    assert played[0].session.turns[0].answer.text == "the red one" and played[0].box == MUG
    assert len(grounder.images) == 2, "encoded once a dialogue"
    assert [call[2] for call in grounder.calls] == [True, True, True]
    assert np.array_equal(grounder.used[1], GREY) and np.array_equal(grounder.used[2], red)


def test_the_newest_frame_by_its_stamp_or_by_its_arrival(grounder):
    old = play(grounder, [frame(5.0, stamp=1.0), heard(5.1, "the ball")])[0][0]
    assert old.outcome == "no_image" and "4.10 s old" in old.reason
    unstamped = [("frame", 5.0, -START / NS, GREY), heard(5.1, "the ball")]
    assert play(grounder, unstamped)[0][0].outcome == "found"
    assert play(grounder, [heard(1, "the ball")])[0][0].outcome == "no_image"


def test_it_waits_for_a_frame_as_the_node_does(grounder):
    assert play(grounder, [heard(1, "the ball"), frame(2.9)])[0][0].outcome == "found"
    assert play(grounder, [heard(1, "the ball"), frame(3.1)])[0][0].outcome == "no_image"
    assert play(grounder, [heard(1, "the ball"), frame(2, stamp=0), frame(2.5)])[0][0].outcome == "found"
    played, _ = play(grounder, [heard(1, "the mug"), heard(2, "the ball", 1), frame(2.5)])
    assert [(p.outcome, p.index) for p in played] == [("preempted", 0), ("found", 1)]
    assert play(grounder, [heard(1, "the mug"), heard(2, "never mind"), frame(2.5)])[0][0].outcome == "abandoned"


def test_time_ends_a_question_also_behind_the_last_message(grounder):
    events = [frame(0), heard(0.1, "the mug")]
    assert play(grounder, events)[0][0].outcome == "answer_timeout"
    played, _ = play(grounder, [*events, frame(30.5), heard(31, "the ball", 1)])
    assert [p.outcome for p in played] == ["answer_timeout", "found"]
    swallowed, _ = play(grounder, [*events, frame(29), heard(29.5, "the ball", 1)])
    assert len(swallowed) == 1 and swallowed[0].session.turns[0].answer.text == "the ball"


def test_the_budget_and_words_that_come_to_nothing():
    stubborn = ScriptedGrounder({"the mug": Say.ask("Which?")})
    events = [frame(0), heard(0.1, "the mug"), heard(1, "that"), heard(2, "that")]
    assert play(stubborn, events, max_questions=2)[0][0].outcome in ("found", "ambiguous")
    played, not_taken = play(stubborn, [frame(0), heard(0.1, "  "), heard(0.2, "x" * 1001)])
    assert not played and len(not_taken) == 2
    played, not_taken = play(stubborn, [frame(0), heard(0.1, "never mind"), heard(0.2, "stop"), heard(0.3, "Yes.")])
    assert not played and [words.reason for words in not_taken] == ["no dialogue was open"] * 3


def test_a_model_that_fails_costs_one_dialogue():
    failing = ScriptedGrounder({"the mug": Say.failure(ClueError("no luck")), "the ball": Say.found(MUG)})
    played, _ = play(failing, [frame(0), heard(0.1, "the mug"), heard(0.2, "the ball", 1)])
    assert [(p.outcome, p.reason) for p in played] == [("error", "no luck"), ("found", "")]


def test_no_limit_that_the_node_does_not_have():
    """The defaults are the node's; test/ros compares them with its parameters."""
    assert ReplaySettings() == ReplaySettings(None, 3, 30.0, 1.0, 2.0)
