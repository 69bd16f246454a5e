"""JSON lines as PaliGemma is trained on them by others (Roboflow's export, maestro, Google's own examples).

    {"image": "0001.jpg", "prefix": "detect mug ; red plate", "suffix": "<loc0256><loc0256><loc0767><loc0767> mug"}

The four tokens are ymin xmin ymax xmax of 1024. Each class of a prefix becomes a sample: its boxes are those that
carry its name, and none where the suffix does not name it. `detect` and `segment` ask for places; a record of another
task (caption, answer, ocr) is reported and left out.
"""

from __future__ import annotations

import re
from typing import Dict, Iterator, List, Tuple

from clue_ros.data.jsonl import JsonLinesSource
from clue_ros.data.sample import Label, Sample
from clue_ros.data.source import Record, expression_of, field_of, reporting
from clue_ros.images.files import image_file
from clue_ros.location import bins_to_box
from clue_ros.problems import Problems

TASKS = ("detect", "segment")
SEPARATOR = ";"
_PART = re.compile(r"((?:<loc\d{4}>)*)\s*((?:<seg\d{3}>)*)\s*([^<]*)")
_MARKS = re.compile(r"<image>|<bos>|<eos>|</s>|<pad>")  # some write the tokens that the processor adds
_LOC = re.compile(r"<loc(\d{4})>")


class PaliGemmaSource(JsonLinesSource):
    name = "paligemma"

    def parse(self, record: Record, problems: Problems) -> Iterator[Sample]:
        with reporting(problems, record.place):
            entry = self.entry_of(record)
            task, names = asked(field_of(entry, "prefix"))
            if task not in TASKS:
                raise ValueError(f"the task '{task}' asks for no place: only {' and '.join(TASKS)} are read")
            found = places(field_of(entry, "suffix"), names)
            image = image_file(self.roots_of(record), field_of(entry, "image"))
            for number, name in enumerate(names):
                boxes = tuple(bins_to_box(bins, *image.size) for bins in found[name])
                yield Sample(
                    f"{record.place}/{number}", image, expression_of(name), boxes=boxes, split=record.split,
                    label=Label.CLEAR if len(boxes) == 1 else Label.UNKNOWN,
                )  # fmt: skip


def asked(prefix: object) -> Tuple[str, Tuple[str, ...]]:
    """(task, names) of a prefix: "detect mug ; red plate" -> ("detect", ("mug", "red plate")). Raises ValueError."""
    if not isinstance(prefix, str):
        raise ValueError(f"'prefix' must be text, got {type(prefix).__name__}")
    task, _, rest = _MARKS.sub("", prefix).strip().partition(" ")
    names = tuple(dict.fromkeys(name.strip() for name in rest.split(SEPARATOR) if name.strip()))
    if task in TASKS and not names:
        raise ValueError(f"the prefix '{prefix.strip()}' names nothing to {task}")
    return task, names


def places(suffix: object, names: Tuple[str, ...]) -> Dict[str, List[Tuple[int, ...]]]:
    """Name -> the bins of its boxes. A part without a name belongs to the only one that was asked for. Raises
    ValueError for tokens that are no box, and for a name that nobody asked for."""
    if not isinstance(suffix, str):
        raise ValueError(f"'suffix' must be text, got {type(suffix).__name__}")
    found: Dict[str, List[Tuple[int, ...]]] = {name: [] for name in names}
    # Not everybody parts two things by a sign: a new box begins where tokens follow a name.
    for part in filter(str.strip, re.split(r"[;\n]|(?<=[^>\s;])\s*(?=<loc)", _MARKS.sub("", suffix))):
        whole = _PART.fullmatch(part.strip())
        if whole is None:
            raise ValueError(f"'{part.strip()[:60]}' is no box with a name")
        tokens, _, name = whole.groups()
        bins = tuple(int(number) for number in _LOC.findall(tokens))
        name = name.strip() or (names[0] if len(names) == 1 else "")
        if len(bins) != 4 or max(bins) > 1023:
            raise ValueError(f"'{part.strip()[:60]}' must begin with four <locNNNN> of 0000 to 1023")
        if name not in found:
            raise ValueError(f"the suffix names '{name[:40]}', the prefix asks for {', '.join(names)[:60]}")
        found[name].append(bins)
    return found
