"""Several data sets as one, each with a weight: IT2P beside rendered scenes, true dialogues beside machine-made ones.

A data set with several splits of its own keeps them; one without any, or with one only, is divided by what its images
hold, as it would be alone. So the held-out part of each is the one that it has without the others.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Dict, Iterator, Optional, Sequence, Tuple

from clue_ros.data.sample import Sample
from clue_ros.data.source import TRAIN, Record, Source, hashed_split
from clue_ros.images.files import ImageFile, digest
from clue_ros.problems import BrokenImageError, DataError, Kind, Problems

SPLITS = (TRAIN, "valid", "test")


@dataclass(frozen=True)
class Part:
    """weight: how often each record comes in an epoch of training data; other splits have each record once."""

    source: Source
    weight: int = 1

    @property
    def divided(self) -> bool:
        """Whether its splits are made by image content."""
        return len(self.source.splits) <= 1


class MixtureSource(Source):
    """Records of all parts, spread evenly over an epoch whatever the parts' sizes; splits train, valid and test."""

    name = "mixture"
    splits = SPLITS

    def __init__(self, parts: Sequence[Part], fractions: Sequence[float] = (0.7, 0.15, 0.15)):
        """fractions: train, valid, test of parts that are divided. Raises DataError."""
        if any(part.weight < 1 for part in parts):
            raise DataError("the weight of a data set must be a whole number of 1 or more")
        self.parts, self.fractions = tuple(parts), tuple(fractions)
        self.roots = tuple(root for part in parts for root in part.source.roots)
        self._known: Dict[str, str] = {}  # an image's path -> its split: a file is read once
        self._counts: Dict[Tuple[int, Optional[str]], int] = {}

    def records(self, split: Optional[str] = None) -> Iterator[Record]:
        wanted = self.wanted(split)
        placed = [self._placed(n, wanted) for n in range(len(self.parts))]
        for _, _, record in heapq.merge(*placed, key=lambda entry: entry[:2]):
            yield record

    def parse(self, record: Record, problems: Problems) -> Iterator[Sample]:
        index, inner = record.content
        part = self.parts[index]
        for sample in part.source.parse(inner, problems):
            if part.divided:
                try:
                    own = self._split_of(sample)
                except BrokenImageError as error:
                    problems.add(Kind.IMAGE, record.place, error)
                    continue
                if record.split not in ("", own):
                    continue
            yield sample

    def annotation_files(self) -> Sequence[Path]:
        return [file for part in self.parts for file in part.source.annotation_files()]

    def _placed(self, index: int, split: Optional[str]) -> Iterator[Tuple[float, int, Record]]:
        """(place in [0, 1), part, record), in order."""
        times = self.parts[index].weight if split == TRAIN else 1
        total = max(1, times * self._count(index, split))
        copies = (r for record in self._of(index, split) for r in repeat(record, times))
        for number, record in enumerate(copies):
            own = split or record.split
            own = "" if self.parts[index].divided and split is None else own
            yield (number + 0.5) / total, index, Record(record.place, own, (index, record))

    def _of(self, index: int, split: Optional[str]) -> Iterator[Record]:
        part = self.parts[index]
        if part.divided or split is None:
            return part.source.records()
        return part.source.records(split) if split in part.source.splits else iter(())

    def _count(self, index: int, split: Optional[str]) -> int:
        key = index, split
        if key not in self._counts:
            self._counts[key] = sum(1 for _ in self._of(index, split))
        return self._counts[key]

    def _split_of(self, sample: Sample) -> str:
        """Raises BrokenImageError if the file cannot be read, DataError for an image in memory."""
        if not isinstance(sample.image, ImageFile):
            raise DataError("images in memory cannot be mixed with others: clue data convert writes them first")
        key = str(sample.image.path)
        if key not in self._known:
            self._known[key] = hashed_split(digest(sample.image.path), self.fractions)
        return self._known[key]
