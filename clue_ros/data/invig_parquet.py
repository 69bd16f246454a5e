"""InViG-21K as people have it: the parquet files of `jxu124/invig` on the Hugging Face hub, images inside.

    ROOT/data/train-00000-of-00004-….parquet, validation-….parquet, test-….parquet
    image     {bytes, path}
    image_info {file_name, width, height, id}
    ref_list  [{id, category, bbox: [x0, y0, x1, y1], dialog: [["", U], [R1, H1], …], dialog_cn: the same in Chinese}]

Boxes are shares of the image or pixels (a box within 0 … 1 is no box of pixels). Subset 'zh' reads `dialog_cn`, whose
texts pass as they are. Images are unpacked to a folder when first wanted, a row group at a time: everything else here
works with files. Needs pyarrow.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from clue_ros.data.invig import label_of, turns_of
from clue_ros.data.sample import Sample, box_of
from clue_ros.data.source import Record, Source, expression_of, field_of, files_named, reporting, split_in
from clue_ros.images.files import ImageRoot, header_size, image_file, size_of
from clue_ros.problems import BrokenDataError, BrokenImageError, MissingDataError, Place, Problems
from clue_ros.types import Box

PATTERN = "*.parquet"
COLUMNS = ("ref_list", "image_info", "image")
DIALOGUES = {"en": "dialog", "zh": "dialog_cn"}
LARGEST_SHARE = 1.001  # numbers of a box in shares of the image; annotations end a trifle beyond it


class InvigParquetSource(Source):
    name = "parquet"

    def __init__(self, path: Path, images: Optional[Path] = None, subset: Optional[str] = None):
        """path: a folder with the files, or one of them; images: where they are unpacked, None for a folder of the
        user's cache; subset: 'en' (None) or 'zh'. Raises MissingDataError."""
        if subset not in (None, *DIALOGUES):
            raise MissingDataError(f"{path}: there is no subset '{subset}'; there are: {', '.join(DIALOGUES)}")
        self._dialogue, self._language = DIALOGUES[subset or "en"], subset or "en"
        files = files_named(path, PATTERN) if path.is_dir() else [path]
        if not files:
            raise MissingDataError(f"{path}: holds no {PATTERN} file")
        self._files = [(file, split_in(file.name) or "train") for file in files]
        for file, _ in self._files:
            missing = [name for name in COLUMNS if name not in _opened(file).schema_arrow.names]
            if missing:
                columns = ", ".join(missing)
                raise MissingDataError(f"{file}: has no column {columns}; of parquet files only InViG's are read")
        folder = Path(images) if images is not None else unpacked_folder(files)
        folder.mkdir(parents=True, exist_ok=True)
        self.roots = (ImageRoot(folder),)
        self.splits = tuple(dict.fromkeys(split for _, split in self._files))

    def records(self, split: Optional[str] = None) -> Iterator[Record]:
        wanted = self.wanted(split)
        for index, (file, own) in enumerate(self._files):
            if wanted not in (None, own):
                continue
            parquet, row = _opened(file), 0
            for group in range(parquet.num_row_groups):
                for values in _rows(parquet, file, group, COLUMNS[:2]):
                    row += 1
                    yield Record(Place(file.name, row), own, (index, group, values))

    def annotation_files(self) -> Sequence[Path]:
        return [file for file, _ in self._files]

    def count(self, split: Optional[str] = None) -> int:
        wanted = self.wanted(split)
        return sum(_opened(file).metadata.num_rows for file, own in self._files if wanted in (None, own))

    def parse(self, record: Record, problems: Problems) -> Iterator[Sample]:
        index, group, values = record.content
        boxes: List[Box] = []
        with reporting(problems, record.place):
            info = field_of(values, "image_info") or {}
            name = f"{record.split}/{field_of(info, 'file_name')}"
            path = self.roots[0].locate(name)
            if not path.is_file():
                self._unpack(index, group)
            stated = info.get("width") is not None and info.get("height") is not None
            size = size_of(info["width"], info["height"]) if stated else header_size(path)
            image = image_file(self.roots, name, size)
            references = field_of(values, "ref_list") or []
            boxes = [_box(reference, size) for reference in references]
        for number, box in enumerate(boxes):
            with reporting(problems, record.place):
                reference = references[number]
                own = reference.get("id") or f"{info.get('id') or info['file_name']}/{number}"
                said = dialogue_of(reference.get(self._dialogue))
                turns, closing = turns_of([q for q, _ in said[1:]], [a for _, a in said[1:]])
                yield Sample(
                    f"invig21k/{record.split}/{own}",
                    image,
                    expression_of(said[0][1]),
                    turns,
                    (box,),
                    label=label_of(len(said) - 1, len(turns), len(closing)),
                    split=record.split,
                    objects=tuple(other for n, other in enumerate(boxes) if n != number),
                    closing=closing,
                )

    def _unpack(self, index: int, group: int) -> None:
        """Every image of a row group that is not there yet. Raises OSError's text as BrokenImageError."""
        file, split = self._files[index]
        for values in _rows(_opened(file), file, group, COLUMNS[1:]):
            try:
                path = self.roots[0].locate(f"{split}/{field_of(values['image_info'] or {}, 'file_name')}")
                content = (values["image"] or {}).get("bytes")
            except (ValueError, BrokenDataError):
                continue  # its own record is reported
            if content is None or path.is_file():
                continue
            partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                partial.write_bytes(content)
                partial.replace(path)
            except OSError as error:
                raise BrokenImageError(f"{path}: cannot be unpacked ({error.strerror})") from error


