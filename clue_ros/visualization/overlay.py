"""Attention maps, regions and boxes drawn on an image with numpy and OpenCV only: fast enough for a camera's rate."""

from __future__ import annotations

from typing import Iterable, Optional, Sequence, Tuple

import cv2
import numpy as np

from clue_ros.types import Box, InvalidImageError, Region
from clue_ros.visualization import palette
from clue_ros.visualization.palette import Color


def check_rgb(rgb: np.ndarray) -> np.ndarray:
    """The image as C-contiguous uint8[H, W, 3]. Raises InvalidImageError for another shape or type, or an empty one."""
    rgb = np.asarray(rgb)
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
        raise InvalidImageError(f"a picture needs uint8[H, W, 3] RGB; this image is {rgb.dtype}{list(rgb.shape)}")
    return np.ascontiguousarray(rgb)


def overlay_attention(rgb: np.ndarray, attention_map: Optional[np.ndarray], opacity: float = 0.8) -> np.ndarray:
    """Lay a map over an image: bilinear upsampling, colour map, more opaque where the attention is higher.

    Args:
        rgb: uint8[H, W, 3].
        attention_map: float[h, w] in [0, 1], row 0 at the image's top, covering the whole image; None or empty: no map.
        opacity: of the strongest attention, in [0, 1].

    Returns: uint8[H, W, 3], a new array.
    """
    rgb = check_rgb(rgb)
    if attention_map is None or np.size(attention_map) == 0:
        return rgb.copy()
    height, width = rgb.shape[:2]
    strength = np.clip(np.nan_to_num(np.asarray(attention_map, np.float32), nan=0.0), 0.0, 1.0)
    levels = cv2.resize(strength * 255.0, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8)
    # Some opacity everywhere dims what was not looked at, so that the looked-at parts stand out. Both factors depend
    # on the level alone, so two look-up tables and two uint8 operations do (2 ms for 640x480).
    alpha = opacity * (0.3 + 0.7 * np.arange(256)[:, None] / 255.0)
    color_part = (palette.COLOR_MAP * alpha).round().astype(np.uint8)
    kept_part = np.repeat((255.0 * (1.0 - alpha)).round().astype(np.uint8), 3, axis=1)
    levels = cv2.merge([levels, levels, levels])
    kept = cv2.multiply(rgb, cv2.LUT(levels, kept_part[None]), scale=1 / 255)
    return cv2.add(kept, cv2.LUT(levels, color_part[None]))


def line_width(shape: Tuple[int, ...]) -> int:
    """Stroke width in pixels that reads alike on small and large images."""
    return max(1, round(min(shape[:2]) / 200))


def draw_box(rgb: np.ndarray, box: Box, color: Color, width: int) -> None:
    """Draw a box in place; its dark edge keeps it visible on any background."""
    corners = _corners(box, rgb.shape)
    cv2.rectangle(rgb, *corners, palette.SHADOW, width + 2 * max(1, width // 3))
    cv2.rectangle(rgb, *corners, color, width)


def draw_regions(rgb: np.ndarray, regions: Sequence[Region], width: int, color: Color = palette.AMBIGUOUS) -> None:
    """Draw competing regions in place: white boxes (the map itself is orange) and their peaks in `color`."""
    for region in reversed(regions):
        draw_box(rgb, region.box, palette.REGION, width)
        center = _clip_point(region.peak, rgb.shape)
        cv2.circle(rgb, center, 2 * width + 1, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(rgb, center, 2 * width, color, -1, cv2.LINE_AA)


def draw_dashed_box(rgb: np.ndarray, box: Box, color: Color, width: int, shadow: bool = True) -> None:
    """Draw a dashed box in place; the dark shadow lets white dashes show on white."""
    (x0, y0), (x1, y1) = _corners(box, rgb.shape)
    dash = 5 * width
    for start, end in _dashes(x0, x1, dash):
        for y in (y0, y1):
            _dash(rgb, (start, y), (end, y), color, width, shadow)
    for start, end in _dashes(y0, y1, dash):
        for x in (x0, x1):
            _dash(rgb, (x, start), (x, end), color, width, shadow)


def draw_click(rgb: np.ndarray, point: Tuple[float, float], width: int, color: Color = palette.PERSON) -> None:
    """Draw a cross-hair in place where the person pointed."""
    center, radius = _clip_point(point, rgb.shape), 6 * width
    for ring_color, ring_width in ((palette.TRUTH, width + 2), (color, width)):
        cv2.circle(rgb, center, radius, ring_color, ring_width, cv2.LINE_AA)
        cv2.line(rgb, (center[0] - radius, center[1]), (center[0] + radius, center[1]), ring_color, ring_width)
        cv2.line(rgb, (center[0], center[1] - radius), (center[0], center[1] + radius), ring_color, ring_width)


def scale_box(box: Box, factor_x: float, factor_y: float) -> Box:
    return Box(box.x0 * factor_x, box.y0 * factor_y, box.x1 * factor_x, box.y1 * factor_y)


def _dashes(start: int, end: int, dash: int) -> Iterable[Tuple[int, int]]:
    return ((place, min(place + dash, end)) for place in range(start, end, 2 * dash))


def _dash(
    rgb: np.ndarray, start: Tuple[int, int], end: Tuple[int, int], color: Color, width: int, shadow: bool
) -> None:
    if shadow:
        cv2.line(rgb, start, end, palette.SHADOW, width + 2)
    cv2.line(rgb, start, end, color, width)


def _corners(box: Box, shape: Tuple[int, ...]) -> Tuple[Tuple[int, int], Tuple[int, int]]:
    return _clip_point((box.x0, box.y0), shape), _clip_point((box.x1 - 1, box.y1 - 1), shape)


def _clip_point(point: Tuple[float, float], shape: Tuple[int, ...]) -> Tuple[int, int]:
    x, y = np.nan_to_num(np.asarray(point, float))
    return int(np.clip(round(x), 0, shape[1] - 1)), int(np.clip(round(y), 0, shape[0] - 1))
