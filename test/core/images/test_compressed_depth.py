"""compressedDepth, packed by hand as the transport's codec.cpp documents it, and RVL by a coder written here."""

from __future__ import annotations

import struct
import time
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from clue_ros.images.compressed_depth import compressed_depth, parse_depth_format
from clue_ros.images.encodings import ImageMessageError, UnsupportedEncodingError

DEPTH_MAX, QUANTIZATION = 10.0, 100.0  # the transport's defaults
A = QUANTIZATION * (QUANTIZATION + 1.0)
B = 1.0 - A / DEPTH_MAX
PNG, PNG32, RVL, RVL32 = (
    f"{encoding}; compressedDepth {codec}" for codec in ("png", "rvl") for encoding in ("16UC1", "32FC1")
)


def message(form, payload, a=0.0, b=0.0, kind=0):
    return SimpleNamespace(format=form, data=struct.pack("<iff", kind, a, b) + payload)


def png(raw: np.ndarray) -> bytes:
    return cv2.imencode(".png", raw)[1].tobytes()


def rvl(raw: np.ndarray) -> bytes:
    """The paper's coder, nibble by nibble: numbers of three bits a nibble, the lowest first, the fourth bit for
    "more".
    """
    nibbles = []

    def put(value):
        while True:
            value, low = value >> 3, value & 7
            nibbles.append(low | (8 if value else 0))
            if not value:
                return

    pixels, at, before = [int(value) for value in raw.ravel()], 0, 0
    while at < len(pixels):
        start = at
        while at < len(pixels) and pixels[at] == 0:
            at += 1
        put(at - start)
        start = at
        while at < len(pixels) and pixels[at] != 0:
            at += 1
        put(at - start)
        for value in pixels[start:at]:
            delta, before = value - before, value
            put(2 * delta if delta >= 0 else -2 * delta - 1)
    nibbles += [0] * (-len(nibbles) % 8)
    words = [int("".join(f"{n:x}" for n in nibbles[i : i + 8]), 16) for i in range(0, len(nibbles), 8)]
    return struct.pack("<II", raw.shape[1], raw.shape[0]) + b"".join(struct.pack("<I", word) for word in words)


def quantised(metres: np.ndarray) -> np.ndarray:
    """codec.cpp: a / depth + b, truncated; 0 from depth_max on and for NaN."""
    with np.errstate(invalid="ignore"):
        return np.where(metres < DEPTH_MAX, A / metres + B, 0).astype(np.uint16)


