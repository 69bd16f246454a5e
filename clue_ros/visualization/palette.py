"""The colours of every picture, RGB in [0, 255], and the colour map of the attention overlay."""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np

from clue_ros.types import Decision, Outcome

Color = Tuple[int, int, int]

PAPER: Color = (250, 250, 248)
CARD: Color = (255, 255, 255)
LINE: Color = (224, 224, 220)
INK: Color = (31, 35, 41)
MUTED: Color = (106, 113, 122)
CLEAR: Color = (16, 148, 96)  # clear reading, final box
AMBIGUOUS: Color = (224, 124, 4)  # ambiguous reading, competing regions, questions
REFUSED: Color = (192, 57, 63)  # not found, unknown words
REGION: Color = (255, 255, 255)  # boxes of competing regions, on the orange map
SHADOW: Color = (24, 24, 28)
TRUTH: Color = (255, 255, 255)  # dashed, on the camera image
PERSON: Color = (52, 92, 196)
ROBOT: Color = (84, 60, 148)

# Dark violet to yellow, perceptually increasing, so that the map also reads in greyscale and with colour blindness.
_KEYS = np.array([(20, 11, 52), (92, 18, 110), (165, 44, 96), (221, 81, 58), (250, 150, 25), (252, 245, 140)], float)
COLOR_MAP: np.ndarray = np.stack(
    [np.interp(np.linspace(0, len(_KEYS) - 1, 256), np.arange(len(_KEYS)), _KEYS[:, c]) for c in range(3)], axis=1
).astype(np.uint8)  # uint8[256, 3]


def outcome_color(decision: Optional[Decision]) -> Color:
    """The colour that stands for a decision's outcome."""
    if decision is None:
        return MUTED
    return {Outcome.FOUND: CLEAR, Outcome.ASK: AMBIGUOUS}.get(decision.outcome, REFUSED)
