"""Corrections after the result: how they are understood, and which target they lead to."""

from __future__ import annotations

from typing import List, Sequence, Tuple

import numpy as np
import pytest

from clue_ros.dialogue.correction import QUESTION, Concluded, Kind, refuses, reopen, understand
from clue_ros.dialogue.regrounding import Regrounding, correct
from clue_ros.dialogue.session import DialogueSession
from clue_ros.dialogue.steps import Ask, Continue, End, Policy
from clue_ros.testing.fake_grounder import Say, ScriptedGrounder
from clue_ros.types import Ambiguity, Answer, Box, Decision, Outcome, Region, Turn

RED, BLUE, GREEN = Box(10, 10, 30, 30), Box(60, 10, 80, 30), Box(110, 10, 130, 30)


@pytest.mark.parametrize(
    "kind, texts",
    [
        (
            Kind.WITHDRAW,
            (
                "Stop! Stop!",
                "wait",
                "Stop, stop, stop, that's the wrong one!",
                "hold on",
                "never mind",
                "No, stop!",
                "forget it please",
                "cancel that",
                "no thanks",
                "No, thank you.",
            ),
        ),
        (
            Kind.OTHER,
            (
                "the other one",
                "No, the other one.",
                "no the other mug",
                "another one please",
                ("not that one, wait, the other"),
                "I meant the other one",
                "give me the other one instead",
                "not that one, the other one",
                "wait, no, the other",
                "can I have the other one please",
                "I'd rather have the other one",
                "na other one",
                "try the next one",
            ),
        ),
        (
            Kind.REJECT,
            (
                "no",
                "No!",
                "nope",
                "not that one",
                "no not this one",
                "wrong one",
                "That's not it.",
                "that's wrong",
                "that is the wrong one",
                "that one is wrong",
                "I don't want that one",
                "not what I meant",
                "wait, that's not it",
                "hold on, wrong one",
                "don't take that one",
                "please don't take this one",
                "you took the wrong one",
                "You've got the wrong mug.",
                "that isn't it",
                "it's not that one",
                "That's not the one I wanted!",
                "that's not the one on the left",
                "that isn't mine",
                "wrong mug",
                "not really",
                "please leave that one alone",
                "I said no",
            ),
        ),
    ],
)
def test_what_names_nothing(kind, texts):
    for text in texts:
        found = understand(Answer(text))
        assert found is not None and found.kind is kind and found.said == text, (text, found)


@pytest.mark.parametrize(
    "text, words",
    [
        ("no, the left one", "the left one"), ("No the red mug please", "the red mug"),
        ("nope. the big one", "the big one"),
        ("not that one, the left one", "the left one"), ("I meant the blue bowl", "the blue bowl"),
        ("sorry, I meant take the blue bowl", "the blue bowl"), ("the left one instead", "the left one"),
        ("not the red one", "not the red one"), ("no, give me the one on the left", "the one on the left"),
        ("that's wrong, the left one", "the left one"), ("the other one on the left", "the one on the left"),
        ("stop, the left one", "the left one"), ("wait the left one", "the left one"),
        ("Stop! Take the left one.", "the left one"), ("hold on, not that one, the left one", "the left one"),
        ("don't take the red one", "not the red one"), ("No, don’t pick up the red one, please", "not the red one"),
        ("don't take the red one, take the blue one", "the blue one"),
        ("don't take that one, the left one", "the left one"),
        ("don't take the red one take the blue one", "the blue one"), ("no, the stop sign", "the stop sign"),
        ("never mind the red one, I meant the blue one", "the blue one"),
        ("forget the mug but take the bowl", "the bowl"),
        ("no, stop sign", "stop sign"), ("no left one", "left one"), ("no wait left one", "left one"),
        ("never mind take the blue one", "the blue one"), ("leave it and take the red one", "the red one"),
        ("wrong, the one next to the bowl", "the one next to the bowl"),
        ("actually, the blue one", "the blue one"), ("make it the blue one", "the blue one"),
        ("sorry, the left one", "the left one"), ("the blue one rather than the red one", "the blue one"),
        ("I didn't say the red one, I said the blue one", "the blue one"), ("no left", "left"),
        ("I don't want the red one", "not the red one"), ("leave the red one, the left one", "the left one"),
        ("leave the red one, the one on the right", "the one on the right"),
        ("could you not touch the red one please", "not the red one"), ("didn't I say the blue one", "the blue one"),
    ],
)  # fmt: skip
def test_what_is_named(text, words):
    found = understand(Answer(text))
    assert found is not None and found.kind is Kind.NAMED
    assert found.answer.text == words


