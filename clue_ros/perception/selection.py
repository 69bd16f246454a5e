"""Which of another system's boxes the model means: the pattern of "select one of these detections".

Pure functions; boxes in pixels of the original image.
"""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

import numpy as np

from clue_ros.types import Box

MIN_OVERLAP = 0.1  # IoU from which a candidate can be what the model means
MIN_COVERED = 0.5  # or this share of the smaller box lies in the other one: a part, or a generous detection
DOUBT = 0.1  # IoUs that are closer than this do not decide


def choose_candidate(
    box: Box, candidates: Sequence[Box], attention_map: Optional[np.ndarray] = None,
    image_size: Optional[Tuple[float, float]] = None,
) -> Optional[int]:  # fmt: skip
    """Index of the candidate that `box`, the model's own answer, means; None where none overlaps it.

    The highest IoU wins. Among those within DOUBT of it, the one that holds most of the attention beyond what an even
    map would put there decides (without a map, and among equals: the IoU, then the order).

    Args:
        attention_map: float32[h, w] in [0, 1], row 0 at the image's top.
        image_size: (width, height) of the image in pixels, needed with a map.
    """
    overlaps = {}
    for index, candidate in enumerate(candidates):
        iou, covered = _overlap(box, candidate)
        if iou >= MIN_OVERLAP or covered >= MIN_COVERED:
            overlaps[index] = iou
    if not overlaps:
        return None
    best = max(overlaps.values())
    rivals = [index for index, iou in overlaps.items() if iou > best - DOUBT or iou == best]
    if len(rivals) == 1 or attention_map is None or image_size is None:
        return max(rivals, key=lambda index: (overlaps[index], -index))
    lifts = {index: round(attention_lift(attention_map, candidates[index], image_size), 6) for index in rivals}
    return max(rivals, key=lambda index: (lifts[index], overlaps[index], -index))


def nearest_candidate(box: Box, candidates: Sequence[Box]) -> Box:
    """The candidate that overlaps a box most; without any overlap the one whose centre is nearest."""

    def key(candidate: Box):
        (ax, ay), (bx, by) = Box(*box).center, Box(*candidate).center
        return _overlap(box, candidate)[0], -((ax - bx) ** 2 + (ay - by) ** 2)

    return Box(*max(candidates, key=key))


def attention_lift(attention_map: np.ndarray, box: Box, image_size: Tuple[float, float]) -> float:
    """The map's mass inside a box as a share of all, minus the box's share of the image; in [-1, 1].

    Cells count by the part of them that lies in the box. The area is taken off because a box around everything would
    always hold most. 0 for a map without mass.
    """
    rows, columns = attention_map.shape
    width, height = image_size
    total = float(attention_map.sum(dtype=np.float64))
    if total <= 0 or width <= 0 or height <= 0:
        return 0.0
    across = _shares(box.x0 * columns / width, box.x1 * columns / width, columns)
    down = _shares(box.y0 * rows / height, box.y1 * rows / height, rows)
    mass = float(down @ attention_map.astype(np.float64) @ across) / total
    return mass - float(across.sum() * down.sum()) / (rows * columns)


def index_of(box: Optional[Box], candidates: Sequence[Box]) -> int:
    """Where a chosen box stands among the candidates; -1 if it is none of them."""
    if box is not None:
        for index, candidate in enumerate(candidates):
            if tuple(candidate) == tuple(box):
                return index
    return -1


def _overlap(a: Box, b: Box) -> Tuple[float, float]:
    """(intersection over union, intersection over the smaller area), both in [0, 1]."""
    a, b = Box(*a), Box(*b)
    width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    if width <= 0 or height <= 0 or a.area <= 0 or b.area <= 0:
        return 0.0, 0.0
    shared = width * height
    return shared / (a.area + b.area - shared), shared / min(a.area, b.area)


def _shares(start: float, end: float, cells: int) -> np.ndarray:
    """float64[cells]: which part of each unit cell lies in [start, end]."""
    edges = np.arange(cells, dtype=np.float64)
    return np.clip(np.minimum(end, edges + 1) - np.maximum(start, edges), 0.0, 1.0)
