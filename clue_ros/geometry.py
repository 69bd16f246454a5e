"""What counts as an image, the one resize of the package and its inverse.

PaliGemma sees every image squashed to a square, without padding or cropping; boxes therefore go back to pixels of the
original image by a scale per axis.
"""

from __future__ import annotations

from typing import Any, Iterable, Tuple

import numpy as np

from clue_ros.types import Box, InvalidImageError

MAX_SIDE = 20_000  # pixels; more is a broken header, not a camera


def as_rgb(image: Any) -> np.ndarray:
    """uint8[H,W,3] RGB of an ndarray (uint8[H,W], [H,W,1], [H,W,3] or [H,W,4] RGBA) or a PIL image, which is not turned
    (EXIF): boxes are pixels of the image as it was given.

    Raises InvalidImageError for an empty or damaged image, another shape or another dtype; the text names what it got.
    """
    if hasattr(image, "convert") and hasattr(image, "mode"):
        try:
            image = pillow_to_rgb(image)
        except Exception as error:  # a file is decoded only now, and its decoders raise nearly every type
            raise InvalidImageError(f"the PIL image cannot be decoded: {str(error) or type(error).__name__}") from error
    if not isinstance(image, np.ndarray):
        raise InvalidImageError(
            f"expected a numpy array uint8[H,W,3] or a PIL image, got {type(image).__name__}; open a "
            "file first: PIL.Image.open(path)"
        )
    if image.dtype != np.uint8:
        raise InvalidImageError(f"expected uint8 pixels in [0, 255], got {image.dtype}: convert the image first")
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        raise InvalidImageError(f"expected an image of shape [H,W,3], got {list(image.shape)}")
    if image.shape[0] == 0 or image.shape[1] == 0:
        raise InvalidImageError(f"the image is empty: {image.shape[1]}x{image.shape[0]} pixels")
    if max(image.shape[:2]) > MAX_SIDE:
        raise InvalidImageError(f"the image is too large: {image.shape[1]}x{image.shape[0]} pixels, limit {MAX_SIDE}")
    if image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    return np.ascontiguousarray(image[..., :3])


def pillow_to_rgb(image: Any, sample_bits: int = 0) -> np.ndarray:
    """uint8[H,W,3] RGB of a PIL image of any mode: transparent parts on white, 16-bit and float greys scaled to 8 bits
    by their full range, whole numbers by `sample_bits` (8 to 16) if given. Raises what the file's decoder raises."""
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        return np.repeat(_to_eight_bits(np.asarray(image), sample_bits)[..., None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        image.alpha_composite(layer)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def to_square(image: np.ndarray, side: int) -> np.ndarray:
    """uint8[side,side,3] of uint8[H,W,3]: area-averaged where it shrinks, bilinear where it grows."""
    import cv2

    height, width = image.shape[:2]
    if (height, width) == (side, side):
        return image
    shrink = height >= side and width >= side
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR)


def clip_box(box: Box, width: float, height: float) -> Box:
    """The part of a pixel box that lies in an image of width × height pixels."""
    x0, x1 = sorted(min(max(v, 0.0), float(width)) for v in (box.x0, box.x1))
    y0, y1 = sorted(min(max(v, 0.0), float(height)) for v in (box.y0, box.y1))
    return Box(x0, y0, x1, y1)


def _to_eight_bits(values: np.ndarray, sample_bits: int) -> np.ndarray:
    """Grey values to uint8: integers by 65535 or `sample_bits`, floats by 1 or 255 (what holds the peak), else the
    peak.
    """
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    peak = float(values.max(initial=0))
    scales = (1.0, 255.0) if values.dtype.kind == "f" else (65535.0,)
    if sample_bits and values.dtype.kind != "f":
        full = 2.0**sample_bits - 1
    else:
        full = next((scale for scale in scales if peak <= scale), peak)
    return (np.clip(values / full, 0.0, 1.0) * 255.0).round().astype(np.uint8)


def box_iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes in the same pixel frame, in [0, 1]; 0 when either is empty."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    intersection = width * height
    union = Box(*a).area + Box(*b).area - intersection
    return float(intersection / union) if union > 0 else 0.0


def triple(values: Iterable[Any]) -> Tuple[float, float, float]:
    """Three numbers (of an array, of a file) as plain floats. Raises ValueError if there are more or fewer."""
    x, y, z = (float(value) for value in values)
    return x, y, z
