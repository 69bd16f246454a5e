"""Our own format: one JSON object a line, able to hold everything that a Sample holds (fields: docs/data.md).

    {"image": "images/7.jpg", "expression": "the mug", "boxes": [[10, 20, 60, 80]], "label": "ambiguous",
     "turns": [{"question": "which one?", "answer": "the red one"}], "size": [640, 480], "split": "train"}

Only `image` and `expression` (or `instruction`) are needed. `clue data convert` writes it. A .json file that is one
list of such objects is read as well.
"""

from __future__ import annotations

import difflib
import json
from collections import Counter
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from clue_ros.data.box_forms import check_form, other_name, scale_of, to_pixels
from clue_ros.data.sample import Label, Sample, box_of, boxes_of, middle_of, point_of, without_closing
from clue_ros.data.source import (
    TRAIN,
    Record,
    Source,
    divided,
    expression_of,
    field_of,
    reporting,
    split_in,
    split_name,
    texts_of,
)
from clue_ros.data.table import label_of
from clue_ros.data.textfiles import count_lines, holds_lines, json_object, read_json_arrays, read_lines
from clue_ros.images.files import ImageRoot, image_file, size_of
from clue_ros.problems import MissingDataError, Place, Problems
from clue_ros.prompt import MAX_CHARACTERS
from clue_ros.types import Answer, Box, Turn

FIELDS = (
    "image",
    "expression",
    "instruction",
    "size",
    "width",
    "height",
    "turns",
    "closing",
    "boxes",
    "point",
    "label",
    "split",
    "objects",
    "question_candidates",
    "answer_candidates",
    "id",
)


class JsonLinesSource(Source):
    name = "jsonl"

    def __init__(self, path: Path, images: Optional[Path] = None, boxes: str = ""):
        """path: a file, a folder of such files (train.jsonl, …), or one with a folder a split (train/…jsonl), as
        Roboflow and maestro have it; image names are relative to the file's folder or to `images`; boxes: their form
        (box_forms.py), '' for pixels under our own names. Raises MissingDataError, and DataError for a form that is
        none."""
        self._form = check_form(boxes) if boxes else ""
        self._root = path if path.is_dir() else path.parent
        files = (sorted(path.glob("*.jsonl")) or sorted(path.glob("*/*.jsonl"))) if path.is_dir() else [path]
        if not files:
            raise MissingDataError(f"{path} holds no .jsonl file")
        base = ImageRoot(self._root)
        self._files = [base.inside(f) for f in files]
        self._own = images is None
        folders = [images] if images is not None else dict.fromkeys(f.parent for f in files)
        self.roots = tuple(ImageRoot(folder) for folder in folders)
        nested = [f for f in self._files if f.parent != self._root]
        self._fixed = {f: split_in(f.name) or (split_in(f.parent.name) if f in nested else "") for f in self._files}
        found: Counter = Counter()
        for file in self._files:
            found.update([self._fixed[file]] if self._fixed[file] else _splits(file))
        self.splits, self.unsplit = divided(found)

    def records(self, split: Optional[str] = None) -> Iterator[Record]:
        wanted = self.wanted(split)
        for file in self._files:
            own, name = self._fixed[file], file.relative_to(self._root).as_posix()
            if own and wanted not in (None, own):
                continue
            for number, content in _entries(file):
                of_line = own or _split_of(content) or (TRAIN if self.unsplit else "")
                if wanted in (None, of_line):
                    yield Record(Place(name, number), of_line, content)

    def annotation_files(self) -> Sequence[Path]:
        return self._files

    def count(self, split: Optional[str] = None) -> int:
        wanted = self.wanted(split)
        if all(f.suffix == ".jsonl" for f in self._files) and (wanted is None or all(self._fixed.values())):
            return sum(count_lines(f) for f in self._files if wanted in (None, self._fixed[f]))
        return sum(1 for _ in self.records(split))

    def parse(self, record: Record, problems: Problems) -> Iterator[Sample]:
        with reporting(problems, record.place):
            entry = self.entry_of(record)
            other = other_name(entry, FIELDS) if "boxes" not in entry else None
            if other in entry and self._form:
                entry["boxes"] = entry.pop(other)
            elif other:
                raise ValueError(
                    f"'{other}' is not read: the field is 'boxes', [[x0, y0, x1, y1], ...] in pixels. Say how "
                    f"'{other}' is meant and it is read: --boxes xyxy, xywh, cxcywh or "
                    "yxyx, or xyxy01, xyxy1000, ... for shares"
                )
            for key in entry:
                near = difflib.get_close_matches(key, FIELDS, 1, 0.8) if key not in FIELDS else []
                if near:
                    raise ValueError(f"unknown field '{key}', did you mean '{near[0]}'?")
            yield sample_of(
                entry, str(entry.get("id", record.place)), record.split, self.roots_of(record), self._form or "xyxy"
            )

    def roots_of(self, record: Record) -> Tuple[ImageRoot, ...]:
        """The folders that the image of a record is looked for in; that of its own file first."""
        folder = (self._root / record.place.file).parent
        return (
            tuple(sorted(self.roots, key=lambda root: root.folder != folder))
            if self._own and len(self.roots) > 1
            else self.roots
        )

    def entry_of(self, record: Record) -> Dict[str, Any]:
        """The object of a record. Raises ValueError if it is none."""
        if isinstance(record.content, bytes):
            return json_object(record.content)
        if not isinstance(record.content, dict):
            raise ValueError(f"must be a JSON object, got {type(record.content).__name__}")
        return dict(record.content)


