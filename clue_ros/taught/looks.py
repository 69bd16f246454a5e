"""How a thing looks, as numbers that two pictures of it share: what a second glance says of it, and its colours.

The glance's vector was trained to say a name and a colour's word; two white mugs share both. The colours themselves
tell some of them apart, as long as the light stays: they count little.
"""

from __future__ import annotations

import cv2
import numpy as np

COLOURS = 6  # last numbers of a look: means and spreads of L, a and b
CORE = 0.7  # of a box's sides, about its middle
STEP = 40.0  # of 255 L, a or b: a clear difference; light changes L by half of it
_SCALE = np.array([0.5, 1.0, 1.0, 0.5, 0.7, 0.7], np.float32) / STEP


def looks(vectors: np.ndarray, rgb: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """float32[K,D+COLOURS] of second glances' vectors float32[K,D].

    rgb: uint8[H,W,3]; boxes: float[K,4] of the things in it, pixels.
    """
    found = np.array([_colours(rgb, box) for box in boxes], np.float32).reshape(-1, COLOURS)
    return np.concatenate([vectors.astype(np.float32), found], 1)


def likeness(things: np.ndarray, views: np.ndarray, weight: float) -> np.ndarray:
    """float32[K], at most 1: how like each thing is to the view that it is likest to. float32[K,D+COLOURS] and
    float32[V,D+COLOURS], looks; weight: of the distance between colours, against the cosine of the vectors."""
    cosines = _unit(things[:, :-COLOURS]) @ _unit(views[:, :-COLOURS]).T
    apart = np.linalg.norm(things[:, None, -COLOURS:] - views[None, :, -COLOURS:], axis=2)
    return (cosines - weight * apart).max(1) if len(things) else np.zeros(0, np.float32)


def _colours(rgb: np.ndarray, box: np.ndarray) -> np.ndarray:
    (x0, y0, x1, y1), (height, width) = box, rgb.shape[:2]
    x, y, across, down = (x0 + x1) / 2, (y0 + y1) / 2, max(1.0, (x1 - x0) * CORE / 2), max(1.0, (y1 - y0) * CORE / 2)
    left, top = min(max(0, int(x - across)), width - 1), min(max(0, int(y - down)), height - 1)
    inside = rgb[top : max(top + 1, int(y + down) + 1), left : max(left + 1, int(x + across) + 1)]
    lab = cv2.cvtColor(np.ascontiguousarray(inside), cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(np.float32)
    return np.concatenate([lab.mean(0), lab.std(0)]) * _SCALE


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
