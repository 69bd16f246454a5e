"""Readers of images with boxes in other people's formats (data/instances.py lists them)."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

from clue_ros.data.formats import open_data
from clue_ros.data.instances import Instance, Picture, usable
from clue_ros.data.sample import box_of
from clue_ros.data.source import reporting, split_in
from clue_ros.data.stream import SampleStream
from clue_ros.data.textfiles import json_object, read_json_arrays, read_lines
from clue_ros.images.files import ImageRoot, image_file, size_of
from clue_ros.problems import BrokenDataError, MissingDataError, Place, Problems
from clue_ros.types import Box

MAX_SIDECAR = 64 << 20  # bytes of one image's annotation file


def coco(path: Path, images: Optional[Path], problems: Problems) -> Iterator[Picture]:
    """`images`, `annotations`, `categories` of a COCO or LVIS file. LVIS's synonyms become further names."""
    root = ImageRoot(images if images is not None else path.parent)
    files: Dict[Any, Dict[str, Any]] = {}
    names: Dict[Any, Tuple[str, ...]] = {}
    boxes: Dict[Any, List[Tuple[Any, Any]]] = defaultdict(list)
    for key, number, item in read_json_arrays(path):
        with reporting(problems, Place(path.name, number)):
            if not isinstance(item, dict):
                continue
            if key == "images":
                files[_key(_of(item, "id"))] = item
            elif key == "categories":
                more = [s for s in item.get("synonyms", []) if isinstance(s, str)]
                names[_key(_of(item, "id"))] = tuple(
                    dict.fromkeys(n.replace("_", " ") for n in (str(_of(item, "name")), *more))
                )
            elif key == "annotations" and not item.get("iscrowd"):
                boxes[_key(_of(item, "image_id"))].append((_of(item, "bbox"), _key(item.get("category_id"))))
    for key, item in files.items():
        picture = None
        with reporting(problems, Place(path.name, int(key) if isinstance(key, int) else 0)):
            name = str(item.get("file_name") or str(item.get("coco_url", "")).rsplit("/", 1)[-1])
            image = image_file([root], name, size_of(_of(item, "width"), _of(item, "height")), basename=True)
            found = [Instance(box_of(box, "xywh"), names.get(category, ())) for box, category in boxes.pop(key, [])]
            picture = Picture(f"{path.stem}/{key}", image, usable(found, image.size), split=split_in(path.name))
        if picture is not None:
            yield picture
    with reporting(problems, Place(path.name, 0)):
        if boxes:
            raise ValueError(
                f"{sum(map(len, boxes.values()))} boxes belong to images that are not listed, such as "
                f"{next(iter(boxes))}"
            )


def openimages(path: Path, images: Optional[Path], problems: Problems) -> Iterator[Picture]:
    """Boxes as shares of the image's sides, so each image's header is read. Boxes around groups are left out."""
    root = ImageRoot(images if images is not None else path.parent)
    names: Dict[str, str] = {}
    for file in sorted(path.parent.glob("*class-descriptions*.csv")):
        with open(file, newline="", encoding="utf-8") as table:
            names.update((row[0], row[1]) for row in csv.reader(table) if len(row) >= 2)
    shares: Dict[str, List[Tuple[Tuple[float, ...], str]]] = defaultdict(list)
    with open(path, newline="", encoding="utf-8") as table:
        rows = csv.DictReader(table)
        wanted = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax")
        if not set(wanted) <= set(rows.fieldnames or ()):
            raise MissingDataError(
                f"{path} lacks some of the columns {', '.join(wanted)}: is it OpenImages' file of boxes?"
            )
        for number, row in enumerate(rows, 2):
            with reporting(problems, Place(path.name, number)):
                sides = box_of([float(row[k] or "nan") for k in ("XMin", "YMin", "XMax", "YMax")])
                if row.get("IsGroupOf") != "1":
                    shares[row["ImageID"]].append((sides, names.get(row["LabelName"], row["LabelName"])))
    for key, things in shares.items():
        picture = None
        with reporting(problems, Place(path.name, 0)):
            image = image_file([root], f"{key}.jpg")
            width, height = image.size
            found = [
                Instance(Box(x0 * width, y0 * height, x1 * width, y1 * height), (name.lower(),))
                for (x0, y0, x1, y1), name in things
            ]
            picture = Picture(key, image, usable(found, image.size), split=split_in(path.name))
        if picture is not None:
            yield picture


