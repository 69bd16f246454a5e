"""How well a detector's probabilities tell ambiguous from clear: confusion, ROC curve, area, reliability. Pure numpy.

Training, calibration, finetuning and the suites all take their figures from here.

probability: float[N] in [0, 1]; label: bool[N], True for ambiguous, everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from clue_ros.measures.bootstrap import Estimate, rate, ratio, statistic

BINS = 10  # of the reliability diagram
SURE = 0.8  # share of right boxes from which their confidence is enough
LEAST_BOXES = 10  # fewer say nothing about a share


class Rates(NamedTuple):
    """Figures at one threshold, all in [0, 1]; None where nothing is to be divided by."""

    threshold: float
    accuracy: Optional[float]
    precision: Optional[float]
    recall: Optional[float]
    f1: Optional[float]
    false_alarms: Optional[float]


@dataclass(frozen=True)
class Bin:
    """One bar of a reliability diagram: mean probability said, share that really is ambiguous, how many rows."""

    low: float
    said: float
    true: float
    count: int


def rates_at(probability: np.ndarray, label: np.ndarray, threshold: float) -> Rates:
    """Accuracy, precision, recall, F1 and false-alarm rate of `probability >= threshold`."""
    probability, label = np.asarray(probability, float), np.asarray(label, bool)
    guess, count = probability >= threshold, len(label)
    hits, said, true = (int(v.sum()) for v in (guess & label, guess, label))
    right = int((guess == label).sum())
    return Rates(
        float(threshold),
        _divide(right, count),
        _divide(hits, said),
        _divide(hits, true),
        _divide(2 * hits, said + true),
        _divide(said - hits, count - true),
    )


def best_threshold(probability: np.ndarray, label: np.ndarray) -> float:
    """The threshold with the highest F1 on these rows: between two neighbouring probabilities, the middle of the best
    interval. Fitted on the rows that it is reported on, it is an upper bound."""
    order = np.unique(np.asarray(probability, float))
    if not len(order):
        return 0.5
    candidates = np.concatenate([[order[0]], (order[1:] + order[:-1]) / 2])
    return float(max(candidates, key=lambda t: rates_at(probability, label, t).f1 or 0.0))


def fitted_threshold(probability: np.ndarray, label: np.ndarray) -> float:
    """The threshold to ship: of 0.20, 0.21, … 0.80 the lowest with the highest F1. Coarser and kept from the ends, it
    is less at the mercy of the rows it is fitted on than `best_threshold`."""
    grid, f1 = _f1_on_grid(probability, label)
    return float(grid[int(np.argmax(f1))])


def quiet_threshold(probability: np.ndarray, label: np.ndarray, cost: float = 0.005) -> float:
    """As `fitted_threshold`, but the highest of those whose F1 is at most `cost` below the best: around its peak F1 is
    flat within the noise of a few hundred scenes, and a question that nobody needed annoys more than F1 tells."""
    grid, f1 = _f1_on_grid(probability, label)
    return float(grid[np.flatnonzero(f1 >= f1.max() - cost)[-1]])


def sure_from(confidence: Sequence[float], right: Sequence[bool], share: float = SURE) -> Optional[float]:
    """The smallest confidence, of hundredths, such that of the boxes with at least it `share` are right.

    confidence: in [0, 1]; right: one a box. None where at none of them LEAST_BOXES boxes and that share are left.
    """
    sure, hit = np.asarray(confidence, float), np.asarray(right, bool)
    for limit in np.linspace(0, 1, 101):
        kept = hit[sure >= limit]
        if len(kept) < LEAST_BOXES:
            return None
        if kept.mean() >= share:
            return round(float(limit), 2)
    return None


def _f1_on_grid(probability: np.ndarray, label: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    grid = np.linspace(0.2, 0.8, 61)
    return grid, np.array([rates_at(probability, label, t).f1 or 0.0 for t in grid])


def figures_at(probability: np.ndarray, label: np.ndarray, kinds: Sequence[str], threshold: float) -> Dict[str, Any]:
    """The figures at a threshold as JSON values, rounded: threshold, count, accuracy, precision, recall, F1 (0 where
    there is nothing to divide by), area under the ROC curve (None without both classes), accuracy by kind."""
    probability, label = np.asarray(probability, float), np.asarray(label, bool)
    at, area = rates_at(probability, label, threshold), area_under_curve(probability, label)
    by_kind = {}
    for kind in sorted(set(kinds)):
        here = np.array([k == kind for k in kinds])
        right = rates_at(probability[here], label[here], threshold).accuracy
        by_kind[kind] = {"count": int(here.sum()), "accuracy": round(right or 0.0, 3)}
    figures = {name: round(getattr(at, name) or 0.0, 3) for name in ("accuracy", "precision", "recall", "f1")}
    return {
        "threshold": round(threshold, 3),
        "count": len(label),
        **figures,
        "auc": None if area is None else round(area, 4),
        "by_kind": by_kind,
    }


def roc_curve(probability: np.ndarray, label: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(false-alarm rate, recall, threshold) from (0, 0) to (1, 1), one point for each different probability. Empty if
    one class is missing."""
    probability, label = np.asarray(probability, float), np.asarray(label, bool)
    positive, negative = int(label.sum()), int((~label).sum())
    if not positive or not negative:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    order = np.argsort(-probability, kind="stable")
    sorted_probability, sorted_label = probability[order], label[order]
    last = np.r_[np.nonzero(np.diff(sorted_probability))[0], len(order) - 1]  # ties move together
    hits = np.cumsum(sorted_label)[last]
    alarms = last + 1 - hits
    return (np.r_[0, alarms / negative], np.r_[0, hits / positive], np.r_[np.inf, sorted_probability[last]])