def millimetres(seed=0, shape=(24, 32)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    raw = rng.integers(0, 65536, shape).astype(np.uint16)
    raw[rng.random(shape) < 0.4] = 0
    raw[5:9] = 0
    return raw


@pytest.mark.parametrize(
    "form", ["16UC1; compressedDepth", PNG, "mono16; compressedDepth png", "16UC1;compressedDepth PNG", "16UC1"]
)
def test_millimetres_come_back_as_they_were(form):
    raw = millimetres()
    got = compressed_depth(
        message(form, png(raw), a=np.nan)
    )  # the header says nothing of them, and is not always filled
    assert got.dtype == np.uint16 and np.array_equal(got, raw)


@pytest.mark.parametrize(
    "raw",
    [
        millimetres(),
        millimetres(3, (7, 5)),
        np.zeros((4, 6), np.uint16),
        np.full((4, 6), 65535, np.uint16),
        np.uint16([[7]]),
        np.uint16([[0, 0, 5]]),
        np.uint16([[5, 0, 0]]),
        np.tile(np.uint16([0, 1]), (3, 8)),
        np.uint16([[1, 65535, 1, 65535]]),
        np.zeros((480, 640), np.uint16),
    ],
    ids=["noise", "odd", "nothing", "far", "one", "last", "first", "alternating", "jumps", "large and empty"],
)
def test_rvl(raw):
    assert np.array_equal(compressed_depth(message(RVL, rvl(raw))), raw)


def test_rvl_of_a_known_picture():
    """Worked by hand: 2 zeros, 3 others: 1000 (+1000), 1001 (+1), 999 (-2). Zigzag 2000, 2, 3; in nibbles of three bits
    from the lowest, with 8 for more: 2 | 3 | 2000 = 0o3720 -> 8 A F 3 | 2 | 3. Words: 23 8AF3 23, then nothing."""
    data = struct.pack("<II", 5, 1) + struct.pack("<I", 0x238AF323)
    assert compressed_depth(message(RVL, data)).tolist() == [[0, 0, 1000, 1001, 999]]


@pytest.mark.parametrize("form, code", [(PNG32, png), (RVL32, rvl), ("32FC1; compressedDepth", png)])
def test_metres_come_back_within_the_quantisation(form, code):
    metres = np.random.default_rng(1).uniform(0.3, 9.9, (24, 32))
    metres[3:5], metres[6, 6], metres[7] = np.nan, 12.0, np.inf
    raw = quantised(metres)
    got = compressed_depth(message(form, code(raw), A, B))
    valid = metres < DEPTH_MAX
    assert got.dtype == np.float32 and np.array_equal(np.isfinite(got), valid)
    # The inverse of the coder's formula: one step of raw is metres^2 / A.
    assert (np.abs(got - metres)[valid] <= metres[valid] ** 2 / A * 1.01 + 1e-4).all()
    assert got[valid] == pytest.approx(A / (raw[valid] - B), rel=1e-4)


def test_what_the_formula_cannot_mean_is_invalid():
    """b lies above some raw values only in a damaged header; such pixels are no depth, and not minus two metres."""
    got = compressed_depth(message(PNG32, png(np.uint16([[0, 5, 10, 20]])), 100.0, 10.0))
    assert np.isnan(got[0, :3]).all() and got[0, 3] == 10.0


def test_a_plain_png_without_a_header():
    raw = millimetres()
    assert np.array_equal(compressed_depth(SimpleNamespace(format=PNG, data=png(raw))), raw)
    with pytest.raises(ImageMessageError):  # what it would take to dequantise is missing
        compressed_depth(SimpleNamespace(format=PNG32, data=png(raw)))


BROKEN = {
    "empty": SimpleNamespace(format=PNG, data=b""),
    "half a header": SimpleNamespace(format=PNG, data=bytes(7)),
    "header alone": message(PNG, b""),
    "png cut short": message(PNG, png(millimetres())[:60]),
    "no png": message(PNG, b"what is this"),
    "8 bits": message(PNG, png(np.zeros((4, 4), np.uint8))),
    "colours": message(PNG, png(np.zeros((4, 4, 3), np.uint16))),
    "no quantisation": message(PNG32, png(millimetres())),
    "NaN quantisation": message(PNG32, png(millimetres()), np.nan, 1.0),
    "infinite quantisation": message(PNG32, png(millimetres()), 1.0, np.inf),
    "negative quantisation": message(PNG32, png(millimetres()), -1.0, 0.0),
    "rvl without a size": message(RVL, b"\1\0\0\0"),
    "rvl 0x0": message(RVL, struct.pack("<II", 0, 0) + bytes(8)),
    "rvl huge": message(RVL, struct.pack("<II", 2**32 - 1, 2**32 - 1) + bytes(8)),
    "rvl cut short": message(RVL, rvl(millimetres())[:200]),
    "rvl without data": message(RVL, rvl(millimetres())[:8]),
    "rvl of zeros": message(RVL, struct.pack("<II", 4, 4) + bytes(64)),
    "rvl beyond its size": message(RVL, struct.pack("<II", 2, 2) + rvl(millimetres())[8:]),
}


@pytest.mark.parametrize("broken", list(BROKEN.values()), ids=list(BROKEN))
def test_broken_depth_is_a_typed_error(broken):
    with pytest.raises(ImageMessageError, match=broken.format.split(";")[0]):
        compressed_depth(broken)


def test_garbage_is_depth_or_a_typed_error():
    rng = np.random.default_rng(5)
    codes = {PNG: png, PNG32: png, RVL: rvl, RVL32: rvl}
    good = {form: bytearray(message(form, code(millimetres()), A, B).data) for form, code in codes.items()}
    for round_ in range(400):
        form = list(good)[round_ % 4]
        data = bytearray(good[form])
        for place in rng.integers(0, min(len(data), 80 if round_ % 3 else len(data)), 3):
            data[place] = rng.integers(0, 256)
        try:
            got = compressed_depth(SimpleNamespace(format=form, data=bytes(data[: rng.integers(1, len(data) + 1)])))
        except ImageMessageError:
            continue
        assert got.ndim == 2 and got.dtype in (np.uint16, np.float32)


@pytest.mark.parametrize(
    "text",
    [
        "8UC1; compressedDepth png",
        "16UC1; png compressed ",
        "16UC1; compressedDepth zstd",
        "",
        "rgb8; jpeg compressed bgr8",
    ],
)
def test_another_format_is_named(text):
    with pytest.raises(UnsupportedEncodingError, match="use 16UC1 or 32FC1, and png or rvl"):
        parse_depth_format(text)


def test_rvl_of_a_vga_picture_takes_less_than_a_camera_s_frame():
    """A scene of planes with holes, 640x480; a loop over pixels in Python takes 300 ms and more."""
    v, u = np.mgrid[0:480, 0:640]
    raw = (800 + u // 3 + np.where(v > 240, 200, 0)).astype(np.uint16)
    raw[(u % 40 < 3) | ((u - 320) ** 2 + (v - 100) ** 2 < 900)] = 0
    packed = message(RVL, rvl(raw))
    assert np.array_equal(compressed_depth(packed), raw)
    taken = []
    for _ in range(5):
        begun = time.thread_time()  # not what others take of the machine meanwhile
        compressed_depth(packed)
        taken.append(time.thread_time() - begun)
    print(f"{min(taken) * 1e3:.1f} ms")
    assert min(taken) < 0.2
