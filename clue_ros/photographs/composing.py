"""One picture of cut-outs on a surface: which things, where they stand, light and the camera's faults."""

from __future__ import annotations

import math
from dataclasses import dataclass
from io import BytesIO
from typing import Dict, List, Optional, Sequence, Tuple

import cv2
import numpy as np
from PIL import Image

from clue_ros.photographs.cutouts import FLAT, ROUND, Background, Cutout, Pack, layer
from clue_ros.photographs.views import REACH, View, draw_ground, draw_view
from clue_ros.simulation.scene import ImageSize
from clue_ros.types import Box

SIZE = ImageSize(640, 480)
FEWEST, MOST = 2, 7
TWINS = 0.65  # share of the pictures with two or more of a kind on purpose: half of the queries are ambiguous
LEAST_SEEN = 0.6  # of each thing
BRIGHTEST = 0.75  # mean of a picture: no camera lets a white table burn out
TRIES = 60  # places for a thing, after which it is left out


@dataclass(frozen=True)
class Thing:
    """box: pixels of what is seen; visibility: its share of the whole."""

    cutout: Cutout
    box: Box
    visibility: float


@dataclass(frozen=True, eq=False)
class Composite:
    """pixels: uint8[H,W,3] RGB; mask: uint8[H,W], number of the thing from 1, 0 for none."""

    pixels: np.ndarray
    mask: np.ndarray
    things: Tuple[Thing, ...]
    backgrounds: Tuple[Background, ...]


@dataclass(frozen=True, eq=False)
class _Sprite:
    """A thing as it will be drawn: float32[h,w,4], colours times opacity; left, top: pixels; foot: row where it meets
    the table; reach: half its width, metres."""

    cutout: Cutout
    layer: np.ndarray
    left: int
    top: int
    foot: float
    at: Tuple[float, float]
    reach: float


def compose(pack: Pack, rng: np.random.Generator, size: ImageSize = SIZE) -> Composite:
    """A random picture of two or more things. Raises BrokenImageError."""
    while True:
        view = draw_view(rng, size)
        sprites = _placed(_chosen(pack, rng), view, rng)
        mask, seen = _owners(sprites, size)
        if len(sprites) >= FEWEST and min(seen) >= LEAST_SEEN:
            break
    ground, backgrounds = draw_ground(rng, view, pack)
    canvas = _shaded(ground.copy(), sprites, view, rng)
    for sprite in sprites:
        gain = rng.uniform(0.85, 1.15) * rng.uniform(0.97, 1.03, 3)
        part, alpha = _window(canvas, sprite), sprite.layer[..., 3:]
        part[:] = part * (1 - alpha) + sprite.layer[..., :3] * gain.astype(np.float32)
    things = [Thing(s.cutout, _box(mask == n), round(share, 3)) for n, (s, share) in enumerate(zip(sprites, seen), 1)]
    return Composite(_photographed(canvas, rng), mask, tuple(things), backgrounds)


def _chosen(pack: Pack, rng: np.random.Generator) -> List[Cutout]:
    """Two to seven cut-outs, names with more of them somewhat more often; two or three of one name in TWINS of the
    pictures."""
    by_name: Dict[str, List[Cutout]] = {}
    for cutout in pack.cutouts:
        by_name.setdefault(cutout.name, []).append(cutout)
    names = sorted(by_name)
    weights = np.array([min(len(by_name[n]), 30) ** 0.6 for n in names])
    count = int(rng.integers(FEWEST, MOST + 1))
    found: List[Cutout] = []
    if rng.random() < TWINS:
        name = names[int(rng.choice(len(names), p=weights / weights.sum()))]
        own = by_name[name]
        colored = [c for c in own if c.color]
        own = colored if colored and rng.random() < 0.6 else own
        found = [own[int(rng.integers(len(own)))] for _ in range(min(count, int(rng.choice([2, 3], p=[0.65, 0.35]))))]
    while len(found) < count:
        own = by_name[names[int(rng.choice(len(names), p=weights / weights.sum()))]]
        found.append(own[int(rng.integers(len(own)))])
    return found


def _placed(cutouts: Sequence[Cutout], view: View, rng: np.random.Generator) -> List[_Sprite]:
    """Those that find a place, from back to front."""
    done: List[_Sprite] = []
    for cutout in sorted(cutouts, key=lambda c: -c.extent[1]):
        extent = rng.uniform(*cutout.extent)
        for _ in range(TRIES):
            x, y = rng.uniform(-REACH, REACH) * view.distance / 0.75, rng.uniform(-REACH, REACH) * 0.75
            sprite = _sprite(cutout, extent, (x, y), view, rng)
            if sprite is not None and all(_apart(sprite, other) for other in done):
                done.append(sprite)
                break
    return sorted(done, key=lambda s: s.foot)


def _apart(a: _Sprite, b: _Sprite) -> bool:
    return math.dist(a.at, b.at) > 0.85 * (a.reach + b.reach)


