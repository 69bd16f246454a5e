"""What goes over the wire: a JSON object and the arrays that belong to it, in one body. No pickle, no code, no ROS.

    body = pack({"image": "1f", "expression": "the mug"}, [pixels])
    fields, arrays = unpack(body)

`CLUE1` + length of the JSON (uint32, big-endian) + JSON + the arrays' bytes one after the other. The JSON's `arrays`
says what each is: `{"type": "u8", "shape": [480, 640, 3]}`; `bits` packs booleans by eight, `jpeg` is a file and has no
shape. Numbers go through JSON as Python writes them, which reads back to the very same float. Both sides read with the
functions below, so a server is trusted no more than a client.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from clue_ros.types import ClueError

TYPE = "application/x-clue"
ROBOT = "x-session-id"  # header with the robot's name; Ray Serve routes by it
MAGIC = b"CLUE1"
MAX_JSON = 262_144  # bytes: a dialogue of 30,000 characters and its boxes, escaped
MAX_BODY = 32_000_000  # bytes: a raw 3840 x 2160 frame is 25 MB
MAX_ARRAYS = 4
MAX_TEXT = 40_000  # characters of one text
_HEAD = struct.Struct(">5sI")
_NUMBERS: "Dict[str, np.dtype[Any]]" = {"u8": np.dtype("u1"), "f32": np.dtype("<f4")}


class WireError(ClueError):
    """A body is not what it should be; the text says where and what."""


class TooLongError(WireError):
    """A body is longer than MAX_BODY."""


class File(NamedTuple):
    """A picture as a file: JPEG."""

    data: bytes


def pack(fields: Mapping[str, Any], arrays: Sequence[Any] = ()) -> bytes:
    """A body. fields: what JSON can say, without NaN; arrays: uint8, float32 or bool arrays, or File."""
    said, parts = [], []
    for array in arrays:
        if isinstance(array, File):
            said.append({"type": "jpeg", "bytes": len(array.data)})
            parts.append(array.data)
        elif array.dtype == bool:
            said.append({"type": "bits", "shape": list(array.shape)})
            parts.append(np.packbits(array).tobytes())
        else:
            kind = "u8" if array.dtype == np.uint8 else "f32"
            said.append({"type": kind, "shape": list(array.shape)})
            parts.append(np.ascontiguousarray(array, _NUMBERS[kind]).data)
    words = json.dumps({**fields, "arrays": said}, allow_nan=False, separators=(",", ":")).encode()
    return b"".join([_HEAD.pack(MAGIC, len(words)), words, *parts])


def unpack(body: bytes) -> Tuple[Dict[str, Any], List[Any]]:
    """(fields, arrays) of a body; arrays are read-only views of it. Raises WireError."""
    if len(body) > MAX_BODY:
        raise TooLongError(f"the body has {len(body)} bytes, limit {MAX_BODY}: send the image as JPEG")
    if len(body) < _HEAD.size or body[: len(MAGIC)] != MAGIC:
        raise WireError("the body does not begin with CLUE1: this is not a request of clue_ros")
    size = _HEAD.unpack_from(body)[1]
    if size > MAX_JSON or _HEAD.size + size > len(body):
        raise WireError(f"the JSON of {size} bytes is longer than its limit {MAX_JSON} or than the body")
    try:
        fields = json.loads(body[_HEAD.size : _HEAD.size + size], parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise WireError(f"the JSON cannot be read: {str(error)[:100]}") from error
    if not isinstance(fields, dict):
        raise WireError("the JSON is no object")
    arrays, at = [], _HEAD.size + size
    for said in items(fields.pop("arrays", []), "arrays", MAX_ARRAYS):
        array, at = _array(said, body, at)
        arrays.append(array)
    if at != len(body):
        raise WireError(f"{len(body) - at} bytes follow the last array")
    return fields, arrays


def _array(said: Any, body: bytes, at: int) -> Tuple[Any, int]:
    kind = text(mapping(said, "an array"), "type")
    if kind == "jpeg":
        end = at + whole(said.get("bytes"), "bytes", MAX_BODY)
        if end > len(body):
            raise WireError("the body ends before its JPEG does")
        return File(body[at:end]), end
    shape = tuple(whole(n, "shape", 20_000) for n in items(said.get("shape"), "shape", 3))
    if kind not in (*_NUMBERS, "bits"):
        raise WireError(f"an array is of the unknown type {kind[:20]!r}")
    count = math.prod(shape)
    kept = _NUMBERS.get(kind, _NUMBERS["u8"])
    numbers = (count + 7) // 8 if kind == "bits" else count
    end = at + numbers * kept.itemsize
    if end > len(body):
        raise WireError(f"the body ends before its array of shape {list(shape)} does")
    values = np.frombuffer(body, kept, numbers, at)
    if kind == "bits":
        return np.unpackbits(values, count=count).reshape(shape).astype(bool), end
    return values.reshape(shape), end


def fingerprint(image: Any) -> str:
    """The name of an image: of uint8[H,W,3] RGB or a File."""
    digest = hashlib.blake2b(digest_size=16)
    if isinstance(image, File):
        digest.update(b"jpeg")
        digest.update(image.data)
    else:
        digest.update(str(image.shape).encode())
        digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


# Reading JSON that others wrote. Each raises WireError with the field's name.


def mapping(value: Any, name: str) -> Dict[str, Any]:
    if not isinstance(value, dict):
        raise WireError(f"{name} is no object")
    return value


def only(fields: Mapping[str, Any], *names: str) -> None:
    """Nothing but these."""
    unknown = sorted(set(fields) - set(names))
    if unknown:
        raise WireError(f"unknown field {unknown[0][:40]!r}; there may be: {', '.join(names)}")


def items(value: Any, name: str, most: int) -> List[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise WireError(f"{name} is no list of at most {most}")
    return value


def text(fields: Mapping[str, Any], name: str, default: Optional[str] = None) -> str:
    value = fields.get(name, default)
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise WireError(f"{name} is no text of at most {MAX_TEXT} characters")
    return value


def whole(value: Any, name: str, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise WireError(f"{name} is no whole number from 0 to {most}")
    return value


def number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e12:
        raise WireError(f"{name} is no finite number")
    return float(value)


def share(value: Any, name: str) -> Optional[float]:
    """In [0, 1], or None."""
    if value is None:
        return None
    if not 0 <= number(value, name) <= 1:
        raise WireError(f"{name} is not between 0 and 1")
    return float(value)


def yes(fields: Mapping[str, Any], name: str, default: bool) -> bool:
    value = fields.get(name, default)
    if not isinstance(value, bool):
        raise WireError(f"{name} is neither true nor false")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")
