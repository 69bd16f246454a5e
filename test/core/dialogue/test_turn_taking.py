"""The rules of a conversation without a model, a clock or ROS: who is answered, replaced, corrected, stopped."""

from __future__ import annotations

import itertools

import pytest

from clue_ros.dialogue.acts import Admit, Begin, Cause, Ignore, Instruction, Proceed, Rules, Stop, TakeBack, Why
from clue_ros.dialogue.steps import Continue, End, Finish
from clue_ros.dialogue.turn_taking import TurnTaking
from clue_ros.types import Answer, Box, Decision, InvalidExpressionError, Outcome

BOX = Box(1, 2, 11, 12)
FOUND = Decision(Outcome.FOUND, "the mug", box=BOX, confidence=0.9)
ASKS = Decision(Outcome.ASK, "the mug", question="Which mug?")


def talk(**rules):
    """A conversation and its clockwork of ids."""

    def instruct(text):
        if text == "no words":
            raise InvalidExpressionError("say what to look for")
        return Instruction(expression=text, spoken=True, dialogue=f"said {next(ids)}")

    ids = itertools.count(1)
    return TurnTaking(instruct, lambda: Rules(**rules), lambda: f"correction {next(ids)}")


def begun(acts):
    assert isinstance(acts[-1], Begin), acts
    return acts[-1].dialogue


def goal(turns, words="the mug", now=0.0, **how):
    return turns.begin(Instruction(expression=words, dialogue=words), now, **how)


def found(turns, words="the mug", now=0.0):
    """A spoken dialogue that gave a target."""
    dialogue = begun(turns.hear(words, now))
    dialogue.session.on_decision(FOUND, now)
    turns.close(dialogue, now, "scene")
    return dialogue


def test_an_instruction_its_question_and_the_answer():
    turns = talk()
    dialogue = begun(turns.hear(" the mug ", 0.0))
    assert turns.current is dialogue and dialogue.instruction.expression == "the mug" and turns.busy
    dialogue.session.on_decision(ASKS, 1.0)
    (act,) = turns.hear("the red one", 2.0)
    assert act == Proceed(dialogue, Continue(), Answer(text="the red one"))
    assert turns.hear("the green one", 2.1) == (Ignore(Why.TURN, "no question is open"),), (
        "the second half of an answer"
    )
    assert dialogue.session.on_decision(FOUND, 3.0).end is End.FOUND
    assert turns.close(dialogue, 3.0, "scene") == () and not turns.busy and turns.current is None


def test_newer_words_replace_words_that_have_asked_nothing_and_never_a_goal():
    turns = talk()
    first = begun(turns.hear("the mug", 0.0))
    acts = turns.hear("the cup", 0.1)
    assert acts[0] == Stop(first, Cause.PREEMPTED) and turns.current is begun(acts)
    client, acts = goal(turns, "the bowl")
    assert acts[0].cause is Cause.PREEMPTED and turns.current is client
    assert turns.hear("the plate", 0.2)[0].why is Why.TURN


@pytest.mark.parametrize("said", ["I don't want the mug", "no, leave the mug alone", "you took the wrong one"])
def test_a_refusal_begins_nothing_and_ends_what_the_model_works_on(said):
    turns = talk()
    assert isinstance(turns.hear(said, 0.0)[0], Ignore) and turns.current is None
    begun(turns.hear("the mug", 1.0))
    (act,) = turns.hear(said, 1.1)
    assert isinstance(act, Proceed) and act.step.end is End.ABANDONED


def test_thanks_and_agreement_after_a_result_neither_correct_nor_begin():
    turns = talk()
    dialogue, _ = goal(turns)
    dialogue.session.on_decision(FOUND, 1.0)
    turns.close(dialogue, 1.0, "scene")
    for said in ("That's it, thanks!", "no that's right", "well done", "thank you for the mug", "no, it's fine"):
        assert isinstance(turns.hear(said, 2.0)[0], Ignore) and turns.target(2.0) is not None, said


