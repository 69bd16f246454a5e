"""The replay's rules (whose answer, which frame, how long), on events without a bag, with a scripted Grounder."""

from __future__ import annotations

import numpy as np
import pytest

from clue_ros.bags.events import NS, Frame, Heard, Pointed, ReplaySettings
from clue_ros.bags.replay import Replay
from clue_ros.testing.fake_grounder import Say, ScriptedGrounder
from clue_ros.types import Answer, Box, ClueError

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
    assert (
        not played
        and [words.reason for words in not_taken] == ["no dialogue is open, and no target that could be taken back"] * 3
    )


def test_a_model_that_fails_costs_one_dialogue():
    failing = ScriptedGrounder({"the mug": Say.failure(ClueError("no luck")), "the ball": Say.found(MUG)})
    played, _ = play(failing, [frame(0), heard(0.1, "the mug"), heard(0.2, "the ball", 1)])
    assert [(p.outcome, p.reason) for p in played] == [("error", "no luck"), ("found", "")]


BLUE = Box(20, 4, 28, 12)
MUGS = {"the mug": [Say.ask("Do you mean the red one or the blue one?"), Say.found(MUG), Say.found(BLUE)]}


def test_a_correction_is_a_dialogue_of_its_own_about_the_same_image():
    grounder = ScriptedGrounder(MUGS)
    events = [frame(0), heard(0.1, "the mug"), heard(2, "the red one", 1), frame(3), heard(4, "no, the blue one", 2)]
    played, not_taken = play(grounder, events)
    assert [(p.words, p.outcome, p.corrects, p.index) for p in played] == [
        ("the mug", "found", None, 0), ("no, the blue one", "found", 1, 2)
    ] and not not_taken  # fmt: skip
    assert played[1].box == BLUE and played[1].session.expression == "the mug"
    assert played[1].image_stamp == played[0].image_stamp and len(grounder.images) == 1
    assert [turn.answer.text for turn in grounder.calls[-1][1]] == ["the red one", "the blue one"]


@pytest.mark.parametrize("at, window, outcome", [(11.9, 10.0, "withdrawn"), (12.1, 10.0, None), (2.5, 0.0, None)])
def test_words_that_take_the_target_back(at, window, outcome):
    events = [frame(0), heard(0.1, "the mug"), heard(2, "the red one", 1), heard(at, "Never mind!", 2)]
    played, not_taken = play(ScriptedGrounder(MUGS), events, correction_window_s=window)
    if outcome is None:
        assert len(played) == 1 and "could be taken back" in not_taken[0].reason
    else:
        assert (played[1].outcome, played[1].corrects, played[1].box) == (outcome, 1, None)
        assert played[1].reason == "All right, never mind."


def test_an_instruction_after_the_result_is_no_correction():
    events = [frame(0), heard(0.1, "the mug"), heard(0.5, "the red one", 1), heard(0.9, "the ball", 2)]
    played, _ = play(ScriptedGrounder({**MUGS, **ASKS, "the mug": MUGS["the mug"]}), events)
    assert [(p.words, p.corrects) for p in played] == [("the mug", None), ("the ball", None)]


def test_a_robot_that_speaks_hears_nothing_but_words_that_stop():
    words = [frame(0), heard(0.1, "the mug"), heard(0.2, "the mug", 1), heard(2, "the red one", 2)]
    played, not_taken = play(ScriptedGrounder(MUGS), words, mute_after_utterance_s=1.0)
    assert [words.reason for words in not_taken] == ["the robot itself speaks"]
    assert played[0].session.turns[0].answer.text == "the red one"
    played, _ = play(ScriptedGrounder(MUGS), [*words[:2], heard(0.2, "Stop!", 1)], mute_after_utterance_s=1.0)
    assert played[0].outcome == "abandoned"


def test_a_gesture_answers_corrects_and_goes_with_its_words():
    def point(t, x, y):
        return Pointed(START + int(t * NS), Answer(point=(float(x), float(y))))

    def replay(grounder, *events):
        made = Replay(grounder)
        picture = Frame(START, START, lambda: GREY)
        said = [event if isinstance(event, Pointed) else Heard(START + int(event[0] * NS), event[1], n)
                for n, event in enumerate(events)]  # fmt: skip
        return list(made.run([picture, *said])), made.not_taken

    played, _ = replay(ScriptedGrounder(MUGS), (0.1, "the mug"), point(1, 6, 6), point(2, 24, 6))
    assert played[0].session.turns[0].answer.point == (6.0, 6.0)
    assert [(p.outcome, p.corrects, p.index) for p in played] == [("found", None, 0), ("found", 1, -1)]
    grounder = ScriptedGrounder({"this one": Say.found(MUG)})
    played, not_taken = replay(grounder, point(0.1, 6, 6), (0.5, "this one"), point(1, 33, 6))
    assert grounder.calls[0][1][0].answer.point == (6.0, 6.0) and len(played) == 1
    assert "outside the image" in not_taken[0].reason, "32 x 24 pixels"


def test_no_limit_that_the_node_does_not_have():
    """The defaults are the node's; test/ros compares them with its parameters."""
    assert ReplaySettings() == ReplaySettings(None, 3, 30.0, 1.0, 2.0, 10.0, 3.0, 0.0, None, "ask", "learned")


def test_words_of_stopping_are_read_as_in_the_node(grounder):
    events = [frame(0), heard(0.5, "the mug"), heard(2, "Stop! Stop!", 1), frame(3), heard(3.5, "the ball", 2),
              heard(4, "no no no stop", 3), heard(5, "stop stop", 4), heard(6, "the stop sign", 5)]  # fmt: skip
    played, not_taken = play(grounder, events, max_image_age_s=10.0)
    assert [p.outcome for p in played] == ["abandoned", "found", "withdrawn", "found"] and played[2].corrects == 2
    assert [n.text for n in not_taken] == ["stop stop"]


def test_stop_takes_back_the_target_before_the_open_dialogue(grounder):
    events = [frame(0), heard(0.5, "the ball"), heard(2, "the mug", 1), heard(3, "stop stop", 2)]
    played, _ = play(grounder, events, max_image_age_s=10.0)
    assert [p.outcome for p in played] == ["found", "abandoned", "withdrawn"]
    assert (played[2].corrects, played[2].image_stamp) == (1, played[0].image_stamp)


def test_the_robots_own_closing_words_in_the_microphone_end_nothing(grounder):
    events = [frame(0), heard(0.5, "the mug"), heard(2, "never mind", 1), heard(6, "the mug", 2),
              heard(7, "all right never mind", 3)]  # fmt: skip
    played, not_taken = play(grounder, events, max_image_age_s=10.0, mute_after_utterance_s=3.0)
    assert [p.outcome for p in played] == ["abandoned", "answer_timeout"] and len(not_taken) == 1
