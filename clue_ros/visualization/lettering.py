"""Text in pictures: a real TrueType font, wrapping and cutting to a width.

matplotlib ships DejaVu Sans, which is found without importing matplotlib; without it Pillow's own scalable font does.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import List, Optional, Sequence, cast

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from clue_ros.types import Box

ELLIPSIS = "…"
MAX_CHARACTERS = 2000  # more is never readable in a picture, and measuring it would take seconds


@lru_cache(maxsize=64)
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """A font with capitals about 0.7 * `size` pixels high."""
    path = _font_file("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")
    if path:
        return ImageFont.truetype(str(path), size)
    # Given a size, Pillow answers with its own FreeType font.
    return cast(ImageFont.FreeTypeFont, ImageFont.load_default(size))


def clean(text: str) -> str:
    """`text` on one line, without control characters, cut to what can be measured quickly."""
    text = " ".join(str(text)[: MAX_CHARACTERS * 2].split())
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return text if len(text) <= MAX_CHARACTERS else text[:MAX_CHARACTERS].rstrip() + ELLIPSIS


def wrap(text: str, face: ImageFont.FreeTypeFont, width: float, max_lines: int = 4) -> List[str]:
    """Break `text` into at most `max_lines` lines no wider than `width` pixels; a cut ends in an ellipsis.

    A single word wider than the line is broken inside.
    """
    lines: List[str] = []
    line = ""
    for word in _pieces(clean(text), face, width):
        longer = f"{line} {word}" if line else word
        if face.getlength(longer) <= width:
            line = longer
            continue
        lines.append(line)
        line = word
        if len(lines) > max_lines:
            break
    lines.append(line)
    lines = [piece for piece in lines if piece]
    if len(lines) <= max_lines:
        return lines
    return lines[: max_lines - 1] + [fit(lines[max_lines - 1] + ELLIPSIS, face, width)]


def fit(text: str, face: ImageFont.FreeTypeFont, width: float) -> str:
    """`text` cut to `width` pixels; a cut ends in an ellipsis."""
    text = clean(text)
    if face.getlength(text) <= width:
        return text
    low, high = 0, len(text)
    while low < high:  # the longest prefix that fits together with the ellipsis
        middle = (low + high + 1) // 2
        if face.getlength(text[:middle].rstrip(" " + ELLIPSIS) + ELLIPSIS) <= width:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip(" " + ELLIPSIS) + ELLIPSIS


def draw_plates(picture: np.ndarray, boxes: Sequence[Box], texts: Sequence[str], size: int, width: int) -> None:
    """Every box with its text on a black plate, in place: one character in its middle, as numbered marks are drawn,
    longer ones above it, where they hide nothing of it. picture: uint8[H, W, 3]; boxes: in its pixels; size: of the
    letters;
    width: of the lines, both in pixels."""
    sheet = Image.fromarray(picture)
    draw, face = ImageDraw.Draw(sheet), font(size)
    for text, box in zip(texts, boxes):
        (x, y), half = Box(*box).center, 0.7 * size
        wide = max(half, face.getlength(text) / 2 + 0.25 * size)
        draw.rectangle(tuple(box), outline=(255, 255, 255), width=width)
        if not text:
            continue
        if len(text) > 1:
            y = max(half, box[1] - half)
        draw.rectangle((x - wide, y - half, x + wide, y + half), fill=(0, 0, 0), outline=(255, 255, 255), width=width)
        draw.text((x, y), text, font=face, fill=(255, 255, 255), anchor="mm")
    picture[:] = np.asarray(sheet)


def _pieces(text: str, face: ImageFont.FreeTypeFont, width: float) -> List[str]:
    """The words of `text`, those wider than a line broken into parts that fit."""
    pieces: List[str] = []
    for word in text.split():
        while face.getlength(word) > width and len(word) > 1:
            count = max(1, int(len(word) * width / face.getlength(word)))
            while count > 1 and face.getlength(word[:count]) > width:
                count -= 1
            pieces.append(word[:count])
            word = word[count:]
        pieces.append(word)
    return pieces


@lru_cache(maxsize=4)
def _font_file(name: str) -> Optional[Path]:
    found = importlib.util.find_spec("matplotlib")
    folders = (
        [Path(place) / "mpl-data" / "fonts" / "ttf" for place in (found.submodule_search_locations or [])]
        if found
        else []
    )
    folders.append(Path("/usr/share/fonts/truetype/dejavu"))
    return next((folder / name for folder in folders if (folder / name).is_file()), None)
