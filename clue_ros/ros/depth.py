"""A box, a depth image and a camera_info -> the target's position. Pure functions.

Units come from the encoding (REP 118): 16UC1 is millimetres with 0 invalid, 32FC1 is metres with NaN invalid.
"""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple

import numpy as np
from sensor_msgs.msg import CameraInfo, Image

from clue_ros.ros.conversions import image_to_samples
from clue_ros.ros.errors import DepthMessageError
from clue_ros.types import Box, InvalidImageError

CORE = 0.5  # of the box's width and height, looked at first: the middle is on the object, the rim may not be
MIN_VALID_FRACTION = 0.1  # of the looked-at pixels; below it the median would be noise


class Intrinsics(NamedTuple):
    """A pinhole camera, in pixels of an image of `width` x `height`; integers are pixel centres, as in ROS."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int


def depth_to_metres(msg: Image) -> np.ndarray:
    """Depth message -> float32[H, W] in metres, NaN where invalid.

    Raises:
        DepthMessageError: another encoding than 16UC1 / mono16 / 32FC1, or a broken message.
    """
    try:
        if msg.encoding in ("16UC1", "mono16"):
            depth = image_to_samples(msg, 1, np.uint16).astype(np.float32) / 1000.0
        elif msg.encoding == "32FC1":
            depth = image_to_samples(msg, 1, np.float32).astype(np.float32)
        else:
            raise DepthMessageError(f"depth encoding {msg.encoding[:40]!r}: publish 16UC1 (mm) or 32FC1 (m)")
    except InvalidImageError as error:
        raise DepthMessageError(f"depth image: {error}") from error
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(np.nan))


def intrinsics_from_info(msg: CameraInfo) -> Intrinsics:
    """The K matrix of a camera_info. Lens distortion is not modelled: publish a rectified image.

    Raises:
        DepthMessageError: an uncalibrated camera (K is zero).
    """
    fx, fy = float(msg.k[0]), float(msg.k[4])
    if not (fx > 0 and fy > 0):
        raise DepthMessageError("camera_info has no focal length: calibrate the camera")
    return Intrinsics(fx, fy, float(msg.k[2]), float(msg.k[5]), msg.width, msg.height)


def position_of_box(
    depth: np.ndarray, box: Box, image_size: Tuple[int, int], camera: Intrinsics
) -> Optional[Tuple[float, float, float]]:
    """Where the middle of a box is, (x, y, z) in metres in the optical frame (x right, y down, z forward).

    Args:
        depth: float32[h, w] in metres, NaN invalid, registered to the image; its size may differ from the image's.
        box: pixels of the image.
        image_size: (width, height) of the image that `box` refers to.
        camera: intrinsics at their own size (0 x 0: the image's).

    Returns None where too few pixels are valid. z is the median of the valid depths in the box's core, which a few
    holes or background pixels do not move; only where the core is a hole is the whole box looked at.
    """
    width, height = image_size
    scale_x, scale_y = depth.shape[1] / width, depth.shape[0] / height
    u, v = box.center
    z = None
    for fraction in (CORE, 1.0):
        half_w, half_h = (box.x1 - box.x0) * fraction / 2, (box.y1 - box.y0) * fraction / 2
        z = _median(
            depth, (u - half_w) * scale_x, (v - half_h) * scale_y, (u + half_w) * scale_x, (v + half_h) * scale_y
        )
        if z is not None:
            break
    if z is None:
        return None
    # Boxes count from the corner of the first pixel, camera_info from its centre: half a pixel apart.
    u = u * (camera.width or width) / width - 0.5
    v = v * (camera.height or height) / height - 0.5
    return (u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z


def _median(depth: np.ndarray, x0: float, y0: float, x1: float, y1: float) -> Optional[float]:
    height, width = depth.shape
    left, top = max(0, int(x0)), max(0, int(y0))
    right, bottom = min(width, max(left + 1, int(np.ceil(x1)))), min(height, max(top + 1, int(np.ceil(y1))))
    window = depth[top:bottom, left:right]
    valid = window[np.isfinite(window)]
    if window.size == 0 or valid.size < max(1, MIN_VALID_FRACTION * window.size):
        return None
    return float(np.median(valid))