def test_goals_wait_in_their_order_and_words_do_not_replace_them():
    turns = talk()
    spoken = begun(turns.hear("the mug", 0.0))
    (second, acts), (third, _) = goal(turns, "two", waits=True), goal(turns, "three", waits=True)
    assert acts == (Begin(second, waits=True),) and turns.waiting == (second, third)
    other = begun(turns.hear("the cup", 0.1))
    assert turns.waiting == (second, third)
    assert turns.close(spoken, 0.2) == () and turns.close(other, 0.3) == (Admit(second),)
    assert turns.cancel(third) == (Stop(third, Cause.CANCELED),) and turns.close(third, 0.4) == ()
    fourth, _ = goal(turns, "four", waits=True)
    newest, acts = goal(turns, "five")
    assert acts == (Stop(second, Cause.PREEMPTED), Stop(fourth, Cause.PREEMPTED), Begin(newest))


STATES = ("image", "model", "question", "reply", "position", "window")


@pytest.mark.parametrize("mode", ["start", "answer", "off"])
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("muted", [False, True])
def test_stop_stops_in_every_state_and_mode(state, mode, muted):
    turns = talk(speech_mode=mode)
    dialogue, _ = goal(turns)
    dialogue.looks(0.0)
    if state != "image":
        dialogue.sees()
    if state in ("question", "reply"):
        dialogue.session.on_decision(ASKS, 1.0)
    if state == "reply":
        assert isinstance(turns.answer(Answer(text="the red one"), 2.0)[0].step, Continue)
    if state in ("position", "window"):
        dialogue.session.on_decision(FOUND, 1.0)
    if state == "window":
        turns.close(dialogue, 2.0, "scene")
        (act,) = turns.hear("Stop!", 3.0, robot_speaks=muted)
        assert isinstance(act, TakeBack) and act.instruction.corrects == "the mug" and turns.target(3.0) is None
        return
    (act,) = turns.hear("Stop!", 3.0, robot_speaks=muted)
    assert isinstance(act.step, Finish) and act.step.end is End.ABANDONED and act.said == Answer(text="Stop!")
    assert [line.text for line in dialogue.session.transcript][-2:] == ["Stop!", "All right, never mind."]
    assert "I see it." not in [line.text for line in dialogue.session.transcript]
    turns.close(dialogue, 3.1)
    assert turns.target(3.1) is None, "what was taken back cannot be corrected"
    assert isinstance(turns.hear("Stop!", 3.2)[0], Ignore)


def test_what_halts_ends_what_waits_and_what_drops_does_not():
    turns = talk()
    (first, _), (second, _), (third, _) = goal(turns), goal(turns, "two", waits=True), goal(turns, "three", waits=True)
    (act,) = turns.hear("never mind", 1.0)
    assert act.dialogue is first and turns.waiting == (second, third)
    assert turns.close(first, 1.0) == (Admit(second),)
    ended, waited = turns.hear("Stop! Stop!", 2.0)
    assert ended.dialogue is second and waited == Stop(third, Cause.ABANDONED) and turns.waiting == ()
    assert turns.close(second, 2.0) == () and turns.close(third, 2.0) == () and not turns.busy


def test_what_halts_takes_back_earlier_targets_within_their_windows():
    turns = talk()
    names = [found(turns, "one", 0.0), found(turns, "two", 5.0)]
    opened, _ = goal(turns, now=6.0)
    ended, late, early = turns.hear("stop stop", 9.0)
    assert ended.dialogue is opened and (late.words, early.words) == ("", ""), "said once"
    assert [act.instruction.corrects for act in (late, early)] == [d.instruction.dialogue for d in reversed(names)]
    turns.close(opened, 9.0)
    assert turns.hear("stop", 9.1)[0].why is Why.TURN, "taken back once"
    turns = talk()
    found(turns, "one", 0.0), found(turns, "two", 5.0)
    (act,) = turns.hear("never mind", 6.0)
    assert act.instruction.corrects and act.words == "All right, never mind."
    (act,) = turns.hear("stop", 7.0)
    assert isinstance(act, TakeBack) and act.words == "All right, never mind."
    turns = talk()
    found(turns, "one", 0.0), found(turns, "two", 5.0)
    assert len(turns.hear("stop", 11.0)) == 1, "the first target's window is over"


