"""What a recipe says about the eyes: the sets of pictures that they learn from, and the training of their three parts.

The parts themselves are trained in training/eyes/, which stands above the recipe.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import List, Sequence, Tuple

from clue_ros.configuration import range_problems
from clue_ros.training.settings import LoopSettings

PARTS = ("patch", "crop", "neck")  # the stages behind the stage `eyes`, in order
EYES = "eyes"
_NAME = re.compile(r"[\w-]+")
_SIZE = re.compile(r"\d+x\d+")


@dataclass(frozen=True)
class SetSettings:
    """One set of training pictures: photographs, a folder of rendered scenes, or scenes to render.

    name: of its folders; photos: folder with annotations.jsonl (photographs/annotations.py), also of composites;
    scenes: folder that `clue scenes` wrote; neither: `count` scenes are rendered into DATA/name, and then seed, varied,
    objects (folder of own meshes), only_own, any_camera, more_colors and sizes ('640x480') are those of `clue scenes`.
    limit: the first so many pictures, 0 for all; weight: share of every batch, beside the other sets' weights;
    spread: a source of n pictures weighs n ** spread; whole: sources that are read as exhaustive; sharealike: take
    share-alike pictures, too; teach: the neck also imitates the finished model's tower there (`neck.imitate`), whose
    own world the set must be.
    """

    name: str = ""
    photos: str = ""
    scenes: str = ""
    count: int = 0
    seed: int = 1
    varied: bool = False
    objects: str = ""
    only_own: bool = False
    any_camera: bool = False
    more_colors: bool = False
    sizes: Tuple[str, ...] = ()
    limit: int = 0
    weight: float = 1.0
    spread: float = 0.4
    whole: Tuple[str, ...] = ()
    sharealike: bool = True
    teach: bool = False


@dataclass(frozen=True)
class PatchSettings(LoopSettings):
    """The first glance's boxes. nothing: weight of a patch of no thing; evenly: a patch of a thing of n patches weighs
    n ** -evenly; quality: weight of the loss on the expected overlap."""

    steps: int = 2600
    batch: int = 12
    weight_decay: float = 0.02
    warmup: int = 130
    nothing: float = 0.5
    evenly: float = 0.7
    quality: float = 0.5


@dataclass(frozen=True)
class CropSettings(LoopSettings):
    """The second glance's head. rare: a crop of a name that is there n times weighs n ** -rare; nothing: the weight of
    a crop of no thing; smoothing: of names' and colours' labels; thing: weight of the loss on being one thing."""

    steps: int = 4000
    batch: int = 128
    lr: float = 8e-4
    weight_decay: float = 0.05
    warmup: int = 320
    rare: float = 0.5
    nothing: float = 0.02
    smoothing: float = 0.05
    thing: float = 0.5


@dataclass(frozen=True)
class NeckSettings(LoopSettings):
    """What both glances saw, on the decoder's grid. missing: share of second glances left out; blind: of pictures
    without any; boxes: patches of a picture whose box is learnt from, at most; imitate: weight of the finished model's
    features (start.model), 0 for none."""

    steps: int = 4000
    batch: int = 16
    weight_decay: float = 0.03
    warmup: int = 240
    missing: float = 0.1
    blind: float = 0.08
    boxes: int = 24
    imitate: float = 2.0


def set_problems(sets: Sequence[SetSettings]) -> List[str]:
    """What is wrong with `data.sets` beyond the types."""
    found: List[str] = []
    for number, one in enumerate(sets):
        where = f"data.sets[{number}]"
        if not _NAME.fullmatch(one.name):
            found.append(f"'{where}.name' is '{one.name}', must be one word: it names folders")
        elif [s.name for s in sets].index(one.name) != number:
            found.append(f"'{where}.name' is '{one.name}' as another one's")
        if bool(one.photos) + bool(one.scenes) + bool(one.count) != 1:
            found.append(f"'{where}' needs one of photos, scenes (folders) and count (of scenes to render)")
        found += [f"'{where}.sizes' holds '{s}', must be as 640x480" for s in one.sizes if not _SIZE.fullmatch(s)]
        found += range_problems(one, where, ("count", "limit", "weight"), 0)
    if sets and not any(one.weight for one in sets):
        found.append("'data.sets' have no weight at all")
    return found
