"""The gate: one probability from the map's reading and the first token's, and its fit."""

import numpy as np
import pytest

from clue_ros.ambiguity.gate import Gate, logit, sigmoid, speech_logit
from clue_ros.measures.classification import figures_at, fitted_threshold
from clue_ros.training.calibrate import logistic
from clue_ros.vlm.decoding import Branch

SURE_QUESTION = {Branch.QUESTION: .98, Branch.BOX: .01, Branch.NOTHING: .01}
SURE_BOX = {Branch.QUESTION: .01, Branch.BOX: .98, Branch.NOTHING: .01}


def test_without_weights_the_map_decides_alone():
    assert Gate.from_weights(()).probability(.7, SURE_BOX) == pytest.approx(.7)


def test_both_readings_move_the_probability():
    gate = Gate.from_weights((1.0, 1.0, 0.0))
    assert gate.probability(.5, SURE_QUESTION) > .9 > .1 > gate.probability(.5, SURE_BOX)
    assert gate.probability(.9, SURE_BOX) > gate.probability(.1, SURE_BOX)
    assert gate.probability(.5, {b: 0.0 for b in Branch}) == pytest.approx(.5)


def test_logit_and_sigmoid_are_inverse_and_bounded():
    assert sigmoid(logit(.3)) == pytest.approx(.3)
    assert 0 < sigmoid(-1e9) < 1e-9 and 1 - 1e-9 < sigmoid(1e9) <= 1
    assert abs(speech_logit({Branch.QUESTION: 1.0, Branch.BOX: 0.0, Branch.NOTHING: 0.0})) < 10


def test_the_fit_recovers_the_weights_that_made_the_labels():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 2, (4000, 2))
    label = rng.random(4000) < 1 / (1 + np.exp(-(1.5 * x[:, 0] - .5 * x[:, 1] + .3)))
    assert logistic(x, label, decay=0) == pytest.approx([1.5, -.5, .3], abs=.15)


def test_the_report_counts_right():
    probability = np.array([.9, .8, .4, .1])
    label = np.array([True, False, True, False])
    report = figures_at(probability, label, ["a", "a", "b", "b"], .5)
    assert (report["accuracy"], report["precision"], report["recall"], report["f1"]) == (.5, .5, .5, .5)
    assert report["by_kind"]["a"] == {"count": 2, "accuracy": .5}
    assert fitted_threshold(probability, label) <= .4
