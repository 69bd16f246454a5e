"""What a crop around a proposal shows: a vector that says what it is, whether it is one thing, and a better box."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from clue_ros.eyes.crops import CELLS
from clue_ros.eyes.layout import CELL, centres

STEP = 0.3  # how far a side moves for an output of 1, in shares of the crop


class Seen(NamedTuple):
    """Of B crops. vector: float[B,D]; thing: float[B], logit; box: float[B,4], shares of the crop."""

    vector: torch.Tensor
    thing: torch.Tensor
    box: torch.Tensor


class CropHead(nn.Module):
    """A crop's cells, its CLS token, its pixels and the rough box in it -> Seen. Three readers look at all cells."""

    centres: torch.Tensor

    def __init__(self, features: int, summary: int, width: int = 192, out: int = 256, layers: int = 2):
        super().__init__()
        self.cells = nn.Linear(features + 3 * CELL**2, width)
        self.summary = nn.Linear(summary, width)
        self.place = nn.Linear(2 + 4 + 1, width)
        self.readers = nn.Parameter(torch.randn(3, width) * 0.02)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, 4, 2 * width, dropout=0.1, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.vector, self.thing, self.box = nn.Linear(3 * width, out), nn.Linear(out, 1), nn.Linear(out, 4)
        self.drop = nn.Dropout(0.2)
        self.register_buffer("centres", centres(CELLS), persistent=False)
        nn.init.zeros_(self.box.weight)
        nn.init.zeros_(self.box.bias)

    def forward(self, cells: torch.Tensor, summary: torch.Tensor, pixels: torch.Tensor, rough: torch.Tensor) -> Seen:
        """cells: float[B,64,F]; summary: float[B,D]; pixels: float[B,64,48]; rough: float[B,4], shares of the crop."""
        middle, box = self.centres.expand(len(cells), -1, -1), rough[:, None]
        before, after = middle - box[..., :2], box[..., 2:] - middle
        inside = ((before > 0) & (after > 0)).all(-1, keepdim=True).float()
        x = self.cells(torch.cat([self.drop(cells), pixels], -1))
        x = x + self.place(torch.cat([middle * 2 - 1, before, after, inside], -1))
        whole = self.summary(self.drop(summary))
        readers = self.readers.expand(len(x), -1, -1) + F.pad(whole[:, None], (0, 0, 0, len(self.readers) - 1))
        x = torch.cat([readers, x], 1)
        for layer in self.layers:
            x = layer(x)
        vector = F.gelu(self.vector(self.norm(x[:, : len(self.readers)]).flatten(1)))
        return Seen(vector, self.thing(self.drop(vector))[:, 0], rough + STEP * self.box(vector))
