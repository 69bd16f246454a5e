"""Reading photos as people have them: any format Pillow knows, rotated by EXIF, with alpha, grey, 16 bits, huge."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from clue_ros.types import InvalidImageError

MAX_PIXELS = 400_000_000  # above this a file is rather an attack or a mistake than a photo


def read_photo(path: Path) -> np.ndarray:
    """Read a photo as uint8[H, W, 3] RGB, upright (EXIF orientation applied), transparent parts on white.

    16-bit and float greys are scaled to 8 bits by their full range. Raises InvalidImageError naming the file.
    """
    path = Path(path)
    if not path.is_file():
        raise InvalidImageError(f"{path}: there is no such file" if not path.exists() else f"{path}: not a file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged metadata, many pixels: of no use to the person
            with _open(path) as image:
                image.load()
                return _to_rgb(_upright(image))
    except Exception as error:  # its decoders raise nearly every type for damaged files (found by fuzzing 15 formats)
        reason = " ".join(str(error).replace(str(path), "").split()) or type(error).__name__
        raise InvalidImageError(
            f"{path}: cannot be read as an image ({reason}); give a PNG, JPEG or WebP file"
        ) from error


def _open(path: Path) -> Image.Image:
    """Image.open with this module's limit of pixels in place of Pillow's."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_PIXELS // 2  # Pillow refuses twice its limit
    try:
        return Image.open(path)
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except (SyntaxError, ValueError, struct.error, KeyError, TypeError):  # damaged EXIF says nothing about the pixels
        return image


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith(("I", "F")):
        return np.repeat(_to_eight_bits(np.asarray(image))[..., None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        image.alpha_composite(layer)
    return np.array(image.convert("RGB"))


def _to_eight_bits(values: np.ndarray) -> np.ndarray:
    """Grey values to uint8: integers by 65535, floats by 1 or 255, whichever holds the peak, else by the peak."""
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    peak = float(values.max(initial=0))
    scales = (1.0, 255.0) if values.dtype.kind == "f" else (65535.0,)
    full = next((scale for scale in scales if peak <= scale), peak)
    return (np.clip(values / full, 0.0, 1.0) * 255.0).round().astype(np.uint8)
