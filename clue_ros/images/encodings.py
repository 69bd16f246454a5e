"""Encodings of sensor_msgs/Image and what their samples look like as colours. Pure functions of arrays.

Names and layouts: sensor_msgs/image_encodings.hpp. Pixels come out as uint8[H, W, 3], RGB, row 0 on top.
"""

from __future__ import annotations

from typing import Callable, Dict, NamedTuple, Optional

import cv2
import numpy as np

from clue_ros.types import ClueError, InvalidImageError


class ImageMessageError(InvalidImageError):
    """An image message is 0x0, shorter than height * step, or does not decode."""


class UnsupportedEncodingError(ClueError):
    """An image message's encoding is not known; the text names it."""


Seen = Callable[[np.ndarray], None]  # of uint16 samples


class Layout(NamedTuple):
    channels: int  # samples a pixel as they lie in memory
    dtype: type  # of one sample
    to_rgb: Optional[int]  # OpenCV conversion code; None: the samples are RGB already
    own_samples: bool = True  # False: a pixel shares its colour with its neighbours (chroma of pairs, mosaics)
    planes: bool = False  # True: height rows of Y, then height / 2 rows of interleaved U and V, all of the same step


_U8, _U16 = np.uint8, np.uint16
# The one place that names encodings: messages, cv_bridge's trial and the focus node read it. See CONTRIBUTING.md.
LAYOUTS: Dict[str, Layout] = {
    "rgb8": Layout(3, _U8, None),
    "bgr8": Layout(3, _U8, cv2.COLOR_BGR2RGB),
    "8UC3": Layout(3, _U8, cv2.COLOR_BGR2RGB),  # OpenCV's own order, as cv_bridge reads it
    "rgba8": Layout(4, _U8, cv2.COLOR_RGBA2RGB),
    "bgra8": Layout(4, _U8, cv2.COLOR_BGRA2RGB),
    "8UC4": Layout(4, _U8, cv2.COLOR_BGRA2RGB),
    "mono8": Layout(1, _U8, cv2.COLOR_GRAY2RGB),
    "8UC1": Layout(1, _U8, cv2.COLOR_GRAY2RGB),
    "mono16": Layout(1, _U16, cv2.COLOR_GRAY2RGB),
    "16UC1": Layout(1, _U16, cv2.COLOR_GRAY2RGB),
    "rgb16": Layout(3, _U16, None),
    "bgr16": Layout(3, _U16, cv2.COLOR_BGR2RGB),
    "rgba16": Layout(4, _U16, cv2.COLOR_RGBA2RGB),
    "bgra16": Layout(4, _U16, cv2.COLOR_BGRA2RGB),
    # sensor_msgs: yuv422 is UYVY, yuv422_yuy2 is YUYV; newer distributions say uyvy and yuyv.
    "yuv422": Layout(2, _U8, cv2.COLOR_YUV2RGB_UYVY, own_samples=False),
    "uyvy": Layout(2, _U8, cv2.COLOR_YUV2RGB_UYVY, own_samples=False),
    "yuv422_yuy2": Layout(2, _U8, cv2.COLOR_YUV2RGB_YUYV, own_samples=False),
    "yuyv": Layout(2, _U8, cv2.COLOR_YUV2RGB_YUYV, own_samples=False),
    # OpenCV names a Bayer pattern by its second row, second column: ROS's RGGB is OpenCV's BG.
    "bayer_rggb8": Layout(1, _U8, cv2.COLOR_BayerBG2RGB, own_samples=False),
    "bayer_bggr8": Layout(1, _U8, cv2.COLOR_BayerRG2RGB, own_samples=False),
    "bayer_gbrg8": Layout(1, _U8, cv2.COLOR_BayerGR2RGB, own_samples=False),
    "bayer_grbg8": Layout(1, _U8, cv2.COLOR_BayerGB2RGB, own_samples=False),
    "bayer_rggb16": Layout(1, _U16, cv2.COLOR_BayerBG2RGB, own_samples=False),
    "bayer_bggr16": Layout(1, _U16, cv2.COLOR_BayerRG2RGB, own_samples=False),
    "bayer_gbrg16": Layout(1, _U16, cv2.COLOR_BayerGR2RGB, own_samples=False),
    "bayer_grbg16": Layout(1, _U16, cv2.COLOR_BayerGB2RGB, own_samples=False),
    "nv12": Layout(1, _U8, cv2.COLOR_YUV2RGB_NV12, own_samples=False, planes=True),
    "nv21": Layout(1, _U8, cv2.COLOR_YUV2RGB_NV21, own_samples=False, planes=True),
}
SUPPORTED_ENCODINGS = tuple(LAYOUTS)


def samples_to_rgb(samples: np.ndarray, encoding: str, sample_bits: int = 0, seen: Optional[Seen] = None) -> np.ndarray:
    """Samples as they lie in an image of `encoding` -> uint8[H, W, 3] RGB; alpha is dropped.

    Args:
        samples: uint8 or uint16 [H, W, C], [H, W] for one channel; of either width, whatever `encoding` says of it.
        encoding: one of LAYOUTS without planes.
        sample_bits: see eight_bits.
        seen: called with samples of 16 bits, as they are.

    rgb8 comes back as it is, not copied. Raises ImageMessageError for a size that the encoding cannot have.
    """
    layout, (height, width) = LAYOUTS[encoding], samples.shape[:2]
    if seen is not None and samples.dtype == np.uint16:
        seen(samples)
    samples = eight_bits(samples, sample_bits)
    if layout.to_rgb is None:
        return samples
    if layout.channels == 2 and width % 2:
        raise ImageMessageError(f"a {encoding} image needs an even width, this one has {width}")
    if is_mosaic(encoding) and min(height, width) < 2:
        raise ImageMessageError(f"a {encoding} image of {width}x{height} is smaller than one Bayer cell")
    return cv2.cvtColor(np.ascontiguousarray(samples), layout.to_rgb)


def eight_bits(samples: np.ndarray, sample_bits: int = 0) -> np.ndarray:
    """uint8 samples of uint16 ones; uint8 ones as they are.

    sample_bits: how many bits a 16-bit sample uses, 8 to 16, counted from the lowest; 0: all 16. The upper eight of
    them are kept; what exceeds them is as bright as can be.
    """
    if samples.dtype == np.uint8:
        return samples
    if sample_bits in (0, 16):
        return (samples >> 8).astype(np.uint8)
    return np.minimum(samples >> (sample_bits - 8), 255).astype(np.uint8)


def is_mosaic(encoding: str) -> bool:
    return encoding in LAYOUTS and encoding.startswith("bayer")
