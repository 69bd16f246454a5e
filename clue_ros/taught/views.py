"""One picture of a taught thing, as it is kept: the square that a second glance looks at, and the thing's box in it.

The square and not its features is what a store lives by: with other eyes, or the same ones trained on, the features
are made again, and a person who looks into the folder sees what the robot was shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np

from clue_ros.eyes.crops import SIDE, cut
from clue_ros.geometry import clip_box
from clue_ros.types import Box, ClueError

SMALLEST = 8  # pixels a side of what is taught: less shows nothing


class NothingToTeachError(ClueError):
    """The box or click that was given holds no thing that could be taught; the text says why."""


@dataclass(frozen=True, eq=False)
class View:
    """picture: uint8[224,224,3] RGB; box: x0, y0, x1, y1 of the thing, shares of the picture in [0, 1]."""

    picture: np.ndarray
    box: Tuple[float, float, float, float]


def view_of(rgb: np.ndarray, box: Box) -> View:
    """The view of a thing in a picture.

    rgb: uint8[H,W,3]; box: around the thing, pixels.

    Raises NothingToTeachError for a box of which less than SMALLEST pixels a side lie in the picture.
    """
    height, width = rgb.shape[:2]
    inside = clip_box(Box(*box), width, height)
    if inside.x1 - inside.x0 < SMALLEST or inside.y1 - inside.y0 < SMALLEST:
        x0, y0, x1, y1 = (round(float(v), 1) for v in box)
        raise NothingToTeachError(
            f"the box {x0} {y0} {x1} {y1} has less than {SMALLEST} x {SMALLEST} pixels in a picture of "
            f"{width} x {height}: draw it around the whole thing"
        )
    picture, (left, top, side) = cut(rgb, inside)
    x0, y0, x1, y1 = (min(max(float(v), 0.0), 1.0) for v in (
        (inside.x0 - left) / side, (inside.y0 - top) / side, (inside.x1 - left) / side, (inside.y1 - top) / side,
    ))  # fmt: skip
    return View(picture, (x0, y0, x1, y1))


def is_view(picture: np.ndarray) -> bool:
    """Whether an array has the form of a view's picture."""
    return picture.dtype == np.uint8 and picture.shape == (SIDE, SIDE, 3)
