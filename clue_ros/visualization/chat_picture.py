"""A grounded answer as a picture: the image with a numbered, coloured box for each phrase, the question and the answer
below it, its phrases in the colours of their boxes."""

from __future__ import annotations

from typing import List, Tuple

import numpy as np
from PIL import Image, ImageDraw

from clue_ros.chat.answer import GroundedAnswer
from clue_ros.visualization import palette
from clue_ros.visualization.lettering import clean, font
from clue_ros.visualization.overlay import check_rgb, draw_box, line_width

COLORS = (
    (16, 148, 96),
    (52, 92, 196),
    (192, 57, 63),
    (224, 124, 4),
    (124, 60, 180),
    (0, 140, 160),
    (170, 110, 40),
    (214, 60, 140),
)
MARGIN = 14  # pixels


def chat_picture(rgb: np.ndarray, answer: GroundedAnswer) -> np.ndarray:
    """uint8[H,W,3] RGB, as wide as the image (at least 480 pixels)."""
    canvas, width = check_rgb(rgb).copy(), max(480, rgb.shape[1])
    spans = list(dict.fromkeys((p.start, p.end) for p in answer.phrases))
    color = {span: COLORS[n % len(COLORS)] for n, span in enumerate(spans)}
    stroke = line_width(canvas.shape) + 1
    for phrase in answer.phrases:
        draw_box(canvas, phrase.box, color[phrase.start, phrase.end], stroke)
    size = max(14, width // 34)
    rows = _rows(answer, color, size, width - 2 * MARGIN)
    height = canvas.shape[0] + 2 * MARGIN + round(1.5 * size) * (1 + len(rows))
    page = Image.new("RGB", (width, height), palette.PAPER)
    page.paste(Image.fromarray(canvas), ((width - canvas.shape[1]) // 2, 0))
    draw = ImageDraw.Draw(page)
    y = canvas.shape[0] + MARGIN
    draw.text((MARGIN, y), clean(answer.question)[:120], palette.PERSON, font(size, True))
    for row in rows:
        y, x = y + round(1.5 * size), float(MARGIN)
        for word, ink, face in row:
            draw.text((x, y), word, ink, face)
            x += face.getlength(word + " ")
    return np.asarray(page)


def _rows(answer: GroundedAnswer, color: dict, size: int, width: float) -> List[List[Tuple]]:
    """The answer's words, each with its ink and font, broken into lines."""
    rows: List[List[Tuple]] = [[]]
    used, at = 0.0, 0
    for word in answer.text.split(" "):
        middle = at + len(word) / 2
        span = next((s for s in color if s[0] <= middle <= s[1]), None)
        face = font(size, span is not None)
        length = face.getlength(word + " ")
        if used + length > width and rows[-1]:
            rows.append([])
            used = 0.0
        rows[-1].append((word, color.get(span, palette.INK), face))
        used, at = used + length, at + len(word) + 1
    return rows[:12]
