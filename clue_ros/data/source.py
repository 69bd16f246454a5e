"""What the formats share: a source gives records cheaply, in a fixed order, and parses one only when it is wanted.

So a stream can skip, share out and shuffle half a million records without parsing those that it does not yield.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from clue_ros.data.sample import Sample
from clue_ros.images.files import ImageRoot, digest
from clue_ros.problems import BrokenImageError, Kind, MissingDataError, Place, Problems, UnsafePathError
from clue_ros.prompt import MAX_CHARACTERS, check_expression
from clue_ros.types import InvalidExpressionError

TRAIN = "train"
_SPLITS = {
    "train": "train",
    "valid": "valid",
    "test": "test",
    "training": "train",
    "val": "valid",
    "validation": "valid",
    "dev": "valid",
    "testing": "test",
    "testa": "testA",
    "testb": "testB",
}
_SPLIT_IN_NAME = re.compile(r"(?<![a-z])(train|training|validation|valid|val|dev|testa|testb|test)(?![a-z])", re.I)


@dataclass(frozen=True)
class Record:
    """An entry that was not parsed yet: where it stands, its split, and its raw content (bytes, a dict, a name, …)."""

    place: Place
    split: str
    content: Any


class Source:
    """Base of the formats. name: such as 'invig'; splits: those that the data set itself has, () if it has none;
    unsplit: records that name no split although others do: they count as training data;
    roots: the folders that image names are relative to."""

    name: str = ""
    splits: Tuple[str, ...] = ()
    unsplit: int = 0
    roots: Tuple[ImageRoot, ...] = ()

    def records(self, split: Optional[str] = None) -> Iterator[Record]:
        """The records in their fixed order, of one split or of all. Raises BrokenDataError if a file breaks off."""
        raise NotImplementedError

    def parse(self, record: Record, problems: Problems) -> Iterator[Sample]:
        """The samples of a record; what cannot be used is reported."""
        raise NotImplementedError

    def annotation_files(self) -> Sequence[Path]:
        """The files that say what stands in the images, in any order."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """32 hexadecimal digits of what the annotation files hold; their names and their order do not matter."""
        return fingerprint_of(self.annotation_files())

    def count(self, split: Optional[str] = None) -> Optional[int]:
        """How many records `records` gives, or None if counting takes as long as reading."""
        return None

    def wanted(self, split: Optional[str]) -> Optional[str]:
        """The split's name as this source has it. Raises MissingDataError naming those that there are."""
        if split is None:
            return None
        name = split_name(split)
        if name not in self.splits:
            have = ", ".join(self.splits) or "none of its own (give fractions to make some)"
            raise MissingDataError(f"this {self.name} data set has no split '{split}'; it has: {have}")
        return name


def fingerprint_of(files: Iterable[Path]) -> str:
    """32 hexadecimal digits of what files hold, in any order, whatever they are called."""
    state = hashlib.blake2b(digest_size=16)
    for content in sorted(map(digest, files)):
        state.update(content)
    return state.hexdigest()


def split_name(text: str) -> str:
    """'val', 'validation' and 'dev' are 'valid', 'Train' is 'train'; other names stay."""
    return _SPLITS.get(text.strip().lower(), text.strip())


def split_in(name: str) -> str:
    """The split that a file name such as 'refcoco+_val.jsonl' tells, or ''."""
    match = _SPLIT_IN_NAME.search(name.replace("_", " ").replace("-", " "))
    return split_name(match.group(1)) if match else ""


def hashed_split(content: bytes, fractions: Sequence[float] = (0.7, 0.15, 0.15), seed: int = 0) -> str:
    """'train', 'valid' or 'test' by what an image holds: samples of one image never part, whatever its copies are
    called, and neither the order nor the number of samples matters.

    content: bytes that stand for the image (images.files.digest)
    fractions: of train, valid and test; the default is the paper's (CLUE, section IV-A.2)
    seed: another division
    """
    value = int.from_bytes(hashlib.blake2b(b"%d/" % seed + content, digest_size=8).digest(), "big") / 2**64
    value *= sum(fractions)
    for name, fraction in zip(("train", "valid"), fractions):
        if value < fraction:
            return name
        value -= fraction
    return "test"


def divided(counts: Mapping[str, int]) -> Tuple[Tuple[str, ...], int]:
    """(splits, records without one that count as TRAIN) of the number of records of each split, '' for none."""
    splits = tuple(name for name in counts if name)
    unsplit = counts.get("", 0) if splits else 0
    return (splits if not unsplit or TRAIN in splits else (TRAIN, *splits)), unsplit


@contextmanager
def reporting(problems: Problems, place: Place):
    """Turns what is wrong with one record into a problem and leaves the block."""
    try:
        yield
    except UnsafePathError as error:
        problems.add(Kind.PATH, place, error)
    except BrokenImageError as error:
        problems.add(Kind.IMAGE, place, error)
    except (ValueError, InvalidExpressionError) as error:
        problems.add(Kind.LINE, place, error)


def field_of(values: Mapping[str, Any], *names: str) -> Any:
    """The first of the named fields that is there. Raises ValueError."""
    for name in names:
        if name in values:
            return values[name]
    raise ValueError(f"'{names[0]}' is missing")


def expression_of(text: Any) -> str:
    """An instruction as written, blanks trimmed. Raises ValueError or InvalidExpressionError if it is none."""
    if not isinstance(text, str):
        raise ValueError(f"the instruction must be text, got {type(text).__name__}")
    check_expression(text)
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise ValueError("the instruction holds half a surrogate pair, which is no character")
    return text.strip()


def texts_of(values: Any, what: str) -> List[str]:
    """Raises ValueError if this is not a list of texts of a sensible length."""
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise ValueError(f"'{what}' must be a list of texts")
    if any(len(v) > MAX_CHARACTERS for v in values):
        raise ValueError(f"'{what}' holds a text of more than {MAX_CHARACTERS} characters")
    return values


def first_folder(candidates: Sequence[Path]) -> Optional[Path]:
    return next((c for c in candidates if c.is_dir()), None)


def files_named(folder: Path, pattern: str, depth: int = 3) -> List[Path]:
    """Files of a name pattern up to `depth` folders down, sorted."""
    return sorted({p for d in range(depth + 1) for p in folder.glob("*/" * d + pattern) if p.is_file()})
