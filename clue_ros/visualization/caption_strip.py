"""The caption strip of an episode picture: the dialogue line by line with a gauge beside each decision.

`scale` is the supersampling factor of the page; all other lengths are in pixels of that page.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence, Tuple

from PIL import ImageDraw

from clue_ros.types import Ambiguity
from clue_ros.visualization import palette
from clue_ros.visualization.lettering import fit, font, wrap

MAX_LINES = 12  # utterances shown; the middle of a longer dialogue is left out
MAX_ROWS = 4  # wrapped rows of one utterance
_ROW = 23
_PAD = 9
_TEXT = 17
_NAME = 110
_GAUGE = 330


class Line(NamedTuple):
    """One utterance; `reading` is what the model read just before the robot said it."""

    speaker: str
    text: str
    reading: Optional[Ambiguity] = None


def strip_height(lines: Sequence[Line], width: int, scale: int) -> int:
    """Height of what `draw_strip` draws, in pixels of the page."""
    return sum(height for *_, height in _layout(lines, width, scale)) + 2 * 6 * scale


def draw_strip(draw: ImageDraw.ImageDraw, lines: Sequence[Line], left: int, top: int, width: int, scale: int) -> None:
    """Draw the strip as a white card at (left, top)."""
    height = strip_height(lines, width, scale)
    card = (left, top, left + width - 1, top + height - 1)
    draw.rounded_rectangle(card, 8 * scale, fill=palette.CARD, outline=palette.LINE, width=scale)
    y = top + 6 * scale
    for number, (line, rows, row_height) in enumerate(_layout(lines, width, scale)):
        if number:
            draw.line((left + 14 * scale, y, left + width - 14 * scale, y), fill=palette.LINE, width=scale)
        color = {"person": palette.PERSON, "robot": palette.ROBOT}.get(line.speaker, palette.MUTED)
        text_top = y + _PAD * scale
        name = fit(line.speaker, font(_TEXT * scale, bold=True), (_NAME - 20) * scale) if line.speaker else ""
        draw.text((left + 18 * scale, text_top), name, font=font(_TEXT * scale, bold=True), fill=color)
        for row, text in enumerate(rows):
            place = (left + _NAME * scale, text_top + row * _ROW * scale)
            draw.text(place, text, font=font(_TEXT * scale), fill=palette.INK if line.speaker else palette.MUTED)
        if line.reading is not None:
            x0, x1 = left + width - (_GAUGE - 10) * scale, left + width - 18 * scale
            reading = line.reading
            draw_gauge(
                draw, x0, text_top + scale, x1, reading.probability, reading.threshold, reading.is_ambiguous, scale
            )
        y += row_height


def draw_gauge(
    draw: ImageDraw.ImageDraw,
    x0: int,
    y: int,
    x1: int,
    probability: float,
    threshold: float,
    ambiguous: bool,
    scale: int,
) -> None:
    """P(ambiguous) as words and a bar from 0 to 1 with a tick at the threshold, between x0 and x1, 18 px high."""
    color = palette.AMBIGUOUS if ambiguous else palette.CLEAR
    words = f"{'ambiguous' if ambiguous else 'clear'}  {probability:.2f}"
    face = font(14 * scale, bold=True)
    draw.text((x0, y + 9 * scale), words, font=face, fill=color, anchor="lm")
    bar0 = x0 + 138 * scale
    top, bottom = y + 4 * scale, y + 14 * scale
    length = x1 - bar0
    draw.rounded_rectangle((bar0, top, x1, bottom), 5 * scale, fill=palette.LINE)
    filled = bar0 + min(max(probability, 0.0), 1.0) * length
    if filled - bar0 > 2 * scale:
        draw.rounded_rectangle((bar0, top, max(filled, bar0 + 10 * scale), bottom), 5 * scale, fill=color)
    tick = bar0 + min(max(threshold, 0.0), 1.0) * length
    draw.line((tick, top - 4 * scale, tick, bottom + 4 * scale), fill=palette.INK, width=2 * scale)


def draw_chip(
    draw: ImageDraw.ImageDraw,
    corner: Tuple[float, float],
    text: str,
    color: palette.Color,
    size: int,
    from_right: bool = False,
) -> None:
    """White bold text on a rounded ground with its top-left (or top-right) corner at `corner`."""
    face = font(size, bold=True)
    width, height = face.getlength(text) + size, size * 1.6
    x, y = corner[0] - (width if from_right else 0), corner[1]
    draw.rounded_rectangle((x, y, x + width, y + height), height / 3, fill=color)
    draw.text((x + width / 2, y + height / 2), text, font=face, fill=(255, 255, 255), anchor="mm")


def _layout(lines: Sequence[Line], width: int, scale: int) -> List[Tuple[Line, List[str], int]]:
    """(line, wrapped rows, height) of every line shown."""
    layout = []
    for line in _shown(lines):
        taken = _NAME + 14 + (_GAUGE if line.reading is not None else 0)
        rows = wrap(line.text, font(_TEXT * scale), width - taken * scale, MAX_ROWS)
        layout.append((line, rows, (max(1, len(rows)) * _ROW + 2 * _PAD) * scale))
    return layout


def _shown(lines: Sequence[Line]) -> List[Line]:
    if len(lines) <= MAX_LINES:
        return list(lines)
    left_out = len(lines) - MAX_LINES + 1
    first, last = lines[: MAX_LINES // 2], lines[len(lines) - MAX_LINES // 2 + 1 :]
    return [*first, Line("", f"… {left_out} more lines …"), *last]
