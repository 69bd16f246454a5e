"""Image files of data sets that strangers made: names that must stay in their folder, and files that may be damaged."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Sequence, Tuple, cast

import numpy as np
from PIL import Image, ImageOps

from clue_ros.geometry import pillow_to_rgb
from clue_ros.problems import BrokenImageError, MissingDataError, UnsafePathError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")  # no format whose decoder starts other programs
MAX_SIDE = 1_000_000  # of a stated size
MAX_PIXELS = 80_000_000  # of a file; below the size at which Pillow starts to warn
SMALL = 64  # pixels a side at least of what `verify_image` returns, where the image has them
_ORIENTATION = 0x0112  # EXIF tag; 5 to 8 turn the image by a quarter
# What Pillow's decoders raise for damaged files of these formats.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


@dataclass(frozen=True)
class ImageFile:
    """An image on disk, decoded when asked for. `name`: its path relative to the data set's image folder;
    size: (width, height) in pixels."""

    path: Path
    name: str
    size: Tuple[int, int]

    def read(self) -> np.ndarray:
        """uint8[H,W,3] RGB. Raises BrokenImageError if it is missing, damaged, too large or not of `size`."""
        return read_image(self.path, self.size)


@dataclass(frozen=True, eq=False)
class ImageArray:
    """An image in memory, uint8[H,W,3] RGB."""

    pixels: np.ndarray
    name: str = ""

    @property
    def size(self) -> Tuple[int, int]:
        return self.pixels.shape[1], self.pixels.shape[0]

    def read(self) -> np.ndarray:
        return self.pixels


class ImageRoot:
    """A folder that image names of a data set are relative to, and must not leave."""

    def __init__(self, folder: Path):
        """The folder itself may be a link: its user named it. Raises MissingDataError if it does not exist."""
        self.folder = Path(folder)
        self._real = os.path.realpath(self.folder)
        if not os.path.isdir(self._real):
            raise MissingDataError(f"{folder}: there is no such folder of images")

    def locate(self, name: object, basename: bool = False) -> Path:
        """The path of a file name; it need not exist. basename: where the name does not exist under the folder, take
        its last part (for conversions that wrote other people's folders before the file's name).

        Raises UnsafePathError for '..', for an absolute name outside the folder, and for links that lead out of it.
        """
        path = self.folder / self._relative(name)
        if basename and not os.path.isfile(path):
            path = self.folder / path.name
        return self.inside(path)

    def inside(self, path: Path) -> Path:
        """`path` itself, if it leads to a place in the folder with all links followed. Raises UnsafePathError."""
        real = os.path.realpath(path)
        if real != self._real and not real.startswith(self._real.rstrip(os.sep) + os.sep):
            raise UnsafePathError(f"'{path}' leads out of {self.folder}; if you trust it, name it with --images")
        return path

    def name_of(self, path: Path) -> str:
        """The name of a path relative to the folder, with '/'."""
        return Path(os.path.relpath(path, self.folder)).as_posix()

    def _relative(self, name: object) -> str:
        if not isinstance(name, str) or not name.strip() or len(name) > 4096:
            raise UnsafePathError(f"the image's name must be text, got {str(name)[:60]!r}")
        if any(c < " " or "\ud800" <= c <= "\udfff" for c in name):
            raise UnsafePathError(f"the image's name holds control characters: {name[:60]!r}")
        if "://" in name:
            raise UnsafePathError(f"'{name[:60]}' is an address, not a file: download the images first")
        name = name.replace("\\", "/")  # lists made on Windows
        if ".." in name.split("/"):
            raise UnsafePathError(f"'{name[:60]}' leads out of the image folder")
        return name


def image_file(
    roots: Sequence[ImageRoot], name: object, size: Optional[Tuple[int, int]] = None, basename: bool = False
) -> ImageFile:
    """The image of a name, in the first of the folders that holds it (else in the first). Without `size` its header is
    read. Raises UnsafePathError, and BrokenImageError where the header was wanted."""
    found: Optional[Tuple[Path, ImageRoot]] = None
    unsafe: Optional[UnsafePathError] = None
    for root in roots:
        try:
            path = root.locate(name, basename)
        except UnsafePathError as error:  # an absolute name may lie in another of the folders
            unsafe = unsafe or error
            continue
        exists = len(roots) == 1 or os.path.isfile(path)
        if found is None or exists:
            found = (path, root)
        if exists:
            break
    if found is None:
        raise unsafe or UnsafePathError("there is no image folder")
    path, root = found
    return ImageFile(path, root.name_of(path), size if size is not None else header_size(path))


def size_of(width: object, height: object) -> Tuple[int, int]:
    """Raises ValueError if these are not the sides of an image in pixels."""
    for side in (width, height):
        if not _is_a_side(side):
            raise ValueError(
                f"width and height must be whole numbers from 1 to {MAX_SIDE}, got {str(width)[:20]} and "
                f"{str(height)[:20]}"
            )
    return int(cast(float, width)), int(cast(float, height))


def _is_a_side(value: object) -> bool:
    return (type(value) is int or type(value) is float) and 1 <= value <= MAX_SIDE and value == int(value)


def header_size(path: Path) -> Tuple[int, int]:
    """(width, height) of the upright image, from its header. Raises BrokenImageError."""
    with _opened(path) as image:
        return _upright_size(image)


def read_image(path: Path, size: Optional[Tuple[int, int]] = None) -> np.ndarray:
    """uint8[H,W,3] RGB of an image of the stated size.

    Annotations were drawn either on the pixels as stored or on the image as EXIF turns it; the stated size tells which.
    Without a size the image comes upright. Raises BrokenImageError, also where the size is neither.
    """
    with _opened(path) as image:
        upright = _is_upright(path, image, size)
        try:
            image.load()
            if upright:
                image = ImageOps.exif_transpose(image)
            return pillow_to_rgb(image)
        except _DAMAGE as error:
            raise _broken(path, error) from error


def verify_image(path: Path, size: Tuple[int, int]) -> np.ndarray:
    """uint8[h,w,3] RGB of the upright image, small: a JPEG is read whole, but decoded at down to an eighth of its size.
    Raises BrokenImageError where `read_image` would."""
    with _opened(path) as image:
        _is_upright(path, image, size)
        try:
            image.draft("RGB", (SMALL, SMALL))
            image.load()
            return pillow_to_rgb(ImageOps.exif_transpose(image))
        except _DAMAGE as error:
            raise _broken(path, error) from error


def _is_upright(path: Path, image: Image.Image, size: Optional[Tuple[int, int]]) -> bool:
    """Whether EXIF's turn is to be applied for an image of the stated size. Raises BrokenImageError if neither fits."""
    if size is None:
        return True
    upright = image.size != tuple(size) and _upright_size(image) == tuple(size)
    if not upright and image.size != tuple(size):
        raise BrokenImageError(f"{path}: is {image.size[0]}x{image.size[1]}, the data set says {size[0]}x{size[1]}")
    return upright


