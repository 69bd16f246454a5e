"""One episode as a short animation: the words, the attention that spreads, the question, the answer, the box.

Left the camera with the map of the reading at hand and P(ambiguous) below it, right the conversation as it grows. Drawn
at twice the size and scaled down, as the pictures are (`episode_picture`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np
from PIL import Image, ImageDraw

from clue_ros.types import Ambiguity, Box, ClueError, Decision
from clue_ros.visualization import overlay, palette
from clue_ros.visualization.caption_strip import draw_chip, draw_gauge
from clue_ros.visualization.lettering import font, wrap

WIDTH, HEIGHT = 960, 480  # pixels of a frame
_S = 2  # supersampling
_MARGIN = 20 * _S
_CAMERA_WIDTH = 540 * _S
_FOOT = 44 * _S  # the gauge's room below the camera
_TALK_LEFT = _CAMERA_WIDTH + 2 * _MARGIN
_TALK_WIDTH = WIDTH * _S - _TALK_LEFT - _MARGIN
_TEXT = 17 * _S
_ROW = 23 * _S
_FADE = 5  # frames from one map to the next
_FADE_MS, _LINE_MS, _READ_MS, _END_MS = 110, 900, 2400, 3600


class Frame(NamedTuple):
    """rgb: uint8[480, 960, 3]; duration_ms: how long it stands."""

    rgb: np.ndarray
    duration_ms: int


class _View(NamedTuple):
    """What one frame shows. map: float32[h, w] or None; level: how far the gauge has come, as a probability."""

    lines: Tuple[Tuple[str, str], ...]
    map: Optional[np.ndarray] = None
    reading: Optional[Ambiguity] = None
    level: float = 0.0
    regions: bool = False
    box: Optional[Box] = None
    clicks: Tuple[Tuple[float, float], ...] = ()


def episode_frames(
    rgb: np.ndarray,
    decisions: Sequence[Optional[Decision]],
    transcript: Sequence[Any],
    *,
    clicks: Sequence[Tuple[float, float]] = (),
) -> List[Frame]:
    """The frames of one episode, in order.

    Args:
        rgb: uint8[H, W, 3], the camera image.
        decisions, transcript, clicks: as of `episode_picture`: the robot's n-th line is taken for the n-th decision.

    Raises InvalidImageError.
    """
    rgb = overlay.check_rgb(rgb)
    size = _camera_size(rgb)
    shrinking = size[0] < rgb.shape[1]
    camera = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC)
    scale = (size[0] / rgb.shape[1], size[1] / rgb.shape[0])
    return [Frame(_draw(camera, view, scale), duration) for view, duration in _views(decisions, transcript, clicks)]


def save_animation(frames: Sequence[Frame], path: Path) -> None:
    """Writes an animated WebP that repeats for ever. Raises ClueError if there are no frames or the file cannot be
    written.
    """
    if not frames:
        raise ClueError("an animation needs at least one frame")
    pictures = [Image.fromarray(frame.rgb) for frame in frames]
    try:
        pictures[0].save(
            path,
            format="WEBP",
            save_all=True,
            append_images=pictures[1:],
            loop=0,
            quality=82,
            method=4,
            duration=[frame.duration_ms for frame in frames],
        )
    except OSError as error:
        raise ClueError(f"cannot write {path}: {error.strerror or error}") from error


def _views(decisions, transcript, clicks) -> Iterator[Tuple[_View, int]]:
    """What is shown for how long: each line as it is said, and before a robot's line the change to its reading."""
    view, remaining, left_clicks = _View(()), iter(decisions), list(clicks)
    yield view, _LINE_MS
    for entry in transcript:
        speaker, text = (entry.speaker, entry.text) if hasattr(entry, "text") else (entry[0], entry[1])
        line = (str(speaker), str(text))
        if speaker != "robot":
            shown = tuple(left_clicks[:1]) if len(view.lines) > 1 else ()
            del left_clicks[: len(shown)]
            view = view._replace(lines=(*view.lines, line), clicks=(*view.clicks, *shown))
            yield view, _LINE_MS
            continue
        decision = next(remaining, None)
        reading = decision.ambiguity if decision is not None else None
        if reading is not None:
            yield from _change(view, reading)
            view = view._replace(map=reading.attention_map, reading=reading, level=reading.probability)
        view = view._replace(
            lines=(*view.lines, line),
            regions=reading is not None and reading.is_ambiguous,
            box=decision.box if decision is not None else None,
        )
        yield view, _READ_MS
    yield view, _END_MS


