"""One picture of a taught thing, as it is kept: the square that a second glance looks at, and the thing's box in it.

The square and not its features is what a store lives by: with other eyes, or the same ones trained on, the features
are made again, and a person who looks into the folder sees what the robot was shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

import numpy as np

from clue_ros.eyes.crops import SIDE, cut
from clue_ros.geometry import clip_box
from clue_ros.taught.refusals import NothingToTeachError
from clue_ros.types import Box

PROMINENT, MOST = 4.0, 0.6  # times the area of the next thing; share of a picture that is rather its background
SMALLEST = 8  # pixels a side of what is taught: less shows nothing


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


def holds(box: Box, point: Optional[Tuple[float, float]]) -> bool:
    """Whether a click, in pixels, is in a box."""
    return point is not None and box.x0 <= point[0] <= box.x1 and box.y0 <= point[1] <= box.y1


def smallest_around(boxes: Sequence[Box], point: Optional[Tuple[float, float]]) -> Box:
    """The smallest of the things around a click, pixels. Raises NothingToTeachError where there is none."""
    around = [box for box in boxes if holds(box, point)]
    if not around:
        x, y = point or (-1.0, -1.0)
        raise NothingToTeachError(f"no thing is seen at {x:.0f} {y:.0f}: draw a box around it instead of a click")
    return min(around, key=lambda box: box.area)


def only_thing(boxes: Sequence[Box], size: Tuple[float, float]) -> Box:
    """The one thing in a picture of (width, height) pixels: the only one, or one that is PROMINENT times as large as
    every other. Raises NothingToTeachError where there is none such, or it is most of the picture."""
    largest = sorted((box for box in boxes if box.area < MOST * size[0] * size[1]), key=lambda box: -box.area)
    if not largest or (len(largest) > 1 and largest[0].area < PROMINENT * largest[1].area):
        raise NothingToTeachError(f"{len(largest)} things are seen: click on the one that is meant, or box it")
    return largest[0]


def is_view(picture: np.ndarray) -> bool:
    """Whether an array has the form of a view's picture."""
    return picture.dtype == np.uint8 and picture.shape == (SIDE, SIDE, 3)