def _entries(file: Path) -> Iterator[Tuple[int, Any]]:
    """(number from 1, bytes of a line, or an element of a .json file's list)."""
    if file.suffix == ".jsonl" or holds_lines(file):
        yield from read_lines(file)
    else:
        yield from ((number, element) for _, number, element in read_json_arrays(file))


def _split_of(content: Any) -> str:
    if isinstance(content, dict):
        return split_name(str(content.get("split", "")))
    if not isinstance(content, bytes) or b'"split"' not in content:
        return ""
    try:
        return split_name(str(json_object(content).get("split", "")))
    except ValueError:
        return ""  # reported when it is parsed


def _splits(file: Path) -> Iterator[str]:
    """Of each record, '' where it names none."""
    return (_split_of(content) for _, content in _entries(file))


def sample_of(
    entry: Dict[str, Any], source_id: str, split: str, roots: Tuple[ImageRoot, ...], form: str = "xyxy"
) -> Sample:
    """A sample of one object of this format.

    form: of its boxes, and whether its points are shares (box_forms.py)

    Raises ValueError, InvalidExpressionError, UnsafePathError or BrokenImageError.
    """
    size = None
    if "size" in entry:
        if not isinstance(entry["size"], list) or len(entry["size"]) != 2:
            raise ValueError("'size' must be [width, height]")
        size = size_of(*entry["size"])
    elif "width" in entry or "height" in entry:
        size = size_of(entry.get("width"), entry.get("height"))
    image = image_file(roots, field_of(entry, "image"), size)
    measure = _Measure(form, image.size)
    turns, closing = _turns(entry, "turns", measure), _turns(entry, "closing", measure)
    if "closing" not in entry:
        turns, closing = without_closing(turns)
    return Sample(
        source_id,
        image,
        expression_of(field_of(entry, "expression", "instruction")),
        turns,
        boxes=None if entry.get("boxes") is None else measure.boxes(entry["boxes"]),
        point=None if entry.get("point") is None else measure.point(entry["point"]),
        label=label_of(entry["label"]) if entry.get("label") is not None else Label.UNKNOWN,
        split=split,
        objects=measure.boxes(entry.get("objects", [])),
        question_candidates=_candidates(entry, "question_candidates"),
        answer_candidates=_candidates(entry, "answer_candidates"),
        closing=closing,
    )


