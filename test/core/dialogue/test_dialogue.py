"""The dialogue state machine: the rules one by one, then properties over arbitrary sequences of events."""

import numpy as np
import pytest

from clue_ros.dialogue import phrases
from clue_ros.dialogue.session import DialogueSession
from clue_ros.dialogue.steps import Ask, Continue, End, Finish, Ignored, Policy
from clue_ros.dialogue.stopping import is_stop
from clue_ros.types import Ambiguity, Answer, Box, Decision, Outcome

BOX = Box(10, 10, 40, 40)


def decide(outcome, ambiguous=False, question="", unknown=()):
    ambiguity = None
    if outcome is not Outcome.UNKNOWN_WORDS:
        ambiguity = Ambiguity(0.9 if ambiguous else 0.1, 0.5, ambiguous, np.zeros((4, 4), np.float32))
    box = BOX if outcome is Outcome.FOUND else None
    return Decision(outcome, "the mug", ambiguity, box, 0.8, question, tuple(unknown))


FOUND = decide(Outcome.FOUND)
GUESS = decide(Outcome.FOUND, ambiguous=True)
ASK = decide(Outcome.ASK, ambiguous=True, question="Which colour?")
NOT_FOUND = decide(Outcome.NOT_FOUND)
UNKNOWN = decide(Outcome.UNKNOWN_WORDS, unknown=["gizmo"])


def said(session):
    return [(line.speaker, line.text) for line in session.transcript]


def test_clear_instruction_finishes_without_a_question():
    session = DialogueSession("the mug", now=1.0)
    step = session.on_decision(FOUND, 2.0)
    assert isinstance(step, Finish) and step.end is End.FOUND and step.decision is FOUND
    assert session.questions_asked == 0 and session.turns == () and session.finished is step
    assert said(session) == [("person", "the mug"), ("robot", "I see it.")]


def test_question_answer_found():
    session = DialogueSession("the mug", now=0.0)
    assert session.on_decision(ASK, 0.5) == Ask("Which colour?")
    assert session.open_question == "Which colour?" and session.questions_asked == 1
    assert session.on_answer(Answer(" the red one "), 1.0) == Continue()
    assert session.open_question is None
    assert session.turns[0].question == "Which colour?" and session.turns[0].answer.text == "the red one"
    assert session.on_decision(FOUND, 2.0).end is End.FOUND
    assert session.first_decision is ASK and session.last_decision is FOUND
    assert said(session)[1:3] == [("robot", "Which colour?"), ("person", "the red one")]


def test_click_is_an_answer():
    session = DialogueSession("the mug", now=0.0)
    session.on_decision(ASK, 0.0)
    assert session.on_answer(Answer(point=(12.4, 30.0)), 1.0) == Continue()
    assert session.turns[0].answer.point == (12.4, 30.0)
    assert said(session)[-1] == ("person", "(points at 12, 30)")
    session.on_decision(ASK, 2.0)
    assert session.on_answer(Answer(box=BOX), 3.0) == Continue()
    assert session.turns[1].answer.box == BOX and "box" in said(session)[-1][1]


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_empty_answer_is_ignored_and_the_question_stays_open(text):
    session = DialogueSession("the mug", now=0.0)
    session.on_decision(ASK, 0.0)
    assert isinstance(session.on_answer(Answer(text), 1.0), Ignored)
    assert session.open_question == "Which colour?" and session.turns == ()


@pytest.mark.parametrize(
    "text",
    [
        "never mind",
        "Never mind!",
        "nevermind",
        "cancel",
        "Forget it.",
        "stop",
        "oh, forget it please",
        "no, never mind",
        "STOP!",
    ],
)
def test_give_up_ends_the_dialogue(text):
    session = DialogueSession("the mug", now=0.0)
    session.on_decision(ASK, 0.0)
    step = session.on_answer(Answer(text), 1.0)
    assert step.end is End.ABANDONED and session.open_question is None


