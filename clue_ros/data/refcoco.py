"""RefCOCO, RefCOCO+, RefCOCOg and gRefCOCO: the original files, and the shapes that conversions commonly have.

| file | what an element holds | box |
|---|---|---|
| `refs(unc).p`, `.json` + `instances.json` | ref_id, ann_id, image_id, split, sentences; boxes by COCO ids | xywh |
| `finetune_refcoco_train.json` (MDETR) | `images` with a caption each, `annotations` by image_id | xywh |
| `refcoco_val.jsonl` (Qwen-VL, InternVL) | image, sent, bbox, width, height | xyxy |
| `refcoco_testa.jsonl` (ReCLIP) | file_name, sentences, anns, ann_id, width, height | xywh |

The original `refs(unc).p` is a pickle; it is read without unpickling (plain_pickle.py).
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from clue_ros.data.plain_pickle import read_plain_pickle
from clue_ros.data.sample import Label, Sample, box_of
from clue_ros.data.source import (
    Record,
    Source,
    expression_of,
    field_of,
    files_named,
    first_folder,
    reporting,
    split_in,
    split_name,
)
from clue_ros.data.textfiles import count_lines, json_object, read_json_arrays, read_lines
from clue_ros.images.files import ImageRoot, image_file, size_of
from clue_ros.problems import BrokenDataError, MissingDataError, Place, Problems
from clue_ros.types import Box

INSTANCES = "instances.json"
PICKLES = "*refs*.p"
PATTERNS = ("*refs*.json", "*refcoco*.json", "*refcoco*.jsonl", PICKLES)
IMAGE_FOLDERS = ("images/mscoco/images/train2014", "coco/train2014", "images/train2014", "train2014", "images")


class RefCocoSource(Source):
    name = "refcoco"

    def __init__(self, path: Path, images: Optional[Path] = None, subset: Optional[str] = None):
        """path: one file, or a folder that holds such files up to two folders down; images: COCO's train2014 folder;
        subset: 'refcoco', 'refcoco+' or 'refcocog'. Raises MissingDataError or PickleRefusedError."""
        self._root = path if path.is_dir() else path.parent
        files = [path]
        if path.is_dir():
            files = sorted({f for p in PATTERNS for f in files_named(path, p, depth=2)})
            files = [f for f in files if f.suffix != ".p" or f.with_suffix(".json") not in files]  # converted already
        files = [f for f in files if subset is None or _dataset(f) == subset]
        if not files:
            raise MissingDataError(f"{path}: found none of {', '.join(PATTERNS)}" + (f" of {subset}" if subset else ""))
        self._files = [ImageRoot(self._root).inside(f) for f in files]
        self._plain: Dict[Path, Any] = {}  # of pickles
        for file in self._files:
            if (
                file.suffix in (".json", ".p")
                and _needs_instances(file)
                and not (file.parent / "instances.json").is_file()
            ):
                raise MissingDataError(f"{file.parent}/instances.json is missing: it holds the boxes of {file.name}")
        folder = images or first_folder([self._root / name for name in IMAGE_FOLDERS])
        if folder is None:
            raise MissingDataError(
                f"the images of COCO are missing (looked for {', '.join(IMAGE_FOLDERS)} in "
                f"{self._root}): name the train2014 folder with --images"
            )
        self.roots = (ImageRoot(folder),)
        self.splits = tuple(dict.fromkeys(s for f in self._files for s in self._splits_of(f)))
        self._boxes: Dict[Path, "_Instances"] = {}

    def _splits_of(self, file: Path) -> List[str]:
        if file.suffix == ".jsonl" or "refs" not in file.name:
            return [split_in(file.name)]
        found: Dict[str, None] = {}
        try:
            for _, _, element in self._elements(file):
                if isinstance(element, dict):
                    found[split_name(str(element.get("split", "")))] = None
        except BrokenDataError:
            pass  # raised again when the records behind that place are wanted
        return list(found)

    def records(self, split: Optional[str] = None) -> Iterator[Record]:
        wanted = self.wanted(split)
        for file in self._files:
            name, of_name = file.relative_to(self._root).as_posix(), split_in(file.name)
            if file.suffix == ".jsonl":
                if wanted in (None, of_name):
                    for number, line in read_lines(file):
                        yield Record(Place(name, number), of_name, (file, line))
                continue
            if "refs" not in file.name and wanted not in (None, of_name):
                continue
            for key, number, element in self._elements(file):
                if key in ("", "images", "refs"):
                    own = of_name
                    if key != "images" and isinstance(element, dict):
                        own = split_name(str(element.get("split", of_name)))
                    if wanted in (None, own):
                        yield Record(Place(name, number), own, (file, element))

    def _elements(self, file: Path) -> Iterator[Tuple[str, int, Any]]:
        """As `read_json_arrays`, of pickles too."""
        if file.suffix != ".p":
            yield from read_json_arrays(file)
            return
        if file not in self._plain:
            self._plain[file] = read_plain_pickle(file)
        elements = self._plain[file]
        if not isinstance(elements, list):
            raise BrokenDataError(f"{file}: must hold a list of references, got {type(elements).__name__}")
        for number, element in enumerate(elements, 1):
            yield "", number, element

    def annotation_files(self) -> Sequence[Path]:
        return [*self._files, *{f.parent / INSTANCES for f in self._files if (f.parent / INSTANCES).is_file()}]

    def count(self, split: Optional[str] = None) -> Optional[int]:
        if any(f.suffix != ".jsonl" for f in self._files):
            return None
        wanted = self.wanted(split)
        return sum(count_lines(f) for f in self._files if wanted in (None, split_in(f.name)))

    def parse(self, record: Record, problems: Problems) -> Iterator[Sample]:
        file, content = record.content
        entry, found = None, []
        with reporting(problems, record.place):
            entry = json_object(content) if isinstance(content, bytes) else content
            if not isinstance(entry, dict):
                raise ValueError(f"must be an object, got {type(entry).__name__}")
            found = self._targets(entry, file)
        if not found:
            return
        name, size, boxes, label = found
        key = entry.get("ref_id", entry.get("id", record.place.line))
        dataset = _dataset(file)
        for number, text in enumerate(_sentences(entry)):
            with reporting(problems, record.place):
                image = image_file(self.roots, name, size, basename=True)
                suffix = f"{record.split}/{key}/{number}" if record.split else f"{key}/{number}"
                yield Sample(
                    f"{dataset}/{suffix}", image, expression_of(text), boxes=boxes, label=label, split=record.split
                )

    def _targets(self, entry: dict, file: Path) -> Tuple[Any, Tuple[int, int], Tuple[Box, ...], Label]:
        """(file name, size, boxes, label) of an element of any of the four shapes. Raises ValueError."""
        if "bbox" in entry:
            boxes: Tuple[Box, ...] = (box_of(entry["bbox"]),)
        elif "anns" in entry:
            boxes = _chosen(entry)
        elif "caption" in entry:
            instances = self._instances(file, file)
            boxes = instances.of_image.get(field_of(entry, "id"), ())
        else:
            return self._reference(entry, file)
        size = size_of(field_of(entry, "width"), field_of(entry, "height"))
        return field_of(entry, "image", "file_name"), size, boxes, _label(boxes)

    def _reference(self, entry: dict, file: Path) -> Tuple[Any, Tuple[int, int], Tuple[Box, ...], Label]:
        if file.suffix == ".jsonl":
            raise ValueError("neither 'bbox' nor 'anns' is there")
        instances = self._instances(file, file.parent / "instances.json")
        identifiers = field_of(entry, "ann_id")
        identifiers = identifiers if isinstance(identifiers, list) else [identifiers]
        if entry.get("no_target"):
            identifiers = []
        image_id = field_of(entry, "image_id")
        try:
            boxes = tuple(instances.boxes[i] for i in identifiers)
            name, size = instances.images[image_id]
        except (KeyError, TypeError) as error:
            raise ValueError(f"instances.json holds no annotation or image {error}") from error
        # The reference's own file_name ends in the annotation's number; the image is called as instances.json says.
        return name, size, boxes, _label(boxes)

    def _instances(self, file: Path, source: Path) -> "_Instances":
        if file not in self._boxes:
            self._boxes[file] = _Instances(ImageRoot(self._root).inside(source))
        return self._boxes[file]


class _Instances:
    """Boxes and images of a COCO file by their ids, without its masks. `of_image`: all boxes of an image, where a file
    has an `images` element an expression (MDETR)."""

    def __init__(self, file: Path):
        self.boxes: Dict[Any, Box] = {}
        self.images: Dict[Any, Tuple[str, Tuple[int, int]]] = {}
        self.of_image: Dict[Any, Tuple[Box, ...]] = {}
        for key, _, element in read_json_arrays(file):
            if not isinstance(element, dict):
                continue
            try:
                if key == "annotations":
                    box = box_of(field_of(element, "bbox"), "xywh")
                    self.boxes[field_of(element, "id")] = box
                    image = field_of(element, "image_id")
                    self.of_image[image] = (*self.of_image.get(image, ()), box)
                elif key == "images" and "file_name" in element:
                    size = size_of(field_of(element, "width"), field_of(element, "height"))
                    self.images[field_of(element, "id")] = (element["file_name"], size)
            except (ValueError, TypeError):
                continue  # the reference that needs it will be reported


def _needs_instances(file: Path) -> bool:
    """Whether a file holds references to boxes that stand in another file."""
    try:
        return "refs" in file.name or any(
            "ref_id" in e for _, _, e in islice(read_json_arrays(file), 1) if isinstance(e, dict)
        )
    except BrokenDataError:
        return False  # told when it is read


def _sentences(entry: dict) -> List[Any]:
    """The expressions; anything that is not text stays, so that it is reported."""
    if "sentences" in entry:
        values = entry["sentences"]
        values = values if isinstance(values, list) else [values]
        return [v.get("raw", v.get("sent")) if isinstance(v, dict) else v for v in values]
    return [entry.get("sent", entry.get("expression", entry.get("caption")))]


def _chosen(entry: dict) -> Tuple[Box, ...]:
    """The boxes of those `anns` that `ann_id` (one or a list) names."""
    wanted = field_of(entry, "ann_id")
    wanted = wanted if isinstance(wanted, list) else [wanted]
    anns = entry["anns"] if isinstance(entry["anns"], list) else []
    boxes = tuple(box_of(a.get("bbox"), "xywh") for a in anns if isinstance(a, dict) and a.get("id") in wanted)
    if wanted and not boxes:
        raise ValueError("'ann_id' names none of 'anns'")
    return boxes


def _label(boxes: Tuple[Box, ...]) -> Label:
    """One target was told apart by construction; several (gRefCOCO) may all be meant, none says nothing."""
    return Label.CLEAR if len(boxes) == 1 else Label.UNKNOWN


def _dataset(file: Path) -> str:
    """'refcoco', 'refcoco+', 'refcocog' or 'grefcoco' by the file's and its folder's name."""
    for text in (file.name.lower(), file.parent.name.lower()):
        for name in ("refcocog", "refcoco+", "grefcoco", "refcoco"):
            if name in text.replace("refcocoplus", "refcoco+"):
                return name
        if "grefs" in text:
            return "grefcoco"
    return "refcoco"
