"""Batches over several sets of pictures by weight."""

from __future__ import annotations

from typing import List, Sequence

import numpy as np


class Drawing:
    """Draws rows of several sets. weights: of each set; rows: of each set how often each of its rows is drawn,
    float64[N], any sum above 0."""

    def __init__(self, weights: Sequence[float], rows: Sequence[np.ndarray]):
        usable = [w if share.sum() > 0 else 0.0 for w, share in zip(weights, rows)]
        self._weights = np.array(usable, np.float64) / max(sum(usable), 1e-12)
        self._edges = [np.cumsum(share / max(share.sum(), 1e-12)) for share in rows]

    def draw(self, count: int, rng: np.random.Generator) -> List[np.ndarray]:
        """int64 rows of each set, in order, `count` in all; one may come twice."""
        counts = rng.multinomial(count, self._weights)
        found = [np.searchsorted(edges, rng.random(n), side="right") for n, edges in zip(counts, self._edges)]
        return [np.sort(np.minimum(rows, len(edges) - 1)) for rows, edges in zip(found, self._edges)]
