"""The first glance's question: where are things, whatever they are? Every patch gives a box and how sure it is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from clue_ros.eyes.layout import CELL, centres

SAME = 0.55  # intersection over union from which two proposals are one thing
QUALITY = 0.7  # how much the expected overlap counts beside the probability that something is there
_CANDIDATES = 300


class PatchBoxes(NamedTuple):
    """Of B pictures of N patches. thing, quality: float[B,N], logits; boxes: float[B,N,4], shares of the picture."""

    thing: torch.Tensor
    quality: torch.Tensor
    boxes: torch.Tensor

    def scores(self) -> torch.Tensor:
        """float[B,N] in [0, 1]: how good a proposal each patch's box is."""
        return self.thing.sigmoid() * self.quality.sigmoid().pow(QUALITY)


class PatchHead(nn.Module):
    """A patch's features, its pixels and its place -> whether it is of a thing, and that thing's box; one convolution
    sees the patches around it."""

    centres: torch.Tensor

    def __init__(self, features: int, grid: int, hidden: int = 384, width: int = 256):
        super().__init__()
        self.grid = grid
        self.inner = nn.Linear(features + 3 * CELL**2 + 2, hidden)
        self.outer = nn.Linear(hidden, width)
        self.around = nn.Conv2d(width, width, 3, padding=1, groups=8)
        self.norm = nn.LayerNorm(width)
        self.thing, self.quality, self.box = nn.Linear(width, 1), nn.Linear(width, 1), nn.Linear(width, 4)
        self.register_buffer("centres", centres(grid), persistent=False)

    def forward(self, features: torch.Tensor, pixels: torch.Tensor) -> PatchBoxes:
        """features: float[B,N,F]; pixels: float[B,N,48] (layout.cell_pixels)."""
        middle = self.centres.expand(len(features), -1, -1)
        x = F.gelu(self.outer(F.gelu(self.inner(torch.cat([features, pixels, middle * 2 - 1], -1)))))
        seen = F.gelu(self.around(x.transpose(1, 2).unflatten(2, (self.grid, self.grid))))
        x = self.norm(x + seen.flatten(2).transpose(1, 2))
        reach = torch.exp(self.box(x).clamp(-6, 2) - 2)
        boxes = torch.cat([middle - reach[..., :2], middle + reach[..., 2:]], -1)
        return PatchBoxes(self.thing(x)[..., 0], self.quality(x)[..., 0], boxes)


def best_boxes(boxes: np.ndarray, scores: np.ndarray, count: int) -> np.ndarray:
    """int64[<=count]: indices of the best boxes, the best first, none of which is another's double (greedy non-maximum
    suppression).

    boxes: float[N,4]; scores: float[N].
    """
    order, kept = np.argsort(-scores)[:_CANDIDATES], []
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    while len(order) and len(kept) < count:
        first, order = order[0], order[1:]
        kept.append(first)
        wide = np.minimum(boxes[order, 2], boxes[first, 2]) - np.maximum(boxes[order, 0], boxes[first, 0])
        high = np.minimum(boxes[order, 3], boxes[first, 3]) - np.maximum(boxes[order, 1], boxes[first, 1])
        shared = np.clip(wide, 0, None) * np.clip(high, 0, None)
        order = order[shared / (areas[first] + areas[order] - shared + 1e-9) < SAME]
    return np.array(kept, np.int64)
