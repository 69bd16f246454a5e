"""What the second glances of a set show, by comparing the proposals with the things that are known."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch

from clue_ros.eyes.layout import overlap
from clue_ros.photographs.annotations import Photograph
from clue_ros.training.eye_settings import CropSettings
from clue_ros.training.eyes.cache import Cache
from clue_ros.training.eyes.glances import Glanced
from clue_ros.training.eyes.labels import UNKNOWN, Labels, color_of, shares_of

ABOUT = 0.35  # overlap with a thing from which a crop is about it: it has the thing's name, colour and box
THING, NOT_THING, NOTHING = 0.5, 0.4, 0.2  # it counts as one thing from, not as one below; as of nothing below
LEAST_SEEN, LEAST_AREA = 0.25, 2e-4  # visible share, share of the picture: things below are not taught


@dataclass
class CropLabels:
    """name, color: int64[N,K], UNKNOWN where that is not known; thing: float32[N,K], 1, 0 or -1 for not known;
    box: float32[N,K,4], shares of the picture, where there is a name."""

    name: np.ndarray
    color: np.ndarray
    thing: np.ndarray
    box: np.ndarray

    def shares(self, glanced: Glanced, settings: CropSettings) -> np.ndarray:
        """float64[N·K]: how often each crop is drawn; rare names more often than their number says."""
        count = Counter(self.name[self.name >= 0].tolist())
        by_name = np.zeros(max(count, default=0) + 1)
        for name, n in count.items():
            by_name[name] = n**-settings.rare
        weight = np.where(self.name >= 0, by_name[self.name.clip(0)], np.where(self.thing == 0, settings.nothing, 0.0))
        return (weight * glanced.pictures.shares()[:, None]).ravel()


def crop_labels(glanced: Glanced, second: Cache, labels: Labels) -> CropLabels:
    """Of all second glances of a set."""
    shape = second["score"].shape
    name, color = np.full(shape, UNKNOWN, np.int64), np.full(shape, UNKNOWN, np.int64)
    found = CropLabels(name, color, np.full(shape, -1, np.float32), np.zeros((*shape, 4), np.float32))
    rough, score = np.array(second["rough"]), np.array(second["score"])
    for i in range(len(glanced)):
        photo = glanced.pictures.photo(i)
        there = np.flatnonzero(score[i] >= 0)
        fit, which = _fits(photo, rough[i, there])
        for k, overlapping, j in zip(there, fit, which):
            if overlapping >= ABOUT:
                thing = photo.objects[j]
                found.name[i, k], found.color[i, k] = labels.name(thing), color_of(thing)
                found.box[i, k] = shares_of(photo)[j]
                if not NOT_THING <= overlapping < THING:
                    found.thing[i, k] = overlapping >= THING
            elif overlapping < NOTHING and photo.exhaustive:
                found.thing[i, k] = 0
    return found


def _fits(photo: Photograph, rough: np.ndarray):
    """(float[K], int[K]): the overlap of each proposal with the thing that it fits best, and which that is."""
    boxes = shares_of(photo)
    size = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    seen = np.array([thing.visibility > LEAST_SEEN for thing in photo.objects], bool)
    taught = np.flatnonzero((size >= LEAST_AREA) & seen)
    if not len(taught):
        return np.zeros(len(rough)), np.zeros(len(rough), int)
    fit = overlap(torch.from_numpy(rough)[:, None], torch.from_numpy(boxes[taught])[None])[0].numpy()
    return fit.max(1), taught[fit.argmax(1)]
