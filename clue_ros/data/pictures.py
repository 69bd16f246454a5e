"""A data set of images with named boxes, whatever its format.

    our own lines      {"image": "7.jpg", "size": [640, 480], "instances": [{"box": [x0, y0, x1, y1], "name": "mug"}]}
                       more fields: "question" (of a chat), "suitable" (true or false, for `clue data filter`), "id",
                       and of an instance "names" (further ones), "color"
    COCO               instances*.json: images, annotations (bbox xywh), categories; also LVIS
    OpenImages         *-annotations-bbox.csv: ImageID, LabelName, XMin, XMax, YMin, YMax in [0, 1]; class names from a
                       class-descriptions*.csv beside it
    SAM (SA-1B)        sa_*.json, one an image: boxes (xywh) without names
    scenes             a folder made by `clue scenes`
    other data         any format of clue_ros.data with `objects` (InViG): boxes without names

Nothing is downloaded. Records come one at a time except of COCO and OpenImages, whose files are not in the images'
order.
"""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, Optional

from clue_ros.data import instance_formats as formats
from clue_ros.data import instances
from clue_ros.data.instances import Picture
from clue_ros.data.textfiles import read_lines
from clue_ros.problems import DataError, Problems

FORMATS = ("auto", "lines", "coco", "openimages", "sam", "scenes", "samples")


def open_pictures(
    path: Path, form: str = "auto", images: Optional[Path] = None, problems: Optional[Problems] = None
) -> Iterator[Picture]:
    """The pictures of a data set in a fixed order. images: the folder of its images where it is not the file's own.
    What cannot be used goes to `problems`. Raises DataError, MissingDataError."""
    path, problems = Path(path), problems or Problems()
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder")
    form = detect(path) if form == "auto" else form
    readers = {
        "lines": instances.lines,
        "coco": formats.coco,
        "openimages": formats.openimages,
        "sam": formats.sam,
        "scenes": formats.scenes,
        "samples": formats.samples,
    }
    if form not in readers:
        raise DataError(f"there is no format '{form}' of images with boxes; there are: {', '.join(FORMATS)}")
    return readers[form](path, images, problems)


def detect(path: Path) -> str:
    """'lines', 'coco', … by names and, for .jsonl, by the first line. Raises DataError."""
    if path.is_dir():
        if any(path.glob("scenes-*.jsonl")) or any(path.glob("*/scenes-*.jsonl")):
            return "scenes"
        return "sam" if any(path.glob("sa_*.json")) else "samples"
    if path.suffix == ".csv":
        return "openimages"
    if path.suffix == ".json":
        return "sam" if path.name.startswith("sa_") else "coco"
    if path.suffix == ".jsonl":
        first = next((line for _, line in read_lines(path)), b"{}")
        return "lines" if b'"instances"' in first else "samples"
    raise DataError(f"{path} is none of {', '.join(FORMATS[1:])}: name its format")
