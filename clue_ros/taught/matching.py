"""Which of the things in a picture are the one that was taught.

A second glance's vector was trained to say what a thing is called and its colour; two glances at one thing agree in
more than that. The cosine of two vectors is compared with one bound, whatever was taught; another thing in the picture
is a rival only if it is nearly as like as the likest one. docs/log/2026-11-30-taught.md has what else was tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp
from typing import List, Sequence, Tuple

import numpy as np

from clue_ros.eyes.sight import Things
from clue_ros.geometry import box_iou
from clue_ros.perception.candidates import Candidate
from clue_ros.types import Box

SAME_BOX, PART = 0.4, 0.7  # overlap, and share of the smaller one, from which two boxes are of one thing


@dataclass(frozen=True)
class Rule:
    """least: cosine from which a thing is the taught one; several: the same with three views or more, whose best cosine
    is compared; near: how far below the likest one a second may be; slope: of the confidence, which is 0.5 at `least`.
    Fitted on scenes of meshes (docs/log/2026-11-30-taught.md)."""

    least: float = 0.74
    several: float = 0.78
    near: float = 0.13
    slope: float = 12.0

    def bound(self, views: int) -> float:
        """The cosine that a thing with so many views must reach."""
        return self.several if views >= 3 else (self.least if views < 2 else (self.least + self.several) / 2)


def likeness(things: Things, views: np.ndarray) -> np.ndarray:
    """float32[K] in [-1, 1]: how like each thing is to the view that it is likest to. views: float32[V,D]."""
    return (_unit(things.vectors) @ _unit(views).T).max(1) if len(things.vectors) else np.zeros(0, np.float32)


def matching(
    things: Things, views: np.ndarray, others: Sequence[np.ndarray], size: Tuple[float, float], rule: Rule = Rule()
) -> Tuple[Candidate, ...]:
    """The things that are the taught one, the likest first; boxes in pixels.

    views: float32[V,D], of the taught thing; others: the views of everything else that was taught: what is liker to one
    of these is not this thing; size: (width, height) of the picture in pixels.
    """
    like, bound = likeness(things, views), rule.bound(len(views))
    rival = (
        np.max([likeness(things, other) for other in others], 0) if others and len(like) else np.full(len(like), -1.0)
    )
    width, height = size
    found: List[Tuple[float, Box]] = []
    for n in np.argsort(-like):
        box = Box(*(float(v) for v in things.boxes[n] * (width, height, width, height)))
        if like[n] < max(bound, found[0][0] - rule.near if found else -1.0):
            break
        if like[n] > rival[n] and box.area > 0 and not any(_one_thing(box, other) for _, other in found):
            found.append((float(like[n]), box))
    return tuple(Candidate(box, 1 / (1 + exp(-rule.slope * (score - bound)))) for score, box in found)


def _one_thing(a: Box, b: Box) -> bool:
    shared = max(0.0, min(a.x1, b.x1) - max(a.x0, b.x0)) * max(0.0, min(a.y1, b.y1) - max(a.y0, b.y0))
    return box_iou(a, b) >= SAME_BOX or shared >= PART * min(a.area, b.area)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