@pytest.mark.parametrize(
    "text", ["no", "the one near the stop sign", "not the cancel button", "please", "ok", "I forget", "yes"]
)
def test_other_words_do_not_give_up(text):
    assert not is_stop(text)


def test_a_box_of_low_confidence_is_not_sold_as_a_sure_one():
    found = decide(Outcome.FOUND)
    assert phrases.closing(End.FOUND, "the mug", found.doubted_below(found.confidence)) == "I see it."
    doubted = found.doubted_below(found.confidence + 0.01)
    assert phrases.closing(End.FOUND, "the mug", doubted) == phrases.UNSURE
    assert phrases.announced(phrases.UNSURE, "the mug") is End.FOUND
    assert not decide(Outcome.NOT_FOUND).doubted_below(1.0).unsure


@pytest.mark.parametrize(
    "text",
    [
        "no",
        "Yes.",
        "ok",
        "no, thanks",
        "yes please",
        "All right!",
        "hm",
        "What is on the table?",
        "what's here",
        "what do you see?",
        "so what things are there on my desk",
    ],
)
def test_agreement_and_politeness_alone_name_nothing(text):
    assert phrases.names_nothing(text)


@pytest.mark.parametrize(
    "text",
    [
        "right",
        "the no entry sign",
        "the mug please",
        "this one",
        "robot",
        "of",
        "?",
        "",
        "what is in the mug",
        "what is next to the box",
        "give me what is on the plate",
    ],
)
def test_words_that_may_mean_a_thing_are_an_instruction(text):
    assert not phrases.names_nothing(text)


def test_give_up_while_the_model_is_thinking():
    session = DialogueSession("the mug", now=0.0)
    assert session.on_answer(Answer("the red one"), 0.1) == Ignored("no question is open")
    assert session.on_answer(Answer("never mind"), 0.2).end is End.ABANDONED
    assert isinstance(session.on_decision(FOUND, 0.3), Ignored)


def test_budget_spent_and_still_ambiguous():
    session = DialogueSession("the mug", max_questions=1, now=0.0)
    session.on_decision(ASK, 0.0)
    assert not session.may_ask
    session.on_answer(Answer("hm"), 1.0)
    step = session.on_decision(GUESS, 2.0)
    assert step.end is End.AMBIGUOUS and step.decision.box == BOX


def test_budget_spent_and_resolved():
    session = DialogueSession("the mug", max_questions=1, now=0.0)
    session.on_decision(ASK, 0.0)
    session.on_answer(Answer("red"), 1.0)
    assert session.on_decision(FOUND, 2.0).end is End.FOUND


def test_grounder_that_asks_against_the_rules_cannot_exceed_the_budget():
    session = DialogueSession("the mug", max_questions=0, now=0.0)
    assert session.on_decision(ASK, 0.0).end is End.AMBIGUOUS
    assert session.questions_asked == 0


def test_policies():
    assert DialogueSession("x", Policy.FAIL, now=0.0).on_decision(GUESS, 0.1).end is End.AMBIGUOUS
    assert DialogueSession("x", Policy.FAIL, now=0.0).on_decision(FOUND, 0.1).end is End.FOUND
    assert DialogueSession("x", Policy.BEST_GUESS, now=0.0).on_decision(GUESS, 0.1).end is End.FOUND
    assert not DialogueSession("x", Policy.BEST_GUESS, now=0.0).may_ask
    assert DialogueSession("x", "fail", now=0.0).policy is Policy.FAIL


def test_ask_until_confident_passes_its_limit_while_it_may_ask():
    session = DialogueSession("x", Policy.ASK_UNTIL_CONFIDENT, max_questions=1, now=0.0, min_confidence=0.7)
    assert session.may_ask and session.min_confidence == 0.7
    assert session.on_decision(ASK, 0.1) == Ask("Which colour?")
    assert session.on_answer(Answer("red"), 0.2) == Continue()
    assert not session.may_ask and session.min_confidence == 0.0, "no question left: the best box, not a refusal"
    assert session.on_decision(GUESS, 0.3).end is End.FOUND
    assert session.finished.decision.confidence == 0.8


