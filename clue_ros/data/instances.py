"""Images with named boxes, whoever says a word about them: what chat is judged on, and what dialogues are made from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

from clue_ros.data.sample import box_of, is_unusable
from clue_ros.data.source import reporting
from clue_ros.data.textfiles import json_object, read_lines
from clue_ros.images.files import ImageFile, ImageRoot, image_file, size_of
from clue_ros.problems import Place, Problems
from clue_ros.types import Box


@dataclass(frozen=True)
class Instance:
    """box: pixels; names: what it may be called, the category first, () if nobody says; color: '' if nobody says."""

    box: Box
    names: Tuple[str, ...] = ()
    color: str = ""

    @property
    def name(self) -> str:
        return self.names[0] if self.names else ""


@dataclass(frozen=True)
class Picture:
    """One image with its things. key: unique in its data set; question: of a chat, '' for none; suitable: what a person
    said of it, None if nobody did; split: 'train', … or ''."""

    key: str
    image: ImageFile
    instances: Tuple[Instance, ...]
    question: str = ""
    suitable: Optional[bool] = None
    split: str = ""


def lines(path: Path, images: Optional[Path], problems: Problems) -> Iterator[Picture]:
    """Our own lines."""
    root = ImageRoot(images if images is not None else path.parent)
    for number, line in read_lines(path):
        with reporting(problems, Place(path.name, number)):
            entry = json_object(line)
            yield picture_of(entry, f"{path.stem}/{number}", root)


def picture_of(entry: Dict[str, Any], key: str, root: ImageRoot) -> Picture:
    """Raises ValueError, UnsafePathError, BrokenImageError."""
    size = size_of(*entry["size"]) if "size" in entry else None
    image = image_file([root], str(entry.get("image", "")), size)
    found: List[Instance] = []
    if not isinstance(entry.get("instances"), list):
        raise ValueError("'instances' must be a list of objects with 'box' and 'name'")
    for value in entry["instances"]:
        if not isinstance(value, dict):
            raise ValueError("an instance must be an object with 'box' and 'name'")
        names = [value.get("name", ""), *value.get("names", [])]
        found.append(Instance(box_of(value.get("box")), tuple(str(n) for n in names if n), str(value.get("color", ""))))
    suitable = entry.get("suitable")
    if suitable is not None and not isinstance(suitable, bool):
        raise ValueError("'suitable' must be true or false")
    return Picture(
        str(entry.get("id", key)),
        image,
        usable(found, image.size),
        str(entry.get("question", "")),
        suitable,
        str(entry.get("split", "")),
    )


def usable(instances: List[Instance], size: Tuple[int, int]) -> Tuple[Instance, ...]:
    """Those whose box has some area in the image."""
    return tuple(i for i in instances if not is_unusable([i.box], size))


def to_line(picture: Picture, image_name: Optional[str] = None, **more: Any) -> str:
    """A picture as one of our own lines, without line end."""
    entry: Dict[str, Any] = {
        "id": picture.key,
        "image": image_name or picture.image.name,
        "size": list(picture.image.size),
    }
    entry["instances"] = [
        {
            "box": [round(float(v), 2) for v in i.box],
            **({"name": i.name} if i.names else {}),
            **({"names": list(i.names[1:])} if len(i.names) > 1 else {}),
            **({"color": i.color} if i.color else {}),
        }
        for i in picture.instances
    ]
    for name in ("question", "suitable", "split"):
        if getattr(picture, name) not in ("", None):
            entry[name] = getattr(picture, name)
    return json.dumps({**entry, **more}, ensure_ascii=False, allow_nan=False)