def _change(view: _View, reading: Ambiguity) -> Iterator[Tuple[_View, int]]:
    """From the map and the gauge of `view` to those of `reading`."""
    after = np.clip(np.nan_to_num(np.asarray(reading.attention_map, np.float32)), 0.0, 1.0)
    before = view.map if view.map is not None and np.shape(view.map) == after.shape else np.zeros_like(after)
    for step in range(1, _FADE + 1):
        share = step / _FADE
        level = view.level + share * (reading.probability - view.level)
        yield (
            view._replace(map=(1 - share) * before + share * after, reading=reading, level=level, regions=False),
            _FADE_MS,
        )


def _camera_size(rgb: np.ndarray) -> Tuple[int, int]:
    """(width, height) of the camera's place in supersampled pixels, inside its column."""
    most = HEIGHT * _S - 2 * _MARGIN - _FOOT
    scale = min(_CAMERA_WIDTH / rgb.shape[1], most / rgb.shape[0])
    return max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale))


def _draw(camera: np.ndarray, view: _View, scale: Tuple[float, float]) -> np.ndarray:
    picture = overlay.overlay_attention(camera, view.map) if view.box is None else camera.copy()
    if view.regions and view.reading is not None:
        for region in view.reading.regions:
            overlay.draw_box(picture, overlay.scale_box(region.box, *scale), palette.REGION, 2 * _S)
    if view.box is not None:
        overlay.draw_box(picture, overlay.scale_box(view.box, *scale), palette.CLEAR, 3 * _S)
    for x, y in view.clicks:
        overlay.draw_click(picture, (x * scale[0], y * scale[1]), 2 * _S)
    page = Image.new("RGB", (WIDTH * _S, HEIGHT * _S), palette.PAPER)
    draw = ImageDraw.Draw(page)
    height, width = picture.shape[:2]
    top = (HEIGHT * _S - height - _FOOT) // 2
    left = _MARGIN + (_CAMERA_WIDTH - width) // 2
    page.paste(Image.fromarray(picture), (left, top))
    if view.reading is not None:
        ambiguous = view.level >= view.reading.threshold
        draw_gauge(draw, left, top + height + 14 * _S, left + width, view.level, view.reading.threshold, ambiguous, _S)
    _draw_talk(draw, view.lines)
    return np.asarray(page.resize((WIDTH, HEIGHT), Image.Resampling.BOX)).copy()


def _draw_talk(draw: ImageDraw.ImageDraw, lines: Sequence[Tuple[str, str]]) -> None:
    """The newest lines that fit, as bubbles: the person's on the right, the robot's on the left."""
    bubbles = [(speaker, wrap(text, font(_TEXT), _TALK_WIDTH - 70 * _S, max_lines=4)) for speaker, text in lines]
    heights = [len(rows) * _ROW + 40 * _S for _, rows in bubbles]
    while sum(heights) > HEIGHT * _S - 2 * _MARGIN and len(bubbles) > 1:
        bubbles, heights = bubbles[1:], heights[1:]
    y = _MARGIN + 4 * _S
    for (speaker, rows), height in zip(bubbles, heights):
        mine = speaker != "robot"
        color = palette.PERSON if mine else palette.ROBOT
        width = max([font(_TEXT).getlength(row) for row in rows] or [0]) + 28 * _S
        x0 = _TALK_LEFT + _TALK_WIDTH - width if mine else _TALK_LEFT
        draw.rounded_rectangle(
            (x0, y, x0 + width, y + height - 20 * _S), 10 * _S, fill=palette.CARD, outline=color, width=2 * _S
        )
        draw_chip(draw, (x0 + 12 * _S, y - 10 * _S), speaker, color, 11 * _S)
        for number, row in enumerate(rows):
            draw.text((x0 + 14 * _S, y + 11 * _S + number * _ROW), row, font=font(_TEXT), fill=palette.INK)
        y += height
