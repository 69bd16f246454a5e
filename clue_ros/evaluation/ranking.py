"""Where what was really said stands among 30 alternatives: Recall@k and mean rank (InViG's retrieval metrics)."""

from __future__ import annotations

from typing import Optional, Sequence

import numpy as np


def rank_of_first(scores: Sequence[float]) -> float:
    """Rank from 1 of the first score among all; ties count half each, so that a model that gives every candidate the
    same score gets the middle rank and not the first."""
    values = np.asarray(scores, float)
    return 1.0 + float((values[1:] > values[0]).sum()) + .5 * float((values[1:] == values[0]).sum())


def recall_at(ranks: Sequence[float], k: int) -> Optional[float]:
    """Share of ranks <= k; None of nothing."""
    return float(np.mean(np.asarray(ranks, float) <= k)) if len(ranks) else None
