"""The words "another one like this" and a gesture: which things are like the one that is pointed at.

Pure: what stands there comes from the model's inventory (perception/inventory.py: a kind, a colour and a box for
everything that it sees). Of the ways that were tried on the embedded model this one knows best what a thing is: it
compares answers to all kinds and all colours, instead of asking about one box. Alike is the same kind of the same
colour; where there is none, the same kind. A kind or a colour that the words name ("a blue one like this", "the mug
like this") stands above the example's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, Optional, Sequence, Tuple

from clue_ros.belief.belief import SAME_IOU, Belief
from clue_ros.belief.pointing import likelihoods, outside, pointed_place
from clue_ros.belief.questions import ANYTHING, COLORS, SAME_THING, noun_of
from clue_ros.dialogue.phrases import LIKENESS
from clue_ros.geometry import box_iou
from clue_ros.prompt import clean
from clue_ros.types import Answer, Box

if TYPE_CHECKING:
    from clue_ros.perception.inventory import Thing

BESIDE = 0.05  # of the image's width: a gesture so near to a thing still means it
_ANOTHER = re.compile(r"\b(?:an ?other|some other|the other|a different|one more|an?|some|any)\b")


class Alike(NamedTuple):
    """words: the instruction with the example's colour and kind in the place of "like this"; example: its box in
    pixels;
    belief: over the other things that are like it; empty: nothing is; confidences: in [0, 1], of their boxes."""

    words: str
    example: Box
    belief: Belief
    confidences: Tuple[float, ...]


def things_alike(
    things: Sequence[Thing], expression: str, pointed: Answer, width: float, candidates: Sequence[Box] = ()
) -> Optional[Alike]:
    """What is like the thing at the place; None if there is no thing whose kind is known.

    things: what the model sees; expression: one that speaks_of_likeness; width: of the image in pixels; candidates:
    another system's boxes, which then stand for the things that they overlap (IoU >= 0.5), and the other things are
    left out.
    """
    expression = clean(expression)
    example = _example(things, pointed, width)
    said_kind, said_color = noun_of(expression), next((c for c in COLORS if c in expression.split()), "")
    if example is None or not (said_kind or example.category):
        return None
    kind, color = said_kind or example.category, said_color or example.color
    kin = [t for t in things if t is not example and t.category == kind]
    twins = [t for t in kin if color and t.color == color]
    alike = twins or ([] if said_color else kin)
    standing = [(_standing_for(t.box, candidates), t.confidence) for t in alike]
    kept = [(box, weight) for box, weight in standing if box is not None and box_iou(box, example.box) < SAME_IOU]
    shown_color = color if twins or said_color else ""
    words = _rewritten(expression, kind, said_kind is not None, "" if said_color else shown_color)
    boxes, weights = [box for box, _ in kept], tuple(weight for _, weight in kept)
    return Alike(words, example.box, Belief.of(boxes, weights), weights)


def _example(things: Sequence[Thing], pointed: Answer, width: float) -> Optional[Thing]:
    place = pointed_place(pointed)
    near = [t for t in things if outside(place, t.box) <= BESIDE * width]
    if not near:
        return None
    return near[int(likelihoods(pointed, [t.box for t in near], width).argmax())]


def _standing_for(box: Box, candidates: Sequence[Box]) -> Optional[Box]:
    if not candidates:
        return box
    best = max(candidates, key=lambda other: box_iou(Box(*other), box))
    return Box(*best) if box_iou(Box(*best), box) >= SAME_IOU else None


def _rewritten(expression: str, noun: str, named: bool, color: str) -> str:
    """ "give me another one like this" -> "give me the red mug"; a noun or colour that is named stays as it is."""
    tokens = _ANOTHER.sub("the", LIKENESS.sub(" ", expression)).replace(",", " , ").split()
    thing = " ".join(w for w in (color, noun) if w)
    places = [
        n for n, word in enumerate(tokens) if SAME_THING.get(word, word) == noun or (not named and word in ANYTHING)
    ]
    if places:
        tokens[places[-1]] = thing
    elif tokens and tokens[-1] == "the":
        tokens.append(thing)
    else:
        tokens += ["the", thing]
    return " ".join(tokens)