@pytest.mark.parametrize(
    "text",
    ["the left mug", "hand me the red mug", "no mugs the plate please", "I want the blue bowl", "thanks", "ok", "yes",
     "", "  ", "the one on the left", "is there a mug or no mug", "notice the mug", "the mother of all mugs", ",", "so",
     "actually, the blue bowl", "sorry, could you hand me the bowl", "why don't you take the red mug",
     "no, that's right", "no that's the one", "no it's ok", "no, keep it", "not bad", "that's it, thanks",
     "don't forget the red one", "the stop sign", "stop sign next to the mug", "hold the red mug", "hang on the hook"],
)  # fmt: skip
def test_a_new_instruction_is_no_correction(text):
    assert understand(Answer(text)) is None


def test_another_one_of_another_kind_is_a_new_instruction():
    for text in ("another fork", "the other bowl please", "can I have another plate"):
        assert understand(Answer(text), past()) is None, text
    for text in ("another mug", "the other cup", "the other thing"):
        assert understand(Answer(text), past()).kind is Kind.OTHER, text


REFUSALS = (
    "I don't want the red mug", "you must not take the red mug", "never touch the red mug",
    "leave the red mug where it is", "you took the wrong mug",
    "I would rather you didn't take the red mug",
    "can you not take the red mug", "no need for the red mug", "let go of the red mug", "nobody asked for the red mug",
    "don't you dare touch the red mug", "stay away from the red mug", "that isn't the red mug",
)  # fmt: skip
REQUESTS = (
    "don't forget the red mug", "why don't you take the red mug", "can't you take the red mug",
    "you did not give me the red mug", "I don't see the red mug", "the wrong way sign", "won't you take the red mug",
    "I can't reach the red mug", "ignore the bowl and get me the mug on the right",
    "leave the blue mug, take the red mug", "I wouldn't mind the red mug", "don't leave the red mug", "no, the red mug",
    "the red mug, not the blue one", "not the red mug but the blue one",
)  # fmt: skip


def test_what_is_refused_is_not_looked_for_and_what_is_asked_for_is():
    assert [text for text in REFUSALS if not refuses(text)] == [text for text in REQUESTS if refuses(text)] == []


def test_a_click_or_a_box_points():
    for answer in (Answer(point=(3.0, 4.0)), Answer("that one", box=RED)):
        found = understand(answer)
        assert found.kind is Kind.POINTED and found.answer is answer


def test_the_last_answer_once_more_or_a_click_on_the_target_corrects_nothing():
    for answer in (Answer("no, the red one"), Answer(point=(15.0, 12.0)), Answer(box=Box(12, 12, 50, 40))):
        again = past((Turn("Which?", answer),))
        assert understand(answer, again) is None
    assert understand(Answer(point=RED.center), past()) is None
    assert understand(Answer(point=BLUE.center), past()).kind is Kind.POINTED


def decision(outcome=Outcome.FOUND, box=None, question="", regions: Sequence[Box] = ()):
    seen = tuple(Region(box, box.center, 1.0) for box in regions)
    reading = Ambiguity(0.9, 0.5, True, np.zeros((4, 4), np.float32), seen)
    return Decision(outcome, "the mug", reading, box, 0.8 if box else 0.0, question, candidates=tuple(regions))


