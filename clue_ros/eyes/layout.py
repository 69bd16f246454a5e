"""Grids of patches, boxes on them, and how both are written as numbers that a network reads.

Boxes are float[...,4] as shares of the picture (or of a crop): x0, y0, x1, y1, each from the upper left.
"""

from __future__ import annotations

import math
from typing import Tuple

import torch

CODE = 64  # numbers of a box's code
_FREQUENCIES = 8
_LOWEST, _HIGHEST = 0.5, 16.0  # turns over the picture's side
CELL = 4  # pixels a side that stand beside a patch's features


def centres(side: int) -> torch.Tensor:
    """float32[side·side,2]: x and y of the patches' centres, row by row."""
    middle = (torch.arange(side) + 0.5) / side
    y, x = torch.meshgrid(middle, middle, indexing="ij")
    return torch.stack([x, y], -1).reshape(-1, 2)


def box_code(boxes: torch.Tensor) -> torch.Tensor:
    """float[...,CODE]: sines and cosines of the four sides at frequencies from half a turn to sixteen."""
    steps = torch.linspace(math.log(_LOWEST), math.log(_HIGHEST), _FREQUENCIES, device=boxes.device)
    angle = boxes[..., None] * (2 * math.pi * steps.exp())
    return torch.cat([angle.sin(), angle.cos()], -1).flatten(-2)


def cell_pixels(pixels: torch.Tensor, side: int) -> torch.Tensor:
    """float32[B,side·side,48] in [-1, 1]: CELL x CELL pixels of each patch, as the backbone's features say little about
    colour.

    pixels: uint8[B,4·side,4·side,3], the picture at that size.
    """
    cells = (pixels.float() / 127.5 - 1).unflatten(2, (side, CELL)).unflatten(1, (side, CELL))
    return cells.transpose(2, 3).flatten(3).flatten(1, 2)


def overlap(a: torch.Tensor, b: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
    """(intersection over union, union) of boxes of broadcastable shapes."""
    wide = torch.minimum(a[..., 2], b[..., 2]) - torch.maximum(a[..., 0], b[..., 0])
    high = torch.minimum(a[..., 3], b[..., 3]) - torch.maximum(a[..., 1], b[..., 1])
    shared = wide.clamp(min=0) * high.clamp(min=0)
    union = area(a) + area(b) - shared
    return shared / union.clamp(min=1e-9), union


def area(boxes: torch.Tensor) -> torch.Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
