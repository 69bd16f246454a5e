"""Bent shapes: one mug becomes many, so that a model learns the category and not the twenty-odd meshes of shapes.py.

A variety is a number; with a category, shape and size it fixes a deformation: stretched per axis, tapered, bellied.
Variety 0 is the shapes as they are, which all tests and the demo use; training sets draw another for every shard. The
held-out shapes (simulation/shapes.py) stay out of the shipped model's training set: the oval ball is 1.58 times as long
as high, bent balls there reach 1.37; the slim can is 5.4 radii high, bent cans reach 5.0 (test_variety.py).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Tuple

import numpy as np

PLAIN = 0
UNBENT_SHARE = 0.25  # of the shapes of a variety that stay as they are


@dataclass(frozen=True)
class Deformation:
    """scale: factors along x, y, z; taper: the radius grows by this share from the middle to the top and shrinks by it
    towards the base; belly: grows by this share at half the height; height: of the undeformed shape, metres."""

    scale: Tuple[float, float, float] = (1.0, 1.0, 1.0)
    taper: float = 0.0
    belly: float = 0.0
    height: float = 1.0

    @property
    def widest(self) -> float:
        """By how much the footprint may grow."""
        return max(self.scale[:2]) * (1 + abs(self.taper) + max(0.0, self.belly))

    def bent(self, points: np.ndarray) -> np.ndarray:
        """float[..., 3] of points in the object's frame, metres, z up from the base."""
        up = 2 * np.clip(points[..., 2:] / self.height, 0, 1) - 1
        around = 1 + self.taper * up + self.belly * (1 - up**2)
        return np.concatenate([points[..., :2] * around, points[..., 2:]], -1) * self.scale


UNBENT = Deformation()


@lru_cache(maxsize=4096)
def deformation(variety: int, category: str, shape: str, size: str, height: float) -> Deformation:
    """How a shape of this height (metres) is bent in this variety; the same for the same arguments on every machine."""
    if variety == PLAIN:
        return UNBENT
    rng = np.random.default_rng([variety, zlib.crc32(f"{category}/{shape}/{size}".encode())])
    if rng.random() < UNBENT_SHARE:
        return UNBENT
    around, flat = rng.uniform(0.90, 1.10), rng.uniform(0.93, 1.07)
    tall = rng.uniform(0.84, 1.18)
    return Deformation((around * flat, around / flat, tall), rng.uniform(-0.10, 0.10), rng.uniform(-0.10, 0.10), height)