class Model:
    """Answers by the last thing that was said; a click finds what lies there. Records the turns it was given."""

    def __init__(self, replies: dict, things: Sequence[Box] = (RED, BLUE), own_question: str = "") -> None:
        self.replies, self.things, self.own_question = replies, things, own_question
        self.asked: List[Tuple[Turn, ...]] = []

    def __call__(self, turns, may_ask, min_confidence):
        turns = tuple(turns)
        self.asked.append(turns)
        if min_confidence >= 1.0:
            return decision(Outcome.ASK if self.own_question else Outcome.FOUND, None, self.own_question)
        answer = turns[-1].answer
        if answer.point is not None:
            found = [box for box in self.things if box.x0 <= answer.point[0] <= box.x1]
            return decision(Outcome.FOUND, found[0]) if found else decision(Outcome.NOT_FOUND)
        reply = self.replies.get(answer.text, Outcome.NOT_FOUND)
        return decision(Outcome.FOUND, reply) if isinstance(reply, Box) else decision(reply, None, "Left or right?")


ASKED = (Turn("Do you mean the red mug or the blue mug?", Answer("red")),)
BY_NAME = {"red": RED, "the red mug": RED, "the blue mug": BLUE, "the green mug": GREEN}


def past(turns=ASKED, regions=(RED, BLUE), box=RED, rejected=()):
    first = decision(Outcome.ASK, None, "?", regions)
    return Concluded("the mug", Policy.ASK, 3, tuple(turns), first, box, 5.0, tuple(rejected))


def reground(concluded, text, model, *, may_ask=True, candidates=()):
    correction = understand(text if isinstance(text, Answer) else Answer(text))
    session = reopen(concluded, correction, now=6.0)
    return Regrounding(concluded, correction, candidates)(model, session.turns, may_ask=may_ask)


@pytest.mark.parametrize("text", ["the other one", "no", "not that one"])
def test_of_two_the_other_one_by_the_options_of_the_question(text):
    model = Model(BY_NAME)
    assert reground(past(), text, model).box == BLUE
    assert all(turns[:-1] == () for turns in model.asked), "the answer is what changes, not the question"


def test_of_two_the_other_one_by_the_regions_without_a_question():
    model = Model({})
    assert reground(past(turns=()), "the other one", model).box == BLUE
    assert model.asked[-1] == (Turn(QUESTION, Answer(point=BLUE.center)),)


def test_of_two_the_other_one_by_the_models_own_question():
    model = Model(BY_NAME, own_question="Do you mean the red mug or the blue mug?")
    assert reground(past(turns=(), regions=(RED,)), "the other one", model).box == BLUE


def test_of_two_detections_the_other_one_whatever_was_looked_at():
    assert reground(past(turns=(), regions=(RED,)), "not that one", Model({}), candidates=(RED, BLUE)).box == BLUE
    many = reground(past(turns=(), regions=(RED,)), "not that one", Model({}), candidates=(RED, BLUE, GREEN))
    assert many.outcome is Outcome.NOT_FOUND, "of many detections nothing says which one competes"


def test_the_other_one_of_the_other_one_is_the_first_again_but_a_rejected_one_stays_rejected():
    second = past(box=BLUE, rejected=(RED,))
    assert reground(second, "the other one", Model(BY_NAME)).box == RED
    assert reground(second, "not that one", Model(BY_NAME)).outcome is Outcome.NOT_FOUND
    assert reground(second, "no, the red mug", Model(BY_NAME)).box == RED, "who names it means it"


def test_several_others_are_asked_about_if_a_question_is_allowed():
    three = past((Turn("Do you mean the red mug, the blue mug or the green mug?", Answer("red")),), (RED, BLUE, GREEN))
    found = reground(three, "not that one", Model(BY_NAME))
    assert found.outcome is Outcome.ASK and found.question == "Do you mean the blue mug or the green mug?"
    assert found.box is None
    assert reground(three, "not that one", Model(BY_NAME), may_ask=False).box == BLUE
    pointed = reground(past((), (RED, BLUE, GREEN)), "not that one", Model({}, (RED, BLUE, GREEN)))
    assert (pointed.outcome, pointed.question) == (Outcome.ASK, QUESTION)


