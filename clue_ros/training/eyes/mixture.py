"""All sets of a recipe as the decoder's training reads them: the neck's features, and what may be said.

The features come from the cached glances, not from pictures: a set of ten thousand takes minutes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import numpy as np
import torch

from clue_ros.eyes.neck import Neck
from clue_ros.photographs.annotations import Photograph
from clue_ros.simulation.scene import SceneObject
from clue_ros.simulation.words import COLOR_WORDS, NOUNS
from clue_ros.training.eyes.cache import Cache
from clue_ros.training.eyes.glances import rows_left
from clue_ros.training.eyes.neck_stage import Source, neck_batch
from clue_ros.training.eyes.pictures import fingerprint_of
from clue_ros.training.features import FeatureData, fingerprint
from clue_ros.training.validation import evaluating

_BATCH = 8


def mixture(
    sources: Sequence[Source], weights: Sequence[float], neck: Neck, folder: Path, device: str = "cpu"
) -> FeatureData:
    """Compute, or read back, the neck's features of all sets, one set after the other. A picture is drawn as often as
    its set's weight and its source say. neck: on the device."""
    counts = [len(source.glanced) for source in sources]
    made_of = fingerprint_of([[source.said.made_of for source in sources], fingerprint(neck)])
    shape = (neck.grid**2, neck.norm.normalized_shape[0])
    cache = Cache(Path(folder), made_of, sum(counts), {"features": (np.float16, shape)})
    first = np.cumsum([0, *counts])
    for at in rows_left(cache, "mixture", "features", _BATCH):
        rows = np.arange(at, min(at + _BATCH, cache.count))
        drawn = [rows[(rows >= a) & (rows < b)] - a for a, b in zip(first, first[1:])]
        batch = neck_batch(sources, drawn, neck.seen, device)
        with evaluating(neck), torch.no_grad():
            seen = neck(batch.features, batch.pixels, batch.thing, batch.boxes, batch.glances)
        cache["features"][rows] = seen.half().cpu().numpy()
    photographs: List[Optional[Photograph]] = []
    objects: List[Tuple[SceneObject, ...]] = []
    chances, patches = [], []
    for source, weight in zip(sources, weights):
        pictures = source.glanced.pictures
        photos = [pictures.photo(i) for i in range(len(pictures))]
        photographs += [None] * len(photos) if pictures.rendered else photos
        objects += [sayable(photo.objects) if pictures.rendered else photo.objects for photo in photos]
        patches.append(np.array(source.glanced.first["grid"]).reshape(-1, neck.grid, neck.grid))
        chances.append(weight * pictures.shares())
    sizes = [photo.size for source in sources for photo in source.glanced.pictures.photographs]
    share = np.concatenate(chances)
    return FeatureData(
        cache["features"], np.concatenate(patches), objects, sizes, photographs=photographs, chances=share / share.sum()
    )


def sayable(objects: Tuple[SceneObject, ...]) -> Tuple[SceneObject, ...]:
    """A scene's things as the grammar can name them: what has no noun is out of sight, what has no colour word has no
    colour."""
    return tuple(
        replace(o, color=o.color if o.color in COLOR_WORDS else "", pixels=o.pixels if o.category in NOUNS else 0)
        for o in objects
    )
