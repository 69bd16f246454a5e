"""The nearest layer of depth in a box, and the box without what lies behind it: how a thing is told from its background
where no plane carries it and no mask says which pixels it is."""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Tuple

import numpy as np

from clue_ros.types import Box

CORE = 0.5  # of the box's width and height, looked at first: the middle is on the object, the rim may not be
MIN_VALID_FRACTION = 0.1  # of the looked-at pixels; below it every statistic would be noise
MIN_LAYER = 0.2  # of the core's valid pixels: what is nearer than the rest and at least so much is the target
BIN = 0.01  # metres at 1 m, growing with the distance as the noise of depth cameras does
SPARSE = 0.005  # of the valid pixels: a bin with less is a gap between layers, or pixels that fly between them
MIN_IN_LINE = 0.1  # of a row's or column's valid pixels: with less of the target it is background, and cut off


class Layer(NamedTuple):
    """What of a box is its thing. box: without the background at its rim, pixels of the image; z: median distance,
    thickness: from the 5th to the 95th percentile of its depths, metres."""

    box: Box
    z: float
    thickness: float


def nearest_layer(depth: np.ndarray, box: Box, image_size: Tuple[int, int]) -> Optional[Layer]:
    """The layer that the thing in a box is; None where too few pixels are valid. Arguments as of `place_of_box`.

    The depths in the box's core (where that is a hole, in the whole box) fall into layers, split where hardly a pixel
    is; the nearest layer that holds enough of them is the target, so that neither holes nor a wall behind it count,
    even if the wall fills more than half of the box. Rows and columns at the box's rim that see only what lies behind
    are cut off. Holes cut nothing off: they say nothing.
    """
    width, height = image_size
    scale = depth.shape[1] / width, depth.shape[0] / height
    left, top, right, bottom = _pixels(box, scale, depth.shape)
    window = depth[top:bottom, left:right]
    (u, v), (half_w, half_h) = box.center, ((box.x1 - box.x0) * CORE / 2, (box.y1 - box.y0) * CORE / 2)
    x0, y0, x1, y1 = _pixels(Box(u - half_w, v - half_h, u + half_w, v + half_h), scale, depth.shape)
    valid = _valid(depth[y0:y1, x0:x1])
    if valid is None:
        valid = _valid(window)
    if valid is None:
        return None
    near, far = _nearest_layer(valid)
    z = float(np.median(valid[(valid >= near) & (valid <= far)]))
    near, far = _continued((near, far), window[np.isfinite(window)])
    target = _trimmed(box, window, (left, top), scale, far)
    inside = _pixels(target, scale, depth.shape)
    surface = depth[inside[1] : inside[3], inside[0] : inside[2]]
    surface = surface[(surface >= near) & (surface <= far)]  # NaN compares false
    thickness = float(np.subtract(*np.percentile(surface, (95, 5)))) if surface.size else 0.0
    return Layer(target, z, thickness)


def _pixels(box: Box, scale: Tuple[float, float], shape: Tuple[int, int]) -> Tuple[int, int, int, int]:
    """(left, top, right, bottom) in depth pixels: all that the box touches, at least one if it is in the image."""
    height, width = shape
    left, top = max(0, int(box.x0 * scale[0])), max(0, int(box.y0 * scale[1]))
    right = min(width, max(left + 1, int(np.ceil(box.x1 * scale[0]))))
    bottom = min(height, max(top + 1, int(np.ceil(box.y1 * scale[1]))))
    return left, top, right, bottom


def _valid(window: np.ndarray) -> Optional[np.ndarray]:
    valid = window[np.isfinite(window)]
    if window.size == 0 or valid.size < max(1, MIN_VALID_FRACTION * window.size):
        return None
    return valid


def _layers(depths: np.ndarray) -> List[Tuple[float, float, int]]:
    """(nearest, farthest, pixels) of each layer of depth, the nearest first; metres.

    Bins are logarithmic: their width is BIN of the distance. A layer ends where two bins in a row are sparse.
    """
    index = np.floor(np.log(depths.astype(np.float64)) / np.log1p(BIN)).astype(np.int64)
    bins, counts = np.unique(index, return_counts=True)
    dense = counts >= max(1.0, SPARSE * depths.size)
    bins, counts = bins[dense], counts[dense]
    groups = np.split(np.arange(bins.size), np.flatnonzero(np.diff(bins) > 2) + 1) if bins.size else []
    edge = 1 + BIN  # the margins keep a depth on an edge in its bin
    return [
        (edge ** int(bins[g[0]]) * (1 - 1e-6), edge ** int(bins[g[-1]] + 1) * (1 + 1e-6), int(counts[g].sum()))
        for g in groups
    ]


def _nearest_layer(depths: np.ndarray) -> Tuple[float, float]:
    """(nearest, farthest) metres of the first layer that holds MIN_LAYER of the pixels; else of all of them."""
    for near, far, pixels in _layers(depths):
        if pixels >= MIN_LAYER * depths.size:
            return near, far
    return float(depths.min()), float(depths.max())


def _continued(layer: Tuple[float, float], depths: np.ndarray) -> Tuple[float, float]:
    """A layer of the core as far as it goes on in the whole box, where a tilted surface is nearer or farther."""
    near, far = layer
    touching = [(a, b) for a, b, _ in _layers(depths) if a <= far and b >= near]
    return min([near, *(a for a, _ in touching)]), max([far, *(b for _, b in touching)])


def _trimmed(box: Box, window: np.ndarray, corner: Tuple[int, int], scale: Tuple[float, float], far: float) -> Box:
    """The box without the rows and columns at its rim that see background; `window` is the depth in it, from `corner`.

    What is nearer than the target stays: it hides a part of it.
    """
    valid, target = np.isfinite(window), window <= far
    edges = []
    for axis, low, high in ((0, box.x0, box.x1), (1, box.y0, box.y1)):
        seen = valid.sum(axis=axis)
        keep = np.flatnonzero((seen == 0) | (target.sum(axis=axis) >= MIN_IN_LINE * seen))
        if keep.size:
            low = max(low, (corner[axis] + keep[0]) / scale[axis])
            high = min(high, (corner[axis] + keep[-1] + 1) / scale[axis])
        edges.append((low, high))
    (x0, x1), (y0, y1) = edges
    return Box(x0, y0, x1, y1)
