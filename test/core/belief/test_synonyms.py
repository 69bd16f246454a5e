"""Unknown words that mean nearly what a known one does: offered, taken, refused, never replaced unasked."""

import numpy as np
import pytest
from coloured_sight import GREEN, ColourSight, CupBackbone, drawn

from clue_ros.belief.grounder import BeliefGrounder
from clue_ros.belief.synonyms import Synonyms
from clue_ros.stock.grounder import StockGrounder
from clue_ros.types import Answer, Outcome, Turn

MEANINGS = {"cup": (1, 0), "mug": (0.6, 0.8), "tumbler": (0.95, 0.3), "gizmo": (-1, 0)}
CUP = drawn((GREEN, 60, 60, 100, 120))
QUESTION = "Do you mean the cup?"


def vectors(words):
    rows = np.array([MEANINGS.get(word, (0, -1)) for word in words], float)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def grounder():
    made = BeliefGrounder(StockGrounder(CupBackbone(ColourSight())))
    made._synonyms = Synonyms(made.vocabulary, vectors)
    return made


def ask(grounder, *answers, words="hand me the tumbler", **how):
    return grounder.ground(CUP, words, [Turn(QUESTION, Answer(a) if isinstance(a, str) else a) for a in answers], **how)


def test_the_near_word_is_offered_and_taken_only_after_a_yes(grounder):
    asked = ask(grounder)
    assert (asked.outcome, asked.question, asked.box) == (Outcome.ASK, QUESTION, None)
    for yes in ("yes", "Yes, please.", Answer(point=(80, 90))):
        found = ask(grounder, yes)
        assert found.outcome is Outcome.FOUND and found.box is not None and found.expression == "hand me the tumbler"
    refused = ask(grounder, "no")
    assert refused.outcome is Outcome.UNKNOWN_WORDS and refused.unknown_words == ("tumbler",)
    assert ask(grounder, "no, the mug").outcome is Outcome.FOUND
    assert ask(grounder, "no, the gizmo").unknown_words == ("gizmo",)


def test_what_is_not_near_or_must_not_be_asked_stays_unknown(grounder):
    assert ask(grounder, words="the gizmo").outcome is Outcome.UNKNOWN_WORDS
    assert ask(grounder, words="the gizmo tumbler").unknown_words == ("gizmo", "tumbler")
    assert ask(grounder, may_ask=False).outcome is Outcome.UNKNOWN_WORDS
    assert ask(grounder, words="the cup").outcome is Outcome.FOUND
    assert Synonyms(grounder.vocabulary, vectors).near("tumblers") == "cups"


def test_without_the_package_nothing_changes(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    plain = BeliefGrounder(StockGrounder(CupBackbone(ColourSight())))
    assert plain._synonyms is None and ask(plain).outcome is Outcome.UNKNOWN_WORDS
    assert Synonyms.installed(None) is None