def digest(path: Path) -> bytes:
    """16 bytes that tell file contents apart (BLAKE2b). Raises BrokenImageError if the file cannot be read."""
    state = hashlib.blake2b(digest_size=16)
    try:
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                state.update(block)
    except OSError as error:
        raise _broken(path, error) from error
    return state.digest()


def _opened(path: Path) -> Image.Image:
    if not os.path.isfile(path):  # also keeps from waiting for a pipe or a device
        raise BrokenImageError(f"{path}: there is no such image file")
    try:
        image = Image.open(path, formats=FORMATS)
    except _DAMAGE as error:
        raise _broken(path, error) from error
    if image.size[0] * image.size[1] > MAX_PIXELS:
        text = f"{path}: {image.size[0]}x{image.size[1]} pixels are more than the limit of {MAX_PIXELS}"
        image.close()
        raise BrokenImageError(text)
    return image


def _upright_size(image: Image.Image) -> Tuple[int, int]:
    try:
        turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    except _DAMAGE:  # damaged EXIF says nothing about the pixels
        turned = False
    return (image.size[1], image.size[0]) if turned else image.size


def _broken(path: Path, error: BaseException) -> BrokenImageError:
    reason = " ".join(str(error).replace(str(path), "").split()) or type(error).__name__
    return BrokenImageError(f"{path}: cannot be read as a JPEG, PNG, WebP or BMP image ({reason})")
