"""Which samples of a data set a suite is run on, and what kind of expression each holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Sequence, Tuple

from clue_ros.data.formats import open_data
from clue_ros.data.sample import Sample
from clue_ros.data.source import Source
from clue_ros.data.stream import SampleStream
from clue_ros.language.phrase import COLORS, parse_instruction
from clue_ros.problems import Problems

SHUFFLE_BUFFER = 1000  # records


@dataclass
class Selection:
    """Samples in a fixed order. split: None for 'test' where the data set has one, else everything; limit: at most so
    many; shuffle: a seed for another order; seed: of what the scenes' grammar says."""

    path: Path
    form: str = "auto"
    images: Optional[Path] = None
    subset: Optional[str] = None
    split: Optional[str] = None
    fractions: Optional[Sequence[float]] = None
    limit: Optional[int] = None
    shuffle: Optional[int] = None
    seed: int = 0

    def __post_init__(self) -> None:
        self.source: Source = open_data(self.path, self.form, images=self.images, subset=self.subset, seed=self.seed)
        if self.split is None and ("test" in self.source.splits or self.fractions is not None):
            self.split = "test"
        self._stream = self._fresh()  # arguments are checked here and not at the first sample

    @property
    def problems(self) -> Problems:
        """What the last pass had to leave out."""
        return self._stream.problems

    def about(self) -> Dict[str, Any]:
        return {
            "data": str(self.path),
            "format": self.source.name,
            "split": self.split or "all",
            "limit": self.limit,
            "subset": self.subset,
            "fractions": list(self.fractions) if self.fractions else None,
            "shuffle": self.shuffle,
            "data_seed": self.seed,
            "annotations": self.source.fingerprint(),
        }

    def __iter__(self) -> Iterator[Sample]:
        """The samples from the first one on. A source that repeats an id gets it made different, or a resumed run would
        skip the second."""
        self._stream = self._fresh()
        seen: Dict[str, int] = {}
        for number, sample in enumerate(self._stream):
            if self.limit is not None and number >= self.limit:
                return
            count = seen[sample.source_id] = seen.get(sample.source_id, 0) + 1
            yield sample if count == 1 else _renamed(sample, count)

    def _fresh(self) -> SampleStream:
        buffer, seed = (0, 0) if self.shuffle is None else (SHUFFLE_BUFFER, self.shuffle)
        return SampleStream(self.source, self.split, buffer=buffer, seed=seed, fractions=self.fractions)


def expression_type(text: str) -> str:
    """What tells the thing apart in an instruction's words: 'relation', 'ordinal', 'position', 'size', 'colour',
    'attribute', 'category', 'generic' ("the one"), or 'other' where the rules find no noun phrase: the first that
    fits."""
    request = parse_instruction(text)
    place = request.place
    kinds: Tuple[Tuple[bool, str], ...] = (
        (not request.understood, "other"),
        (request.relation is not None, "relation"),
        (bool(place.rank), "ordinal"),
        (bool(place.directions), "position"),
        (bool(place.size), "size"),
        (any(word in COLORS for word in request.attributes), "colour"),
        (bool(request.attributes), "attribute"),
        (request.generic, "generic"),
    )
    return next((kind for fits, kind in kinds if fits), "category")


def _renamed(sample: Sample, count: int) -> Sample:
    return replace(sample, source_id=f"{sample.source_id}#{count}")
