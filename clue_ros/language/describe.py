"""What tells candidates apart, in words: colours, short captions, positions; and the question made of them.

Pure functions; asking the model for colours and captions is the business of perception.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

from clue_ros.language.phrase import ATTRIBUTES, Request
from clue_ros.language.positions import ORDINAL_NAMES, place_in_image, position_names
from clue_ros.prompt import clean
from clue_ros.types import Box

MAX_OPTIONS = 4  # offered in one question; more are counted instead of listed
MAX_CAPTION_WORDS = 6
_USELESS = frozenset("unanswerable unknown unsure none nothing yes no n/a na".split())
_NO_ANSWER = frozenset(("unanswerable", "unknown", "unsure", "n a", "na"))
_REFUSAL = re.compile(r"\b(?:sorry|not trained|base vlm|cannot|can't|as an ai)\b")
_CAPTION_END = re.compile(
    r"\s+(?:on|in|at|against|next to|beside|near|behind|in front of|sitting|standing|lying|"
    r"placed|is|are|that|which|isolated|over|from)\b.*$"
)
_ARTICLE = re.compile(
    r"^(?:a|an|the|some|there is a|this is a|a close up of a|close up of a|a picture of a|a photo of "
    r"a)\s+"
)


@dataclass(frozen=True)
class Option:
    """One alternative of a question: words with article ('the red mug') and the candidates that it keeps."""

    words: str
    keeps: Tuple[int, ...]


def attribute_of(answer: str) -> str:
    """The usable part of the answer to "what color is the mug?": 'Red.' -> 'red', 'red and white' stays; '' for a
    refusal, for locations, for yes and no, and for more than three words."""
    if "<" in answer:
        return ""
    words = re.sub(r"[^\w\s-]", " ", clean(answer)).split()
    if not words or len(words) > 3 or _USELESS & set(words) or _REFUSAL.search(" ".join(words)):
        return ""
    return " ".join(words) if all(w.replace("-", "").isalpha() for w in words) else ""


def caption_of(answer: str) -> str:
    """The thing in a short caption, without article and surroundings: 'A white coffee cup sitting on a table.' ->
    'white coffee cup'; '' where that leaves nothing or too much."""
    if "<" in answer:
        return ""
    words = re.sub(r"[^\w\s'-]", " ", re.split(r"[.;\n]", clean(answer))[0] if answer else "").strip()
    words = " ".join(words.split())
    if _REFUSAL.search(words) or words in _USELESS:
        return ""
    while _ARTICLE.match(words):
        words = _ARTICLE.sub("", words, count=1)
    words = _CAPTION_END.sub("", words).strip()
    return words if words and len(words.split()) <= MAX_CAPTION_WORDS else ""


def refuses(answer: str) -> bool:
    """Whether an answer says that there is none: "unanswerable", "sorry, as a base VLM I am not trained to …"."""
    words = re.sub(r"[^\w\s'-]", " ", clean(answer)).split()
    return " ".join(words) in _NO_ANSWER or bool(_REFUSAL.search(" ".join(words)))


def tells_apart(words: Sequence[str]) -> bool:
    """Whether every candidate has a word of its own."""
    return all(words) and len(set(words)) == len(words)


def options_for(
    request: Request, boxes: Sequence[Box], size: Tuple[float, float], colors: Sequence[str], captions: Sequence[str]
) -> Tuple[Option, ...]:
    """The alternatives to offer for candidates, from left to right (front to back where that is what they are called);
    empty if no words tell them apart.

    boxes: pixels of an image of `size` (width, height); colors, captions: one a candidate, '' where there is none; both
    empty for positions only.
    Colours alone if all differ; else captions if all differ; else colours, with the position added among those of one
    colour; else positions.
    """
    blank = ("",) * len(boxes)
    colors = _informative(colors, request) if len(colors) == len(boxes) else blank
    captions = captions if len(captions) == len(boxes) else blank
    if tells_apart(colors):
        return _left_to_right([Option(f"the {c} {request.label}", (i,)) for i, c in enumerate(colors)], boxes)
    if tells_apart(captions):
        return _left_to_right([Option(f"the {c}", (i,)) for i, c in enumerate(captions)], boxes)
    if len(set(colors)) > 1 and all(colors):
        return _left_to_right(_mixed(request, boxes, size, colors), boxes)
    places = position_names(boxes, size)
    options = [Option(placed(p, request.label), (i,)) for i, p in enumerate(places)]
    if {"front", "back"} <= set(places):
        return tuple(sorted(options, key=lambda o: -boxes[o.keeps[0]].y1))
    return _left_to_right(options, boxes)


def question_for(options: Sequence[Option], count: int, request: Request) -> str:
    """The question: lists the options, or counts the candidates where there are too many or nothing tells them apart.

    count: of the candidates.
    """
    if 0 < len(options) <= MAX_OPTIONS:
        if len(options) == 1:
            return f"Do you mean {options[0].words}?"
        return f"Do you mean {', '.join(o.words for o in options[:-1])} or {options[-1].words}?"
    things = request.label if not request.generic else " ".join([*request.attributes, "thing"])
    if len(options) > MAX_OPTIONS:
        return f"I see {count} things that could be the {things}. Which one do you mean, counted from the left?"
    return f"I see {count} things that could be the {things}. Which one do you mean? Please describe it or point at it."


def confirmation_for(
    request: Request, box: Box, size: Tuple[float, float], color: str = "", place: Optional[str] = None
) -> Option:
    """A single thing to be confirmed: 'the red mug', 'the left mug', 'the mug on the right'."""
    if color and color not in request.attributes:
        return Option(f"the {color} {request.label}", (0,))
    if place:
        return Option(placed(place, request.label), (0,))
    return Option(f"the {request.label} {place_in_image(box, size)}", (0,))


def placed(place: str, noun: str) -> str:
    """'left', 'mug' -> 'the left mug'; 'second from the left' -> 'the second mug from the left'."""
    first, _, rest = place.partition(" ")
    if first in ORDINAL_NAMES and rest:
        return f"the {first} {noun} {rest}"
    return f"the {place} {noun}"


def _informative(colors: Sequence[str], request: Request) -> Tuple[str, ...]:
    """Colours without those that the instruction already said."""
    return tuple("" if c in request.attributes else c for c in colors)


def _mixed(request: Request, boxes: Sequence[Box], size: Tuple[float, float], colors: Sequence[str]) -> List[Option]:
    """Colour where it is unique, colour and position among those of one colour; whole groups where that makes too many
    options or positions fail (the next question then tells the group apart)."""
    groups = {c: tuple(i for i, other in enumerate(colors) if other == c) for c in colors}
    single: List[Option] = []
    for color, members in groups.items():
        names = position_names([boxes[i] for i in members], size)
        if len(members) == 1:
            single.append(Option(f"the {color} {request.label}", members))
        elif names:
            single += [Option(placed(p, f"{color} {request.label}"), (i,)) for p, i in zip(names, members)]
        else:
            single = []
            break
    if 0 < len(single) <= MAX_OPTIONS:
        return single
    return [Option(f"the {color} {request.label}", members) for color, members in groups.items()]


def _left_to_right(options: List[Option], boxes: Sequence[Box]) -> Tuple[Option, ...]:
    return tuple(sorted(options, key=lambda o: sum(boxes[i].center[0] for i in o.keeps) / len(o.keeps)))


def describing_words(color: str, caption: str) -> frozenset:
    """Every word that is known of a candidate."""
    return frozenset(f"{color} {caption}".split())


def known_attributes(request: Request) -> Tuple[str, ...]:
    """The words of a reply that can be compared with descriptions: attributes, and a noun that is an attribute
    ("red")."""
    extra = (request.noun,) if request.noun in ATTRIBUTES else ()
    return tuple(dict.fromkeys(w for w in (*request.attributes, *extra) if w != "and"))
