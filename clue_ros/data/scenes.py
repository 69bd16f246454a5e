"""Scenes rendered by `clue scenes` as samples: instructions, dialogues and labels come from the scene's own grammar.

For each scene `per_scene` ambiguous instructions (with a dialogue where words can tell the things apart), as many clear
ones, and one for something that is not there. The same seed gives the same samples.

The subset 'duplicated' is the CLUE paper's Dataset 1 instead: of each scene with a kind of thing that stands there more
than once and another that stands there once, "get the DUPLICATED" (ambiguous) and "get the UNIQUE" (clear).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple

import numpy as np

from clue_ros.data.sample import Label, Sample, box_of, is_empty, point_of
from clue_ros.data.source import Record, Source, reporting, split_in, texts_of
from clue_ros.data.textfiles import count_lines, json_object, read_lines
from clue_ros.images.files import ImageFile, ImageRoot, image_file, size_of
from clue_ros.problems import MissingDataError, Place, Problems
from clue_ros.simulation import paraphrases
from clue_ros.simulation.queries import general_noun
from clue_ros.simulation.referring import Reference, absent_references, enumerate_references, resolve
from clue_ros.simulation.scene import ImageSize, SceneObject
from clue_ros.simulation.teacher import sample_dialogue
from clue_ros.simulation.words import NOUNS, learn_nouns
from clue_ros.types import Answer, Turn

PATTERN = "scenes-*.jsonl"
DUPLICATED = "duplicated"


class ScenesSource(Source):
    name = "scenes"

    def __init__(self, path: Path, seed: int = 0, per_scene: int = 2, subset: Optional[str] = None):
        """path: a folder made by `clue scenes`, or a folder of such folders named train, valid, test; subset:
        'duplicated' or None. Raises MissingDataError."""
        if subset not in (None, DUPLICATED):
            raise MissingDataError(f"scenes have no subset '{subset}'; there is '{DUPLICATED}'")
        self._duplicated = subset == DUPLICATED
        folders = [path] if any(path.glob(PATTERN)) else sorted({f.parent for f in path.glob(f"*/{PATTERN}")})
        if not folders:
            raise MissingDataError(f"{path} holds no {PATTERN}; make scenes with: clue scenes --output {path}")
        self._root, self._seed, self._per_scene = path, seed, per_scene
        self._folders = [(ImageRoot(f), split_in(f.name)) for f in folders]
        self.roots = (ImageRoot(path),)
        self.splits = tuple(dict.fromkeys(s for _, s in self._folders if s))

    def records(self, split: Optional[str] = None) -> Iterator[Record]:
        wanted = self.wanted(split)
        for root, own in self._folders:
            if wanted in (None, own):
                for file in sorted(root.folder.glob(PATTERN)):
                    name = file.relative_to(self._root).as_posix()
                    for number, line in read_lines(root.inside(file)):
                        yield Record(Place(name, number), own, (root, line))

    def annotation_files(self) -> Sequence[Path]:
        return [file for root, _ in self._folders for file in root.folder.glob(PATTERN)]

    def count(self, split: Optional[str] = None) -> int:
        wanted = self.wanted(split)
        return sum(count_lines(f) for r, own in self._folders if wanted in (None, own) for f in r.folder.glob(PATTERN))

    def parse(self, record: Record, problems: Problems) -> Iterator[Sample]:
        root, line = record.content
        samples: List[Sample] = []
        with reporting(problems, record.place):
            scene = json_object(line)
            try:
                key, size = str(scene["id"]), size_of(scene["width"], scene["height"])
                objects = tuple(_object(o) for o in scene["objects"])
            except (KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"is not a scene ({type(error).__name__}: {error})") from error
            if any(o.box is None and o.pixels > 0 for o in objects):
                raise ValueError("holds a thing that is seen but has no box")
            image = image_file([root], f"images/{key}.webp", size)
            image = replace(image, name=self.roots[0].name_of(image.path))
            folder = root.folder.name
            rng = np.random.default_rng([self._seed, *f"{folder}/{key}".encode()])
            try:
                made = (
                    duplicated_samples(objects, image, rng)
                    if self._duplicated
                    else scene_samples(objects, image, rng, self._per_scene)
                )
            except KeyError as error:
                raise ValueError(f"the grammar has no words for {error}") from error
            samples = [
                replace(sample, source_id=f"{folder}/{key}/{n}", split=record.split) for n, sample in enumerate(made)
            ]
        yield from samples


_Selected = Tuple[Reference, Tuple[int, ...]]  # an expression and what it is about


def scene_samples(
    objects: Tuple[SceneObject, ...], picture: ImageFile, rng: np.random.Generator, per_scene: int
) -> List[Sample]:
    """Samples of one scene, still without id and split."""
    several: List[_Selected] = []
    one: List[_Selected] = []
    sayable = enumerate_references(objects, ImageSize(*picture.size), general_noun(objects, rng))
    for reference, matches in sayable:
        (several if len(matches) > 1 else one).append((reference, matches))
    samples = []
    for pool in (several, one):
        for index in rng.permutation(len(pool))[:per_scene]:
            reference, matches = pool[int(index)]
            samples.append(_sample(reference, matches, objects, picture, rng))
    for reference in absent_references(objects, rng, 1):
        samples.append(Sample("", picture, paraphrases.instruction(reference, rng), boxes=(), label=Label.CLEAR))
    return samples


def duplicated_samples(objects: Tuple[SceneObject, ...], picture: ImageFile, rng: np.random.Generator) -> List[Sample]:
    """One ambiguous and one clear instruction, still without id and split; none where a scene does not have both."""
    kinds: Tuple[List[Tuple[str, Tuple[int, ...]]], List[Tuple[str, Tuple[int, ...]]]] = [], []  # duplicated, unique
    for category in dict.fromkeys(o.category for o in objects):
        matches = resolve(Reference(category), objects, ImageSize(*picture.size))
        if matches:
            kinds[len(matches) == 1].append((category, matches))
    if not all(kinds):
        return []
    samples = []
    for pool, label in zip(kinds, (Label.AMBIGUOUS, Label.CLEAR)):
        category, matches = pool[int(rng.integers(len(pool)))]
        boxes = tuple(objects[i].visible_box for i in matches)
        samples.append(Sample("", picture, f"get the {NOUNS[category][0]}", boxes=boxes, label=label))
    return samples


def _sample(
    reference: Reference,
    matches: Tuple[int, ...],
    objects: Sequence[SceneObject],
    picture: ImageFile,
    rng: np.random.Generator,
) -> Sample:
    text = paraphrases.instruction(reference, rng)
    things = tuple(o.box for o in objects if o.box is not None)
    if len(matches) == 1:
        return Sample("", picture, text, boxes=(objects[matches[0]].visible_box,), label=Label.CLEAR, objects=things)
    steps = sample_dialogue(text, matches, objects, ImageSize(*picture.size), rng)
    if not steps:  # words do not tell them apart: every one of them may be meant
        return Sample(
            "",
            picture,
            text,
            boxes=tuple(objects[i].visible_box for i in matches),
            label=Label.AMBIGUOUS,
            objects=things,
        )
    last = steps[-1]
    turns = [Turn(q, Answer(a)) for q, a in last.exchanges]
    if last.click is not None:
        turns[-1] = replace(turns[-1], answer=replace(turns[-1].answer, point=objects[last.click].visible_box.center))
    return Sample(
        "",
        picture,
        text,
        tuple(turns),
        tuple(objects[i].visible_box for i in last.remaining),
        label=Label.AMBIGUOUS,
        objects=things,
    )


def _object(item: dict) -> SceneObject:
    """Raises ValueError, KeyError or TypeError for what is no object of a scene."""
    category, color, size = texts_of([item["category"], item["color"], item["size"]], "category, color, size")
    box = None if item["box"] is None else box_of(item["box"])
    if box is not None and is_empty(box):
        raise ValueError(f"the box of a {category} is empty: {list(box)}")
    pixels, visibility = point_of([item["pixels"], item["visibility"]])
    if "nouns" in item:  # an object that a user brought: its category is none of the built-in ones
        learn_nouns(category, texts_of(item["nouns"], "nouns") or (category,))
    return SceneObject(
        category,
        color,
        size,
        tuple(item["point"]),
        0.0,
        (0.0, 0.0, 0.0),
        box=box,
        visibility=visibility,
        pixels=int(pixels),
    )
