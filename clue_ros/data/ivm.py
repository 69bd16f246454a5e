"""IVM-Mix-1M (Zheng et al., NeurIPS 2024): images, instructions, and a heat map of what matters to them.

    {"uuid": "12", "image": "coco/train2017/000000000009.jpg", "instruction": ["what is on the plate?", "the food"]}

JSON lines; of `HumanLabelData` and `RobotMachineData` without `image`, which then is `img_UUID.jpg`. The heat map of a
line is `mask_UUID.jpg`. Both are looked for in `--images`, in the folder of the lines, and up to two folders below.
Every instruction of a line becomes a sample.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any, Dict, Iterator, Optional

import cv2
import numpy as np

from clue_ros.data.jsonl import JsonLinesSource
from clue_ros.data.sample import Sample
from clue_ros.data.source import Record, expression_of, field_of, first_folder, reporting, texts_of
from clue_ros.data.textfiles import json_object, read_lines
from clue_ros.images.files import ImageRoot, image_file
from clue_ros.problems import BrokenImageError, MissingDataError, Problems

GAIN = 1.5  # their reader brightens a map before it is stretched to [0, 1]
_PEEK = 50  # lines


class IvmSource(JsonLinesSource):
    name = "ivm"

    def __init__(self, path: Path, images: Optional[Path] = None):
        """path: a file of lines, or a folder of them. Raises MissingDataError if no map lies where it is looked for."""
        super().__init__(path, images)
        folders = [folder for folder in (images, self._root) if folder is not None]
        below = [d for folder in folders for p in ("*/", "*/*/") for d in sorted(folder.glob(p)) if d.is_dir()]
        self._masks = self._holding([*folders, *below], mask_name)
        if self._masks is None:
            raise MissingDataError(f"{path}: there is no mask_UUID.jpg of it in {', '.join(map(str, folders))}")
        pictures = self._holding([*folders, *below], image_name)
        self.roots = (*self.roots, *((pictures,) if pictures is not None else ()))

    def parse(self, record: Record, problems: Problems) -> Iterator[Sample]:
        with reporting(problems, record.place):
            entry = self.entry_of(record)
            image = image_file(self.roots, image_name(entry))
            for number, text in enumerate(texts_of(field_of(entry, "instruction"), "instruction")):
                yield Sample(f"{field_of(entry, 'uuid')}/{number}", image, expression_of(text), split=record.split)

    def heat(self, sample: Sample) -> np.ndarray:
        """float32[H,W] in [0, 1]: how much each pixel of the image matters, as their reader makes it. Raises
        BrokenImageError."""
        assert self._masks is not None
        name = mask_name({"uuid": sample.source_id.rpartition("/")[0]})
        grey = cv2.imread(str(self._masks.locate(name)), cv2.IMREAD_GRAYSCALE)
        if grey is None:
            raise BrokenImageError(f"{name} is missing or no image")
        heat = np.minimum(grey.astype(np.float32) * GAIN, 255.0)
        low, high = float(heat.min()), float(heat.max())
        heat = (heat - low) / (high - low) if high > low else heat / max(high, 1.0)
        return np.clip(cv2.resize(heat, sample.size, interpolation=cv2.INTER_LINEAR), 0.0, 1.0)

    def _holding(self, folders, name_of) -> Optional[ImageRoot]:
        """The folder that holds what one of the first lines names."""
        for _, line in islice(read_lines(self._files[0]), _PEEK):
            try:
                name = name_of(json_object(line))
            except ValueError:
                continue
            found = first_folder([f for f in folders if (f / name).is_file()])
            if found is not None:
                return ImageRoot(found)
        return None


def image_name(entry: Dict[str, Any]) -> str:
    return str(entry.get("image") or f"img_{field_of(entry, 'uuid')}.jpg")


def mask_name(entry: Dict[str, Any]) -> str:
    return f"mask_{field_of(entry, 'uuid')}.jpg"
