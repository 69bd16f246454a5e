"""Where a thing stands among its rivals, in words: reading them, choosing by them, and saying them.

Positions are meant as the camera sees them: left and right by the box centre's x, front and back by the box's lower
edge (the nearer a thing stands on a table, the lower it ends in the image), top and bottom by the centre's y. Pure
functions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

from clue_ros.types import Box

MIN_GAP = 0.05  # of the image's width (or height): closer than this, people would not say "the left one"
SIZE_RATIO = 1.25  # of the areas (or heights): closer than this, people would not say "the big one"

_SAME = {
    "left": "left leftmost left-most left-hand lefthand",
    "right": "right rightmost right-most right-hand righthand",
    "middle": "middle center centre central",
    "front": "front frontmost nearest closest nearer closer",
    "back": "back rear farthest furthest rearmost backmost farther further hindmost",
    "top": "top upper topmost uppermost highest",
    "bottom": "bottom lower bottommost lowest",
}
DIRECTION_OF = {word: name for name, words in _SAME.items() for word in words.split()}
_SIZE_OF = {
    word: name
    for name, words in {
        "big": "big bigger biggest large larger largest huge",
        "small": "small smaller smallest little littlest tiny tiniest",
        "tall": "tall taller tallest",
        "short": "short shorter shortest",
    }.items()
    for word in words.split()
}
_RANKS = {
    word: n
    for n, words in enumerate(
        (
            "",
            "first 1st",
            "second 2nd",
            "third 3rd",
            "fourth 4th",
            "fifth 5th",
            "sixth 6th",
            "seventh 7th",
            "eighth 8th",
        )
    )
    for word in words.split()
}
_RANKS["last"] = -1
_NUMBERS = {
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    **{str(n): n for n in range(1, 9)},
}
ORDINAL_NAMES = ("", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")

_DIRECTION = "(?:" + "|".join(sorted(DIRECTION_OF, key=len, reverse=True)) + ")"
_ONE_OR_TWO = rf"({_DIRECTION})(?:[ -]({_DIRECTION}))?"
_SCENE = r"(?: of (?:the|this|your|my) (?:table|desk|counter|picture|image|photo|scene|row|room|shelf|workspace|view))?"
_RANK = "(" + "|".join(sorted(_RANKS, key=len, reverse=True)) + ")"
_RANK_FROM = re.compile(rf"\b{_RANK}\b((?: (?!from\b)[\w'-]+){{0,3}}) from (?:the )?({_DIRECTION})\b")
_NUMBER = re.compile(r"\bnumber (" + "|".join(_NUMBERS) + r")\b")
_RANK_BARE = re.compile(rf"\b{_RANK}\b(?! aid\b)")
_TO_ME = re.compile(
    r"\b(?:nearest|closest|nearer|closer) to (?:me|you|us|(?:the |your |my )?(?:camera|robot|"
    r"viewer))\b"
)
_FROM_ME = re.compile(
    r"\b(?:farthest|furthest|farther|further) (?:away )?from (?:me|you|us|(?:the |your )?(?:camera|"
    r"robot))\b"
)
_PREPOSITION = re.compile(
    rf"\b(?:on|to|at|in|toward|towards) (?:the |your |my )?(?:far |very )?{_ONE_OR_TWO}"
    rf"(?: hand)?(?: (?:side|end|edge|corner|part|row))?{_SCENE}(?! of\b)(?![\w-])"
)
_ADJECTIVE = re.compile(rf"(?<![\w-]){_ONE_OR_TWO}(?: hand)?(?: side)?(?! of\b)(?![\w-])")
_SIZE = re.compile(r"\b(" + "|".join(sorted(_SIZE_OF, key=len, reverse=True)) + r")\b")
_NOT_PLACES = re.compile(r"\b(?:right (?:now|away|here|there)|all right|alright|left over)\b")


@dataclass(frozen=True)
class Place:
    """directions: 'left', 'right', 'middle', 'front', 'back', 'top', 'bottom', at most two; rank: the n-th from the
    first direction (from the left without one), -1 the last, 0 none; size: 'big', 'small', 'tall', 'short' or ''."""

    directions: Tuple[str, ...] = ()
    rank: int = 0
    size: str = ""

    def __bool__(self) -> bool:
        return bool(self.directions or self.rank or self.size)

    def joined(self, other: "Place") -> "Place":
        """Both; where they disagree the other one (said later) counts."""
        return Place(other.directions or self.directions, other.rank or self.rank, other.size or self.size)


def extract_place(text: str) -> Tuple[Place, str]:
    """(place, the text without the words that said it). text: lower case, words separated by single spaces."""
    directions: Tuple[str, ...] = ()
    rank, size = 0, ""
    text = _NOT_PLACES.sub(" ", text)
    found = _RANK_FROM.search(text)
    if found:
        rank, directions = _RANKS[found[1]], (DIRECTION_OF[found[3]],)
        text = _cut(text, found, found[2])
    else:
        for pattern, table in ((_NUMBER, _NUMBERS), (_RANK_BARE, _RANKS)):
            found = pattern.search(text)
            if found:
                rank, text = table[found[1]], _cut(text, found)
                break
    for pattern, name in ((_TO_ME, "front"), (_FROM_ME, "back")):
        found = pattern.search(text)
        if found:
            directions, text = directions or (name,), _cut(text, found)
    for pattern in (_PREPOSITION, _ADJECTIVE):
        found = pattern.search(text)
        if found and not directions:
            directions, text = tuple(dict.fromkeys(DIRECTION_OF[g] for g in found.groups() if g)), _cut(text, found)
    found = _SIZE.search(text)
    if found:
        size, text = _SIZE_OF[found[1]], _cut(text, found)
    return Place(directions, rank, size), " ".join(text.split())


def choose(place: Place, boxes: Sequence[Box], size: Tuple[float, float]) -> Tuple[int, ...]:
    """Indices of the boxes that a place means; several for a near tie, all of them if the place says nothing.

    size: (width, height) of the image in pixels. A rank beyond the number of boxes selects none.
    """
    kept = list(range(len(boxes)))
    if place.size and len(kept) > 1:
        kept = _by_size(place.size, kept, boxes)
    if place.rank:
        order = ordered(place.directions[0] if place.directions else "left", kept, boxes)
        n = place.rank - 1 if place.rank > 0 else len(order) + place.rank
        return (order[n],) if 0 <= n < len(order) else ()
    if not place.directions or len(kept) < 2:
        return tuple(kept)
    if "middle" in place.directions:
        rest = tuple(d for d in place.directions if d != "middle")
        kept = _middle(kept, boxes, size)
        if not rest or len(kept) < 2:
            return tuple(kept)
        return tuple(kept[n] for n in choose(Place(rest), [boxes[i] for i in kept], size))
    score = {i: sum(_along(d, boxes[i], size) for d in place.directions) for i in kept}
    best = max(score.values())
    return tuple(i for i in kept if score[i] >= best - MIN_GAP + 1e-9)


def ordered(direction: str, indices: Sequence[int], boxes: Sequence[Box]) -> List[int]:
    """Indices from one side to the other: 'left' begins with the leftmost."""
    return sorted(indices, key=lambda i: -_along("left" if direction == "middle" else direction, boxes[i], (1.0, 1.0)))


def position_names(boxes: Sequence[Box], size: Tuple[float, float]) -> Tuple[str, ...]:
    """A different position word for each box, such as 'left' and 'right', in the order of the boxes.

    Across where the boxes lie apart that way, else both ways ('front left'), else in depth; empty where no words tell
    them apart (boxes on top of each other) and for fewer than two boxes.
    """
    count = len(boxes)
    if count < 2:
        return ()
    x, y = _smallest_gap("left", boxes, size), _smallest_gap("front", boxes, size)
    if x >= MIN_GAP and (x >= 0.6 * y or count > 2):
        return _named(ordered("left", range(count), boxes), _row("left", "right", count))
    names = _two_ways(boxes, size)
    if names:
        return names
    if y >= MIN_GAP:
        return _named(ordered("front", range(count), boxes), _row("front", "back", count))
    if x > 0 and count > 2 or x >= MIN_GAP / 2:
        return _named(ordered("left", range(count), boxes), _row("left", "right", count))
    return ()


def place_in_image(box: Box, size: Tuple[float, float]) -> str:
    """Where a single box lies in the picture: 'on the left', 'on the right' or 'in the middle'."""
    x = box.center[0] / size[0]
    return "on the left" if x < 0.4 else "on the right" if x > 0.6 else "in the middle"


def _row(first: str, last: str, count: int) -> Tuple[str, ...]:
    if count == 2:
        return first, last
    if count == 3:
        return first, "middle", last
    inner = [f"{ORDINAL_NAMES[n] if n < len(ORDINAL_NAMES) else f'{n}th'} from the {first}" for n in range(2, count)]
    return (f"{first}most" if first == "left" else first, *inner, f"{last}most" if last == "right" else last)


def _named(order: Sequence[int], names: Sequence[str]) -> Tuple[str, ...]:
    return tuple(names[list(order).index(i)] for i in range(len(order)))


def _two_ways(boxes: Sequence[Box], size: Tuple[float, float]) -> Tuple[str, ...]:
    """Columns split at the widest gap across; who shares a column is told apart in depth. At most two a column."""
    order = ordered("left", range(len(boxes)), boxes)
    gaps = [_along("left", boxes[a], size) - _along("left", boxes[b], size) for a, b in zip(order, order[1:])]
    if len(boxes) not in (3, 4) or max(gaps) < MIN_GAP:
        return ()
    cut = gaps.index(max(gaps)) + 1
    names = {}
    for side, column in (("left", order[:cut]), ("right", order[cut:])):
        if len(column) == 1:
            names[column[0]] = side
        elif len(column) == 2 and _smallest_gap("front", [boxes[i] for i in column], size) >= MIN_GAP:
            for depth, i in zip(("front", "back"), ordered("front", column, boxes)):
                names[i] = f"{depth} {side}"
        else:
            return ()
    return tuple(names[i] for i in range(len(boxes)))


def _middle(kept: Sequence[int], boxes: Sequence[Box], size: Tuple[float, float]) -> List[int]:
    across = max(_along("right", boxes[i], size) for i in kept) - min(_along("right", boxes[i], size) for i in kept)
    deep = max(_along("front", boxes[i], size) for i in kept) - min(_along("front", boxes[i], size) for i in kept)
    order = ordered("left" if across >= min(deep, MIN_GAP) else "front", kept, boxes)
    return order[(len(order) - 1) // 2 : len(order) // 2 + 1]


def _by_size(word: str, kept: Sequence[int], boxes: Sequence[Box]) -> List[int]:
    def measure(i: int) -> float:
        return boxes[i].area if word in ("big", "small") else boxes[i].y1 - boxes[i].y0

    if word in ("big", "tall"):
        best = max(measure(i) for i in kept)
        return [i for i in kept if measure(i) * SIZE_RATIO > best or measure(i) == best]
    best = min(measure(i) for i in kept)
    return [i for i in kept if measure(i) < best * SIZE_RATIO or measure(i) == best]


def _along(direction: str, box: Box, size: Tuple[float, float]) -> float:
    """How far a box lies in a direction, in shares of the image's side."""
    (x, y), (width, height) = box.center, size
    return {
        "left": -x / width,
        "right": x / width,
        "front": box.y1 / height,
        "back": -box.y1 / height,
        "top": -y / height,
        "bottom": y / height,
    }[direction]


def _smallest_gap(direction: str, boxes: Sequence[Box], size: Tuple[float, float]) -> float:
    values = sorted(_along(direction, b, size) for b in boxes)
    return min((b - a for a, b in zip(values, values[1:])), default=0.0)


def _cut(text: str, found: "re.Match[str]", keep: Optional[str] = "") -> str:
    return " ".join(f"{text[: found.start()]} {keep} {text[found.end() :]}".split())
