"""A probability over candidate boxes, carried through a dialogue: Bayes' rule and what it says about what to ask.

Pure values: no model, no ROS. After InViG's guesser and INVIGORATE, whose belief is over the detected objects too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import List, Optional, Sequence, Tuple, Union

import numpy as np

from clue_ros.geometry import box_iou
from clue_ros.types import Box

SAME_IOU = 0.5  # two boxes that overlap so much are one candidate
LIKELY, ASKED_ABOUT = 0.04, 6  # candidates below that probability, and beyond so many, no question is about
FLOOR = 1e-3  # of a likelihood beside the best one: people and models err, so nothing is ever ruled out


@dataclass(frozen=True)
class Belief:
    """boxes: candidates in pixels of the image; probabilities: one each, they sum to 1. Empty: nothing to choose
    from.
    """

    boxes: Tuple[Box, ...] = ()
    probabilities: Tuple[float, ...] = ()

    @classmethod
    def of(cls, boxes: Sequence[Box], weights: Optional[Sequence[float]] = None) -> "Belief":
        """Boxes with weights >= 0 of any sum (None: all alike; so do weights that are all 0).

        Raises ValueError for weights that are negative, not finite or of another number."""
        values = np.ones(len(boxes)) if weights is None else np.asarray(weights, np.float64)
        if values.shape != (len(boxes),) or not np.isfinite(values).all() or (values < 0).any():
            raise ValueError(f"{len(boxes)} boxes need as many finite weights >= 0, got {str(weights)[:80]}")
        if len(boxes) and values.sum() <= 0:
            values = np.ones(len(boxes))
        total = values.sum() if len(boxes) else 1.0
        return cls(tuple(Box(*box) for box in boxes), tuple(float(v) for v in values / total))

    @property
    def best(self) -> int:
        """Index of the likeliest candidate, the first of equals; -1 without any."""
        return int(np.argmax(self.probabilities)) if self.boxes else -1

    @property
    def entropy(self) -> float:
        """Bits that are still missing."""
        return -sum(p * math.log2(p) for p in self.probabilities if p > 0)

    def updated(self, likelihoods: Union[Sequence[float], np.ndarray]) -> "Belief":
        """After an observation; likelihoods: P(observation | candidate) up to a common factor, one each, >= 0.

        Those below FLOOR of the largest count as FLOOR of it; all 0 changes nothing."""
        values = np.asarray(likelihoods, np.float64)
        if not self.boxes or values.max(initial=0.0) <= 0:
            return self
        values = np.maximum(values / values.max(), FLOOR)
        return Belief.of(self.boxes, np.asarray(self.probabilities) * values)

    def with_candidate(self, box: Box, probability: float) -> "Belief":
        """One more candidate of that probability; the others keep their proportions."""
        if not self.boxes:
            return Belief.of([box])
        kept = [p * (1 - probability) for p in self.probabilities]
        return replace(self, boxes=(*self.boxes, Box(*box)), probabilities=(*kept, probability))

    def ordered(self) -> "Belief":
        """The candidates from left to right, as numbers are given to them."""
        order = sorted(range(len(self.boxes)), key=lambda n: (self.boxes[n].center, n))
        return Belief(tuple(self.boxes[n] for n in order), tuple(self.probabilities[n] for n in order))

    def likely(self, least: float, limit: int) -> "Belief":
        """The candidates of at least that probability, at most `limit`, in their order; the best one always stays."""
        ranked = sorted(range(len(self.boxes)), key=lambda n: -self.probabilities[n])[:limit]
        kept = sorted(n for n in ranked if self.probabilities[n] >= least or n == self.best)
        return Belief.of([self.boxes[n] for n in kept], [self.probabilities[n] for n in kept])

    def worth_asking(self) -> "Belief":
        """The candidates that a question is about, from left to right."""
        return self.likely(LIKELY, ASKED_ABOUT).ordered()

    def merged(self) -> "Belief":
        """One candidate for boxes of one thing, with their probabilities together and the box that agrees best with
        them.
        """
        left = sorted(range(len(self.boxes)), key=lambda n: -self.probabilities[n])
        boxes: List[Box] = []
        weights: List[float] = []
        while left:
            # A box without area overlaps nothing, not even itself.
            group = [n for n in left if n == left[0] or box_iou(self.boxes[n], self.boxes[left[0]]) >= SAME_IOU]
            left = [n for n in left if n not in group]
            members = [self.boxes[n] for n in group]
            shares = [self.probabilities[n] for n in group]
            boxes.append(
                max(members, key=lambda box: sum(s * box_iou(box, other) for s, other in zip(shares, members)))
            )
            weights.append(sum(shares))
        return Belief.of(boxes, weights)


def information_gain(probabilities: Sequence[float], answers: np.ndarray) -> float:
    """Expected bits that an answer tells: H(answer) - E[H(answer | candidate)].

    probabilities: float[N] of the candidates; answers: float[N, A], P(answer | candidate), each row sums to 1.
    """
    prior, table = np.asarray(probabilities, np.float64), np.asarray(answers, np.float64)
    return float(_entropy(prior @ table) - prior @ _entropy(table))


def _entropy(rows: np.ndarray) -> np.ndarray:
    safe = np.where(rows > 0, rows, 1.0)
    return -(safe * np.log2(safe)).sum(-1)
