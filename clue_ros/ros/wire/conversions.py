"""Image messages to arrays and back, for the node. The way to arrays is cv_bridge's where it is installed and equal
(bridge.py), else the core's (clue_ros/images/messages.py)."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from clue_ros.images import messages as image_messages
from clue_ros.ros.wire.bridge import through_cv_bridge


def message_to_rgb(msg: Any, *options: Any) -> np.ndarray:
    """image_messages.message_to_rgb with its options and errors, through cv_bridge where that gives the same pixels."""
    rgb = through_cv_bridge(msg)
    return image_messages.message_to_rgb(msg, *options) if rgb is None else rgb


def is_empty(msg: Image) -> bool:
    """True for the "take the latest camera frame" image of a goal: height or width 0 and no data."""
    return (msg.height == 0 or msg.width == 0) and len(msg.data) == 0


def rgb_to_image(rgb: np.ndarray, header: Header) -> Image:
    """uint8[H, W, 3] RGB -> rgb8 message with `header`."""
    return array_to_image(rgb, "rgb8", header)


def array_to_image(pixels: np.ndarray, encoding: str, header: Header) -> Image:
    """A dtype[H, W] or dtype[H, W, C] array -> message of the encoding that names the same layout."""
    pixels = np.ascontiguousarray(pixels)
    data = array("B")
    # frombytes of a memoryview is one memcpy; assigning the ndarray itself checks every byte in Python (56 ms for VGA).
    data.frombytes(memoryview(pixels).cast("B"))
    height, width = pixels.shape[:2]
    big = pixels.dtype.byteorder == ">"
    return Image(
        header=header, height=height, width=width, encoding=encoding, is_bigendian=int(big),
        step=pixels.nbytes // height if height else 0, data=data,
    )  # fmt: skip
