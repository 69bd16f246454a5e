"""Flickr30K Entities (Plummer et al. 2015): phrases of captions with the boxes of what they name.

    ROOT/Annotations/ID.xml      boxes by entity; several of one entity are several things ("two young guys")
    ROOT/Sentences/ID.txt        captions: [/EN#283585/people Two young guys] with [/EN#283587/bodyparts shaggy hair] …
    ROOT/{train,val,test}.txt    image numbers of each split
    ROOT/flickr30k-images/ID.jpg

A record is one image; a sample is one phrase with a box. Phrases without one (scenes, entity 0) are passed over, as in
the usual protocol.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple
from xml.etree import ElementTree

from clue_ros.data.sample import Label, Sample, box_of
from clue_ros.data.source import Record, Source, expression_of, first_folder, reporting, split_name
from clue_ros.data.textfiles import read_lines, text_of
from clue_ros.images.files import ImageRoot, image_file, size_of
from clue_ros.problems import MissingDataError, Place, Problems
from clue_ros.types import Box

ANNOTATIONS, SENTENCES = "Annotations", "Sentences"
IMAGE_FOLDERS = ("flickr30k-images", "flickr30k_images", "images")
LISTS = ("train.txt", "val.txt", "test.txt")
_PHRASE = re.compile(r"\[/EN#(\d+)(?:/[\w/]*)?\s+([^\]]+)\]")
_MAX_BYTES = 1 << 20  # of one image's annotation


class Flickr30kSource(Source):
    name = "flickr30k"

    def __init__(self, path: Path, images: Optional[Path] = None):
        """images: a folder in place of ROOT/flickr30k-images. Raises MissingDataError naming what is not there."""
        missing = [name for name in (ANNOTATIONS, SENTENCES) if not (path / name).is_dir()]
        folder = images or first_folder([path / name for name in IMAGE_FOLDERS])
        if missing or folder is None:
            lacks = " and ".join([*missing, *([] if folder else [f"images ({', '.join(IMAGE_FOLDERS)}, or --images)"])])
            raise MissingDataError(f"{path}: {lacks} missing; docs/data.md shows the layout of Flickr30K Entities")
        self._root, self.roots = ImageRoot(path), (ImageRoot(folder),)
        self._split: Dict[str, str] = {}
        for name in LISTS:
            if (path / name).is_file():
                for _, line in read_lines(path / name):
                    self._split[text_of(line).strip()] = split_name(Path(name).stem)
        self.splits = tuple(dict.fromkeys(self._split.values()))

    def records(self, split: Optional[str] = None) -> Iterator[Record]:
        wanted = self.wanted(split)
        for number, file in enumerate(sorted((self._root.folder / SENTENCES).glob("*.txt")), 1):
            own = self._split.get(file.stem, "")
            if wanted in (None, own):
                yield Record(Place(SENTENCES, number), own, file.stem)

    def annotation_files(self) -> Sequence[Path]:
        return [
            f for pattern in (f"{ANNOTATIONS}/*.xml", f"{SENTENCES}/*.txt") for f in self._root.folder.glob(pattern)
        ]

    def count(self, split: Optional[str] = None) -> int:
        return sum(1 for _ in self.records(split))

    def parse(self, record: Record, problems: Problems) -> Iterator[Sample]:
        stem, image = record.content, None
        boxes: Dict[str, Tuple[Box, ...]] = {}
        with reporting(problems, Place(f"{ANNOTATIONS}/{stem}.xml", 1)):
            size, boxes = self._boxes(stem)
            image = image_file(self.roots, f"{stem}.jpg", size)
        if image is None:
            return
        name = f"{SENTENCES}/{stem}.txt"
        for number, line in read_lines(self._root.inside(self._root.folder / name)):
            with reporting(problems, Place(name, number)):
                for place, (entity, phrase) in enumerate(_PHRASE.findall(text_of(line))):
                    if entity in boxes:
                        key = f"flickr30k/{stem}/{number}/{place}"
                        label = Label.CLEAR if len(boxes[entity]) == 1 else Label.UNKNOWN
                        yield Sample(
                            key, image, expression_of(phrase), boxes=boxes[entity], label=label, split=record.split
                        )

    def _boxes(self, stem: str) -> Tuple[Tuple[int, int], Dict[str, Tuple[Box, ...]]]:
        """(size of the image, boxes by entity). Raises ValueError."""
        file = self._root.inside(self._root.folder / ANNOTATIONS / f"{stem}.xml")
        try:
            content = file.read_bytes()
        except OSError as error:
            raise ValueError(f"cannot be read ({error.strerror})") from error
        if len(content) > _MAX_BYTES or b"<!" in content:
            raise ValueError("is too large, or declares a document type or entities, which are refused")
        try:
            tree = ElementTree.fromstring(content)
        except ElementTree.ParseError as error:
            raise ValueError(f"is no XML: {error}") from error
        found: Dict[str, List[Box]] = {}
        for item in tree.iter("object"):
            frame = item.find("bndbox")
            if frame is not None:
                box = box_of([_number(frame, side) for side in ("xmin", "ymin", "xmax", "ymax")])
                for entity in item.findall("name"):
                    found.setdefault((entity.text or "").strip(), []).append(box)
        size = tree.find("size")
        if size is None:
            raise ValueError("'size' is missing")
        whole = size_of(int(_number(size, "width")), int(_number(size, "height")))
        return whole, {entity: tuple(boxes) for entity, boxes in found.items()}


def _number(parent: ElementTree.Element, name: str) -> float:
    text = parent.findtext(name)
    if text is None:
        raise ValueError(f"'{name}' is missing")
    return float(text)
