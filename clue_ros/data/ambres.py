"""AmbResVLM's data (Chisari et al., IROS 2025), the second benchmark of CLUE's Table II.

    ROOT/{train,test}/data.json     one list of tasks; of their repository: assets/data/real and assets/data/sim
    IMAGES/{train,test}/ID.jpeg     of their download: ambres/real and ambres/sim

    {"id": "3", "obj_list": [...], "task_description": "Put the red mug in the drawer.", "ambiguity_bool": true,
     "task_objects": ["red mug", "drawer"], "task_objects_gt": ["red mug", "middle drawer"]}

`ambiguity_bool` is the label as it stands. The first thing that `task_objects_gt` calls otherwise is what is asked for:
"Which drawer do you mean?" – "I mean the middle drawer". There are no boxes.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Iterator, Optional, Sequence, Tuple

from clue_ros.data.jsonl import JsonLinesSource
from clue_ros.data.sample import Label, Sample
from clue_ros.data.source import Record, expression_of, field_of, files_named, reporting, split_in, texts_of
from clue_ros.data.textfiles import read_json_arrays
from clue_ros.images.files import ImageRoot, image_file
from clue_ros.problems import MissingDataError, Place, Problems
from clue_ros.types import Answer, Turn

FILE = "data.json"
LAYOUT = "expected train/data.json and test/data.json, and train/ID.jpeg and test/ID.jpeg in --images"


class AmbresSource(JsonLinesSource):
    name = "ambres"

    def __init__(self, path: Path, images: Optional[Path] = None):
        """path: 'real' or 'sim', with the folders train and test, or one data.json of them; images: the folder of the
        pictures, with the same two folders, by default beside the tasks. Raises MissingDataError."""
        root = path if path.is_dir() else path.parent.parent
        self._files = files_named(root, FILE, 1) if path.is_dir() else [path]
        if not self._files:
            raise MissingDataError(f"{path}: {LAYOUT}")
        self._root, self.roots = root, (ImageRoot(images or root),)
        counts = Counter({self._split(f): 1 for f in self._files})
        self.splits = tuple(name for name in counts if name)

    def records(self, split: Optional[str] = None) -> Iterator[Record]:
        wanted = self.wanted(split)
        for file in self._files:
            own, name = self._split(file), file.relative_to(self._root).as_posix()
            if wanted in (None, own):
                for _, number, element in read_json_arrays(file):
                    yield Record(Place(name, number), own, element)

    def parse(self, record: Record, problems: Problems) -> Iterator[Sample]:
        with reporting(problems, record.place):
            entry = self.entry_of(record)
            name, label = f"{field_of(entry, 'id')}.jpeg", field_of(entry, "ambiguity_bool")
            if not isinstance(label, bool):
                raise ValueError(f"'ambiguity_bool' must be true or false, got {str(label)[:40]}")
            folder = Path(record.place.file).parent.name
            inside = (self.roots[0].folder / folder / name).is_file()
            yield Sample(
                f"ambres/{record.place}",
                image_file(self.roots, f"{folder}/{name}" if inside else name),
                expression_of(field_of(entry, "task_description")),
                resolved(entry) if label else (),
                label=Label.AMBIGUOUS if label else Label.CLEAR,
                split=record.split,
            )

    def _split(self, file: Path) -> str:
        return split_in(file.parent.name)


def resolved(entry: dict) -> Tuple[Turn, ...]:
    """Their dialogue about the first thing that is called otherwise when it is known; none if nothing is."""
    said: Sequence[str] = texts_of(field_of(entry, "task_objects"), "task_objects")
    meant = texts_of(field_of(entry, "task_objects_gt"), "task_objects_gt")
    first = next(((a, b) for a, b in zip(said, meant) if a != b), None)
    return () if first is None else (Turn(f"Which {first[0]} do you mean?", Answer(f"I mean the {first[1]}")),)
