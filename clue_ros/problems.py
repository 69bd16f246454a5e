"""What can be wrong with a data set: errors that stop, and problems that are counted while the rest is read.

A loader reports every record that it cannot use to a `Problems`, with file and line. With `strict` the first one is
raised as a BrokenDataError instead.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, Dict, List

from clue_ros.types import ClueError

KEPT = 20  # problems of one kind that are kept word for word; all are counted


class DataError(ClueError):
    """Base of what the loaders raise."""


class MissingDataError(DataError):
    """A file or folder of a data set is not there; the text names it and the layout that was expected."""


class PickleRefusedError(DataError):
    """A pickle holds more than plain containers. Unpickling runs code that the file brings, so it is never done."""


class UnsafePathError(DataError):
    """A file name of a data set leads out of the data set's folder."""


class BrokenImageError(DataError):
    """An image is missing, damaged, too large, or not of the size that the data set says."""


class BrokenDataError(DataError):
    """A record cannot be used and `strict` was asked for, or a file cannot be read on from some place."""


class Kind(str, Enum):
    """Kinds of problems, as `clue data check` reports them."""

    LINE = "broken line"  # not UTF-8, not JSON, a field missing or of a wrong type, NaN
    PATH = "unsafe path"
    IMAGE = "broken image"  # missing, damaged, too large, another size than stated
    OUTSIDE = "box outside the image"
    EMPTY = "empty box"
    NAME = "unknown name"
    UNIT = "shares, not pixels"  # coordinates from 0 to 1
    DUPLICATE = "duplicate between splits"
    SHARED = "image in several splits"  # what was trained on would be tested on


@dataclass(frozen=True)
class Place:
    """Where a record stands: file (relative to the data set) and line, from 1. For the elements of a JSON array `line`
    is the element's number, from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Problem:
    kind: Kind
    place: Place
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.kind.value}: {self.text}"


class Problems:
    """Counts problems by kind and keeps the first `KEPT` of each. strict: raise the first as BrokenDataError."""

    def __init__(self, strict: bool = False):
        self.strict = strict
        self.counts: Counter = Counter()
        self.first: List[Problem] = []

    def add(self, kind: Kind, place: Place, text: Any) -> None:
        """Raises BrokenDataError if strict."""
        problem = Problem(kind, place, " ".join(str(text).split()))
        if self.strict:
            raise BrokenDataError(str(problem))
        self.counts[kind] += 1
        if self.counts[kind] <= KEPT:
            self.first.append(problem)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def to_dict(self) -> Dict[str, Any]:
        """{kind: {"count": n, "first": [{"file", "line", "text"}, …]}} of the kinds that occurred."""
        return {
            kind.value: {
                "count": self.counts[kind],
                "first": [{**asdict(p.place), "text": p.text} for p in self.first if p.kind is kind],
            }
            for kind in Kind
            if self.counts[kind]
        }
