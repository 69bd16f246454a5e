"""What is heard becomes dialogues, in whatever order it comes; goals, health and what a page is told of them."""

from __future__ import annotations

import json

import pytest

from clue_ros.console.chips import chips_for
from clue_ros.console.dialogue import ACTION, PERSON, ROBOT, SPEECH, Found, Reading
from clue_ros.console.dialogues import Dialogues
from clue_ros.console.feed import _current
from clue_ros.console.state import MAX_GOALS, ConsoleState
from clue_ros.types import Box

QUESTION = "Do you mean the red mug or the blue mug?"
GOAL, OTHER = "a" * 32, "b" * 32
READING = Reading("the mug", 0.9, 0.5, True, ((Box(0, 0, 10, 10), 1.0), (Box(80, 0, 90, 10), 0.7)), 3, 4)


@pytest.mark.parametrize("question, chips", [
    (QUESTION, ("the red mug", "the blue mug")),
    ("do you mean the left , the middle or the right mug ?", ("the left", "the middle", "the right mug")),
    ("Do you mean 1, 2 or 3?", ("1", "2", "3")),
    ("Do you mean the red mug?", ("yes", "no")),
    ("Which mug, the red or the blue one?", ("the red one", "the blue one")),
    ("The near one or the far one?", ("the near one", "the far one")),
    ("Which one do you mean?", ("the left one", "the right one")),
    ("Which colour?", ("the left one", "the right one")),
    ("Do you mean the mug or the mug?", ("the left one", "the right one")),
])  # fmt: skip
def test_quick_replies_tell_the_candidates_apart(question, chips):
    regions = [Box(80, 0, 90, 10), Box(0, 0, 10, 10)]
    assert chips_for(question, regions) == chips
    for text in chips_for(question):
        assert 0 < len(text) <= 40


def test_places_that_are_not_clear_are_not_offered():
    assert chips_for("Which one?", [Box(0, 0, 10, 10), Box(2, 50, 12, 60)]) == ()
    assert chips_for("Which one?", [Box(0, 0, 10, 10)] * 4) == ()
    assert chips_for("Which one?", [Box(0, 0, 0, 0), Box(0, 0, 0, 0)]) == ()
    assert chips_for("x" * 5000 + " or " + "y" * 5000 + "?") == ()


def played(order) -> Dialogues:
    """A goal's dialogue with a question; `order` permutes what the topics leave open."""
    dialogues = Dialogues()
    dialogues.expect(GOAL, "the  Mug")
    events = {
        "turn": lambda: dialogues.say(PERSON, "the mug", 1.0, 10.0),
        "read": lambda: dialogues.read(READING, 10.5),
        "ask": lambda: dialogues.say(ROBOT, QUESTION, 2.0, 10.6),
        "progress": lambda: dialogues.progress(GOAL, QUESTION, 10.6),
    }
    for name in order:
        events[name]()
    return dialogues


@pytest.mark.parametrize("order", [
    ("turn", "read", "ask", "progress"), ("turn", "progress", "read", "ask"), ("progress", "turn", "ask", "read"),
    ("turn", "ask", "read", "progress"),
])  # fmt: skip
def test_a_goals_dialogue_in_every_order(order):
    dialogue = played(order).current
    assert (dialogue.id, dialogue.source, dialogue.open, dialogue.question) == (GOAL, ACTION, True, QUESTION)
    assert dialogue.chips == ("the red mug", "the blue mug") and dialogue.frame == 3
    assert [reading["step"] for reading in dialogue.readings] == [1]
    assert dialogue.readings[0]["latency_s"] == pytest.approx(0.5)
    assert dialogue.readings[0]["regions"][1] == {"x": 80, "y": 0, "width": 10, "height": 10, "score": 0.7}


def test_answer_result_and_what_comes_late():
    dialogues = played(("turn", "read", "ask", "progress"))
    dialogues.say(PERSON, "the red one", 3.0, 20.0)
    current = dialogues.current
    assert current.question is None and current.chips == () and len(current.turns) == 3
    dialogues.say(ROBOT, "I see it.", 4.0, 20.3, "found")
    assert not current.open and current.outcome == "found"
    dialogues.read(READING, 20.4)  # the topic was slower than the words
    dialogues.find_target(Found(Box(1, 2, 3, 5), 0.8, "the mug", (0.1, 0.2, 0.9), "camera", 9), GOAL)
    turns = [{"speaker": PERSON, "text": "the mug", "at": 1.0}]
    dialogues.end(GOAL, "found", None, turns, 0.2, 0.1)
    assert len(current.readings) == 2 and current.target["mask"] == 9 and current.turns == turns
    assert current.as_dict()["latency"] == {"inference_s": 0.2, "response_s": 0.1}
    assert dialogues.history() == [{"id": GOAL, "expression": "the mug", "outcome": "found"}]
    dialogues.progress(GOAL, "", 21.0)  # feedback that came last begins nothing anew
    assert dialogues.current is current and not current.open


def test_spoken_instruction_gets_the_robots_id_with_its_target():
    dialogues = Dialogues()
    dialogues.say(PERSON, "the bowl", 1.0, 1.0)
    assert (dialogues.current.source, dialogues.current.id) == (SPEECH, "spoken-1")
    dialogues.find_target(Found(Box(0, 0, 1, 1), 0.5), OTHER)
    assert dialogues.current.id == OTHER and dialogues.current.target is not None
    dialogues.find_target(Found(Box(0, 0, 2, 2), 0.5), GOAL)  # of a dialogue that was never heard of
    assert dialogues.current.target["width"] == 1


