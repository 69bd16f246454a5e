"""What people say in data sets, training and evaluation alike: nouns, colours, positions and sizes."""

from __future__ import annotations

from clue_ros.simulation.words import COLOR_WORDS, SHADES

POSITIONS = ("left", "right", "front", "back", "middle")
EVERY_POSITION = (*POSITIONS, "top", "bottom", *(f"{v} {h}" for v in ("top", "bottom") for h in ("left", "right")))
SIZE_CLASSES = ("small", "large")
EVERY_SIZE = (*SIZE_CLASSES, "tall", "short")
ABSENT_COLORS = tuple(c for c in COLOR_WORDS if c.split()[0] not in SHADES)  # of what is not there