def dialogue_of(pairs: Any) -> List[Tuple[str, str]]:
    """[("", U), (R1, H1), …]. Raises ValueError for anything else."""
    if not isinstance(pairs, (list, tuple)) or not pairs:
        raise ValueError("has no dialogue in this language")
    for pair in pairs:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not all(isinstance(t, str) for t in pair):
            raise ValueError(f"a dialogue must be pairs of texts, got {str(pair)[:80]}")
    if pairs[0][0].strip():
        raise ValueError(f"a dialogue must begin with the instruction, not with the question {pairs[0][0][:80]!r}")
    return [(question, answer) for question, answer in pairs]


def unpacked_folder(files: Sequence[Path]) -> Path:
    """Where the images of these files are unpacked: the same folder for the same files."""
    state = hashlib.blake2b(digest_size=8)
    for file in files:
        state.update(f"{file.resolve()} {file.stat().st_size}\n".encode("utf-8", "surrogateescape"))
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "clue_ros" / f"invig-{state.hexdigest()}"


def _box(reference: Mapping[str, Any], size: Tuple[int, int]) -> Box:
    box = box_of(field_of(reference, "bbox"))
    if max(box) > LARGEST_SHARE:
        return box
    width, height = size
    return Box(box.x0 * width, box.y0 * height, box.x1 * width, box.y1 * height)


def _opened(file: Path) -> Any:
    try:
        from pyarrow import ArrowException  # pyright: ignore[reportMissingImports]  # optional
        from pyarrow.parquet import ParquetFile  # pyright: ignore[reportMissingImports]  # optional
    except ImportError as error:
        raise MissingDataError(f"{file}: parquet files need pyarrow: pip install pyarrow ({error})") from error
    try:
        return ParquetFile(file)
    except (ArrowException, OSError) as error:
        raise BrokenDataError(f"{file}: is no parquet file that can be read: {str(error).splitlines()[0]}") from error


def _rows(parquet: Any, file: Path, group: int, columns: Sequence[str]) -> List[Dict[str, Any]]:
    from pyarrow import ArrowException  # pyright: ignore[reportMissingImports]  # optional

    try:
        return parquet.read_row_group(group, columns=list(columns)).to_pylist()
    except (ArrowException, OSError) as error:
        raise BrokenDataError(f"{file}: breaks off in row group {group}: {str(error).splitlines()[0]}") from error
