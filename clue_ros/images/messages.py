"""Image messages to pixels: pure functions over anything that has the fields of sensor_msgs/Image or CompressedImage.

The messages of the node (rclpy) and of a bag (rosbags) take the same path; nothing here imports ROS. `step` and byte
order are handled here, for every encoding alike, because the usual converters ignore them (a row-padded image comes out
sheared, without an error). Pixels are returned as uint8[H, W, 3], RGB, row 0 on top.
"""

from __future__ import annotations

from typing import Any, Optional

import cv2
import numpy as np

from clue_ros.images.compressed import compressed_to_rgb
from clue_ros.images.encodings import (
    LAYOUTS,
    SUPPORTED_ENCODINGS,
    ImageMessageError,
    Seen,
    UnsupportedEncodingError,
    samples_to_rgb,
)


def message_to_rgb(msg: Any, sample_bits: int = 0, seen: Optional[Seen] = None) -> np.ndarray:
    """Either kind of image message -> uint8[H, W, 3] RGB; raises as image_to_rgb and compressed_to_rgb.

    sample_bits: how many bits a 16-bit sample uses, 8 to 16 (encodings.eight_bits); 0: all. seen: called with such
    samples.
    Only sensor_msgs/Image has a field `encoding`; a CompressedImage has `format` instead.
    """
    return (image_to_rgb if hasattr(msg, "encoding") else compressed_to_rgb)(msg, sample_bits, seen)


def encoding_of(msg: Any) -> str:
    """What either kind of image message says of itself: the `encoding` of an Image, the `format` of the other."""
    return msg.encoding if hasattr(msg, "encoding") else msg.format


def check_encoding(msg: Any) -> None:
    """Costs nothing: looks at the name only. A CompressedImage passes; what it holds shows in decoding.

    Raises:
        UnsupportedEncodingError: the encoding is not one of SUPPORTED_ENCODINGS.
    """
    if hasattr(msg, "encoding") and msg.encoding not in SUPPORTED_ENCODINGS:
        raise UnsupportedEncodingError(
            f"image encoding {msg.encoding[:40]!r} is not supported: use one of {', '.join(SUPPORTED_ENCODINGS)}"
        )


def image_to_rgb(msg: Any, sample_bits: int = 0, seen: Optional[Seen] = None) -> np.ndarray:
    """sensor_msgs/Image -> uint8[H, W, 3] RGB. Of 16-bit samples the upper byte is kept, or that of `sample_bits`;
    alpha is dropped.

    rgb8 without row padding is a read-only view of the message's data: copy it before writing to it.

    Raises:
        UnsupportedEncodingError: the encoding is not one of SUPPORTED_ENCODINGS.
        ImageMessageError: 0x0, a step shorter than a row, or data shorter than height * step.
    """
    check_encoding(msg)
    layout = LAYOUTS[msg.encoding]
    if layout.planes and layout.to_rgb is not None:
        return _planes_to_rgb(msg, layout.to_rgb)
    return samples_to_rgb(image_to_samples(msg, layout.channels, layout.dtype), msg.encoding, sample_bits, seen)


def _planes_to_rgb(msg: Any, code: int) -> np.ndarray:
    if msg.width % 2 or msg.height % 2:
        raise ImageMessageError(f"a {msg.encoding} image needs even sides, this one is {msg.width}x{msg.height}")
    planes = _rows(msg, msg.height * 3 // 2, msg.width)
    return cv2.cvtColor(np.ascontiguousarray(planes), code)


def image_to_samples(msg: Any, channels: int, dtype: type) -> np.ndarray:
    """The samples of an image message, dtype[H, W, channels] ([H, W] for one channel), native byte order, no padding.

    A step of 0, which some drivers leave, means rows without padding.

    Raises:
        ImageMessageError: 0x0, a step shorter than a row, or data shorter than height * step.
    """
    height, width, sample = msg.height, msg.width, np.dtype(dtype).itemsize
    rows = _rows(msg, height, width * channels * sample)
    if sample > 1:
        order = ">" if msg.is_bigendian else "<"
        rows = np.ascontiguousarray(rows).view(np.dtype(dtype).newbyteorder(order)).astype(dtype, copy=False)
    shape = (height, width) if channels == 1 else (height, width, channels)
    # A padded row cannot be reshaped in place: numpy copies it then, and only then.
    return rows.reshape(shape)


def _rows(msg: Any, count: int, length: int) -> np.ndarray:
    """The first `length` bytes of each of the message's first `count` rows: uint8[count, length], a view."""
    if msg.height == 0 or msg.width == 0:
        raise ImageMessageError(f"the image is {msg.width}x{msg.height}: it must have at least one pixel")
    step = msg.step or length
    if step < length:
        raise ImageMessageError(
            f"step {step} is shorter than a row of {msg.width} {msg.encoding} pixels ({length} bytes)"
        )
    if len(msg.data) < count * step:
        raise ImageMessageError(
            f"the image holds {len(msg.data)} bytes instead of {count} rows * step = {count} * {step}: it was cut short"
        )
    return np.frombuffer(msg.data, np.uint8, count=count * step).reshape(count, step)[:, :length]
