"""Quick replies to the robot's question: the attributes that tell the candidates apart.

The question itself offers them ("Do you mean the red mug or the blue mug?"); where it does not, the places of two or
three competing regions do.
"""

from __future__ import annotations

import re
from typing import List, Sequence, Tuple

from clue_ros.language.questions import options
from clue_ros.types import Box

MAX_CHIPS = 6
MAX_CHARACTERS = 40  # of one chip; a longer part of a sentence is no option
CLEAR_GAP = 0.5  # of the regions' mean width: centres nearer than this are not left and right of each other
_ALTERNATIVES = re.compile(r"^(?P<before>.*?)\s+or\s+(?P<last>[^,?]+)\?$", re.IGNORECASE)
_COUNT = {2: ("the left one", "the right one"), 3: ("the left one", "the middle one", "the right one")}


def chips_for(question: str, regions: Sequence[Box] = ()) -> Tuple[str, ...]:
    """Up to MAX_CHIPS short answers to an open question, each as a person would type it.

    regions: boxes of the competing regions, in pixels; used if the question names nothing.
    """
    named = [text for text in (*options(question), *_alternatives(question)) if text]
    named = list(dict.fromkeys(text for text in named if len(text) <= MAX_CHARACTERS))
    if len(named) >= 2:
        return tuple(named[:MAX_CHIPS])
    single = options(question)
    if len(single) == 1:  # "Do you mean the red mug?"
        return ("yes", "no")
    return _places(regions)


def _alternatives(question: str) -> List[str]:
    """["the red one", "the blue one"] of "Which mug, the red or the blue one?"; empty for another form."""
    if options(question):
        return []
    found = _ALTERNATIVES.match(" ".join(question.split()))
    if found is None:
        return []
    parts = [part.strip() for part in re.split(r"[,:;.]", found["before"])]
    last = found["last"].strip()
    # What stands before the first comma is the question's own words ("Which mug"), unless there is no comma.
    listed = [part for part in parts[1:] if part] or [parts[0]]
    listed = [part for part in listed if len(part.split()) <= 4]
    noun = last.split()[-1] if len(last.split()) > 2 else ""
    listed = [f"{part} {noun}" if noun and len(part.split()) < len(last.split()) else part for part in listed]
    return [text.lower() for text in (*listed, last)] if listed else []


def _places(regions: Sequence[Box]) -> Tuple[str, ...]:
    words = _COUNT.get(len(regions))
    if words is None:
        return ()
    gap = CLEAR_GAP * sum(box.x1 - box.x0 for box in regions) / len(regions)
    centres = sorted(box.center[0] for box in regions)
    clear = all(right - left > gap for left, right in zip(centres, centres[1:]))
    return words if clear else ()
