"""Competing regions of an attention map: where the words could point."""

from __future__ import annotations

from typing import Tuple

import cv2
import numpy as np

from clue_ros.types import Box, Region


def competing_regions(
    attention_map: np.ndarray, width: int, height: int, level: float = 0.4, limit: int = 8
) -> Tuple[Region, ...]:
    """Connected regions above `level` of the map's maximum, strongest first.

    attention_map: float32[h,w] in [0, 1]; width, height: of the original image in pixels, in which the boxes come back.
    """
    rows, columns = attention_map.shape
    peak = float(attention_map.max())
    if peak <= 0:
        return ()
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        (attention_map >= level * peak).astype(np.uint8), connectivity=8
    )
    sx, sy = width / columns, height / rows
    regions = []
    for k in range(1, count):
        x, y, w, h = (int(v) for v in stats[k, :4])
        inside = np.where(labels == k, attention_map, -1)
        row, column = np.unravel_index(int(inside.argmax()), inside.shape)
        regions.append(
            Region(
                Box(x * sx, y * sy, (x + w) * sx, (y + h) * sy),
                ((column + 0.5) * sx, (row + 0.5) * sy),
                float(inside.max()) / peak,
            )
        )
    regions.sort(key=lambda r: -r.strength)
    return tuple(regions[:limit])
