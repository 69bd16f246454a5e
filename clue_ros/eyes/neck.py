"""What both glances saw, brought onto the grid of patches that the decoder looks at.

A patch that one of the second glances covers hears what that one saw and where its box is. So the decoder, its
attention and its <loc> tokens stay what they are: they read a grid of patches, as of any PaliGemma.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from clue_ros.eyes.layout import CELL, CODE, box_code, centres, overlap

COVERED = 0.05  # overlap with the patch's own box from which a second glance is about the patch


class Glances(NamedTuple):
    """What a picture's second glances saw, K of them. vectors: float[B,K,D]; boxes: float[B,K,4], shares of the
    picture; things: float[B,K] in [0, 1], how much a glance counts, 0 for none."""

    vectors: torch.Tensor
    boxes: torch.Tensor
    things: torch.Tensor


class Neck(nn.Module):
    """Patches of the first glance (grid `seen`), their own boxes, and second glances -> float[B,grid²,width]."""

    centres: torch.Tensor
    nearest: torch.Tensor

    def __init__(
        self, features: int, seen: int, vector: int = 256, grid: int = 16, width: int = 256, layers: int = 3,
        mlp: int = 768, heads: int = 4,
    ):  # fmt: skip
        super().__init__()
        self.seen, self.grid = seen, grid
        self.inner, self.outer = nn.Linear(features + 3 * CELL**2, 384), nn.Linear(384, width)
        self.positions = nn.Parameter(torch.zeros(grid * grid, width))
        self.own = nn.Linear(CODE + 1, width)
        self.glance = nn.Sequential(nn.Linear(vector + CODE + 1, width), nn.GELU(), nn.Linear(width, width))
        self.unseen = nn.Parameter(torch.zeros(width))
        self.drop = nn.Dropout(0.1)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, mlp, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        middle = centres(grid)
        cell = (middle * seen).long()
        self.register_buffer("centres", middle, persistent=False)
        self.register_buffer("nearest", cell[:, 1] * seen + cell[:, 0], persistent=False)

    def forward(
        self, features: torch.Tensor, pixels: torch.Tensor, thing: torch.Tensor, boxes: torch.Tensor, glances: Glances
    ) -> torch.Tensor:
        """features: float[B,N,F]; pixels: float[B,N,48]; thing: float[B,N] in [0, 1]; boxes: float[B,N,4], each
        patch's own."""
        x = F.gelu(self.outer(F.gelu(self.inner(torch.cat([self.drop(features), pixels], -1)))))
        own = boxes[:, self.nearest]
        x = self._gathered(x) + self.positions
        x = x + self.own(torch.cat([box_code(own), self._gathered(thing[..., None])], -1))
        x = x + self._from_glances(own, glances)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def _from_glances(self, own: torch.Tensor, glances: Glances) -> torch.Tensor:
        """float[B,grid²,width]: of each patch what the glance says that fits its own box best."""
        box, middle = glances.boxes[:, None], self.centres[None, :, None]
        inside = ((middle > box[..., :2]) & (middle < box[..., 2:])).all(-1)
        fit, which = (overlap(own[:, :, None], box)[0] * inside * glances.things[:, None]).max(-1)
        said = torch.cat([glances.vectors, box_code(glances.boxes)], -1)
        chosen = torch.gather(said, 1, which[..., None].expand(-1, -1, said.shape[-1]))
        heard = self.glance(torch.cat([chosen, fit[..., None]], -1))
        return torch.where((fit > COVERED)[..., None], heard, self.unseen)

    def _gathered(self, x: torch.Tensor) -> torch.Tensor:
        """float[B,grid²,D] of float[B,seen²,D], by area."""
        grid = x.transpose(1, 2).unflatten(2, (self.seen, self.seen))
        return F.adaptive_avg_pool2d(grid, self.grid).flatten(2).transpose(1, 2)