@pytest.mark.parametrize("mode, first, second", [
    ("start", Begin, Begin), ("answer", TakeBack, Ignore), ("off", TakeBack, Ignore),
])  # fmt: skip
def test_stop_and_then_what_is_meant(mode, first, second):
    for muted in (False, True):
        turns = talk(speech_mode=mode)
        dialogue, _ = goal(turns)
        dialogue.session.on_decision(FOUND, 0.0)
        turns.close(dialogue, 0.0, "scene")
        acts = turns.hear("Stop! Take the left one!", 1.0, robot_speaks=muted)
        assert isinstance(acts[-1], first)
        if first is Begin:
            assert begun(acts).reopening.correction.answer.text == "the left one"
            turns.close(begun(acts), 1.0)
        later = turns.hear("Stop! Take the left one!", 20.0)
        assert isinstance(later[-1], second)
        if second is Begin:
            assert begun(later).instruction.expression == "Take the left one!", "an instruction without its stop"


def test_stop_and_something_else_while_the_model_works_or_a_question_is_open():
    turns = talk()
    client, _ = goal(turns)
    (act,) = turns.hear("wait, I mean the left one", 1.0)
    assert act.step.end is End.ABANDONED, "not what the model works on"
    turns.close(client, 1.0)
    spoken = begun(turns.hear("the mug", 2.0))
    replaced, begins = turns.hear("wait, I mean the left one", 3.0)
    assert replaced == Stop(spoken, Cause.PREEMPTED) and begins.dialogue.instruction.expression == "I mean the left one"
    turns.close(spoken, 3.0)
    begins.dialogue.session.on_decision(ASKS, 4.0)
    (act,) = turns.hear("no wait, the red one", 5.0)
    assert act.step == Continue() and begins.dialogue.session.turns[-1].answer.text == "the red one"
    assert act.said.text == "no wait, the red one"
    off = talk(speech_mode="off")
    asked, _ = goal(off)
    asked.session.on_decision(ASKS, 1.0)
    assert off.hear("stop, the left one", 2.0)[0].step.end is End.ABANDONED


def test_the_robot_does_not_stop_itself():
    turns = talk()
    goal(turns)
    said = ("Which mug?", "All right, never mind.")
    assert turns.hear("all right never mind", 1.0, True, said) == (Ignore(Why.SPEAKS, "the robot itself says that"),)
    assert turns.hear("never mind", 1.0, True, said)[0].step.end is End.ABANDONED
    turns = talk()
    goal(turns)
    assert turns.hear("All right, never mind.", 1.0, False, said)[0].step.end is End.ABANDONED, "it is silent"


@pytest.mark.parametrize(
    "text", ["don't take the red one", "Do not touch the red mug, please!", "never mind the red one"]
)
def test_what_only_forbids_begins_nothing(text):
    (act,) = talk().hear(text, 0.0)
    assert act.why is Why.TURN and "forbids" in act.reason
    assert begun(talk().hear(text + ", take the blue one", 0.0)) and begun(talk().hear("don't forget the red one", 0.0))


def test_corrections_within_the_window_only():
    turns = talk()
    first = found(turns)
    assert turns.hear("no, the left one", 10.1)[0].dialogue.instruction.corrects == "", "too late: a new instruction"
    turns = talk()
    first = found(turns)
    second = begun(turns.hear("no, the left one", 9.9))
    assert second.instruction.corrects == first.instruction.dialogue and second.instruction.dialogue == "correction 2"
    assert second.instruction.spoken and second.reopening.target.scene == "scene"
    assert second.session.turns[-1].answer.text == "the left one" and second.session.expression == "the mug"
    second.session.on_decision(FOUND, 12.0)
    turns.close(second, 12.0, "again")
    third = begun(turns.answer(Answer(text="the other one"), 13.0))
    assert third.instruction.corrects == "correction 2" and third.past.rejected == (BOX,)
    assert talk(correction_window_s=0.0).target(0.0) is None


