"""What things of a picture are called for the heads that only training has: names, colours, sizes.

Names are kinds (language/kinds.py); one that is rare in the data is `other`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Dict, Iterable, Sequence, Tuple

import numpy as np

from clue_ros.location import box_to_bins
from clue_ros.photographs.annotations import Photograph
from clue_ros.simulation.scene import SceneObject
from clue_ros.simulation.scene_data import BACKGROUND

OTHER = "other"
LEAST = 20  # things from which a name is one
UNKNOWN = -100  # as cross-entropy ignores
COLORS = (
    "red", "orange", "yellow", "green", "blue", "purple", "white", "black", "gray", "brown", "pink", "silver",
)  # fmt: skip
SIZES = ("small", "medium", "large")


@dataclass(frozen=True)
class Labels:
    """names: in order, `other` last."""

    names: Tuple[str, ...]

    def name(self, thing: SceneObject) -> int:
        return self.index.get(thing.category, len(self.names) - 1)

    @cached_property
    def index(self) -> Dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}


def labels_of(things: Iterable[SceneObject], least: int = LEAST) -> Labels:
    """The names that at least so many things have."""
    count = Counter(thing.category for thing in things)
    return Labels((*sorted(n for n, k in count.items() if k >= least and n != OTHER), OTHER))


def color_of(thing: SceneObject) -> int:
    """UNKNOWN for a thing of which nobody said one; 'dark blue' is blue."""
    plain = thing.color.split(" ")[-1]
    return COLORS.index(plain) if plain in COLORS else UNKNOWN


def size_of(thing: SceneObject) -> int:
    return SIZES.index(thing.size) if thing.size in SIZES else UNKNOWN


@dataclass
class Dense:
    """What each patch shows, int64[B,T]: UNKNOWN where that is not known, the number of names or colours for nothing;
    bins: int64[B,T,4] of the thing's box (location.py), of patches whose name is one of a thing."""

    name: np.ndarray
    color: np.ndarray
    size: np.ndarray
    bins: np.ndarray


def dense_labels(owners: np.ndarray, photographs: Sequence[Photograph], labels: Labels) -> Dense:
    """owners: int8[B,T]."""
    name, color, size = (np.full(owners.shape, UNKNOWN, np.int64) for _ in range(3))
    bins = np.zeros((*owners.shape, 4), np.int64)
    name[owners == BACKGROUND], color[owners == BACKGROUND] = len(labels.names), len(COLORS)
    for b, photo in enumerate(photographs):
        for k, thing in enumerate(photo.objects):
            here = owners[b] == k
            if thing.box is not None and here.any():
                name[b, here], color[b, here], size[b, here] = labels.name(thing), color_of(thing), size_of(thing)
                bins[b, here] = box_to_bins(thing.box, photo.size.width, photo.size.height)
    return Dense(name, color, size, bins)


def own_boxes(owners: np.ndarray, photographs: Sequence[Photograph]) -> np.ndarray:
    """float32[B,P,4]: of each patch the box of the thing that owns it, shares of the picture; zeros for no thing.
    owners: int8[B,P]."""
    boxes = np.zeros((*owners.shape, 4), np.float32)
    for b, photo in enumerate(photographs):
        for k, box in enumerate(shares_of(photo)):
            boxes[b, owners[b] == k] = box
    return boxes


def shares_of(photo: Photograph) -> np.ndarray:
    """float32[M,4]: the objects' boxes as shares of the picture; zeros for one that is not seen."""
    whole = np.array((photo.size.width, photo.size.height) * 2, np.float32)
    boxes = [thing.box if thing.box is not None else (0.0,) * 4 for thing in photo.objects]
    return np.array(boxes, np.float32).reshape(-1, 4) / whole
