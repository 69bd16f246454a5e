"""Words that teach, in the pure machine: what "this" means, what is asked, and that stopping comes first."""

import pytest

from clue_ros.dialogue.acts import Begin, Forget, Ignore, Instruction, Proceed, Recount, Rules, Say, TakeBack, Teach
from clue_ros.dialogue.lesson_words import asks_what_is_known, forgotten_in, lesson_in
from clue_ros.dialogue.lessons import Report, Told
from clue_ros.dialogue.turn_taking import TurnTaking
from clue_ros.types import Answer, Box, Decision, Outcome

CLICK, BOX = Answer(point=(5, 6)), Box(1, 2, 11, 12)


def talk(taught=("my thermos",), **rules):
    def instruct(text):
        return Instruction(expression=text, spoken=True, dialogue=text)

    return TurnTaking(instruct, lambda: Rules(taught=taught, **rules))


@pytest.mark.parametrize(
    "words, name",
    [
        ("This is my thermos.", "my thermos"),
        ("ok, this one is my torque wrench", "my torque wrench"),
        ("That's our thermos, please", "our thermos"),
        ("call it part 17", "part 17"),
        ("Call this the torque wrench from now on!", "the torque wrench"),
        ("this is part 17", "part 17"),
        ("it's called gizmo", "gizmo"),
        ("its name is grandma's cup", "grandma's cup"),
        ("remember this as my cap", "my cap"),
        ("This here is my toolbox", "my toolbox"),
        ("from now on this is called Fred", "fred"),
    ],
)
def test_words_that_teach(words, name):
    assert lesson_in(words) == (name, True)


@pytest.mark.parametrize(
    "words",
    ["hand me my thermos", "this is great", "call it a day", "call it off", "call me", "this one", "my thermos", "",
     "this is wrong", "it is my thermos that I want", "this is my thermos, give me the cup", "call my mother"],
)  # fmt: skip
def test_words_that_do_not(words):
    assert lesson_in(words) is None
    assert isinstance(talk().hear(words or "x", 0.0)[0], (Begin, Ignore))


def test_an_article_alone_needs_a_gesture():
    assert lesson_in("this is the torque wrench") == ("the torque wrench", False)
    assert isinstance(talk().hear("this is the torque wrench", 0.0)[0], Begin)
    turns = talk()
    assert turns.point(CLICK, 0.0) == ()
    (act,) = turns.hear("this is the torque wrench", 9.0)
    assert (act.name, act.shown, act.scene) == ("the torque wrench", CLICK, None)


def test_what_is_forgotten_and_told():
    names = ("my thermos", "part 17")
    assert forgotten_in("Forget the thermos, please.", names) == "my thermos"
    assert forgotten_in("forget about part 17", names) == "part 17" and forgotten_in("forget the mug", names) is None
    assert forgotten_in("forget the cap", ("my cap", "your cap")) is None
    assert asks_what_is_known("What do you know?") and asks_what_is_known("which things have you learned so far")
    assert not asks_what_is_known("what do you know about mugs")
    turns = talk()
    (act,) = turns.hear("forget my thermos", 0.0)
    assert act == Forget("my thermos", "forget my thermos")
    assert turns.report(act, Report(Told.DONE), 0.1) == (Say("I have forgotten your thermos."),)
    (act,) = turns.hear("what do you know?", 1.0)
    assert isinstance(act, Recount)
    assert turns.report(act, Report(Told.DONE, names), 1.1) == (Say("You showed me your thermos and part 17."),)
    assert "Nobody" in turns.report(act, Report(Told.DONE), 1.1)[0].words


def found(turns, now=0.0):
    dialogue = turns.hear("the mug", now)[-1].dialogue
    dialogue.session.on_decision(Decision(Outcome.FOUND, "the mug", box=BOX, confidence=0.9), now)
    turns.close(dialogue, now, "scene")


def test_this_is_the_current_target():
    turns = talk()
    found(turns)
    (act,) = turns.hear("call it my mug", 1.0)
    assert (act.name, act.shown, act.scene) == ("my mug", Answer(box=BOX), "scene")
    assert turns.report(act, Report(Told.DONE, views=1), 1.1) == (Say("Now I know your mug."),)
    assert turns.report(act, Report(Told.DONE, views=3), 1.1) == (Say("Now I know your mug, seen 3 times."),)
    assert turns.target(2.0) is not None, "it may still be corrected"
    assert not isinstance(turns.hear("forget my thermos", 2.0)[0], Forget), "that may be about the target"


def test_without_a_place_it_asks_for_one():
    turns = talk()
    (act,) = turns.hear("this is my cap", 0.0)
    assert isinstance(act, Teach) and act.shown is None
    (asked,) = turns.report(act, Report(Told.NO_PLACE), 0.1)
    assert asked.words.startswith("Which one is your cap?")
    (again,) = turns.point(CLICK, 5.0)
    assert (again.name, again.shown) == ("my cap", CLICK) and turns.report(again, Report(Told.DONE, views=1), 6.0)
    assert turns.point(CLICK, 7.0) == ()
    turns.report(act, Report(Told.NO_PLACE), 8.0)
    assert turns.point(CLICK, 60.0) == (), "too late"
    turns.report(act, Report(Told.NO_PLACE), 61.0)
    turns.close(turns.hear("the mug", 62.0)[-1].dialogue, 63.0)
    assert turns.point(CLICK, 64.0) == (), "an instruction came between"


def test_a_known_word_is_hidden_only_after_a_yes():
    turns = talk()
    for said, shadow in (("yes please", True), ("No.", None), ("the mug", None)):
        (act,) = turns.hear("call it cup", 0.0)
        (asked,) = turns.report(act, Report(Told.KNOWN), 0.1)
        assert asked.words == "I already know the word “cup”. Shall I call only this one so from now on?"
        (then,) = turns.hear(said, 1.0)
        assert isinstance(then, Teach) == bool(shadow) and (not shadow or then.shadow)
    assert isinstance(then, Begin), "what answers nothing is an instruction"


def test_stopping_comes_first():
    turns = talk()
    (act,) = turns.hear("this is my cap", 0.0)
    turns.report(act, Report(Told.NO_PLACE), 0.1)
    assert turns.hear("never mind", 1.0) == (Say("All right, never mind."),)
    assert isinstance(turns.hear("never mind", 2.0)[0], Ignore)
    found(turns, 3.0)
    (act,) = turns.hear("call it cup", 4.0)
    turns.report(act, Report(Told.KNOWN), 4.1)
    assert isinstance(turns.hear("stop!", 5.0)[0], TakeBack)
    assert isinstance(turns.answer(Answer(text="yes"), 6.0)[0], Ignore), "and the question is gone"


def test_where_nothing_can_be_taught_words_are_what_they_were():
    for turns in (talk(taught=None), talk(speech_mode="answer")):
        for words in ("this is my thermos", "forget my thermos", "what do you know?"):
            assert isinstance(turns.hear(words, 0.0)[-1], (Begin, Ignore, Proceed))
    (said,) = talk().report(Teach("x"), Report(Told.REFUSED, why="no room"), 0.0)
    assert said.words == "I cannot do that: no room."
