"""Where one looks from at composed things, and what lies under and behind them.

Metres on the table: X to the right, Y away from the camera, the origin where the camera looks. Pictures are
float32[H,W,3] in [0, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Optional, Tuple

import cv2
import numpy as np

from clue_ros.photographs.cutouts import Background, Pack, picture
from clue_ros.simulation.scene import ImageSize

ABOVE_SHARE, TABLE_SHARE = 0.4, 0.08  # of the views: straight down on a surface; on a photographed table
REACH = 0.32  # metres on the table to either side of the middle where things may stand


@dataclass(frozen=True)
class View:
    """elevation: of the camera, radians, pi/2 looks straight down; distance: to the middle, metres; focal: pixels."""

    size: ImageSize
    elevation: float
    distance: float
    focal: float

    @property
    def above(self) -> bool:
        return self.elevation > 1.5

    def project(self, x: float, y: float) -> Tuple[float, float, float]:
        """(column, row, pixels a metre) of a point on the table."""
        deep = self.distance + y * math.cos(self.elevation)
        scale = self.focal / deep
        return self.size.width / 2 + x * scale, self.size.height / 2 - y * math.sin(self.elevation) * scale, scale

    def homography(self) -> np.ndarray:
        """float64[3,3] from (X, Y, 1) to (column, row, 1)."""
        c, s = math.cos(self.elevation), math.sin(self.elevation)
        cx, cy, f, d = self.size.width / 2, self.size.height / 2, self.focal, self.distance
        return np.array([[f, cx * c, cx * d], [0, cy * c - f * s, cy * d], [0, c, d]])


def draw_view(rng: np.random.Generator, size: ImageSize) -> View:
    """Straight down for ABOVE_SHARE of the views, else 20 to 60 degrees, from half a metre to more than one."""
    focal = size.width / 2 / math.tan(math.radians(rng.uniform(24, 32)))
    if rng.random() < ABOVE_SHARE:
        return View(size, math.pi / 2, rng.uniform(0.45, 0.9), focal)
    return View(size, math.radians(rng.uniform(20, 60)), rng.uniform(0.55, 1.1), focal)


def draw_ground(rng: np.random.Generator, view: View, pack: Pack) -> Tuple[np.ndarray, Tuple[Background, ...]]:
    """The empty place seen by a view, and the backgrounds that it is made of."""
    grounds = [b for b in pack.backgrounds if b.kind in ("surface", "texture")]
    ground = grounds[int(rng.integers(len(grounds)))]
    tables = [b for b in pack.backgrounds if b.kind == "table"]
    if view.above and ground.kind == "surface" and rng.random() < 0.6:
        return _cover(picture(ground.image), view.size, rng), (ground,)
    if tables and 0.55 < view.elevation < 0.95 and rng.random() < TABLE_SHARE:
        table = tables[int(rng.integers(len(tables)))]
        return _cover(picture(table.image), view.size, rng, 1.0), (table,)
    floor = _on_plane(picture(ground.image), ground.kind == "texture", view, rng)
    if view.above:
        return floor, (ground,)
    behind = _behind(rng, view, pack)
    far = rng.uniform(REACH + 0.08, 0.8)
    soft = cv2.GaussianBlur(_table(view, far, rng), (0, 0), 0.8)[..., None]
    back = _cover(picture(behind.image), view.size, rng) if behind is not None else _wall(view, rng)
    # What the middle of a room shows stands at the table's far edge, not under the table.
    up = np.array([[1, 0, 0], [0, 1, view.project(0, far)[1] - rng.uniform(0.5, 0.9) * view.size.height]])
    shape = (view.size.width, view.size.height)
    back = cv2.warpAffine(back, up, shape, borderMode=cv2.BORDER_REFLECT)
    blurred = cv2.GaussianBlur(back, (0, 0), rng.uniform(0.5, 3))
    return floor * soft + blurred * (1 - soft), (ground,) if behind is None else (ground, behind)


def _behind(rng: np.random.Generator, view: View, pack: Pack) -> Optional[Background]:
    rooms = [b for b in pack.backgrounds if b.kind == "room" or (b.kind == "texture" and rng.random() < 0.1)]
    return rooms[int(rng.integers(len(rooms)))] if rooms and rng.random() < 0.8 else None


def _wall(view: View, rng: np.random.Generator) -> np.ndarray:
    shade = np.full((view.size.height, view.size.width, 3), 1.0, np.float32) * rng.uniform(0.2, 0.95)
    return np.clip(shade * rng.uniform(0.9, 1.1, 3).astype(np.float32), 0, 1)


def _table(view: View, far: float, rng: np.random.Generator) -> np.ndarray:
    """float32[H,W]: 1 where the table is seen, `far` metres beyond the middle and wider than what stands on it."""
    wide = rng.uniform(REACH + 0.18, 1.2)
    near = -0.8 * view.distance / max(0.2, math.cos(view.elevation))
    corners = [(-wide, near), (wide, near), (wide, far), (-wide, far)]
    polygon = np.array([view.project(x, y)[:2] for x, y in corners])
    mask = np.zeros((view.size.height, view.size.width), np.float32)
    cv2.fillConvexPoly(mask, np.clip(polygon, -1e5, 1e5).round().astype(np.int32), 1.0)
    return mask


def _on_plane(image: np.ndarray, tiles: bool, view: View, rng: np.random.Generator) -> np.ndarray:
    """An image laid out on the table again and again, seen by the view. What is not made to be tiled is mirrored at its
    borders, without its rim: something that reaches into the picture there would make a thing of its own."""
    if not tiles:
        rim = image.shape[0] // 8, image.shape[1] // 8
        image = image[rim[0] : image.shape[0] - rim[0], rim[1] : image.shape[1] - rim[1]]
        image = np.vstack([np.hstack([image, image[:, ::-1]]), np.hstack([image, image[:, ::-1]])[::-1]])
    height, width = image.shape[:2]
    across = rng.uniform(0.5, 1.2) * (1 if tiles else 2)  # metres that its width covers
    angle, (mx, my) = rng.uniform(0, 2 * math.pi), rng.uniform(0, 1, 2)
    c, s = math.cos(angle) * width / across, math.sin(angle) * width / across
    to_image = np.array([[c, -s, mx * width], [s, c, my * height], [0, 0, 1]])
    matrix = to_image @ np.linalg.inv(view.homography())
    shape = (view.size.width, view.size.height)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpPerspective(image, matrix, shape, flags=flags, borderMode=cv2.BORDER_WRAP)


def _cover(image: np.ndarray, size: ImageSize, rng: np.random.Generator, most: float = 1.4) -> np.ndarray:
    """A piece of an image of the right shape, up to `most` times smaller than it could be."""
    height, width = image.shape[:2]
    scale = max(size.width / width, size.height / height) * rng.uniform(1, most)
    w, h = min(width, int(size.width / scale)), min(height, int(size.height / scale))
    x, y = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
    return cv2.resize(image[y : y + h, x : x + w], (size.width, size.height), interpolation=cv2.INTER_LINEAR)
