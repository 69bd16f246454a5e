"""Words that a closed vocabulary lacks: outside what names the thing, in front of a known noun, or the noun itself."""

import pytest
from coloured_sight import GREEN, RED, ColourSight, CupBackbone, drawn

from clue_ros.belief.grounder import BeliefGrounder
from clue_ros.belief.unknown import settle
from clue_ros.stock.grounder import StockGrounder
from clue_ros.types import Answer, Decision, Outcome, Turn

CUP, NO_CUP = drawn((GREEN, 60, 60, 100, 120)), drawn((RED, 60, 60, 100, 120))
QUESTION = 'The word "steel" is new to me. Do you mean the cup?'


@pytest.fixture
def grounder():
    return BeliefGrounder(StockGrounder(CupBackbone(ColourSight())))


def ask(grounder, words, *answers, image=CUP, **how):
    turns = [Turn(QUESTION, Answer(a) if isinstance(a, str) else a) for a in answers]
    return grounder.ground(image, words, turns, **how)


def test_what_is_to_be_done_with_a_thing_need_not_be_known(grounder):
    plain = ask(grounder, "the cup")
    for words in ("put the cup on the windowsill", "Pick up the cup and stow it in the locker."):
        found = ask(grounder, words)
        assert (found.outcome, found.box, found.expression) == (Outcome.FOUND, plain.box, words)
    assert ask(grounder, "take the cup on the windowsill").unknown_words == ("windowsill",)  # says which one
    assert ask(grounder, "put the gizmo on the cup").unknown_words == ("gizmo",)
    assert ask(grounder, "never put the cup on the windowsill").outcome is Outcome.UNKNOWN_WORDS


def test_a_new_word_in_front_of_a_known_one_is_asked_about(grounder):
    asked = ask(grounder, "put the steel cup on the windowsill")
    assert (asked.outcome, asked.question, asked.box) == (Outcome.ASK, QUESTION, None)
    for yes in ("yes", "Yes, please.", Answer(point=(80, 90))):
        assert ask(grounder, "the steel cup", yes).outcome is Outcome.FOUND
    refused = ask(grounder, "the steel cup", "no")
    assert (refused.outcome, refused.unknown_words, refused.box) == (Outcome.UNKNOWN_WORDS, ("steel",), None)
    for no in ("No thanks.", "ok, no", "not that", "i do not mean that one", "none of them", "I don't want it"):
        assert ask(grounder, "the steel cup", no).unknown_words == ("steel",), no
    assert ask(grounder, "the steel cup", "no, the mug").outcome is Outcome.FOUND
    assert ask(grounder, "the steel cup", may_ask=False).outcome is Outcome.UNKNOWN_WORDS


@pytest.mark.parametrize("yes", ["yes", "yes, the cup", "Sure, the cup please"])
def test_a_yes_keeps_what_else_was_said_of_the_thing(yes):
    heard = []

    def decide(words, turns):
        heard.append(words)
        return Decision(Outcome.FOUND, words)

    question = 'The word "steel" is new to me. Do you mean the cup left of the plate?'
    unknown = Decision(Outcome.UNKNOWN_WORDS, "", unknown_words=("steel",))
    settle(unknown, decide, "the steel cup left of the plate", [Turn(question, Answer(yes))], True, None)
    assert heard == ["the cup left of the plate"]


@pytest.mark.parametrize("said", ["what?", "hmm", "I don't know", "perhaps"])
def test_what_is_neither_yes_nor_no_is_asked_again(grounder, said):
    assert ask(grounder, "the steel cup", said).question == QUESTION
    assert ask(grounder, "the steel cup", said, "Yes").outcome is Outcome.FOUND
    assert ask(grounder, "the steel cup", said, may_ask=False).outcome is Outcome.UNKNOWN_WORDS


def test_nothing_is_asked_about_a_thing_that_is_not_there(grounder):
    assert ask(grounder, "the steel cup", image=NO_CUP).outcome is Outcome.NOT_FOUND
