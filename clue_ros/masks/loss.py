"""BCE + Dice (Instruction-Guided Visual Masking, Eq. 3, both weights 1.0), and the figures of dense maps."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def dense_losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """float32[...] of maps float32[...,h,w] against soft labels in [0, 1]: BCE + Dice of each map.

    Dice is smoothed by one cell, so that an empty map for an empty label costs nothing.
    """
    bce = F.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean((-2, -1))
    inside = logits.sigmoid()
    overlap, sizes = (inside * labels).sum((-2, -1)), (inside + labels).sum((-2, -1))
    return bce + 1 - (2 * overlap + 1) / (sizes + 1)


def dense_ious(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """float32[...]: IoU of the maps at 0.5; 1 where both are empty."""
    said, true = logits > 0, labels > 0.5
    overlap, union = (said & true).sum((-2, -1)).float(), (said | true).sum((-2, -1)).float()
    return torch.where(union > 0, overlap / union.clamp_min(1), torch.ones_like(union))