def _sprite(
    cutout: Cutout, extent: float, at: Tuple[float, float], view: View, rng: np.random.Generator
) -> Optional[_Sprite]:
    """A cut-out of a size in metres at a place on the table; None if it does not lie in the picture."""
    column, row, scale = view.project(*at)
    image = layer(cutout.image.path)
    factor = extent * scale / max(image.shape[:2])
    squeeze = 1.0
    if view.above or cutout.name in ROUND:
        angle = rng.uniform(0, 360)
    else:
        angle = rng.normal(0, 1.5) if cutout.pose != "lying" else rng.normal(0, 6)
        squeeze = min(1.0, 1.25 * math.sin(view.elevation)) if cutout.name in FLAT else 1.0
    turned = _turned(image, angle, factor, squeeze)
    height, width = turned.shape[:2]
    lies = view.above or cutout.name in FLAT
    left, top = round(column - width / 2), round(row - height / 2 if lies else row - 0.93 * height)
    if left < 0 or top < 0 or left + width > view.size.width or top + height > view.size.height:
        return None
    reach = (max(width, height) if view.above else width) / scale / 2
    return _Sprite(cutout, turned, left, top, row if lies else top + height, at, reach)


def _turned(image: np.ndarray, angle: float, factor: float, squeeze: float) -> np.ndarray:
    """The layer scaled, turned by degrees, then lower by `squeeze`, cropped to what is opaque."""
    if factor < 1:  # averaged first: a warp alone would leave out pixels
        shape = (max(2, round(image.shape[1] * factor)), max(2, round(image.shape[0] * factor)))
        image, factor = cv2.resize(image, shape, interpolation=cv2.INTER_AREA), 1.0
    height, width = image.shape[:2]
    side = math.ceil(math.hypot(height, width) * factor) + 2
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, factor)
    matrix[:, 2] += side / 2 - width / 2, side / 2 - height / 2
    matrix[1] *= squeeze
    turned = cv2.warpAffine(image, matrix, (side, max(2, math.ceil(side * squeeze))), flags=cv2.INTER_LINEAR)
    rows, columns = np.nonzero(turned[..., 3].max(1) > 0.1)[0], np.nonzero(turned[..., 3].max(0) > 0.1)[0]
    return turned[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _window(canvas: np.ndarray, sprite: _Sprite) -> np.ndarray:
    height, width = sprite.layer.shape[:2]
    return canvas[sprite.top : sprite.top + height, sprite.left : sprite.left + width]


def _owners(sprites: Sequence[_Sprite], size: ImageSize) -> Tuple[np.ndarray, List[float]]:
    """uint8[H,W]: number of the sprite on top, and each sprite's visible share."""
    mask = np.zeros((size.height, size.width), np.uint8)
    for number, sprite in enumerate(sprites, 1):
        _window(mask, sprite)[sprite.layer[..., 3] > 0.5] = number
    whole = [float((s.layer[..., 3] > 0.5).sum()) for s in sprites]
    return mask, [float((mask == n).sum()) / max(1.0, area) for n, area in enumerate(whole, 1)]


def _box(mask: np.ndarray) -> Box:
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    return Box(float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))


def _shaded(canvas: np.ndarray, sprites: Sequence[_Sprite], view: View, rng: np.random.Generator) -> np.ndarray:
    """The ground with a soft shadow of each thing: its outline beside it where it lies flat, else a dark place where it
    stands and its outline laid on the table."""
    cast, touch = np.zeros(canvas.shape[:2], np.float32), np.zeros(canvas.shape[:2], np.float32)
    side, long, strength = rng.uniform(-1, 1), rng.uniform(0.15, 0.5), rng.uniform(0.25, 0.6)
    for sprite in sprites:
        alpha = sprite.layer[..., 3]
        height, width = alpha.shape
        lies = view.above or sprite.cutout.name in FLAT
        if lies:
            shift = 0.06 * min(height, width)
            matrix = np.array([[1, 0, sprite.left + side * shift], [0, 1, sprite.top + long * 2 * shift]])
        else:
            base = sprite.top + height
            matrix = np.array([[1, side * long, sprite.left - side * long * height], [0, long, base - long * height]])
            center = (sprite.left + width // 2, int(base - 0.06 * width))
            cv2.ellipse(touch, center, (max(1, int(0.46 * width)), max(1, int(0.12 * width))), 0, 0, 360, 1.0, -1)
        cast = np.maximum(cast, cv2.warpAffine(alpha, matrix, (canvas.shape[1], canvas.shape[0])))
    soft = rng.uniform(2, 6)
    dark = np.maximum(cv2.GaussianBlur(touch, (0, 0), soft), 0.7 * cv2.GaussianBlur(cast, (0, 0), soft))
    return canvas * (1 - strength * dark[..., None])


def _photographed(canvas: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """uint8: light that falls off to a side, exposure, white balance, contrast, blur, noise and JPEG."""
    height, width = canvas.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    angle, fall = rng.uniform(0, 2 * math.pi), rng.uniform(0, 0.35)
    slope = (columns / width - 0.5) * math.cos(angle) + (rows / height - 0.5) * math.sin(angle)
    exposure = min(rng.uniform(0.8, 1.25), BRIGHTEST / float(canvas.mean()))
    white = (exposure * rng.uniform(0.94, 1.06, 3)).astype(np.float32)
    x = cv2.pow(np.maximum(canvas, 0), rng.uniform(0.8, 1.15)) * (1 + fall * slope)[..., None] * white
    if rng.random() < 0.6:
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.3, 1.1))
    x += rng.standard_normal(x.shape, np.float32) * np.float32(rng.uniform(0, 0.025))
    coded = BytesIO()
    Image.fromarray((np.clip(x, 0, 1) * 255).round().astype(np.uint8)).save(
        coded, "JPEG", quality=int(rng.integers(50, 96))
    )
    return np.array(Image.open(coded))
