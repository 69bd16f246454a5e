"""Image messages to pixels: pure functions over anything that has the fields of sensor_msgs/Image or CompressedImage.

The messages of the node (rclpy) and of a bag (rosbags) take the same path; nothing here imports ROS. `step` and byte
order are handled here, for every encoding alike, because the usual converters ignore them (a row-padded image comes out
sheared, without an error). Pixels are returned as uint8[H, W, 3], RGB, row 0 on top.
"""

from __future__ import annotations

from typing import Any, Dict, NamedTuple, Optional

import cv2
import numpy as np

from clue_ros.types import ClueError, InvalidImageError


class ImageMessageError(InvalidImageError):
    """An image message is 0x0, shorter than height * step, or does not decode."""


class UnsupportedEncodingError(ClueError):
    """An image message's encoding is not known; the text names it."""


class _Layout(NamedTuple):
    channels: int  # samples a pixel as they lie in memory
    dtype: type  # of one sample
    to_rgb: Optional[int]  # OpenCV conversion code; None: the samples are RGB already


_U8, _U16 = np.uint8, np.uint16
_LAYOUTS: Dict[str, _Layout] = {
    "rgb8": _Layout(3, _U8, None),
    "bgr8": _Layout(3, _U8, cv2.COLOR_BGR2RGB),
    "8UC3": _Layout(3, _U8, cv2.COLOR_BGR2RGB),  # OpenCV's own order, as cv_bridge reads it
    "rgba8": _Layout(4, _U8, cv2.COLOR_RGBA2RGB),
    "bgra8": _Layout(4, _U8, cv2.COLOR_BGRA2RGB),
    "8UC4": _Layout(4, _U8, cv2.COLOR_BGRA2RGB),
    "mono8": _Layout(1, _U8, cv2.COLOR_GRAY2RGB),
    "8UC1": _Layout(1, _U8, cv2.COLOR_GRAY2RGB),
    "mono16": _Layout(1, _U16, cv2.COLOR_GRAY2RGB),
    "16UC1": _Layout(1, _U16, cv2.COLOR_GRAY2RGB),
    "rgb16": _Layout(3, _U16, None),
    "bgr16": _Layout(3, _U16, cv2.COLOR_BGR2RGB),
    "rgba16": _Layout(4, _U16, cv2.COLOR_RGBA2RGB),
    "bgra16": _Layout(4, _U16, cv2.COLOR_BGRA2RGB),
    # sensor_msgs: yuv422 is UYVY, yuv422_yuy2 is YUYV; newer distributions say uyvy and yuyv.
    "yuv422": _Layout(2, _U8, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": _Layout(2, _U8, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": _Layout(2, _U8, cv2.COLOR_YUV2RGB_YUYV),
    "yuyv": _Layout(2, _U8, cv2.COLOR_YUV2RGB_YUYV),
    # OpenCV names a Bayer pattern by its second row, second column: ROS's RGGB is OpenCV's BG.
    "bayer_rggb8": _Layout(1, _U8, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr8": _Layout(1, _U8, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg8": _Layout(1, _U8, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg8": _Layout(1, _U8, cv2.COLOR_BayerGB2RGB),
    "bayer_rggb16": _Layout(1, _U16, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr16": _Layout(1, _U16, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg16": _Layout(1, _U16, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg16": _Layout(1, _U16, cv2.COLOR_BayerGB2RGB),
}
# Planes one after the other: height rows of Y, then height / 2 rows of interleaved U and V, all of the same step.
_SEMI_PLANAR: Dict[str, int] = {"nv12": cv2.COLOR_YUV2RGB_NV12, "nv21": cv2.COLOR_YUV2RGB_NV21}
SUPPORTED_ENCODINGS = (*_LAYOUTS, *_SEMI_PLANAR)


def message_to_rgb(msg: Any) -> np.ndarray:
    """Either kind of image message -> uint8[H, W, 3] RGB; raises as image_to_rgb and compressed_to_rgb.

    Only sensor_msgs/Image has a field `encoding`; a CompressedImage has `format` instead.
    """
    return image_to_rgb(msg) if hasattr(msg, "encoding") else compressed_to_rgb(msg)


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


def image_to_rgb(msg: Any) -> np.ndarray:
    """sensor_msgs/Image -> uint8[H, W, 3] RGB. 16-bit samples keep their upper byte; alpha is dropped.

    rgb8 without row padding is a read-only view of the message's data: copy it before writing to it.

    Raises:
        UnsupportedEncodingError: the encoding is not one of SUPPORTED_ENCODINGS.
        ImageMessageError: 0x0, a step shorter than a row, or data shorter than height * step.
    """
    check_encoding(msg)
    if msg.encoding in _SEMI_PLANAR:
        return _semi_planar_to_rgb(msg)
    layout = _LAYOUTS[msg.encoding]
    samples = image_to_samples(msg, layout.channels, layout.dtype)
    if layout.dtype is _U16:
        samples = (samples >> 8).astype(np.uint8)
    if layout.to_rgb is None:
        return samples
    if layout.channels == 2 and msg.width % 2:
        raise ImageMessageError(f"a {msg.encoding} image needs an even width, this one has {msg.width}")
    if msg.encoding.startswith("bayer") and min(msg.height, msg.width) < 2:
        raise ImageMessageError(f"a {msg.encoding} image of {msg.width}x{msg.height} is smaller than one Bayer cell")
    return cv2.cvtColor(np.ascontiguousarray(samples), layout.to_rgb)


def _semi_planar_to_rgb(msg: Any) -> np.ndarray:
    if msg.width % 2 or msg.height % 2:
        raise ImageMessageError(f"a {msg.encoding} image needs even sides, this one is {msg.width}x{msg.height}")
    planes = _rows(msg, msg.height * 3 // 2, msg.width)
    return cv2.cvtColor(np.ascontiguousarray(planes), _SEMI_PLANAR[msg.encoding])


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


def compressed_to_rgb(msg: Any) -> np.ndarray:
    """sensor_msgs/CompressedImage (jpeg or png) -> uint8[H, W, 3] RGB.

    Raises:
        UnsupportedEncodingError: the format names another codec.
        ImageMessageError: the data do not decode.
    """
    data = np.frombuffer(msg.data, np.uint8)
    # An EXIF rotation is ignored: camera_info and depth refer to the pixels as the sensor gave them.
    try:
        bgr = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION) if data.size else None
    except cv2.error:  # a stated size beyond OpenCV's limit
        bgr = None
    if bgr is not None:
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    if any(codec in msg.format.lower() for codec in ("jpeg", "jpg", "png")) or not msg.format:
        raise ImageMessageError(f"the {msg.format or 'compressed'} image of {data.size} bytes does not decode")
    raise UnsupportedEncodingError(f"compressed format {msg.format[:40]!r} is not supported: use jpeg or png")
