"""Sentences: plain instructions, the robot's questions, and the names under which others use the tabletop language.

`instruction` speaks the whole grammar (simulation/paraphrases.py), `plain_instruction` its frequent core. Words are in
simulation/words.py, a person's answers in simulation/answers.py.
"""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

import numpy as np

from clue_ros.simulation.answers import answer  # noqa: F401
from clue_ros.simulation.paraphrases import instruction, misspell  # noqa: F401
from clue_ros.simulation.referring import Reference
from clue_ros.simulation.words import (  # noqa: F401
    ANY_NOUN,
    CLICK_WORDS,
    COLOR_WORDS,
    DETECTOR_ANSWERS,
    DONT_KNOW,
    FILLERS,
    INSTRUCTIONS,
    NOUNS,
    ONE_PHRASES,
    POSITION_PHRASES,
    RELATION_PHRASES,
    all_words,
)


def plain_instruction(reference: Reference, rng: np.random.Generator) -> str:
    """An instruction in the words that newcomers use, for references by category, colour and position: the demo's."""
    words = str(rng.choice(NOUNS[reference.category] if reference.category else ANY_NOUN))
    if reference.color:
        words = f"{rng.choice(COLOR_WORDS[reference.color])} {words}"
    if reference.position:
        words = str(rng.choice(POSITION_PHRASES[reference.position])).format(n=words)
    return str(rng.choice(INSTRUCTIONS)).format(n=words)


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
    other = " ".join(w for w in (anchor.color, NOUNS[anchor.category][0]) if w)
    return f"the {_name(category)} next to the {other}"


def _name(category: Optional[str]) -> str:
    return NOUNS[category][0] if category else "one"
