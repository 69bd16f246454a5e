"""A picture with nothing in it but what matters: how a relevance heatmap is laid over an image (Instruction-Guided
Visual Masking, Fig. 12): overlay, blur, greyscale or crop, and the smallest box that keeps every active pixel. No ROS,
no model.
"""

from __future__ import annotations

from typing import Optional

import cv2
import numpy as np

from clue_ros.types import Box

MODES = ("overlay", "blur", "greyscale", "crop")
THRESHOLD = 0.3  # of the heatmap: a lost piece of the target costs more than a kept piece of its surroundings
GROWTH = 0.025  # of the image's width: active parts are grown by so much
SHADE = 127  # grey of what is covered by an overlay
BLUR = 0.03  # of the image's width, the blur's sigma


def active_pixels(heat: np.ndarray, threshold: float = THRESHOLD, growth: float = GROWTH) -> np.ndarray:
    """bool[H,W] of a heatmap float[H,W] in [0, 1]: what is at or above the threshold, grown on all sides."""
    active = np.asarray(heat) >= threshold
    reach = round(growth * active.shape[1])
    if reach <= 0 or not active.any():
        return active
    # As a dilation by a disk, whose time does not grow with the disk.
    away = cv2.distanceTransform((~active).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    return away <= reach


def smallest_box(active: np.ndarray, margin: float = 0.0) -> Optional[Box]:
    """The smallest box that keeps all active pixels of bool[H,W], with whole coordinates; margin: a share of its sides
    that is added around it, within the image. None if nothing is active."""
    rows, columns = np.flatnonzero(active.any(1)), np.flatnonzero(active.any(0))
    if not len(rows):
        return None
    height, width = active.shape
    x0, x1, y0, y1 = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
    across, down = margin * (x1 - x0), margin * (y1 - y0)
    return Box(
        int(max(0, np.floor(x0 - across))),
        int(max(0, np.floor(y0 - down))),
        int(min(width, np.ceil(x1 + across))),
        int(min(height, np.ceil(y1 + down))),
    )


def focused(image: np.ndarray, active: np.ndarray, mode: str = "overlay") -> np.ndarray:
    """The image with everything that is not active covered, blurred or without colour; 'crop' leaves it as it is.

    image: uint8[H,W] or uint8[H,W,C] of any channel order; active: bool[H,W]. The result has its shape and type.
    Raises ValueError for an unknown mode.
    """
    if mode not in MODES:
        raise ValueError(f"mode is '{mode}', must be one of {', '.join(MODES)}")
    if mode == "crop" or active.all():
        return image
    if mode == "overlay":
        other = np.full_like(image, SHADE)
    elif mode == "blur":
        other = _blurred(image)
    else:
        other = image.copy() if image.ndim == 2 else cv2.transform(image, _mean_of_colors(image.shape[2]))
    if image.ndim == 3 and image.shape[2] == 4:
        other[..., 3] = image[..., 3]  # transparency is not a colour
    return cv2.copyTo(image, active.astype(np.uint8), other)


def focused_crop(image: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Overlay and crop together, as IVM gives pictures to a model: the smallest box around what is active, all else
    in it covered; the image itself where nothing is active."""
    box = smallest_box(active)
    if box is None:
        return image
    return focused(image, active)[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)]


def _mean_of_colors(channels: int) -> np.ndarray:
    """float32[C,C]: every channel becomes the mean of the first three."""
    matrix = np.zeros((channels, channels), np.float32)
    matrix[:, :3] = 1 / 3
    return matrix


def _blurred(image: np.ndarray) -> np.ndarray:
    """A strong blur, made at a quarter of the size: a camera's rate is to be kept."""
    height, width = image.shape[:2]
    small = cv2.resize(image, (max(1, width // 4), max(1, height // 4)), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), max(0.5, BLUR * width / 4))
    return cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