def test_who_may_correct_and_who_may_only_take_back():
    turns = talk(speech_mode="answer")
    dialogue, _ = goal(turns)
    dialogue.session.on_decision(FOUND, 0.0)
    turns.close(dialogue, 0.0, "scene")
    (act,) = turns.hear("no, the left one", 1.0)
    assert isinstance(act, TakeBack) and act.words == "All right, not that one."
    dialogue, _ = goal(turns, now=2.0)
    dialogue.session.on_decision(FOUND, 2.0)
    turns.close(dialogue, 2.0, "scene")
    assert begun(turns.answer(Answer(point=(40.0, 40.0)), 3.0)).reopening.correction.answer.point == (40.0, 40.0)


def test_a_target_that_was_never_given_cannot_be_corrected():
    turns = talk()
    dialogue, _ = goal(turns)
    dialogue.session.on_decision(FOUND, 0.0)
    turns.cancel(dialogue)  # while its position was looked for
    turns.close(dialogue, 0.1, "scene")
    assert turns.target(0.2) is None


def test_a_gesture_answers_corrects_or_waits_for_its_words():
    turns, here = talk(), Answer(point=(50.0, 60.0))
    assert turns.point(here, 0.0) == () and turns.pointed == here
    assert begun(turns.hear("this one", 2.9)).instruction.pointing == here and turns.pointed is None
    turns = talk()
    turns.point(here, 0.0)
    assert begun(turns.hear("this one", 3.0)).instruction.pointing is None, "too long ago"
    turns = talk()
    turns.point(here, 0.0)
    dialogue = begun(turns.hear("the mug", 1.0))
    assert dialogue.instruction.pointing is None, "its words speak of no place"
    dialogue.session.on_decision(ASKS, 1.0)
    assert turns.point(here, 2.0) == (Proceed(dialogue, Continue(), here),)
    dialogue.session.on_decision(FOUND, 3.0)
    turns.close(dialogue, 3.0, "scene")
    there = Answer(point=(70.0, 60.0))  # the last answer once more would be a double click
    assert turns.point(there, 4.0, corrects=False) == () and begun(turns.point(there, 4.0)).past.box == BOX


def test_limits_of_time():
    turns = talk()
    first, _ = turns.begin(Instruction(expression="the mug", answer_timeout_s=5.0, wait_for_image_s=2.0), 0.0)
    waits, _ = turns.begin(Instruction(expression="the cup", timeout_s=3.0), 0.0, waits=True)
    first.looks(0.5)
    assert turns.on_time(2.4) == ()
    assert turns.on_time(2.5) == (Stop(first, Cause.NO_IMAGE),) and turns.on_time(2.6) == ()
    (act,) = turns.on_time(3.0)
    assert (act.dialogue, act.step.end) == (waits, End.TIMEOUT), "its time runs while it waits"
    turns = talk()
    asked, _ = turns.begin(Instruction(expression="the mug", answer_timeout_s=5.0), 0.0)
    asked.session.on_decision(ASKS, 1.0)
    late, reason = turns.answer(Answer(text="the red one"), 6.0)
    assert late.step.end is End.ANSWER_TIMEOUT and late.said is None and "too late" in reason.reason


@pytest.mark.parametrize("text, rules, robot_speaks, why", [
    ("the mug", {"speech_mode": "off"}, False, Why.MODE),
    ("the mug", {"speech_mode": "answer"}, False, Why.MODE),
    ("the mug", {}, True, Why.SPEAKS),
    ("Never mind.", {}, False, Why.TURN),
    ("yes", {}, False, Why.TURN),
    ("no words", {}, False, Why.REFUSED),
])  # fmt: skip
def test_words_that_begin_nothing(text, rules, robot_speaks, why):
    turns = talk(**rules)
    (act,) = turns.hear(text, 0.0, robot_speaks)
    assert act.why is why and not turns.busy
    turns.active = False
    assert turns.hear("the mug", 0.0) == () and turns.answer(Answer(text="x"), 0.0)[0].reason == "no question is open"


def test_deactivation_ends_everything():
    turns = talk()
    found(turns)
    (first, _), (second, _) = goal(turns), goal(turns, waits=True)
    assert turns.end_all() == (Stop(first, Cause.NOT_ACTIVE), Stop(second, Cause.NOT_ACTIVE))
    turns.active = False
    assert turns.close(first, 0.0, "scene") == (Admit(second),) and turns.close(second, 0.0) == ()
    assert not turns.busy and turns.target(0.0) is None