@pytest.mark.parametrize("policy", [Policy.ASK, Policy.BEST_GUESS, Policy.FAIL])
def test_other_policies_do_not_mind_low_confidence(policy):
    assert DialogueSession("x", policy, now=0.0, min_confidence=0.7).min_confidence == 0.0


def test_ask_until_confident_still_ends_with_nothing_there():
    session = DialogueSession("x", Policy.ASK_UNTIL_CONFIDENT, now=0.0)
    session.on_decision(ASK, 0.1)
    session.on_answer(Answer("green"), 0.2)
    assert session.on_decision(NOT_FOUND, 0.3).end is End.NOT_FOUND


def test_not_found_and_unknown_words():
    step = DialogueSession("the red pen.", now=0.0).on_decision(NOT_FOUND, 0.1)
    assert step.end is End.NOT_FOUND and step.words == "I do not see the red pen."
    step = DialogueSession("the gizmo", now=0.0).on_decision(UNKNOWN, 0.1)
    assert step.end is End.UNKNOWN_WORDS and step.words == 'I do not know the word "gizmo".'


def test_answer_timeout_counts_from_the_question():
    session = DialogueSession("the mug", answer_timeout_s=5.0, now=0.0)
    assert session.on_time(100.0) is None  # thinking has no answer to wait for
    session.on_decision(ASK, 100.0)
    assert session.on_time(104.9) is None
    assert session.on_time(105.0).end is End.ANSWER_TIMEOUT
    assert session.on_time(106.0) is None


def test_late_answer_finishes_instead_of_continuing():
    session = DialogueSession("the mug", answer_timeout_s=5.0, now=0.0)
    session.on_decision(ASK, 0.0)
    assert session.on_answer(Answer("red"), 6.0).end is End.ANSWER_TIMEOUT


def test_whole_timeout_wins_in_every_state():
    session = DialogueSession("the mug", timeout_s=2.0, now=10.0)
    assert session.on_time(11.9) is None
    assert session.on_time(12.0).end is End.TIMEOUT
    session = DialogueSession("the mug", timeout_s=2.0, now=10.0)
    assert session.on_decision(FOUND, 12.5).end is End.TIMEOUT


def test_no_limits():
    session = DialogueSession("the mug", answer_timeout_s=None, now=0.0)
    session.on_decision(ASK, 0.0)
    assert session.on_time(1e9) is None


def test_cancel_once():
    session = DialogueSession("the mug", now=0.0)
    session.on_decision(ASK, 0.0)
    assert session.cancel().end is End.CANCELED
    assert isinstance(session.cancel(), Ignored)
    assert isinstance(session.on_answer(Answer("red"), 1.0), Ignored)


def test_bad_arguments():
    for arguments in (
        {"max_questions": -1},
        {"answer_timeout_s": 0.0},
        {"timeout_s": -1.0},
        {"timeout_s": float("nan")},
        {"min_confidence": 1.5},
        {"min_confidence": float("nan")},
    ):
        with pytest.raises(ValueError):
            DialogueSession("x", **arguments, now=0.0)


@pytest.mark.parametrize(
    "expression, words",
    [
        ("look for the yellow tin", "I do not see the yellow tin."),
        ("hey robot , give me the mug on the left , please", "I do not see the mug on the left."),
        ("Can you see a pen?", "I do not see a pen."),
        ("red mug", "I see nothing that fits “red mug”."),
        ("the", "I see nothing that fits “the”."),
    ],
)
def test_not_found_names_the_thing_and_not_the_command(expression, words):
    assert phrases.closing(End.NOT_FOUND, expression) == words


def test_every_end_has_words():
    for end in End:
        words = phrases.closing(end, "the mug " * 300, UNKNOWN)
        assert words.endswith(".") and len(words) < 200
    assert "2 more" in phrases.closing(End.UNKNOWN_WORDS, "x", decide(Outcome.UNKNOWN_WORDS, unknown=list("abcdefg")))
