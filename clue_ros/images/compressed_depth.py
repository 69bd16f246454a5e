"""Depth of the compressedDepth transport: pure functions over anything with the fields of sensor_msgs/CompressedImage.

`format` is "16UC1; compressedDepth png", "32FC1; compressedDepth png", "… rvl" or, from older transports,
"…; compressedDepth" alone, which means png. The data begin with a header of 12 bytes (int32 kind, float32 a, float32 b;
little-endian). 16UC1 holds millimetres as they are. 32FC1 is quantised by inverse depth: metres = a / (raw - b), 0
where nothing was measured. Source: compressed_depth_image_transport, codec.cpp. RVL: A. D. Wilson, Fast Lossless Depth
Image Compression, ISS 2017.
"""

from __future__ import annotations

import struct
from typing import Any, List, NamedTuple

import cv2
import numpy as np

from clue_ros.images.encodings import ImageMessageError, UnsupportedEncodingError

HEADER = struct.Struct("<iff")
RVL_SIZE = struct.Struct("<II")  # columns, rows
MAX_PIXELS = 1 << 26
CODECS = ("png", "rvl")
_PNG = b"\x89PNG\r\n\x1a\n"
_LONGEST = 11  # nibbles of three bits that a count of 32 bits takes
_EMPTY = np.zeros(0, np.int64)


class DepthFormat(NamedTuple):
    encoding: str
    codec: str


def compressed_depth(msg: Any) -> np.ndarray:
    """Depth as the camera had it: uint16[H, W] in millimetres, 0 invalid, or float32[H, W] in metres, NaN invalid.

    Raises:
        UnsupportedEncodingError: the format names another encoding or codec.
        ImageMessageError: the header or the data are not what the format says.
    """
    named = parse_depth_format(msg.format)
    data = bytes(msg.data)
    if named.encoding != "32FC1" and data.startswith(_PNG):  # some programs leave the header out, which is not needed
        data = bytes(HEADER.size) + data
    if len(data) <= HEADER.size:
        raise ImageMessageError(
            f"the {msg.format} image of {len(data)} bytes ends in its header of {HEADER.size}: it was cut short"
        )
    raw = (_png if named.codec == "png" else _rvl)(msg.format, data[HEADER.size :])
    if named.encoding != "32FC1":
        return raw
    _, a, b = HEADER.unpack_from(data)
    if not (np.isfinite(a) and np.isfinite(b) and a > 0):
        raise ImageMessageError(f"the {msg.format} image has the quantisation a {a:g}, b {b:g}: its header is damaged")
    return _metres(raw, np.float32(a), np.float32(b))


def parse_depth_format(text: str) -> DepthFormat:
    """ "16UC1; compressedDepth png" -> DepthFormat("16UC1", "png").

    Raises:
        UnsupportedEncodingError: something else.
    """
    encoding, _, tail = (part.strip() for part in text.partition(";"))
    words = tail.split() or ["compressedDepth"]
    codec = words[1].lower() if len(words) > 1 else "png"
    if encoding not in ("16UC1", "mono16", "32FC1") or words[0] != "compressedDepth" or codec not in CODECS:
        raise UnsupportedEncodingError(
            f"compressed depth of format {text[:40]!r} is not supported: use 16UC1 or 32FC1, and {' or '.join(CODECS)}"
        )
    return DepthFormat(encoding, codec)


def _metres(raw: np.ndarray, a: np.float32, b: np.float32) -> np.ndarray:
    with np.errstate(divide="ignore"):
        metres = a / (raw.astype(np.float32) - b)
    return np.where((raw > 0) & (metres > 0) & np.isfinite(metres), metres, np.float32(np.nan))


def _png(form: str, data: bytes) -> np.ndarray:
    try:
        raw = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:  # a stated size beyond OpenCV's limit
        raw = None
    if raw is None:
        raise ImageMessageError(f"the {form} image of {len(data)} bytes does not decode as a png")
    if raw.ndim != 2 or raw.dtype != np.uint16:
        raise ImageMessageError(f"the {form} image holds {raw.dtype} {list(raw.shape)}, not one channel of 16 bits")
    return raw


def _rvl(form: str, data: bytes) -> np.ndarray:
    """uint16[H, W]. The pixels are runs: how many zeros, how many others, and these as differences to the one
    before.
    """
    if len(data) < RVL_SIZE.size:
        raise ImageMessageError(f"the {form} image has no size: it was cut short")
    columns, rows = RVL_SIZE.unpack_from(data)
    pixels = columns * rows
    if not 0 < pixels <= MAX_PIXELS:
        raise ImageMessageError(f"the {form} image is {columns}x{rows}: it must have 1 to {MAX_PIXELS} pixels")
    values = _variable_length(data[RVL_SIZE.size :])
    raw, chosen, places = np.zeros(pixels, np.uint16), [_EMPTY], [_EMPTY]
    place = at = 0
    counts: List[int] = values.tolist()
    while place < pixels:
        if at + 1 >= len(counts):
            break
        zeros, others = counts[at], counts[at + 1]
        place, at = place + zeros, at + 2
        if place + others > pixels or at + others > len(counts) or zeros + others == 0:
            break
        chosen.append(np.arange(at, at + others))
        places.append(np.arange(place, place + others))
        place, at = place + others, at + others
    if place != pixels:
        raise ImageMessageError(
            f"the {form} image of {columns}x{rows} does not decode as rvl: it was cut short, or is damaged"
        )
    coded = values[np.concatenate(chosen)]
    raw[np.concatenate(places)] = np.cumsum((coded >> 1) ^ -(coded & 1)).astype(np.uint16)  # modulo 2^16, as coded
    return raw.reshape(rows, columns)


def _variable_length(data: bytes) -> np.ndarray:
    """int64: the numbers in words of 32 bits, eight nibbles each from the highest; a nibble has three bits, the lowest
    first, and says in its fourth whether more follow."""
    words = np.frombuffer(data, "<u4", count=len(data) // 4).astype(">u4").view(np.uint8)
    nibbles = np.stack((words >> 4, words & 15), -1).ravel()
    ends = np.flatnonzero(nibbles < 8)
    starts = np.concatenate(([0], ends[:-1] + 1)) if ends.size else ends
    lengths = ends - starts + 1
    values = np.zeros(ends.size, np.int64)
    for more in range(min(_LONGEST, int(lengths.max(initial=0)))):
        there = lengths > more
        values[there] |= (nibbles[starts[there] + more] & 7).astype(np.int64) << (3 * more)
    return values
