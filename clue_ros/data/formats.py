"""Which format a path holds, and the source that reads it."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Optional

from clue_ros.data.ambres import FILE as AMBRES
from clue_ros.data.ambres import AmbresSource
from clue_ros.data.box_forms import check_form
from clue_ros.data.flickr30k import ANNOTATIONS as ENTITIES
from clue_ros.data.flickr30k import SENTENCES, Flickr30kSource
from clue_ros.data.hub import hub_id, local_copy
from clue_ros.data.invig import PATTERN as INVIG_PATTERN
from clue_ros.data.invig import InvigSource
from clue_ros.data.it2p import AMBIGUOUS, It2pSource
from clue_ros.data.ivm import IvmSource
from clue_ros.data.jsonl import JsonLinesSource
from clue_ros.data.paligemma import PaliGemmaSource
from clue_ros.data.refcoco import PATTERNS as REFCOCO_PATTERNS
from clue_ros.data.refcoco import RefCocoSource
from clue_ros.data.source import Source, files_named
from clue_ros.data.table import TableSource
from clue_ros.data.textfiles import holds_lines, json_object, read_json_arrays, read_lines
from clue_ros.problems import BrokenDataError, DataError, MissingDataError

FORMATS = ("invig", "parquet", "it2p", "refcoco", "flickr30k", "csv", "jsonl", "paligemma", "ambres", "ivm", "scenes")
_PEEK = 20  # lines


def open_data(
    path: Path,
    form: str = "auto",
    *,
    images: Optional[Path] = None,
    subset: Optional[str] = None,
    seed: int = 0,
    boxes: Optional[str] = None,
) -> Source:
    """The source of a data set on disk; nothing is parsed yet.

    path: a folder or a file, or hf:OWNER/NAME of the Hugging Face hub; form: one of FORMATS or 'auto'; images: the
    folder of its images where it is not the usual one; subset: '21k' or '500k' of InViG, 'en' or 'zh' of its parquet
    files, 'refcoco', 'refcoco+' or 'refcocog', 'duplicated' of scenes; seed: of what the scenes' grammar says; boxes:
    of jsonl, how its boxes are measured (box_forms.FORMS). Raises MissingDataError naming what is missing,
    PickleRefusedError, or DataError for an unknown form.
    """
    path = Path(path)
    images = None if images is None else Path(images)
    hub = hub_id(path)
    path = path if hub is None else local_copy(hub)
    if not path.exists():
        raise MissingDataError(f"{path}: there is no such file or folder; of the Hugging Face hub, say hf:OWNER/NAME")
    form = detect(path) if form == "auto" else form
    if boxes is not None:
        check_form(boxes)
        if form != "jsonl":
            raise DataError(f"{path} is {form}, which says itself how its boxes are measured: leave the form out")
    if form == "invig":
        return InvigSource(path, images, subset)
    if form == "parquet":
        from clue_ros.data.invig_parquet import InvigParquetSource

        return InvigParquetSource(path, images, subset)
    if form == "it2p":
        return It2pSource(path, images)
    if form == "refcoco":
        return RefCocoSource(path, images, subset)
    if form == "flickr30k":
        return Flickr30kSource(path, images)
    if form == "csv":
        return TableSource(path, images)
    if form == "jsonl":
        return JsonLinesSource(path, images, boxes or "")
    if form == "paligemma":
        return PaliGemmaSource(path, images)
    if form == "ambres":
        return AmbresSource(path, images)
    if form == "ivm":
        return IvmSource(path, images)
    if form == "scenes":
        from clue_ros.data.scenes import ScenesSource

        return ScenesSource(path, seed, subset=subset)
    raise DataError(f"there is no data format '{form}'; there are: {', '.join(FORMATS)}")


def detect(path: Path) -> str:
    """The format of a file or folder by its names, and of a .jsonl file by its first lines. Raises MissingDataError if
    it is none that is known."""
    if path.is_file():
        if path.suffix in (".csv", ".tsv"):
            return "csv"
        if path.suffix == ".json":
            form = _of_lines(path) if holds_lines(path) else _of_list(path)
            if form:
                return form
        if path.suffix == ".jsonl":
            return _of_lines(path)
        if path.suffix == ".parquet":
            return "parquet"
        if path.suffix == ".p":
            return "refcoco"
    elif any(path.glob("scenes-*.jsonl")) or any(path.glob("*/scenes-*.jsonl")):
        return "scenes"
    elif any((path / name).is_dir() for name in ("train_img", "train_script", AMBIGUOUS)):
        return "it2p"
    elif (path / ENTITIES).is_dir() and (path / SENTENCES).is_dir():
        return "flickr30k"
    elif any(_of_list(file) == "ambres" for file in files_named(path, AMBRES, 1)):  # others call theirs so too
        return "ambres"
    elif files_named(path, INVIG_PATTERN):
        return "invig"
    elif files_named(path, "*.parquet"):
        return "parquet"
    elif any(files_named(path, p, depth=2) for p in REFCOCO_PATTERNS):
        return "refcoco"
    elif any(path.glob("*.csv")) or any(path.glob("*.tsv")):
        return "csv"
    elif any(path.glob("*.jsonl")):
        return _of_lines(sorted(path.glob("*.jsonl"))[0])
    elif any(path.glob("*/*.jsonl")):
        return _of_lines(sorted(path.glob("*/*.jsonl"))[0])
    raise MissingDataError(
        f"{path}: no known data set. Known are invig (invig*_anns.jsonl), parquet (InViG's), it2p (train_img, "
        "train_script, script_ambiguous), refcoco (refs(unc).json with instances.json, or refcoco*.jsonl), flickr30k "
        "(Annotations, Sentences), csv (image, instruction, label), jsonl (image, expression, ...), paligemma (image, "
        "prefix, suffix), ambres (train/data.json), ivm (uuid, instruction) and scenes (scenes-*.jsonl); docs/data.md "
        "shows each"
    )


def _of_list(path: Path) -> str:
    """The format of a .json file by its first elements; '' if it is none that is known."""
    try:
        first = [(key, element) for key, _, element in islice(read_json_arrays(path), _PEEK)]
    except BrokenDataError:
        return "refcoco" if "refcoco" in path.name or "refs" in path.name else ""
    entries = [element for key, element in first if isinstance(element, dict)]
    if any("ref_id" in e or ("sentences" in e and "ann_id" in e) for e in entries):
        return "refcoco"
    if any(key == "images" and "caption" in e for key, e in first if isinstance(e, dict)) or "refcoco" in path.name:
        return "refcoco"
    if any("prefix" in e and "suffix" in e for e in entries):
        return "paligemma"
    if any("ambiguity_bool" in e for e in entries):
        return "ambres"
    return "jsonl" if any("image" in e and ("expression" in e or "instruction" in e) for e in entries) else ""


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
        if "prefix" in entry and "suffix" in entry:
            return "paligemma"
        if "uuid" in entry and isinstance(entry.get("instruction"), list):
            return "ivm"
    return "jsonl"
