"""Two readings of one instruction, one probability: what the map shows, and what the dialogue adapter is about to say.

P(ambiguous) = sigmoid(w_map · logit(p_map) + w_speech · logit(p_question / (p_question + p_box)) + bias), fitted by
logistic regression on held-out scenes (training/calibrate.py). p_map is the CNN's reading of the attention map; the
speech term is the dialogue adapter's own first-token choice between a question and a box, which costs nothing extra
because that prefix is run anyway. The map is read early (layer k), before a position such as "left" has fully taken
effect; the first token is late and knows it, but says nothing about where. Without weights the map decides alone, as in
the paper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Mapping, Tuple

from clue_ros.vlm.decoding import Branch


@dataclass(frozen=True)
class Gate:
    """Weights of the combination; all dimensionless."""

    map_weight: float = 1.0
    speech_weight: float = 0.0
    bias: float = 0.0

    @classmethod
    def from_weights(cls, weights: Tuple[float, ...]) -> "Gate":
        """(w_map, w_speech, bias), or empty for the map alone."""
        return cls(*weights) if weights else cls()

    def probability(self, map_probability: float, branches: Mapping[Branch, float]) -> float:
        """P(ambiguous) in [0, 1]. branches: probability of each branch for the first token of `clarify`, unused
        without a speech weight."""
        if not self.speech_weight:
            return sigmoid(self.map_weight * logit(map_probability) + self.bias)
        return sigmoid(
            self.map_weight * logit(map_probability) + self.speech_weight * speech_logit(branches) + self.bias
        )


def speech_logit(branches: Mapping[Branch, float]) -> float:
    """Log-odds of a question against a box."""
    question, box = branches[Branch.QUESTION], branches[Branch.BOX]
    return logit((question + 1e-6) / (question + box + 2e-6))


def nothing_logit(branches: Mapping[Branch, float]) -> float:
    """Log-odds of "nothing fits" against the likelier of a question and a box."""
    nothing, other = branches[Branch.NOTHING], max(branches[Branch.QUESTION], branches[Branch.BOX])
    return math.log((nothing + 1e-6) / (other + 1e-6))


def calibrated(confidence: float, fit: Tuple[float, ...]) -> float:
    """A confidence in [0, 1] with its log-odds scaled and shifted as fitted on held-out data (Platt scaling; the scale
    is the inverse of a temperature). fit: (scale, bias), or empty for no change."""
    return sigmoid(fit[0] * logit(confidence) + fit[1]) if fit else confidence


def logit(p: float) -> float:
    p = min(max(p, 1e-4), 1 - 1e-4)
    return math.log(p / (1 - p))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, x))))