class _Measure(NamedTuple):
    """Numbers of a file as pixels of an image of this size."""

    form: str
    size: Tuple[int, int]

    def boxes(self, values: Any) -> Tuple[Box, ...]:
        return tuple(to_pixels(box, self.form, self.size) for box in boxes_of(values))

    def point(self, values: Any) -> Tuple[float, float]:
        (x, y), (sx, sy) = point_of(values), scale_of(self.form, self.size)
        return x * sx, y * sy


def _turns(entry: Dict[str, Any], key: str, measure: _Measure) -> Tuple[Turn, ...]:
    turns = entry.get(key, [])
    if not isinstance(turns, list):
        raise ValueError(f"'{key}' must be a list")
    return tuple(_turn(t, measure) for t in turns)


def _turn(value: Any, measure: _Measure) -> Turn:
    if not isinstance(value, dict):
        raise ValueError("a turn must be an object with 'question' and 'answer'")
    question, answer = field_of(value, "question"), answer_of(field_of(value, "answer"))
    texts_of([question, answer.text], "turns")
    point = None if answer.point is None else measure.point(answer.point)
    box = None if answer.box is None else to_pixels(answer.box, measure.form, measure.size)
    return Turn(question, Answer(answer.text, point, box))


def answer_of(value: Any) -> Answer:
    """An answer as a line has it: text, or an object with 'text', 'point', 'box' or 'scribble' (points along a stroke:
    the one nearest to their middle stands for it, which the thing under a bent stroke still holds). Raises ValueError.
    """
    if isinstance(value, str):
        value = {"text": value}
    if not isinstance(value, dict):
        raise ValueError("an answer must be text or an object with 'text', 'point', 'box' or 'scribble'")
    (text,) = texts_of([value.get("text", "")], "answer")
    point, box = value.get("point"), value.get("box")
    if value.get("scribble") is not None:
        if point is not None or box is not None:
            raise ValueError("a 'scribble' stands alone, without 'point' and 'box'")
        point = middle_of(value["scribble"])
    return Answer(text, None if point is None else point_of(point), None if box is None else box_of(box))


def _candidates(entry: dict, key: str) -> Tuple[Tuple[str, ...], ...]:
    values = entry.get(key, [])
    if not isinstance(values, list):
        raise ValueError(f"'{key}' must be a list of lists of texts")
    return tuple(tuple(texts_of(v, key)) for v in values)


def to_line(sample: Sample, image_name: Optional[str] = None) -> str:
    """A sample as one line of this format, without line end; what is empty is left out. image_name: in place of
    `sample.image.name`."""
    entry: Dict[str, Any] = {
        "id": sample.source_id,
        "image": image_name or sample.image.name,
        "size": list(sample.size),
        "expression": sample.expression[:MAX_CHARACTERS],
    }
    for key, turns in (("turns", sample.turns), ("closing", sample.closing)):
        # "closing": [] says of turns that look like courtesies that they are none.
        if turns or key == "closing" and without_closing(sample.turns)[1]:
            entry[key] = [{"question": t.question, "answer": written_answer(t.answer)} for t in turns]
    if sample.boxes is not None:
        entry["boxes"] = [_numbers(b) for b in sample.boxes]
    if sample.point is not None:
        entry["point"] = _numbers(sample.point)
    if sample.label is not Label.UNKNOWN:
        entry["label"] = sample.label.value
    if sample.split:
        entry["split"] = sample.split
    if sample.objects:
        entry["objects"] = [_numbers(b) for b in sample.objects]
    for key in ("question_candidates", "answer_candidates"):
        if getattr(sample, key):
            entry[key] = [list(c) for c in getattr(sample, key)]
    return json.dumps(entry, ensure_ascii=False, allow_nan=False)


def written_answer(answer: Answer) -> Any:
    """As `answer_of` reads it."""
    if answer.point is None and answer.box is None:
        return answer.text
    fields = {
        "text": answer.text,
        "point": answer.point and _numbers(answer.point),
        "box": answer.box and _numbers(answer.box),
    }
    return {k: v for k, v in fields.items() if v}


def _numbers(values: Iterable[float]) -> List[float]:
    return [int(v) if v == int(v) else v for v in values]
