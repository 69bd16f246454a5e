"""Which of the eight colour words (simulation/shapes.py) people would use for a surface, where one is clear."""

from __future__ import annotations

import cv2
import numpy as np

from clue_ros.simulation.shapes import COLORS

CLEAR_SHARE = 0.6  # of the surface that must be of one colour
CLEAR_LEAD = 2.0  # how many times as much of it as of the next colour
DARK, BRIGHT = 0.2, 0.72  # HSV value below which anything is black, and from which what has no hue is white
PALE = 0.2  # HSV saturation below which a colour has no hue
# Hue in degrees up to which a word holds; '' lies between the words (pink, turquoise).
_HUES = (
    (13, "red"),
    (42, "orange"),
    (68, "yellow"),
    (165, "green"),
    (190, ""),
    (255, "blue"),
    (310, "purple"),
    (340, ""),
    (360, "red"),
)
_BROWN = 0.62  # HSV value below which an orange is brown, and the word is missing


def name_pixels(rgb: np.ndarray) -> np.ndarray:
    """The colour word of each colour, or '' where none fits: str[N] of float[N,3] sRGB in [0, 1]."""
    hsv = cv2.cvtColor(np.asarray(rgb, np.float32).reshape(-1, 1, 3), cv2.COLOR_RGB2HSV)[:, 0]
    hue, saturation, value = hsv.T
    index = np.searchsorted([end for end, _ in _HUES], hue).clip(0, len(_HUES) - 1)
    names = np.array([word for _, word in _HUES])[index]
    names = np.where((names == "orange") & (value < _BROWN), "", names)
    names = np.where(saturation < PALE, np.where(value >= BRIGHT, "white", ""), names)
    return np.where(value < DARK, "black", names)


def dominant_color(rgb: np.ndarray) -> str:
    """The word for a surface of which float[N,3] sRGB in [0, 1] are samples of equal area, '' if no colour is clear."""
    names = name_pixels(rgb)
    shares = sorted(((float((names == color).mean()), color) for color in COLORS), reverse=True)
    (first, color), (second, _) = shares[:2]
    unnamed = float((names == "").mean())
    return color if first >= CLEAR_SHARE and first >= CLEAR_LEAD * max(second, unnamed) else ""
