"""Camera images through cv_bridge, ROS's own converter, where it is installed and gives the pixels that ours gives.

Which encodings that holds for is found out once, with a small picture each, because it depends on the version: cv_bridge's
Python half needs its compiled one, which a numpy 2 beside a ROS built with numpy 1 breaks. Padded rows stay with our own
converter, since cv_bridge shears those of three-byte pixels without an error; so does every message that is not whole.
"""

from __future__ import annotations

import contextlib
import functools
import io
from typing import Any, Callable, FrozenSet, NamedTuple, Optional

import numpy as np
from rclpy.logging import get_logger
from sensor_msgs.msg import Image

from clue_ros.image_messages import image_to_rgb

# Bytes a pixel of the encodings that are tried. 16-bit samples are not: cv_bridge scales them, ours takes the upper byte.
CANDIDATES = {
    "rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "8UC3": 3, "8UC4": 4, "mono8": 1, "8UC1": 1,
    "yuv422": 2, "yuv422_yuy2": 2, "uyvy": 2, "yuyv": 2,
    "bayer_rggb8": 1, "bayer_bggr8": 1, "bayer_gbrg8": 1, "bayer_grbg8": 1,
}  # fmt: skip


class Bridge(NamedTuple):
    """convert: cv_bridge's imgmsg_to_cv2; equal: the encodings for which it gives what ours gives."""

    convert: Callable[[Any, str], np.ndarray]
    equal: FrozenSet[str]


def through_cv_bridge(msg: Any) -> Optional[np.ndarray]:
    """sensor_msgs/Image -> uint8[H, W, 3] RGB by cv_bridge; None: this message is our own converter's."""
    encoding = getattr(msg, "encoding", "")
    if encoding not in CANDIDATES:
        return None
    row = msg.width * CANDIDATES[encoding]
    if not row or msg.step != row or len(msg.data) != msg.height * row:
        return None
    bridge = find_bridge()
    if bridge is None or encoding not in bridge.equal:
        return None
    try:
        rgb = bridge.convert(msg, "rgb8")
    except Exception:  # such as an odd width: our own converter says what is wrong with this one
        return None
    return np.ascontiguousarray(rgb) if rgb.shape == (msg.height, msg.width, 3) else None


@functools.lru_cache(maxsize=None)
def find_bridge() -> Optional[Bridge]:
    """cv_bridge as it is here, asked once; None where it is not installed or does not work, which the log says."""
    logger = get_logger("clue.images")
    # numpy writes a page about a compiled half of another numpy, and a traceback, before it raises.
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            from cv_bridge import CvBridge

            convert = CvBridge().imgmsg_to_cv2
            convert(_sample("rgb8", 3), "rgb8")
        # ImportError, AttributeError, SystemError, CvBridgeError: it differs by version what does not fit and when it shows.
        except Exception as error:
            if isinstance(error, ModuleNotFoundError) and error.name == "cv_bridge":
                return None
            return _unusable(logger, f"{type(error).__name__}: {error}")
    equal = frozenset(encoding for encoding, size in CANDIDATES.items() if _is_equal(convert, _sample(encoding, size)))
    if not equal:
        return _unusable(logger, "it gives other pixels")
    logger.info(f"images of {', '.join(sorted(equal))} are converted by cv_bridge")
    return Bridge(convert, equal)


def _unusable(logger: Any, reason: str) -> None:
    logger.warning(
        f"cv_bridge is installed and not of use ({reason}): images are converted without it, with the same result"
    )


def _sample(encoding: str, size: int) -> Image:
    """A picture of 8 x 6 pixels of noise. Bayer patterns differ at the rim by OpenCV's version only, which both sides share."""
    height, width = 6, 8
    data = np.random.default_rng(0).integers(0, 256, height * width * size, np.uint8).tobytes()
    return Image(height=height, width=width, encoding=encoding, step=width * size, data=data)


def _is_equal(convert: Callable[[Any, str], np.ndarray], sample: Image) -> bool:
    try:
        theirs = convert(sample, "rgb8")
    except Exception:  # CvBridgeError and whatever an unknown encoding ends in, by version
        return False
    ours = image_to_rgb(sample)
    return isinstance(theirs, np.ndarray) and theirs.dtype == np.uint8 and np.array_equal(theirs, ours)
