"""Squares cut out of a picture around boxes, for a second glance."""

from __future__ import annotations

from typing import Sequence, Tuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F

SIDE = 224  # pixels of a crop
CELLS = 8  # a side: the crop's patches, averaged two by two
GROW = 1.5  # the square's side over the box's longer side
SMALLEST = 24  # pixels of the picture


def cut(rgb: np.ndarray, box: Sequence[float]) -> Tuple[np.ndarray, Tuple[int, int, int]]:
    """(uint8[SIDE,SIDE,3], (left, top, side) of the square in pixels); edges go on beyond the picture.

    rgb: uint8[H,W,3]; box: x0, y0, x1, y1 in pixels.
    """
    x0, y0, x1, y1 = box
    height, width = rgb.shape[:2]
    long = max(x1 - x0, y1 - y0, SMALLEST) * GROW
    side = max(1, int(round(long)))
    left, top = int(round((x0 + x1 - long) / 2)), int(round((y0 + y1 - long) / 2))
    left, top = min(max(left, 1 - side), width - 1), min(max(top, 1 - side), height - 1)
    inside = rgb[max(0, top) : min(height, top + side), max(0, left) : min(width, left + side)]
    square = cv2.copyMakeBorder(
        inside,
        max(0, -top),
        max(0, top + side - height),
        max(0, -left),
        max(0, left + side - width),
        cv2.BORDER_REPLICATE,
    )
    how = cv2.INTER_AREA if side > SIDE else cv2.INTER_LINEAR
    return cv2.resize(square, (SIDE, SIDE), interpolation=how), (left, top, side)


def cells(patches: torch.Tensor) -> torch.Tensor:
    """float[B,CELLS²,F]: a crop's patches float[B,256,F], averaged two by two."""
    side = int(round(patches.shape[1] ** 0.5))
    # Features last in memory: a pool reads them as they lie, in a fiftieth of the time of a mean over two dimensions.
    grid = patches.transpose(1, 2).unflatten(2, (side, side))
    return F.avg_pool2d(grid, side // CELLS).flatten(2).transpose(1, 2)
