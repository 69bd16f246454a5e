"""What every Grounder promises (clue_ros/seams.py), as functions of one; test/core and test/ros run them over all."""

from __future__ import annotations

import numpy as np
import pytest

from clue_ros.seams import Capability, Grounder, MissingCapabilityError
from clue_ros.types import Answer, Box, Cancelled, InvalidExpressionError, InvalidImageError, Outcome, Turn

RGB = np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8)
WORDS = "hand me the mug"
TURNS = (Turn("left or right ?", Answer("the left one")),)
BOXES = (Box(5, 5, 30, 40), Box(30, 10, 60, 50), Box(40, 30, 89, 59))


def it_has_every_member(grounder):
    public = [name for name in vars(Grounder) if not name.startswith("_")]
    assert len(public) >= 13
    missing = []
    for name in public:
        try:
            getattr(grounder, name)
        except MissingCapabilityError:
            pass
        except AttributeError:
            missing.append(name)
    assert not missing


def it_says_what_it_is(grounder):
    assert isinstance(grounder.capabilities, frozenset)
    assert all(isinstance(c, Capability) for c in grounder.capabilities)
    assert 0 <= grounder.threshold <= 1
    assert grounder.vocabulary is None or {"mug", "left"} <= grounder.vocabulary


def an_image_is_seen_once(grounder):
    seen = grounder.encode(RGB)
    assert (seen.width, seen.height) == (90, 60) and grounder.encode(seen) is seen
    ahead = grounder.look(RGB)
    assert (ahead.width, ahead.height) == (90, 60) and grounder.look(seen) is seen
    one, *others = (grounder.ground(image, WORDS) for image in (RGB, seen, ahead))
    for other in others:
        assert (other.outcome, other.box, other.question) == (one.outcome, one.box, one.question)
    with pytest.raises(InvalidImageError):
        grounder.encode(np.zeros((60, 90), np.float32))


def a_decision_is_one_of_four(grounder):
    for turns in ((), TURNS):
        for threshold in (0.0, 1.0):
            decision = grounder.ground(RGB, WORDS, turns, threshold=threshold)
            assert decision.expression == WORDS and decision.latency_s
            assert (decision.box is not None) == (decision.outcome is Outcome.FOUND)
            assert bool(decision.question) == (decision.outcome is Outcome.ASK)
            assert 0 <= decision.confidence <= 1
            if decision.box is not None:
                x0, y0, x1, y1 = decision.box
                assert 0 <= x0 < x1 <= 90 and 0 <= y0 < y1 <= 60
            sure = grounder.ground(RGB, WORDS, turns, threshold=threshold, may_ask=False)
            assert sure.outcome in (Outcome.FOUND, Outcome.NOT_FOUND)


def given_candidates_are_what_is_chosen_from(grounder):
    decision = grounder.ground(RGB, WORDS, may_ask=False, candidates=BOXES)
    assert decision.outcome is Outcome.NOT_FOUND or decision.box in BOXES


def what_cannot_be_asked_is_refused_by_name(grounder):
    for call in (grounder.ground, grounder.detect_ambiguity, grounder.chat):
        with pytest.raises(InvalidExpressionError):
            call(RGB, "  ")
    with pytest.raises(Cancelled):
        grounder.ground(RGB, WORDS, should_stop=lambda: True)


def ambiguity_is_read_without_deciding(grounder):
    reading = grounder.detect_ambiguity(RGB, WORDS, TURNS, threshold=0.3)
    assert 0 <= reading.probability <= 1 and reading.threshold == 0.3
    assert reading.is_ambiguous == (reading.probability >= 0.3)
    grid = reading.attention_map
    assert grid.dtype == np.float32 and grid.ndim == 2 and 0 <= grid.min() <= grid.max() <= 1


def it_chats(grounder):
    answer = grounder.chat(RGB, "what is on the table?")
    assert answer.text and all(0 <= p.confidence <= 1 for p in answer.phrases)


def masks_are_there_or_refused(grounder):
    decision = grounder.ground(RGB, WORDS, may_ask=False, mask=True)
    able = Capability.MASKS in grounder.capabilities
    if decision.box is not None:
        assert (decision.mask is not None) == able
    if able:
        pixels = grounder.target_mask(RGB, WORDS, (), BOXES[0])
        assert pixels.shape == (60, 90) and pixels.dtype == bool
    else:
        lacks(Capability.MASKS, lambda: grounder.target_mask(RGB, WORDS, (), BOXES[0]))


def relevance_is_there_or_refused(grounder):
    if Capability.RELEVANCE in grounder.capabilities:
        heat = grounder.relevance(RGB, WORDS)
        assert heat.shape == (60, 90) and heat.dtype == np.float32 and 0 <= heat.min() <= heat.max() <= 1
    else:
        lacks(Capability.RELEVANCE, lambda: grounder.relevance(RGB, WORDS))


def readings_are_there_or_refused(grounder):
    if Capability.READINGS in grounder.capabilities:
        reading = grounder.readings(RGB, WORDS, TURNS)
        assert 0 <= reading.ambiguous <= 1 and np.isfinite([reading.question, reading.nothing]).all()
    else:
        lacks(Capability.READINGS, lambda: grounder.readings(RGB, WORDS))


def a_backbone_is_there_or_refused(grounder):
    if Capability.BACKBONE in grounder.capabilities:
        assert grounder.backbone.words == grounder.vocabulary
    else:
        assert Capability.BELIEF not in grounder.capabilities
        lacks(Capability.BACKBONE, lambda: grounder.backbone)


def it_warms_up(grounder):
    grounder.warm_up()


def lacks(capability, call):
    with pytest.raises(MissingCapabilityError, match=f"'{capability.value}'") as caught:
        call()
    assert caught.value.capability is capability and len(str(caught.value)) > 40  # it says what to do


PROMISES = [
    it_has_every_member,
    it_says_what_it_is,
    an_image_is_seen_once,
    a_decision_is_one_of_four,
    given_candidates_are_what_is_chosen_from,
    what_cannot_be_asked_is_refused_by_name,
    ambiguity_is_read_without_deciding,
    it_chats,
    masks_are_there_or_refused,
    relevance_is_there_or_refused,
    readings_are_there_or_refused,
    a_backbone_is_there_or_refused,
    it_warms_up,
]
