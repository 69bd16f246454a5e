"""One picture of a part of the system at work: labelled panels side by side, and what was said below them."""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np
from PIL import Image, ImageDraw

from clue_ros.types import Box
from clue_ros.visualization import overlay, palette
from clue_ros.visualization.caption_strip import Line, draw_strip, strip_height
from clue_ros.visualization.lettering import draw_plates, fit, font, wrap

WIDTH = 1200  # pixels of the finished picture
MARGIN, GAP, LABEL, NOTE = 24, 16, 26, 20
LARGEST = 560  # width of a panel at most


class Panel(NamedTuple):
    """rgb: uint8[H,W,3]; label: above it; note: below it."""

    label: str
    rgb: np.ndarray
    note: str = ""


def card(title: str, panels: Sequence[Panel], lines: Sequence[Tuple[str, str]] = (), columns: int = 3) -> np.ndarray:
    """uint8[h, WIDTH, 3]: the panels in rows of at most `columns`, and (speaker, words) below them.

    Raises InvalidImageError for a panel that is no picture."""
    columns = min(columns, len(panels))
    content = WIDTH - 2 * MARGIN
    across = min(LARGEST, (content - (columns - 1) * GAP) // columns)
    pictures = [_fitted(overlay.check_rgb(panel.rgb), across) for panel in panels]
    rows = [range(n, min(n + columns, len(panels))) for n in range(0, len(panels), columns)]
    heights = [max(pictures[n].shape[0] for n in row) + LABEL + _foot(panels, row, across) for row in rows]
    heading = wrap(title, font(22, bold=True), content, max_lines=2)
    said = [Line(speaker, words) for speaker, words in lines]
    strip = strip_height(said, content, 1) + GAP if said else 0
    top = MARGIN + 30 * len(heading)
    page = Image.new("RGB", (WIDTH, top + sum(heights) + strip + MARGIN), palette.PAPER)
    draw = ImageDraw.Draw(page)
    for number, words in enumerate(heading):
        draw.text((MARGIN, MARGIN - 6 + 30 * number), words, font=font(22, bold=True), fill=palette.INK)
    for row, height in zip(rows, heights):
        for column, n in enumerate(row):
            _place(page, draw, MARGIN + column * (across + GAP), top, across, panels[n], pictures[n])
        top += height
    if said:
        draw_strip(draw, said, MARGIN, top, content, 1)
    return np.asarray(page)


def tinted(rgb: np.ndarray, mask: np.ndarray, color: palette.Color = palette.CLEAR) -> np.ndarray:
    """The picture with the pixels of bool[H,W] in a colour, with their outline, and the others darker; a new array."""
    rgb = overlay.check_rgb(rgb)
    inside = (0.6 * rgb + 0.4 * np.asarray(color, np.float32)).astype(np.uint8)
    picture = np.where(mask[..., None], inside, (0.6 * rgb).astype(np.uint8))
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, outlines, -1, (255, 255, 255), max(1, rgb.shape[1] // 320))
    return picture


def with_boxes(
    rgb: np.ndarray,
    *,
    target: Optional[Box] = None,
    clicks: Sequence[Tuple[float, float]] = (),
    candidates: Sequence[Box] = (),
    labels: Sequence[str] = (),
) -> np.ndarray:
    """The picture with labelled candidates, the target's box and where somebody clicked, in its pixels; a new array."""
    picture = overlay.check_rgb(rgb).copy()
    width = overlay.line_width(picture.shape)
    if candidates:
        draw_plates(picture, candidates, labels, max(14, picture.shape[0] // 20), width)
    if target is not None:
        overlay.draw_box(picture, target, palette.CLEAR, 2 * width)
    for point in clicks:
        overlay.draw_click(picture, point, width)
    return picture


def _fitted(rgb: np.ndarray, across: int) -> np.ndarray:
    """As wide as a panel; what is higher than wide only as high as a panel is wide."""
    height, width = rgb.shape[:2]
    factor = min(across / width, across / height)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


def _foot(panels: Sequence[Panel], row: range, across: int) -> int:
    return GAP // 2 + NOTE * max(len(_notes(panels[n], across)) for n in row)


def _notes(panel: Panel, across: int) -> List[str]:
    return wrap(panel.note, font(13), across, max_lines=2) if panel.note else []


def _place(
    page: Image.Image, draw: ImageDraw.ImageDraw, x: int, y: int, across: int, panel: Panel, rgb: np.ndarray
) -> None:
    draw.text((x, y), fit(panel.label, font(15, bold=True), across), font=font(15, bold=True), fill=palette.INK)
    page.paste(Image.fromarray(rgb), (x, y + LABEL))
    below = y + LABEL + rgb.shape[0] + 4
    for number, words in enumerate(_notes(panel, across)):
        draw.text((x, below + number * NOTE), words, font=font(13), fill=palette.MUTED)
