"""The `<locNNNN>` codec of PaliGemma: box corners as 1024 discrete tokens, in the order ymin xmin ymax xmax.

encode: bin = clip(round(v * 1023)), decode: v = bin / 1023, v normalised to [0, 1] by the image's height or width
(big_vision, `pp_paligemma`; CLUE section III-A.1).
"""

from __future__ import annotations

from typing import Sequence, Tuple

from clue_ros.types import Box

BINS = 1024


def to_bin(value: float) -> int:
    """Bin of a normalised coordinate; values outside [0, 1] are clipped."""
    return min(BINS - 1, max(0, int(round(value * (BINS - 1)))))


def from_bin(index: int) -> float:
    """Normalised coordinate in [0, 1] of a bin in [0, 1023]."""
    return index / (BINS - 1)


def box_to_bins(box: Box, width: float, height: float) -> Tuple[int, int, int, int]:
    """(ymin, xmin, ymax, xmax) bins of a pixel box in an image of width × height pixels."""
    return to_bin(box.y0 / height), to_bin(box.x0 / width), to_bin(box.y1 / height), to_bin(box.x1 / width)


def bins_to_box(bins: Sequence[int], width: float, height: float) -> Box:
    """Pixel box of four bins; corners that come in the wrong order are swapped, so the box is never inside out."""
    y0, x0, y1, x1 = (from_bin(b) for b in bins)
    return Box(min(x0, x1) * width, min(y0, y1) * height, max(x0, x1) * width, max(y0, y1) * height)


def token(index: int) -> str:
    return f"<loc{index:04d}>"


def box_to_text(box: Box, width: float, height: float) -> str:
    return "".join(token(b) for b in box_to_bins(box, width, height))


def point_to_text(point: Tuple[float, float], width: float, height: float) -> str:
    """'<locY><locX>' of a pixel point (x, y): how a click enters a prompt."""
    return token(to_bin(point[1] / height)) + token(to_bin(point[0] / width))
