"""Photographs with named boxes: one JSON object a line of `annotations.jsonl`, image names relative to its folder.

    {"image": "images/7.jpg", "size": [640, 480], "source": "desk", "exhaustive": true,
     "objects": [{"name": "apple", "box": [10, 20, 60, 80], "color": "red"}]}

`color` only where somebody said one. `exhaustive`: every thing of the names in this line has its box; other things may
lie about all the same. Optional: `licence`; `complete`: nothing but these things is in the picture; `mask`: uint8
image, the object's number from 1, 0 for the rest; of an object `visibility`, the share that others do not hide.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Collection, Dict, List, Optional, Sequence, Tuple

import numpy as np

from clue_ros.data.sample import box_of, is_empty, is_outside
from clue_ros.data.source import field_of, reporting
from clue_ros.data.textfiles import json_object, read_lines
from clue_ros.geometry import clip_box
from clue_ros.images.files import ImageFile, ImageRoot, image_file, size_of
from clue_ros.language.kinds import noun_called
from clue_ros.problems import BrokenImageError, Kind, MissingDataError, Place, Problems
from clue_ros.simulation.scene import ImageSize, SceneObject
from clue_ros.types import Box

FILE = "annotations.jsonl"
SHARE_ALIKE = "BY-SA"  # in a licence's name


@dataclass(frozen=True)
class Photograph:
    """image, mask: decoded when read; objects: category is the kind that the name means, color '' where nobody said
    one, size '', box in pixels of the picture, visibility 1 unless told, pixels the visible share of the box;
    exhaustive, complete: see above; source: whose photographs these are; words_of_source: the kinds that this source's
    lines hold."""

    image: ImageFile
    objects: Tuple[SceneObject, ...]
    exhaustive: bool
    source: str
    licence: str = ""
    complete: bool = False
    mask: Optional[ImageFile] = None
    words_of_source: Tuple[str, ...] = ()

    @property
    def size(self) -> ImageSize:
        return ImageSize(*self.image.size)

    def pixels(self) -> np.ndarray:
        """uint8[H,W,3] RGB, decoded now. Raises BrokenImageError."""
        return self.image.read()


def read_annotations(
    path: Path, without_sharealike: bool = False, whole: Collection[str] = (), problems: Optional[Problems] = None
) -> List[Photograph]:
    """The photographs of a folder's annotations.jsonl, or of such a file, in order; their pixels are not read.

    without_sharealike: leave out those whose line names a share-alike licence
    whole: sources that count as exhaustive though their lines do not say so, because somebody looked at them
    problems: what is wrong is counted there and the line left out, so are names that the table of kinds lacks, but
    their things stay; None: the first wrong line raises BrokenDataError
    Raises MissingDataError.
    """
    path = Path(path)
    path = path / FILE if path.is_dir() else path
    if not path.is_file():
        raise MissingDataError(f"{path}: there is no such file; photographs come as a folder with {FILE}")
    root, told = ImageRoot(path.parent), problems is not None
    problems = problems if problems is not None else Problems(strict=True)
    found: List[Photograph] = []
    for number, line in read_lines(path):
        place = Place(path.name, number)
        with reporting(problems, place):
            photo = _photograph(json_object(line), root, whole)
            for name in sorted({o.category for o in photo.objects if noun_called(o.category) is None} if told else ()):
                problems.add(Kind.NAME, place, f"nothing is called '{name}' in the table of kinds")
            if not (without_sharealike and SHARE_ALIKE in photo.licence):
                found.append(photo)
    words: Dict[str, set] = {}
    for photo in found:
        words.setdefault(photo.source, set()).update(o.category for o in photo.objects)
    return [replace(photo, words_of_source=tuple(sorted(words[photo.source]))) for photo in found]


def _photograph(entry: Dict[str, Any], root: ImageRoot, whole: Collection[str]) -> Photograph:
    """Raises ValueError, UnsafePathError, BrokenImageError."""
    size = field_of(entry, "size")
    if not isinstance(size, list) or len(size) != 2:
        raise ValueError("'size' must be [width, height]")
    image = _present(root, field_of(entry, "image"), size_of(*size))
    things = field_of(entry, "objects")
    if not isinstance(things, list) or not all(isinstance(t, dict) for t in things):
        raise ValueError("'objects' must be a list of objects with 'name' and 'box'")
    source = _text(entry, "source")
    return Photograph(
        image,
        tuple(_object(thing, image.size) for thing in things),
        _flag(entry, "exhaustive") or source in whole,
        source,
        _text(entry, "licence"),
        _flag(entry, "complete"),
        _present(root, entry["mask"], image.size) if "mask" in entry else None,
    )


def _present(root: ImageRoot, name: Any, size: Tuple[int, int]) -> ImageFile:
    file = image_file([root], name, size)
    if not file.path.is_file():
        raise BrokenImageError(f"{file.path}: there is no such image file")
    return file


def _object(thing: Dict[str, Any], size: Tuple[int, int]) -> SceneObject:
    name, color = _text(thing, "name"), _text(thing, "color")
    if not name:
        raise ValueError("a thing needs a 'name'")
    box = box_of(field_of(thing, "box"))
    if is_empty(box) or is_outside(box, size):
        raise ValueError(f"the box of '{name}' is empty or outside the picture: {[round(v, 1) for v in box]}")
    visibility = thing.get("visibility", 1.0)
    if type(visibility) not in (int, float) or not 0 < visibility <= 1:
        raise ValueError(f"'visibility' must be a number over 0 and up to 1, got {str(visibility)[:20]}")
    color = "gray" if color == "grey" else color
    return photo_object(noun_called(name) or name, color, clip_box(box, *size), visibility)


def photo_object(name: str, color: str, box: Box, visibility: float = 1.0) -> SceneObject:
    """A thing of a picture, of which nobody knows size, place in space and looks. box: pixels."""
    pixels = int(box.area * visibility)
    return SceneObject(
        name, color, "", (0.0, 0.0, 0.0), 0.0, (0.0, 0.0, 0.0), box=box, visibility=visibility, pixels=pixels
    )


def _text(entry: Dict[str, Any], name: str) -> str:
    value = entry.get(name, "")
    if not isinstance(value, str):
        raise ValueError(f"'{name}' must be text, got {type(value).__name__}")
    return " ".join(value.lower().split()) if name in ("name", "color") else value


def _flag(entry: Dict[str, Any], name: str) -> bool:
    value = entry.get(name, False)
    if not isinstance(value, bool):
        raise ValueError(f"'{name}' must be true or false, got {str(value)[:20]}")
    return value


def source_weights(photographs: Sequence[Photograph], power: float = 0.5) -> np.ndarray:
    """float64[N], sum 1: how often to draw each. Frames of one source are much alike, so that a source of n photographs
    weighs n ** power: 1 draws photographs evenly, 0 sources."""
    counts: Dict[str, int] = {}
    for photo in photographs:
        counts[photo.source] = counts.get(photo.source, 0) + 1
    weights = np.array([counts[photo.source] ** (power - 1) for photo in photographs], np.float64)
    return weights / max(weights.sum(), 1e-12)
