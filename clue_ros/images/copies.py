"""Whether two pictures are one in another encoding or size: by what little is left of them, 8 x 8 mean colours.

Measured on 515 photographs and rendered scenes, on 123 of them in five forms each (JPEG at quality 30 to 85, WebP at
40, PNG; half the size, made square): no copy's cell was off by more than 13 of 255, all of its cells by 3.1 on average.
The nearest two different pictures were 19 apart in some cell, but for two renders that differ in the colour of one ball
(5). A difference hash was off by up to 45 of 256 bits for copies, and by 1 for scenes on one table. Mirrored copies are
found as well; crops that cut more than a few pixels are not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Sequence

import numpy as np
from PIL import Image

from clue_ros.types import ClueError

SIDE = 8  # cells
NUMBERS = SIDE * SIDE * 3
CELL, MEAN = 15, 4.0  # levels of 255 that a copy's cells are off at most, each and on average


def look_of(rgb: np.ndarray) -> np.ndarray:
    """uint8[192]: the mean colours of 8 x 8 cells of uint8[H,W,3] RGB, the upright image."""
    return np.asarray(Image.fromarray(rgb).resize((SIDE, SIDE), Image.Resampling.BOX)).reshape(-1)


class Looks:
    """Many of them, to find copies in."""

    def __init__(self, looks: Sequence[np.ndarray]):
        """looks: uint8[192] each"""
        all_of_them = np.asarray(looks, np.uint8).reshape(-1, NUMBERS)
        means = all_of_them.mean(1)
        self._order = np.argsort(means, kind="stable")
        self._means, self._looks = means[self._order], all_of_them[self._order].astype(np.int16)

    def __len__(self) -> int:
        return len(self._order)

    def copy_of(self, look: np.ndarray) -> Optional[int]:
        """Where in `looks` a copy of this one stands, mirrored or not, the likest; None if there is none."""
        mirrored = look.reshape(SIDE, SIDE, 3)[:, ::-1].reshape(-1)
        found = self._likest(look)
        return found if found is not None else self._likest(mirrored)

    def _likest(self, look: np.ndarray) -> Optional[int]:
        mean = look.mean()
        first, last = np.searchsorted(self._means, (mean - MEAN, mean + MEAN))
        off = np.abs(self._looks[first:last] - look.astype(np.int16))
        average = np.where(off.max(1, initial=0) <= CELL, off.mean(1), np.inf) if len(off) else np.array([np.inf])
        best = int(average.argmin())
        return int(self._order[first + best]) if average[best] <= MEAN else None


def save_looks(file: Path, looks: Sequence[np.ndarray]) -> None:
    """As a .npy file, uint8[N,192]."""
    partial = file.with_name(file.name + ".partial")
    with open(partial, "wb") as stream:
        np.save(stream, np.asarray(looks, np.uint8).reshape(-1, NUMBERS), allow_pickle=False)
    partial.replace(file)


def load_looks(file: Path) -> np.ndarray:
    """uint8[N,192]. Raises ClueError for a file that is none."""
    try:
        looks = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ClueError(f"{file} cannot be read: {error}") from error
    if looks.dtype != np.uint8 or looks.ndim != 2 or looks.shape[1] != NUMBERS:
        raise ClueError(f"{file} holds {looks.dtype}{list(looks.shape)}, not uint8[N,{NUMBERS}]")
    return looks
