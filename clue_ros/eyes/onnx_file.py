"""Tensors and matrix products of an ONNX file, read as data: nothing in it is run, and nothing of ONNX is needed.

An ONNX file is a protocol buffer (https://protobuf.dev/programming-guides/encoding): a sequence of fields, each with a
number and either a whole number or a run of bytes, which may be a message again. Read are ModelProto.graph (7); of it
node (1) and initializer (5); of a node input (1), name (3) and op_type (4); of a tensor dims (1), data_type (2), name
(8) and raw_data (9).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Tuple, Union

import numpy as np

from clue_ros.types import ClueError

_FLOAT = 1  # TensorProto.DataType
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class OnnxNode:
    """name: a path of modules; inputs: names of tensors."""

    name: str
    kind: str
    inputs: Tuple[str, ...]


@dataclass(frozen=True)
class OnnxGraph:
    """tensors: float32, by name; nodes: in order of use."""

    tensors: Dict[str, np.ndarray]
    nodes: List[OnnxNode]


def read_onnx(path: Path) -> OnnxGraph:
    """The float32 tensors and the nodes of a file without external data.

    Raises ClueError where it is no such file.
    """
    data = memoryview(Path(path).read_bytes())
    try:
        graph = next((part for number, part in _fields(data) if number == 7), None)
        if not isinstance(graph, memoryview):
            raise ValueError("it holds no graph")
        tensors: Dict[str, np.ndarray] = {}
        nodes: List[OnnxNode] = []
        for number, part in _fields(graph):
            if number == 1:
                nodes.append(_node(_message(part)))
            elif number == 5:
                _add_tensor(tensors, _message(part))
        return OnnxGraph(tensors, nodes)
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise ClueError(f"{path} is no ONNX file that can be read: {error}") from error


def _node(data: memoryview) -> OnnxNode:
    texts: Dict[int, List[str]] = {1: [], 3: [], 4: []}
    for number, part in _fields(data):
        if number in texts:
            texts[number].append(str(_message(part), "utf-8"))
    return OnnxNode("".join(texts[3]), "".join(texts[4]), tuple(texts[1]))


def _add_tensor(tensors: Dict[str, np.ndarray], data: memoryview) -> None:
    dims: List[int] = []
    kind, name, raw = 0, "", None
    for number, part in _fields(data):
        if number == 1:
            dims.extend(_numbers(part))
        elif number == 2 and isinstance(part, int):
            kind = part
        elif number == 8:
            name = str(_message(part), "utf-8")
        elif number == 9:
            raw = _message(part)
    if kind == _FLOAT and raw is not None:
        tensors[name] = np.frombuffer(raw, "<f4").reshape(dims)


def _message(part: Union[int, memoryview]) -> memoryview:
    if isinstance(part, int):
        raise ValueError("a number stands where a message should")
    return part


def _numbers(part: Union[int, memoryview]) -> List[int]:
    """Repeated whole numbers: one a field, or packed into one run of bytes."""
    if isinstance(part, int):
        return [part]
    found, at = [], 0
    while at < len(part):
        value, at = _varint(part, at)
        found.append(value)
    return found


def _fields(data: memoryview) -> Iterator[Tuple[int, Union[int, memoryview]]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, form = key >> 3, key & 7
        if form == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if form == _BYTES:
            size, at = _varint(data, at)
        elif form in (_FIXED64, _FIXED32):
            size = 8 if form == _FIXED64 else 4
        else:
            raise ValueError(f"a field of form {form}")
        if at + size > len(data):
            raise ValueError("it ends too early")
        yield number, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> Tuple[int, int]:
    """(number, place after it): seven bits a byte, the lowest first; the eighth bit says that more follow."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("it ends too early")
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
