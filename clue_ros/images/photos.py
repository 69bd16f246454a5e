"""Reading photos as people have them: any format Pillow knows, rotated by EXIF, with alpha, grey, 16 bits, huge."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from clue_ros.geometry import pillow_to_rgb
from clue_ros.types import InvalidImageError

MAX_PIXELS = 400_000_000  # above this a file is rather an attack or a mistake than a photo


def read_photo(path: Path, sample_bits: int = 0) -> np.ndarray:
    """Read a photo as uint8[H, W, 3] RGB, upright (EXIF orientation applied), transparent parts on white.

    16-bit and float greys are scaled to 8 bits by their full range, whole numbers by `sample_bits` (8 to 16) if given.
    Raises InvalidImageError naming the file.
    """
    path = Path(path)
    if not path.is_file():
        raise InvalidImageError(f"{path}: there is no such file" if not path.exists() else f"{path}: not a file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged metadata, many pixels: of no use to the person
            with _open(path) as image:
                image.load()
                return pillow_to_rgb(_upright(image), sample_bits)
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
