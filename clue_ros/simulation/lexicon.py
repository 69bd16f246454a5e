"""How much of the language is spoken: what the shipped model has learnt, or everything that the grammar has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

from clue_ros.language import kinds
from clue_ros.simulation.shapes import CATEGORIES, COLORS
from clue_ros.simulation.words import COLOR_WORDS, SHADES

POSITIONS = ("left", "right", "front", "back", "middle")
CORNERS = tuple(f"{v} {h}" for v in ("top", "bottom") for h in ("left", "right"))
SIZE_CLASSES = ("small", "large")


@dataclass(frozen=True)
class Lexicon:
    """kinds: nouns of what is not there, or not meant; general: nouns that may be said for several kinds; colors, of
    what is not there; positions, sizes: of words.POSITION_PHRASES (and pairs of them) and words.SIZE_WORDS; between:
    whether that relation is said; free: other orders of words, such as "the block which color is red"."""

    kinds: Tuple[str, ...] = CATEGORIES
    general: Tuple[str, ...] = ("carton", "cup", "dish")
    colors: Tuple[str, ...] = tuple(COLORS)
    positions: Tuple[str, ...] = POSITIONS
    sizes: Tuple[str, ...] = SIZE_CLASSES
    between: bool = False
    free: bool = False


BUILT_IN = Lexicon()
EVERYTHING = Lexicon(
    kinds.NOUNS,
    kinds.GENERAL,
    tuple(c for c in COLOR_WORDS if c.split()[0] not in SHADES),
    (*POSITIONS, "top", "bottom", *CORNERS),
    (*SIZE_CLASSES, "tall", "short"),
    between=True,
    free=True,
)
SAID = EVERYTHING  # what people say to the shipped model, in data sets, training and evaluation alike
