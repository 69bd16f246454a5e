"""Things cut out of photographs and places to put them: `cutouts/cutouts.jsonl` and `backgrounds/backgrounds.jsonl` of
a pack, image names relative to each file's folder.

A cut-out (RGBA) tells name, perhaps color, pose (standing, lying, any); a background its kind: surface (a table or
carpet from near), texture (tileable), table (a whole empty table), room. Both may tell their licence.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Collection, Dict, List, Tuple

import numpy as np
from PIL import Image

from clue_ros.data.source import field_of
from clue_ros.data.textfiles import json_object, read_lines
from clue_ros.images.files import FORMATS, ImageFile, ImageRoot, image_file
from clue_ros.photographs.annotations import SHARE_ALIKE
from clue_ros.problems import BrokenDataError, BrokenImageError, DataError, MissingDataError, Place

KINDS = ("surface", "texture", "table", "room")  # backgrounds on which nothing stands

# The longest side of a thing as it is seen, metres: from the smallest to the largest that people have on a table.
EXTENTS: Dict[str, Tuple[float, float]] = {
    "apple": (0.065, 0.085),
    "bag": (0.16, 0.26),
    "banana": (0.15, 0.20),
    "bottle": (0.17, 0.30),
    "bowl": (0.12, 0.20),
    "box": (0.14, 0.28),
    "can": (0.10, 0.15),
    "carton": (0.17, 0.26),
    "cup": (0.08, 0.11),
    "jar": (0.09, 0.15),
    "lime": (0.045, 0.06),
    "mandarin": (0.05, 0.07),
    "orange": (0.065, 0.085),
    "peach": (0.06, 0.08),
    "pear": (0.075, 0.10),
    "plate": (0.18, 0.27),
    "tray": (0.25, 0.36),
}
USUAL = (0.08, 0.16)  # for names that are not in the table
FLAT = frozenset(("bag", "plate", "tray"))  # photographed from above: seen flat on a table they are lower
ROUND = frozenset(("apple", "lime", "lemon", "mandarin", "orange", "peach", "pear", "ball", "tomato"))  # lie anyhow


@dataclass(frozen=True)
class Cutout:
    image: ImageFile
    name: str
    color: str
    pose: str
    licence: str

    @property
    def extent(self) -> Tuple[float, float]:
        return EXTENTS.get(self.name, USUAL)


@dataclass(frozen=True)
class Background:
    image: ImageFile
    kind: str
    licence: str


@dataclass(frozen=True)
class Pack:
    cutouts: Tuple[Cutout, ...]
    backgrounds: Tuple[Background, ...]


def read_pack(folder: Path, without_sharealike: bool = False, leave_out: Collection[str] = ()) -> Pack:
    """The cut-outs and empty backgrounds of a pack, without files that somebody leaves out by name, as badly cut or
    named. Raises MissingDataError, BrokenDataError, and DataError for a name to leave out that is not there."""
    cutouts = [
        Cutout(image, _text(e, "name"), _text(e, "color"), _text(e, "pose") or "any", _text(e, "licence"))
        for image, e in _entries(Path(folder) / "cutouts" / "cutouts.jsonl")
    ]
    backgrounds = [
        Background(image, _text(e, "kind"), _text(e, "licence"))
        for image, e in _entries(Path(folder) / "backgrounds" / "backgrounds.jsonl")
    ]
    unknown = set(leave_out) - {piece.image.name for piece in (*cutouts, *backgrounds)}
    if unknown:
        raise DataError(f"{folder} has no {', '.join(sorted(unknown))} to leave out")
    cutouts = [c for c in cutouts if c.image.name not in leave_out]
    backgrounds = [b for b in backgrounds if b.image.name not in leave_out]
    kept = tuple(c for c in cutouts if c.name and not (without_sharealike and SHARE_ALIKE in c.licence))
    places = tuple(b for b in backgrounds if b.kind in KINDS and not (without_sharealike and SHARE_ALIKE in b.licence))
    if not kept or not any(b.kind in ("surface", "texture") for b in places):
        raise MissingDataError(f"{folder} holds no cut-outs, or no surface or texture to put them on")
    return Pack(kept, places)


def _entries(path: Path) -> List[Tuple[ImageFile, Dict[str, Any]]]:
    if not path.is_file():
        raise MissingDataError(f"{path}: there is no such file")
    root, found = ImageRoot(path.parent), []
    for number, line in read_lines(path):
        try:
            entry = json_object(line)
            found.append((image_file([root], field_of(entry, "image")), entry))
        except (ValueError, DataError) as error:
            raise BrokenDataError(f"{Place(path.name, number)}: {error}") from error
    return found


def _text(entry: Dict[str, Any], name: str) -> str:
    return str(entry.get(name, ""))


@lru_cache(maxsize=512)
def layer(path: Path) -> np.ndarray:
    """float32[H,W,4] in [0, 1] of a cut-out: colours times opacity, cropped to what is to be seen, the fringe of the
    old background taken off. Raises BrokenImageError."""
    import cv2

    try:
        with Image.open(path, formats=FORMATS) as image:
            pixels = np.asarray(image.convert("RGBA")).astype(np.float32) / 255
    except (OSError, SyntaxError, ValueError) as error:
        raise BrokenImageError(f"{path}: cannot be read: {error}") from error
    alpha = cv2.GaussianBlur(cv2.erode(pixels[..., 3], np.ones((3, 3), np.uint8)), (0, 0), 0.7)
    rows, columns = np.nonzero(alpha.max(1) > 0.5)[0], np.nonzero(alpha.max(0) > 0.5)[0]
    if not len(rows):
        raise BrokenImageError(f"{path}: nothing of it is opaque")
    whole = np.dstack([pixels[..., :3] * alpha[..., None], alpha])
    return whole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


@lru_cache(maxsize=256)
def picture(file: ImageFile) -> np.ndarray:
    """float32[H,W,3] in [0, 1] of a background. Raises BrokenImageError."""
    return file.read().astype(np.float32) / 255