def test_a_newer_goal_takes_over_while_a_question_is_open():
    dialogues = played(("turn", "read", "ask", "progress"))
    dialogues.say(PERSON, "the bowl", 3.0, 20.0)  # another client's instruction: it looks like an answer
    dialogues.progress(OTHER, "", 20.1)
    assert dialogues.current.id == OTHER and dialogues.current.expression == "the bowl"
    assert len(dialogues.find(GOAL).turns) == 2
    dialogues.end(GOAL, "preempted", (7011, "PREEMPTED", "a newer goal took over"))
    assert dialogues.find(GOAL).error["name"] == "PREEMPTED" and dialogues.current.open


def test_own_goal_while_a_question_is_open_is_no_answer():
    dialogues = played(("turn", "read", "ask", "progress"))
    dialogues.expect(OTHER, "the bowl")
    dialogues.say(PERSON, "the bowl", 3.0, 20.0)
    assert dialogues.current.id == OTHER and len(dialogues.find(GOAL).turns) == 2


def test_corrections():
    dialogues = Dialogues()
    dialogues.say(PERSON, "the mug", 1.0, 1.0)
    dialogues.find_target(Found(Box(0, 0, 1, 1), 0.5), GOAL)
    dialogues.say(ROBOT, "I see it.", 2.0, 2.0, "found")
    dialogues.take_back(GOAL, "the other one", OTHER, 3.0)
    assert dialogues.find(GOAL).target is None
    dialogues.say(PERSON, "the other one", 3.0, 3.1)
    assert dialogues.current.id == OTHER and dialogues.current.open
    dialogues.end(OTHER, "found")
    dialogues.find_target(Found(Box(5, 5, 6, 6), 0.5), OTHER)
    dialogues.take_back(OTHER, "never mind")
    dialogues.say(PERSON, "never mind", 4.0, 4.0)
    dialogues.say(ROBOT, "All right, never mind.", 4.0, 4.0, "abandoned")
    assert dialogues.current.id == OTHER and dialogues.current.target is None and len(dialogues.current.turns) == 3


def test_what_never_began_is_forgotten_and_bounded():
    dialogues = Dialogues()
    dialogues.expect(GOAL, "the mug")
    dialogues.forget(GOAL)
    dialogues.say(PERSON, "the mug", 1.0, 1.0)
    assert dialogues.current.source == SPEECH
    for number in range(500):
        dialogues.expect(f"{number:032x}", None)
        dialogues.say(ROBOT, "words", 0.0, 0.0)
    assert len(dialogues.current.turns) <= 100 and len(dialogues._expected) <= 50
    dialogues.close_all("lost")
    assert not dialogues.current.open and dialogues.history()[0]["outcome"] == "lost"


def test_goals_are_few_newest_first_and_final_states_stay():
    now = [0.0]
    state = ConsoleState(clock=lambda: now[0])
    for number in range(MAX_GOALS + 5):
        state.goal(f"{number:032x}", "SENT", f"thing {number}")
    goals = state.snapshot()["goals"]
    assert len(goals) == MAX_GOALS and goals[0]["expression"] == f"thing {MAX_GOALS + 4}"
    newest = goals[0]["id"]
    now[0] = 2.0
    state.goal(newest, "SUCCEEDED")
    now[0] = 9.0
    state.goal(newest, "GROUNDING", error="late feedback")
    goal = state.snapshot()["goals"][0]
    assert (goal["state"], goal["elapsed_s"], goal["can_cancel"]) == ("SUCCEEDED", 2.0, False)
    assert not state.runs(newest) and state.runs(goals[1]["id"])


def test_silence_makes_health_stale_and_changes_are_told():
    now, told = [0.0], []
    state = ConsoleState(lambda: told.append(1), clock=lambda: now[0])
    state.report([{"name": "clue: model", "level": "ok", "message": "loaded", "values": []}])
    assert state.snapshot()["health"][0]["level"] == "ok" and len(told) == 1
    now[0] = 10.0
    assert state.snapshot()["health"][0]["level"] == "stale"
    state.connect(node="active")
    state.connect(node="active")
    assert len(told) == 2 and state.snapshot()["connection"]["node"] == "active"


def test_a_robot_that_says_nan_does_not_break_the_page():
    state = ConsoleState()
    with state.dialogues() as dialogues:
        dialogues.say(PERSON, "</script><b>&", 1.0, 1.0)
        dialogues.read(Reading("x", float("nan"), 0.5, False), 2.0)
        dialogues.find_target(Found(Box(0, 0, float("inf"), 1), float("nan")))
    current = _current(1, state.snapshot())
    assert "NaN" not in current.text and "Infinity" not in current.text
    dialogue = json.loads(current.text)["state"]["dialogue"]
    assert dialogue["readings"][0]["probability"] is None and dialogue["turns"][0]["text"] == "</script><b>&"


def test_what_was_taught_is_told_without_pictures_and_shown_with_them():
    told = []
    state = ConsoleState(lambda: told.append(1))
    assert state.snapshot()["taught"] is None and state.taught is None
    for _ in range(2):
        state.teach([{"name": "my cap", "views": 2, "picture": b"jpeg"}])
    assert len(told) == 1 and state.snapshot()["taught"] == [{"name": "my cap", "views": 2}]
    assert state.taught[0]["picture"] == "data:image/jpeg;base64,anBlZw=="
