"""Words for a bag in which nobody speaks: what is said at which second from its start.

the red mug@2.5                                  # --say, and a line of a --say-file
{"say": "the red mug", "at": 2.5}                # the same as a JSON line
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, List, NamedTuple, Sequence

from clue_ros.bags.errors import BagError
from clue_ros.bags.events import NS

EXAMPLE = 'give words and seconds from the start of the bag, as in "the red mug@2.5"'


class Said(NamedTuple):
    """at: seconds from the bag's start, >= 0; where: what the user wrote, for errors."""

    words: str
    at: float
    where: str


def parse_said(text: str, where: str = "--say") -> Said:
    """WORDS@SECONDS; the last @ counts, so that words may hold one. Raises BagError."""
    words, at_sign, seconds = text.rpartition("@")
    if not at_sign:
        raise BagError(f"{where} {text!r} has no time: {EXAMPLE}")
    return _checked(words, seconds, f"{where} {text!r}")


def read_said(path: Path) -> List[Said]:
    """A text file, one utterance a line, each either WORDS@SECONDS or JSON. Raises BagError."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BagError(f"cannot read {path}: {error}") from error
    said = [_line(line.strip(), f"{path} line {n}") for n, line in enumerate(lines, 1) if line.strip()]
    if not said:
        raise BagError(f"{path} holds no words: {EXAMPLE}, one a line")
    return said


def times(said: Sequence[Said], start: int, end: int) -> List[int]:
    """ns of each, in a bag from `start` to `end` (ns). Raises BagError for words behind its end."""
    lasts = (end - start) / NS
    for one in said:
        if one.at > lasts:
            raise BagError(f"{one.where} is behind the end of the bag, which lasts {lasts:.1f} s")
    return [start + int(round(one.at * NS)) for one in said]


def _line(line: str, where: str) -> Said:
    if not line.startswith("{"):
        return parse_said(line, where)
    try:
        row = json.loads(line)
    except ValueError as error:
        raise BagError(f"{where} is not JSON ({error})") from error
    if set(row) != {"say", "at"} or not isinstance(row["say"], str) or isinstance(row["at"], bool):
        raise BagError(f'{where} must hold "say" and "at" alone, as in {{"say": "the red mug", "at": 2.5}}')
    return _checked(row["say"], row["at"], where)


def _checked(words: str, seconds: Any, where: str) -> Said:
    try:
        at = float(seconds)
    except (TypeError, ValueError):
        raise BagError(f"{where}: {seconds!r} is no number of seconds: {EXAMPLE}") from None
    if not math.isfinite(at) or at < 0:
        raise BagError(f"{where}: the time is {at:g} s; it counts from the start of the bag, so give 0 or more")
    if re.search("[\ud800-\udfff]", words):  # bytes of a terminal, or half a pair in JSON
        raise BagError(f"{where.encode('utf-8', 'backslashreplace').decode()} is no text in UTF-8: write it in UTF-8")
    if not words.strip():
        raise BagError(f"{where} says nothing: {EXAMPLE}")
    return Said(words.strip(), at, where)
