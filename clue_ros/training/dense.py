"""Dense supervision of the vision tower: every patch says what stands there, its colour, size class and box.

256 labels an image instead of one: the only thing found that makes a vision transformer of this size learn in minutes.
The box is read off through the <loc> embeddings, so that the language model later finds coordinates in the code in
which it has to speak them.
"""

from __future__ import annotations

from typing import Dict, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from clue_ros.location import BINS, box_to_bins
from clue_ros.simulation.scene import ImageSize, SceneObject
from clue_ros.simulation.scene_data import BACKGROUND
from clue_ros.simulation.shapes import CATEGORIES, COLORS, SIZES

CATEGORY_INDEX = {c: i for i, c in enumerate(CATEGORIES)}
COLOR_INDEX = {c: i for i, c in enumerate(COLORS)}
SIZE_INDEX = {s: i for i, s in enumerate(SIZES)}
_kernels: Dict[float, torch.Tensor] = {}


def smooth_targets(sigma: float) -> torch.Tensor:
    """float32[1024,1024]: row b is a Gaussian over the bins around b, sigma in bins: near misses cost less."""
    if sigma not in _kernels:
        bins = torch.arange(BINS, dtype=torch.float32)
        kernel = torch.exp(-0.5 * ((bins[:, None] - bins) / sigma) ** 2)
        _kernels[sigma] = kernel / kernel.sum(1, keepdim=True)
    return _kernels[sigma]


def location_loss(logits: torch.Tensor, bins: torch.Tensor, sigma: float, first: int = 0) -> torch.Tensor:
    """float32[N]: smoothed cross-entropy. logits: float32[N,V]; the bins' logits start at column `first`."""
    log_probability = logits.log_softmax(-1)[:, first : first + BINS]
    return -(smooth_targets(sigma).to(logits.device)[bins] * log_probability).sum(-1)


class DenseHeads(nn.Module):
    """Linear heads over patch features float[B,N,D]; used in training only."""

    def __init__(self, width: int, text_width: int):
        super().__init__()
        self.category = nn.Linear(width, len(CATEGORIES) + 1)
        self.color = nn.Linear(width, len(COLORS) + 1)
        self.size = nn.Linear(width, len(SIZES))
        self.code = nn.Linear(width, 4 * text_width)
        self.box = nn.Linear(width, 4)

    def loss(
        self,
        features: torch.Tensor,
        patches: np.ndarray,
        objects: Sequence[Tuple[SceneObject, ...]],
        sizes: Sequence[ImageSize],
        locations: torch.Tensor,
        sigma: float = 4.0,
        boxes_per_image: int = 24,
    ) -> Tuple[torch.Tensor, Dict[str, float]]:
        """features: float[B,N,D]; patches: int8[B,P,P]; locations: float[1024,T], the <loc> rows. Returns the loss and
        readings: category, colour and size accuracy on object patches, median box error as a share of the image side.
        """
        labels = _labels(patches, objects, sizes)
        category, color, size, bins = (torch.from_numpy(a).to(features.device) for a in labels)
        category_logits, color_logits, size_logits = self.category(features), self.color(features), self.size(features)
        loss = _weighted(category_logits, category, len(CATEGORIES)) + _weighted(color_logits, color, len(COLORS))
        owned = (category >= 0) & (category < len(CATEGORIES))
        index = owned.nonzero()
        index = index[torch.randperm(len(index), device=index.device)[: boxes_per_image * len(patches)]]
        readings = {
            "category": _accuracy(category_logits, category, owned),
            "color": _accuracy(color_logits, color, owned),
            "size": _accuracy(size_logits, size, owned),
        }
        if len(index):
            loss = loss + 0.3 * F.cross_entropy(size_logits[owned], size[owned])
            picked, target = features[index[:, 0], index[:, 1]], bins[index[:, 0], index[:, 1]]
            code = self.code(picked).unflatten(1, (4, -1))
            code = F.rms_norm(code, (code.shape[-1],))
            logits = 30 * torch.tanh(code @ locations.T / 30)
            side = int(round(features.shape[1] ** 0.5))
            centre = torch.stack([(index[:, 1] // side + 0.5) / side, (index[:, 1] % side + 0.5) / side] * 2, 1)
            normalised = target.float() / (BINS - 1)
            regressed = self.box(picked) * 0.2 + centre
            loss = loss + 0.4 * location_loss(logits.flatten(0, 1), target.flatten(), sigma).mean()
            loss = loss + 10 * F.smooth_l1_loss(regressed, normalised, beta=0.02)
            readings["box"] = float((logits.argmax(-1) - target).abs().float().median()) / BINS
        return loss, readings


def _labels(patches: np.ndarray, objects, sizes):
    count, cells = len(patches), patches[0].size
    flat = patches.reshape(count, cells)
    category = np.full((count, cells), -100, np.int64)
    color = np.full((count, cells), -100, np.int64)
    size = np.zeros((count, cells), np.int64)
    bins = np.zeros((count, cells, 4), np.int64)
    category[flat == BACKGROUND] = len(CATEGORIES)
    color[flat == BACKGROUND] = len(COLORS)
    for b in range(count):
        for k, item in enumerate(objects[b]):
            if item.box is None:
                continue
            here = flat[b] == k
            category[b, here], color[b, here] = CATEGORY_INDEX[item.category], COLOR_INDEX[item.color]
            size[b, here] = SIZE_INDEX[item.size]
            bins[b, here] = box_to_bins(item.box, sizes[b].width, sizes[b].height)
    return category, color, size, bins


def _weighted(logits: torch.Tensor, target: torch.Tensor, background: int) -> torch.Tensor:
    weight = torch.ones(logits.shape[-1], device=logits.device)
    weight[background] = 0.3
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), weight)


def _accuracy(logits: torch.Tensor, target: torch.Tensor, where: torch.Tensor) -> float:
    return float((logits.argmax(-1) == target)[where].float().mean()) if bool(where.any()) else 0.0
