"""Where what was really said stands among its alternatives, for Recall@k and the mean rank (InViG's metrics)."""

from __future__ import annotations

from typing import Sequence

import numpy as np


def rank_of_first(scores: Sequence[float]) -> float:
    """Rank from 1 of the first score among all; ties count half each, so that a model that gives every candidate the
    same score gets the middle rank and not the first."""
    values = np.asarray(scores, float)
    return 1.0 + float((values[1:] > values[0]).sum()) + 0.5 * float((values[1:] == values[0]).sum())