def area_under_curve(probability: np.ndarray, label: np.ndarray) -> Optional[float]:
    """Area under the ROC curve in [0, 1], ties counted half; None if one class is missing."""
    alarms, recall, _ = roc_curve(probability, label)
    if not len(alarms):
        return None
    return float(((alarms[1:] - alarms[:-1]) * (recall[1:] + recall[:-1]) / 2).sum())


def reliability(probability: np.ndarray, label: np.ndarray, bins: int = BINS) -> List[Bin]:
    """The bins of equal width that hold any row, from low to high."""
    probability, label = np.asarray(probability, float), np.asarray(label, bool)
    place = np.minimum((probability * bins).astype(int), bins - 1)
    return [
        Bin(n / bins, float(probability[here].mean()), float(label[here].mean()), int(here.sum()))
        for n in range(bins)
        if (here := place == n).any()
    ]


def calibration_error(probability: np.ndarray, label: np.ndarray, bins: int = BINS) -> Optional[float]:
    """Expected calibration error (Naeini et al., 2015) in [0, 1]: gap between said and true, weighted by rows."""
    if not len(probability):
        return None
    return sum(b.count * abs(b.said - b.true) for b in reliability(probability, label, bins)) / len(probability)


def f1_terms(guess: np.ndarray, label: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """(numerator, denominator) a row, whose sums' ratio is F1: 2·tp over guessed + true."""
    guess, label = np.asarray(guess, bool), np.asarray(label, bool)
    return 2.0 * (guess & label), guess.astype(float) + label


def estimates(probability: np.ndarray, label: np.ndarray, threshold: float, groups) -> List[Tuple[str, Estimate]]:
    """The figures at a threshold with intervals over groups (images)."""
    probability, label = np.asarray(probability, float), np.asarray(label, bool)
    guess = probability >= threshold
    hit = (guess & label).astype(float)
    return [
        ("accuracy", rate(list(guess == label), groups)),
        ("precision", ratio(hit, guess, groups, rate=True)),
        ("recall", ratio(hit, label, groups, rate=True)),
        ("f1", f1_estimate(guess, label, groups)),
    ]


def f1_estimate(guess: np.ndarray, label: np.ndarray, groups) -> Estimate:
    """F1 with its interval; its count is of all rows."""
    found = ratio(*f1_terms(guess, label), groups)
    return replace(found, count=len(label)) if found.count else found


def area_estimate(probability: np.ndarray, label: np.ndarray, groups) -> Estimate:
    probability, label = np.asarray(probability, float), np.asarray(label, bool)
    return statistic(lambda rows: area_under_curve(probability[rows], label[rows]), groups)


def _divide(top: float, bottom: float) -> Optional[float]:
    return top / bottom if bottom else None
