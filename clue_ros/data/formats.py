"""Which format a path holds, and the source that reads it."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Optional

from clue_ros.data.invig import PATTERN as INVIG_PATTERN
from clue_ros.data.invig import InvigSource
from clue_ros.data.it2p import AMBIGUOUS, It2pSource
from clue_ros.data.jsonl import JsonLinesSource
from clue_ros.data.refcoco import PATTERNS as REFCOCO_PATTERNS
from clue_ros.data.refcoco import RefCocoSource, refuse_pickle
from clue_ros.data.source import Source, files_named
from clue_ros.data.table import TableSource
from clue_ros.data.textfiles import json_object, read_lines
from clue_ros.problems import DataError, MissingDataError

FORMATS = ("invig", "it2p", "refcoco", "csv", "jsonl", "scenes")
_PEEK = 20  # lines


def open_data(
    path: Path, form: str = "auto", *, images: Optional[Path] = None, subset: Optional[str] = None, seed: int = 0
) -> Source:
    """The source of a data set on disk; nothing is parsed yet.

    path: a folder or a file; form: one of FORMATS or 'auto'; images: the folder of its images where it is not the
    usual one; subset: '21k' or '500k' of InViG, 'refcoco', 'refcoco+' or 'refcocog'; seed: of what the scenes' grammar
    says. Raises MissingDataError naming what is missing, PickleRefusedError, or DataError for an unknown form.
    """
    path = Path(path)
    images = None if images is None else Path(images)
    if not path.exists():
        raise MissingDataError(f"{path}: there is no such file or folder")
    form = detect(path) if form == "auto" else form
    if form == "invig":
        return InvigSource(path, images, subset)
    if form == "it2p":
        return It2pSource(path, images)
    if form == "refcoco":
        return RefCocoSource(path, images, subset)
    if form == "csv":
        return TableSource(path, images)
    if form == "jsonl":
        return JsonLinesSource(path, images)
    if form == "scenes":
        from clue_ros.data.scenes import ScenesSource

        return ScenesSource(path, seed)
    raise DataError(f"there is no data format '{form}'; there are: {', '.join(FORMATS)}")


def detect(path: Path) -> str:
    """The format of a file or folder by its names, and of a .jsonl file by its first lines. Raises MissingDataError if
    it is none that is known."""
    refuse_pickle(path)
    if path.is_file():
        if path.suffix in (".csv", ".tsv"):
            return "csv"
        if path.suffix == ".json":
            return "refcoco"
        if path.suffix == ".jsonl":
            return _of_lines(path)
    elif any(path.glob("scenes-*.jsonl")) or any(path.glob("*/scenes-*.jsonl")):
        return "scenes"
    elif any((path / name).is_dir() for name in ("train_img", "train_script", AMBIGUOUS)):
        return "it2p"
    elif files_named(path, INVIG_PATTERN):
        return "invig"
    elif any(files_named(path, p, depth=2) for p in (*REFCOCO_PATTERNS, "*refs*.p")):
        return "refcoco"
    elif any(path.glob("*.csv")) or any(path.glob("*.tsv")):
        return "csv"
    elif any(path.glob("*.jsonl")):
        return _of_lines(sorted(path.glob("*.jsonl"))[0])
    raise MissingDataError(
        f"{path}: no known data set. Known are invig (invig*_anns.jsonl), it2p (train_img, train_script, "
        "script_ambiguous), refcoco (refs(unc).json with instances.json, or refcoco*.jsonl), csv (image, instruction, "
        "label), jsonl (image, expression, ...) and scenes (scenes-*.jsonl); docs/data.md shows each"
    )


def _of_lines(path: Path) -> str:
    """By the file's name as the data sets have it, else by the first lines that hold a JSON object."""
    if path.match(INVIG_PATTERN):
        return "invig"
    if "refcoco" in path.name:
        return "refcoco"
    for _, line in islice(read_lines(path), _PEEK):
        try:
            entry = json_object(line)
        except ValueError:
            continue
        if isinstance(entry.get("ann"), dict):
            return "invig"
        if ("sent" in entry or "sentences" in entry) and ("bbox" in entry or "anns" in entry):
            return "refcoco"
    return "jsonl"
