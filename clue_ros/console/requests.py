"""What a page may ask for, read from untrusted JSON: every field checked, nothing taken for granted."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, Optional, Tuple, Union

from clue_ros.types import Box, ClueError

MAX_TEXT = 1000  # characters of an instruction or an answer, as the node takes them
MAX_MESSAGE = 16384  # bytes of one message
MAX_PIXEL = 100_000.0
MAX_NUMBER = 2**53  # the largest integer that a page can say exactly
_GOAL = re.compile(r"[0-9a-f]{32}")
_BAG = re.compile(r"[a-z0-9-]{1,32}")


class RequestError(ClueError):
    """A page asked for something that is not taken; the text says why, for the person before it."""


@dataclass(frozen=True)
class Instruct:
    text: str


@dataclass(frozen=True)
class Answer:
    """One of the three; click (x, y) and box in pixels of the original image."""

    text: str = ""
    click: Optional[Tuple[float, float]] = None
    box: Optional[Box] = None


@dataclass(frozen=True)
class Point:
    click: Tuple[float, float]


@dataclass(frozen=True)
class Teach:
    """What is in a box of the live image, in pixels; shadow: the name may hide words that the robot knows."""

    name: str
    box: Box
    shadow: bool


@dataclass(frozen=True)
class Forget:
    name: str


@dataclass(frozen=True)
class NeverMind:
    pass


@dataclass(frozen=True)
class Cancel:
    goal: str


@dataclass(frozen=True)
class Replay:
    bag: str
    episode: int
    step: int


@dataclass(frozen=True)
class Live:
    pass


@dataclass(frozen=True)
class Seen:
    frame: int


Request = Union[Instruct, Answer, Point, Teach, Forget, NeverMind, Cancel, Replay, Live, Seen]


def parse(text: str) -> Request:
    """Raises RequestError for anything that is not exactly one of the requests."""
    if len(text) > MAX_MESSAGE or len(text.encode("utf-8", "surrogatepass")) > MAX_MESSAGE:
        raise RequestError(f"a message may have {MAX_MESSAGE} bytes")
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError("a message must be one JSON object") from error
    if not isinstance(message, dict):
        raise RequestError("a message must be one JSON object")
    kind = message.pop("type", None)
    read = _READERS.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise RequestError(f"the type of a message is one of {', '.join(_READERS)}")
    request = read(message)
    if message:
        raise RequestError(f"{kind} has no field {_shown(next(iter(message)))}")
    return request


def _instruct(fields: Dict[str, Any]) -> Instruct:
    return Instruct(_text(fields))


def _answer(fields: Dict[str, Any]) -> Answer:
    given = [name for name in ("text", "click", "box") if name in fields]
    if len(given) != 1:
        raise RequestError("an answer has one of text, click [x, y] and box [x, y, width, height]")
    if given[0] == "text":
        return Answer(text=_text(fields))
    if given[0] == "click":
        return Answer(click=_click(fields))
    return Answer(box=_box(fields))


def _box(fields: Dict[str, Any]) -> Box:
    x, y, width, height = _numbers(fields, "box", 4)
    if width < 1 or height < 1:
        raise RequestError("a box must be at least one pixel wide and high")
    return Box(x, y, x + width, y + height)


def _teach(fields: Dict[str, Any]) -> Teach:
    shadow = fields.pop("shadow", False)
    if not isinstance(shadow, bool):
        raise RequestError("shadow must be true or false")
    return Teach(_text(fields, "name"), _box(fields), shadow)


def _point(fields: Dict[str, Any]) -> Point:
    return Point(_click(fields))


def _click(fields: Dict[str, Any]) -> Tuple[float, float]:
    x, y = _numbers(fields, "click", 2)
    return x, y


def _cancel(fields: Dict[str, Any]) -> Cancel:
    return Cancel(_matching(fields, "goal", _GOAL, "the 32 hexadecimal digits of a goal's id"))


def _replay(fields: Dict[str, Any]) -> Replay:
    bag = _matching(fields, "bag", _BAG, "the id of a recording from the list")
    return Replay(bag, _integer(fields, "episode"), _integer(fields, "step"))


def _seen(fields: Dict[str, Any]) -> Seen:
    return Seen(_integer(fields, "frame"))


_READERS: Dict[str, Callable[[Dict[str, Any]], Request]] = {
    "instruct": _instruct, "answer": _answer, "point": _point, "teach": _teach,
    "forget": lambda fields: Forget(_text(fields, "name")), "never_mind": lambda fields: NeverMind(),
    "cancel": _cancel, "replay": _replay, "live": lambda fields: Live(), "seen": _seen,
}  # fmt: skip


def _text(fields: Dict[str, Any], name: str = "text") -> str:
    """Text without control characters, on one line: it goes to the robot, to logs and to other pages."""
    value = fields.pop(name, None)
    if not isinstance(value, str):
        raise RequestError(f"{name} must be text")
    if len(value) > MAX_TEXT:
        raise RequestError(f"the {name} has {len(value)} characters: {MAX_TEXT} are allowed")
    words = " ".join("".join(c if c.isprintable() else " " for c in value).split())
    if not words:
        raise RequestError(f"the {name} is empty: say something")
    return words


def _numbers(fields: Dict[str, Any], name: str, count: int) -> Tuple[float, ...]:
    value = fields.pop(name, None)
    if not isinstance(value, list) or len(value) != count or not all(map(_is_number, value)):
        raise RequestError(f"{name} must be {count} numbers, in pixels of the image")
    return tuple(float(number) for number in value)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) <= MAX_PIXEL and math.isfinite(value)


def _integer(fields: Dict[str, Any], name: str) -> int:
    value = fields.pop(name, None)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_NUMBER:
        raise RequestError(f"{name} must be a whole number from 0 on")
    return value


def _matching(fields: Dict[str, Any], name: str, pattern: "re.Pattern[str]", meaning: str) -> str:
    value = fields.pop(name, None)
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise RequestError(f"{name} must be {meaning}")
    return value


def _shown(value: str) -> str:
    return repr(value[:40])
