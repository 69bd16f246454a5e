"""What turns an observation into "ambiguous": the small part of a detector that is no adapter."""

from __future__ import annotations

from pathlib import Path

import torch


class Head(torch.nn.Module):
    """float[B] log-odds of what a kind observes: maps float[B,h,w], or the closing rows' logits float[B,V]."""

    def probability(self, observed: torch.Tensor) -> float:
        """P(ambiguous) in [0, 1] of one map float[h,w], or of one row of logits float[V]."""
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        """Write the kind's file into a model directory; nothing for a head without weights."""
