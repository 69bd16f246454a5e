"""The gate: one probability from the map's reading and the first token's, and its fit."""

import numpy as np
import pytest

from clue_ros.ambiguity.gate import Gate, logit, nothing_logit, sigmoid, speech_logit
from clue_ros.measures.classification import figures_at, fitted_threshold
from clue_ros.training.calibrate import fit_absence, logistic
from clue_ros.training.least_confidence import fit_least_confidence, told_of
from clue_ros.vlm.decoding import Branch

SURE_QUESTION = {Branch.QUESTION: 0.98, Branch.BOX: 0.01, Branch.NOTHING: 0.01}
SURE_BOX = {Branch.QUESTION: 0.01, Branch.BOX: 0.98, Branch.NOTHING: 0.01}


def test_without_weights_the_map_decides_alone():
    assert Gate.from_weights(()).probability(0.7, SURE_BOX) == pytest.approx(0.7)


def test_both_readings_move_the_probability():
    gate = Gate.from_weights((1.0, 1.0, 0.0))
    assert gate.probability(0.5, SURE_QUESTION) > 0.9 > 0.1 > gate.probability(0.5, SURE_BOX)
    assert gate.probability(0.9, SURE_BOX) > gate.probability(0.1, SURE_BOX)
    assert gate.probability(0.5, dict.fromkeys(Branch, 0.0)) == pytest.approx(0.5)


def test_logit_and_sigmoid_are_inverse_and_bounded():
    assert sigmoid(logit(0.3)) == pytest.approx(0.3)
    assert 0 < sigmoid(-1e9) < 1e-9 and 1 - 1e-9 < sigmoid(1e9) <= 1
    assert abs(speech_logit({Branch.QUESTION: 1.0, Branch.BOX: 0.0, Branch.NOTHING: 0.0})) < 10


def test_the_fit_recovers_the_weights_that_made_the_labels():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 2, (4000, 2))
    label = rng.random(4000) < 1 / (1 + np.exp(-(1.5 * x[:, 0] - 0.5 * x[:, 1] + 0.3)))
    assert logistic(x, label, decay=0) == pytest.approx([1.5, -0.5, 0.3], abs=0.15)


def test_the_report_counts_right():
    probability = np.array([0.9, 0.8, 0.4, 0.1])
    label = np.array([True, False, True, False])
    report = figures_at(probability, label, ["a", "a", "b", "b"], 0.5)
    assert (report["accuracy"], report["precision"], report["recall"], report["f1"]) == (0.5, 0.5, 0.5, 0.5)
    assert report["by_kind"]["a"] == {"count": 2, "accuracy": 0.5}
    assert fitted_threshold(probability, label) <= 0.4


def test_nothing_is_weighed_against_the_likelier_of_the_others():
    odds = nothing_logit({Branch.QUESTION: 0.1, Branch.BOX: 0.3, Branch.NOTHING: 0.6})
    assert odds == pytest.approx(np.log(2), abs=1e-4)


def test_absence_is_fitted_between_what_is_there_and_what_is_not():
    """There: denied by less than 1.45; absent: denied by more than 1.55. 1.5 tells them all apart."""
    rows = [(-3.0, False), (0.4, False), (1.45, False), (1.55, True), (4.0, True)]
    assert fit_absence(rows) == {"fit": 1.5, "count": 5, "there_kept": 1.0, "absent_recognised": 1.0}
    assert fit_absence([(-3.0, False), (2.0, True)])["fit"] == 0.0, "the nearest to 0 of those that are as good"
    assert fit_absence([(2.0, False)])["fit"] == 0.0


def test_the_least_confidence_is_fitted_on_what_the_robot_says():
    """Raw 0.5 and 0.6 become 0.27 and 0.36 under a bias of -1: ten wrong boxes, and ten of which nine are right."""
    boxes = [(0.5, False, 0)] * 10 + [(0.6, True, 1)] * 9 + [(0.6, False, 2)]
    raw, shifted = fit_least_confidence(boxes, ()), fit_least_confidence(boxes, (1.0, -1.0))
    assert raw == {"fit": 0.51, "share": 0.8, "count": 20, "all_right": 0.45, "kept": 10, "right": 0.9}
    assert shifted == {**raw, "fit": 0.27}
    assert told_of(raw) == [
        "min_confidence 0.51: 90.0% of the 10 boxes from it on are right, 45.0% of all 20 "
        "(photographs, clear instructions)"
    ]
    assert fit_least_confidence(boxes[:9], ()) == {"fit": None, "count": 9} and told_of({"fit": None}) == []
