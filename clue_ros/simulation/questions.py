"""The robot's questions in words, and what they offer. The choice of what to ask is the teacher's."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

from clue_ros.simulation.referring import Reference
from clue_ros.simulation.words import NOUNS, ONE_PHRASES


def question(options: Sequence[str]) -> str:
    """'do you mean the red mug , the blue mug or the green mug ?' from noun phrases with article."""
    head = " , ".join(options[:-1])
    return f"do you mean {head} or {options[-1]} ?"


def color_options(colors: Sequence[str], category: Optional[str]) -> Tuple[str, ...]:
    return tuple(f"the {c} {_name(category)}" for c in colors)


def category_options(categories: Sequence[str]) -> Tuple[str, ...]:
    return tuple(f"the {NOUNS[c][0]}" for c in categories)


def size_options(sizes: Sequence[str], category: Optional[str]) -> Tuple[str, ...]:
    return tuple(f"the {s} {_name(category)}" for s in sizes)


def place_options(positions: Sequence[str], category: Optional[str]) -> Tuple[str, ...]:
    return tuple(ONE_PHRASES[p].format(n=_name(category)) for p in positions)


def relation_option(anchor: Reference, category: Optional[str]) -> str:
    """'the mug next to the red bowl'."""
    other = " ".join(w for w in (anchor.color, _name(anchor.category)) if w)
    return f"the {_name(category)} next to the {other}"


def _name(category: Optional[str]) -> str:
    return NOUNS[category][0] if category else "one"
