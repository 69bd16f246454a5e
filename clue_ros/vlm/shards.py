"""A checkpoint's tensors, read one at a time from its safetensors files into memory that the caller owns.

Files are read, not mapped: a mapped page counts as this process's memory until the file is closed, and what is loaded
would be there twice. No buffer is larger than CHUNK, whatever the tensor.
"""

from __future__ import annotations

import json
import struct
from math import prod
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Tuple

import torch

from clue_ros.types import ModelLoadError

INDEX = "model.safetensors.index.json"
CHUNK = 1 << 21  # bytes
_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class _Place(NamedTuple):
    """Where a tensor lies. start: byte in the file."""

    file: Path
    dtype: str
    shape: Tuple[int, ...]
    start: int


class Shards:
    """The tensors of a model directory, by the names that its files use."""

    def __init__(self, path: Path):
        """Reads the headers alone. Raises ModelLoadError naming the file that is missing, corrupt or truncated."""
        self.name, files = _files(Path(path))
        self._places: Dict[str, _Place] = {}
        for file in files:
            self._places.update(_header(file))

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def shape(self, name: str) -> Tuple[int, ...]:
        return self._places[name].shape

    def read(self, name: str, into: torch.Tensor) -> None:
        """Copy a tensor into a contiguous one of its shape, in that one's dtype and on its device.

        Raises ModelLoadError if the file cannot be read, or holds numbers of another kind than float64 to bfloat16.
        """
        flat = into.view(-1)
        for first, part in self._chunks(name):
            flat[first : first + part.numel()].copy_(part)

    def same(self, one: str, other: str) -> bool:
        """Whether two tensors hold the same numbers."""
        if self.shape(one) != self.shape(other) or self._places[one].dtype != self._places[other].dtype:
            return False
        pairs = zip(self._chunks(one), self._chunks(other))
        return all(torch.equal(a, b) for (_, a), (_, b) in pairs)

    def _chunks(self, name: str) -> Iterator[Tuple[int, torch.Tensor]]:
        """(first number, the next of them), in one buffer that is used again for each."""
        place = self._places[name]
        dtype, count = _DTYPES.get(place.dtype), prod(place.shape)
        if dtype is None:
            raise ModelLoadError(f"{place.file}: {name} is of {place.dtype}; only {', '.join(_DTYPES)} are read")
        step = CHUNK // dtype.itemsize
        buffer = torch.empty(min(step, count), dtype=dtype)
        bytes_of = memoryview(buffer.view(torch.uint8).numpy().data) if count else memoryview(b"")
        try:
            with place.file.open("rb", buffering=0) as stream:
                stream.seek(place.start)
                for first in range(0, count, step):
                    size = min(step, count - first)
                    _fill(stream, bytes_of[: size * dtype.itemsize])
                    yield first, buffer[:size]
        except OSError as error:
            raise ModelLoadError(f"{place.file} cannot be read: {error}") from error


def _files(path: Path) -> Tuple[str, List[Path]]:
    """(a name for messages, the files)."""
    index = path / INDEX
    if not index.is_file():
        return str(path / "model.safetensors"), [path / "model.safetensors"]
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        return str(index), [path / name for name in names]
    except (json.JSONDecodeError, KeyError, AttributeError, TypeError, UnicodeDecodeError) as error:
        raise ModelLoadError(f"{index} is corrupt: {error}") from error


def _header(file: Path) -> Dict[str, _Place]:
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        raise ModelLoadError(f"{file} is missing (weights are read from safetensors only, never from pickles)")
    try:
        with safe_open(str(file), "pt"):  # checks the header: sizes, overlaps, the file's length
            pass
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(length))
    except (SafetensorError, OSError, ValueError, struct.error) as error:
        raise ModelLoadError(f"{file} is corrupt or truncated: {error}") from error
    header.pop("__metadata__", None)
    return {
        name: _Place(file, about["dtype"], tuple(about["shape"]), 8 + length + about["data_offsets"][0])
        for name, about in header.items()
    }


def _fill(stream, target: memoryview) -> None:
    while target:
        count = stream.readinto(target)
        if not count:
            raise OSError("it ends too early")
        target = target[count:]
