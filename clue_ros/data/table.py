"""The paper's yes/no ambiguity sets as a plain table: CSV or TSV with a header.

    image,instruction,label,split
    images/0001.jpg,get the mug,yes,train

`label` answers "is the instruction ambiguous?": yes, true, 1 or ambiguous; no, false, 0, clear or unambiguous; empty or
unknown. `split` may be left out. The same fields as JSON lines are read by `jsonl.py`.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Iterator, List, Optional, Sequence, Tuple

from clue_ros.data.sample import Label, Sample
from clue_ros.data.source import TRAIN, Record, Source, divided, expression_of, reporting, split_in, split_name
from clue_ros.data.textfiles import read_table, text_of
from clue_ros.images.files import ImageRoot, image_file
from clue_ros.problems import BrokenDataError, MissingDataError, Place, Problems

COLUMNS = {
    "image": ("image", "image_path", "filename", "file"),
    "instruction": ("instruction", "expression", "command", "text"),
    "label": ("label", "ambiguous"),
    "split": ("split",),
    "id": ("id",),
}
LABELS = {
    **dict.fromkeys(("yes", "true", "1", "ambiguous"), Label.AMBIGUOUS),
    **dict.fromkeys(("no", "false", "0", "clear", "unambiguous"), Label.CLEAR),
    **dict.fromkeys(("", "unknown"), Label.UNKNOWN),
}


def label_of(value: Any) -> Label:
    """Raises ValueError for a word that is none of LABELS."""
    word = str(int(value)) if isinstance(value, bool) else str(value).strip().lower()
    if word not in LABELS:
        raise ValueError(f"the label must be yes (ambiguous) or no (clear), got {str(value)[:40]!r}")
    return LABELS[word]


class TableSource(Source):
    name = "csv"

    def __init__(self, path: Path, images: Optional[Path] = None):
        """path: a CSV or TSV file, or a folder of such files (train.csv, …); image names are relative to the file's
        folder or to `images`. Raises MissingDataError."""
        self._root = path if path.is_dir() else path.parent
        files = sorted([*path.glob("*.csv"), *path.glob("*.tsv")]) if path.is_dir() else [path]
        if not files:
            raise MissingDataError(f"{path} holds no .csv or .tsv file")
        base = ImageRoot(self._root)
        self.roots = (ImageRoot(images) if images is not None else base,)
        self._files = [(base.inside(f), _columns(f)) for f in files]
        found: Counter = Counter()
        for file, columns in self._files:
            if "split" in columns:
                found.update(split_name(_cell(row, columns, "split")) for _, row in _rows(file))
            else:
                found.update(split_in(file.name) for _ in _rows(file))
        self.splits, self.unsplit = divided(found)

    def records(self, split: Optional[str] = None) -> Iterator[Record]:
        wanted = self.wanted(split)
        for index, (file, columns) in enumerate(self._files):
            name = file.relative_to(self._root).as_posix()
            for line, row in _rows(file):
                own = split_name(_cell(row, columns, "split")) if "split" in columns else split_in(name)
                own = own or (TRAIN if self.unsplit else "")
                if wanted in (None, own):
                    yield Record(Place(name, line), own, (index, row))

    def annotation_files(self) -> Sequence[Path]:
        return [file for file, _ in self._files]

    def count(self, split: Optional[str] = None) -> int:
        return sum(1 for _ in self.records(split))

    def parse(self, record: Record, problems: Problems) -> Iterator[Sample]:
        index, row = record.content
        columns = self._files[index][1]
        with reporting(problems, record.place):
            if len(row) <= max(columns[c] for c in ("image", "instruction", "label")):
                raise ValueError(f"has {len(row)} fields, too few for the header")
            row = [text_of(field.encode("utf-8", "surrogateescape")) for field in row]
            expression = expression_of(_cell(row, columns, "instruction"))
            label = label_of(_cell(row, columns, "label"))
            key = _cell(row, columns, "id") or f"{record.place.file}:{record.place.line}"
            yield Sample(
                key, image_file(self.roots, _cell(row, columns, "image")), expression, label=label, split=record.split
            )


def _rows(file: Path) -> Iterator[Tuple[int, List[str]]]:
    rows = read_table(file)
    next(rows, None)
    return rows


def _columns(file: Path) -> dict:
    """Column name -> index, from the header. Raises MissingDataError naming the columns that are not there."""
    _, header = next(read_table(file), (0, []))
    header = [h.strip().lower() for h in header]
    columns = {
        name: header.index(alias) for name, aliases in COLUMNS.items() for alias in reversed(aliases) if alias in header
    }
    twice = sorted({header[at] for at in columns.values() if header.count(header[at]) > 1})
    if twice:
        raise BrokenDataError(f"{file}: the header names {', '.join(twice)} twice: leave one of the columns out")
    missing = [name for name in ("image", "instruction", "label") if name not in columns]
    if missing:
        raise MissingDataError(
            f"{file}: the header must name the columns image, instruction and label; missing: "
            f"{', '.join(missing)} (found: {', '.join(h[:40] for h in header) or 'nothing'})"
        )
    return columns


def _cell(row: List[str], columns: dict, name: str) -> str:
    index = columns.get(name, len(row))
    return row[index].strip() if index < len(row) else ""
