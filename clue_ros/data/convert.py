"""Writes any data set as our own JSON lines: the work of `clue data convert`."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional, TextIO

from clue_ros.data.jsonl import to_line
from clue_ros.data.stream import SampleStream
from clue_ros.problems import BrokenImageError, Kind, Place, Problems


@dataclass(frozen=True)
class Conversion:
    """samples: lines written; images: the folder that their image names are relative to."""

    samples: int
    images: Path
    problems: Problems


def convert(
    stream: SampleStream,
    output: Path,
    copy_images: bool = False,
    progress: Callable[[int], None] = lambda samples: None,
) -> Conversion:
    """Write the samples of a stream to `output`, which appears once it is complete.

    copy_images: also copy the images beside it, under images/, so that folder can be moved; otherwise the names are
    relative to the folder that the result names. A sample whose image cannot be copied is counted and left out.
    """
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    base = Path(os.path.commonpath([os.path.abspath(root.folder) for root in stream.source.roots]))
    partial = output.with_name(output.name + ".partial")
    try:
        with open(partial, "w", encoding="utf-8") as file:
            written = _write(stream, file, base, output.parent / "images" if copy_images else None, progress)
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    return Conversion(written, output.parent if copy_images else base, stream.problems)


def _write(stream: SampleStream, file: TextIO, base: Path, copies: Optional[Path], progress) -> int:
    written = 0
    for sample in stream:
        name = Path(os.path.relpath(os.path.abspath(sample.file.path), base)).as_posix()
        if copies is not None:
            try:
                _copy(sample.file.path, copies / name)
            except BrokenImageError as error:
                stream.problems.add(Kind.IMAGE, Place(sample.source_id, 0), error)
                continue
            name = f"images/{name}"
        file.write(to_line(sample, name) + "\n")
        written += 1
        progress(1)
    return written


def _copy(source: Path, target: Path) -> None:
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        target.unlink(missing_ok=True)
        raise BrokenImageError(f"{source}: cannot be copied ({error.strerror})") from error
