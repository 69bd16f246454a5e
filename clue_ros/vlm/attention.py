"""The attention tap: text-to-image attention of one decoder layer as a spatial map (CLUE, Eqs. 1 and 2).

Per-head L1 renormalisation over the image keys equals a softmax over the image keys alone, so only the queries of the
text rows and the keys of the image rows of that layer are needed; its values, output and MLP, and all later layers,
need never run.
"""

from __future__ import annotations

import torch


def attention_vector(scores: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """float32[B,N]: mean over heads and rows of the attention renormalised over the image.

    scores: float32[B,H,T,N], the logits of text rows against image keys; rows: bool[B,T], the rows that count (at least
    one each).
    """
    weights = scores.softmax(-1).mean(1)
    chosen = rows.to(weights.dtype)
    return (weights * chosen[..., None]).sum(1) / chosen.sum(1, keepdim=True).clamp_min(1)


def to_map(vector: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """float32[B,rows,columns] in [0, 1]: reshaped row-major and min-max normalised per sample."""
    low, high = vector.amin(-1, keepdim=True), vector.amax(-1, keepdim=True)
    return ((vector - low) / (high - low + 1e-8)).unflatten(-1, (rows, columns))
