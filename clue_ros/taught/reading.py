"""How ambiguous words with a taught name are, and a map of what they may mean in the place of the attention map."""

from __future__ import annotations

from typing import Optional, Sequence

import numpy as np

from clue_ros.perception.candidates import Candidate
from clue_ros.stock.interpreter import Understanding
from clue_ros.taught.perception import TaughtImage
from clue_ros.types import Ambiguity, Region

ASKS_FROM = 0.5  # P(ambiguous) of candidates from which it asks, where a call names no other
MAP_SIDE = 16  # cells of the map


def ambiguity_of(
    seen: TaughtImage, state: Understanding, threshold: Optional[float], rivals: Sequence[Candidate] = ()
) -> Ambiguity:
    """The reading of an understanding. threshold: P(ambiguous) from which it asks, None for ASKS_FROM; rivals: what the
    words leave out although it goes by the same name: a region for a correction to come to, and none of the map."""
    limit = ASKS_FROM if threshold is None else float(threshold)
    strongest = max((c.confidence for c in state.candidates), default=1.0)
    regions = tuple(Region(c.box, c.box.center, c.confidence / max(strongest, 1e-9)) for c in state.candidates)
    grid = np.zeros((MAP_SIDE, MAP_SIDE), np.float32)
    across, down = MAP_SIDE / seen.width, MAP_SIDE / seen.height
    for region in regions:
        box = region.box
        cells = grid[
            int(box.y0 * down) : int(np.ceil(box.y1 * down)), int(box.x0 * across) : int(np.ceil(box.x1 * across))
        ]
        np.maximum(cells, region.strength, out=cells)
    others = tuple(Region(c.box, c.box.center, 0.0) for c in rivals if c.box not in state.boxes)
    return Ambiguity(state.probability, limit, state.probability >= limit, grid, regions + others)