def sam(path: Path, images: Optional[Path], problems: Problems) -> Iterator[Picture]:
    """A file, or a folder of such files, beside the images."""
    files = sorted(path.glob("sa_*.json")) if path.is_dir() else [path]
    root = ImageRoot(images if images is not None else (path if path.is_dir() else path.parent))
    for file in files:
        picture = None
        with reporting(problems, Place(file.name, 0)):
            entry = json_object(_whole(file))
            about, found = _of(entry, "image"), _of(entry, "annotations")
            if not isinstance(about, dict) or not isinstance(found, list):
                raise ValueError("'image' must be an object and 'annotations' a list")
            image = image_file([root], str(_of(about, "file_name")), size_of(_of(about, "width"), _of(about, "height")))
            boxes = [Instance(box_of(_of(a, "bbox"), "xywh")) for a in found if isinstance(a, dict)]
            picture = Picture(file.stem, image, usable(boxes, image.size))
        if picture is not None:
            yield picture


def scenes(path: Path, images: Optional[Path], problems: Problems) -> Iterator[Picture]:
    """Rendered scenes: kind and colour of every thing that can be seen well."""
    folders = [path] if any(path.glob("scenes-*.jsonl")) else sorted({f.parent for f in path.glob("*/scenes-*.jsonl")})
    top = ImageRoot(images if images is not None else path)
    for folder in folders:
        for file in sorted(folder.glob("scenes-*.jsonl")):
            for number, line in read_lines(file):
                picture = None
                with reporting(problems, Place(file.name, number)):
                    scene = json_object(line)
                    key, size = str(_of(scene, "id")), size_of(_of(scene, "width"), _of(scene, "height"))
                    name = top.name_of(folder / "images" / f"{key}.webp")
                    image = image_file([top], name, size)
                    found = [
                        Instance(box_of(o["box"]), (str(o["category"]), *map(str, o.get("nouns", ()))), str(o["color"]))
                        for o in _of(scene, "objects")
                        if o.get("box") and o.get("visibility", 1) >= 0.35
                    ]
                    picture = Picture(f"{folder.name}/{key}", image, usable(found, size), split=split_in(folder.name))
                if picture is not None:
                    yield picture


def samples(path: Path, images: Optional[Path], problems: Problems) -> Iterator[Picture]:
    """Any data set of clue_ros.data whose samples list the things of the image (InViG); each image once."""
    seen = set()
    stream = SampleStream(open_data(path, images=images))
    for sample in stream:
        boxes = dict.fromkeys((*sample.objects, *(sample.boxes or ())))
        if sample.image.name not in seen and boxes:
            seen.add(sample.image.name)
            yield Picture(
                sample.source_id, sample.file, usable([Instance(b) for b in boxes], sample.size), split=sample.split
            )
    problems.counts.update(stream.problems.counts)


def _key(value: Any) -> Any:
    """An id as others refer to it: 7, 7.0 and "7" are one."""
    if isinstance(value, str) and value.isdecimal() and str(int(value)) == value:
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _of(values: Any, name: str) -> Any:
    """Raises ValueError where a field is missing."""
    try:
        return values[name]
    except (KeyError, TypeError, IndexError):
        raise ValueError(f"'{name}' is missing") from None


def _whole(file: Path) -> bytes:
    if file.stat().st_size > MAX_SIDECAR:
        raise ValueError(f"{file.name} is larger than {MAX_SIDECAR >> 20} MiB")
    try:
        return file.read_bytes()
    except OSError as error:
        raise BrokenDataError(f"{file}: {error.strerror}") from error