def test_named_with_the_history_and_without_it_where_it_contradicts():
    model = Model({"the blue one": BLUE})
    assert reground(past(), "no, the blue one", model).box == BLUE
    assert model.asked == [(*ASKED, Turn(QUESTION, Answer("the blue one")))], "one reading, with the history"

    def stubborn(turns, may_ask, min_confidence):  # believes what was said first
        return decision(Outcome.FOUND, RED if len(turns) > 1 else BLUE)

    assert reground(past(), "no, the blue one", stubborn).box == BLUE


def test_named_but_the_model_sees_the_rejected_one_again():
    model = Model({"the left one": RED, **BY_NAME})
    assert reground(past(), "no, the left one", model).box == BLUE, "the only rival"
    nothing = reground(past(regions=(RED,)), "no, the left one", Model({"the left one": RED}))
    assert nothing.outcome is Outcome.NOT_FOUND and nothing.box is None and nothing.confidence == 0


def test_questions_and_unknown_words_pass_through():
    assert reground(past(), "no, a big one", Model({"a big one": Outcome.ASK})).question == "Left or right?"
    unknown = reground(past(), "no, the zyzzyva", Model({"the zyzzyva": Outcome.UNKNOWN_WORDS}))
    assert unknown.outcome is Outcome.UNKNOWN_WORDS


def test_a_click_decides_even_against_the_rejection():
    assert reground(past(), Answer(point=(15.0, 15.0)), Model({})).box == RED
    assert reground(past(), Answer(point=(65.0, 15.0)), Model({})).box == BLUE


def test_a_session_is_concluded_and_re_opened_with_its_history():
    session = DialogueSession("the mug", max_questions=2, now=0.0)
    assert Concluded.of(session) is None
    asked = decision(Outcome.ASK, None, "Which?", (RED, BLUE))
    assert session.on_decision(asked, 1.0) == Ask("Which?")
    session.on_answer(Answer("red"), 2.0)
    session.on_decision(decision(Outcome.FOUND, RED), 3.0)
    first = Concluded.of(session)
    assert (first.box, first.first, first.at, first.max_questions, first.rejected) == (RED, asked, 3.0, 2, ())
    again = reopen(first, understand(Answer("No, the blue one!")), now=4.0)
    assert again.turns == (Turn("Which?", Answer("red")), Turn(QUESTION, Answer("the blue one")))
    assert again.transcript[0].text == "No, the blue one!" and again.questions_asked == 0 and again.may_ask
    again.on_decision(decision(Outcome.FOUND, BLUE), 5.0)
    second = Concluded.of(again, first)
    assert (second.box, second.rejected, second.first) == (BLUE, (RED,), asked)


def test_a_re_opened_dialogue_asks_and_is_answered():
    three = past((Turn("Do you mean the red mug, the blue mug or the green mug?", Answer("red")),), (RED, BLUE, GREEN))
    correction = understand(Answer("not that one"))
    session, regrounding = reopen(three, correction, now=0.0), Regrounding(three, correction)
    model = Model({"the green one": GREEN, **BY_NAME})
    step = session.on_decision(regrounding(model, session.turns), 1.0)
    assert step == Ask("Do you mean the blue mug or the green mug?")
    assert session.on_answer(Answer("the green one"), 2.0) == Continue()
    step = session.on_decision(regrounding(model, session.turns), 3.0)
    assert (step.end, step.decision.box) == (End.FOUND, GREEN)


def test_nothing_else_there_says_so():
    session = reopen(past(), understand(Answer("not that one")), now=0.0)
    step = session.on_decision(decision(Outcome.NOT_FOUND), 1.0)
    assert (step.end, step.words) == (End.NOT_FOUND, "I see no other one.")


def test_one_call_for_the_python_api():
    script = {"the mug": [Say.ask("Do you mean the red mug or the blue mug?"), Say.found(RED), Say.found(BLUE)]}
    grounder, image = ScriptedGrounder(script), np.zeros((48, 160, 3), np.uint8)
    found = correct(grounder, image, past(), Answer("no, the blue one"), threshold=0.4)
    assert found.box == BLUE and found.ambiguity.threshold == 0.4
    assert correct(grounder, image, past(), Answer("never mind")) is None
    assert correct(grounder, image, past(), Answer("hand me the bowl")) is None
