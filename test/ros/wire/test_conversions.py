"""Messages to arrays and back: colours, not only shapes; padding, byte order, broken data."""

from __future__ import annotations

import zlib

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from clue_ros.extent.place import place_of_box
from clue_ros.images.compressed import compressed_to_rgb
from clue_ros.images.encodings import SUPPORTED_ENCODINGS, ImageMessageError, UnsupportedEncodingError
from clue_ros.images.messages import image_to_rgb
from clue_ros.lens.model import CameraModel
from clue_ros.ros.running.errors import DepthMessageError
from clue_ros.ros.seeing.depth import depth_to_metres
from clue_ros.ros.wire.conversions import array_to_image, is_empty, rgb_to_image
from clue_ros.types import Box

H, W = 8, 12
RED, GREEN, BLUE, GREY = (200, 0, 0), (0, 200, 0), (0, 0, 200), (90, 90, 90)


def plain(colour) -> np.ndarray:
    return np.full((H, W, 3), colour, np.uint8)


def message(pixels: np.ndarray, encoding: str, padding: int = 0, big: bool = False) -> Image:
    """The array as it would lie in a camera's buffer, with `padding` bytes of rubbish after each row."""
    pixels = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<"))
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(pixels.shape[0], -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=171)
    return Image(
        header=Header(frame_id="eye"), height=pixels.shape[0], width=pixels.shape[1], encoding=encoding,
        is_bigendian=int(big), step=rows.shape[1], data=rows.tobytes(),
    )  # fmt: skip


def encode(rgb: np.ndarray, encoding: str) -> np.ndarray:
    """The reference: how a camera lays out `rgb`, written without the code under test."""
    r, g, b = (rgb[..., i] for i in range(3))
    a = np.full_like(r, 7)
    wide = {"mono16": "mono8", "16UC1": "mono8"}.get(encoding, encoding.replace("16", "8"))
    if wide != encoding:
        return encode(rgb, wide).astype(np.uint16) * 256 + 13
    if encoding.startswith("bayer"):
        mosaic = np.empty((H, W), np.uint8)
        for place, letter in enumerate(encoding[6:10]):
            mosaic[place // 2 :: 2, place % 2 :: 2] = rgb[place // 2 :: 2, place % 2 :: 2, "rgb".index(letter)]
        return mosaic
    channels = {
        "rgb8": (r, g, b), "bgr8": (b, g, r), "8UC3": (b, g, r), "rgba8": (r, g, b, a), "bgra8": (b, g, r, a),
        "8UC4": (b, g, r, a),
    }.get(encoding)  # fmt: skip
    return np.stack(channels, -1) if channels else r  # mono: a grey picture's red


GREYS = ["mono8", "8UC1", "mono16", "16UC1"]
YUV = {  # the order of the bytes, from the names' definitions in sensor_msgs/image_encodings.hpp
    "yuv422": "uyvy", "uyvy": "uyvy", "yuv422_yuy2": "yuyv", "yuyv": "yuyv", "nv12": "uv", "nv21": "vu",
}  # fmt: skip
COLOURED = [e for e in SUPPORTED_ENCODINGS if e not in GREYS and e not in YUV]


def yuv_message(rgb: np.ndarray, encoding: str, padding: int = 0) -> Image:
    """BT.601 in video range, chroma of each pair (or square) from its first pixel; without the code under test."""
    r, g, b = (rgb[..., i].astype(float) for i in range(3))
    y = 16 + 0.257 * r + 0.504 * g + 0.098 * b
    u = 128 - 0.148 * r - 0.291 * g + 0.439 * b
    v = 128 + 0.439 * r - 0.368 * g - 0.071 * b
    planes = {"y": y, "u": u, "v": v}
    height, width = y.shape
    order = YUV[encoding]
    if len(order) == 2:
        first, second = (planes[letter][::2, ::2] for letter in order)
        chroma = np.stack((first, second), -1).reshape(height // 2, width)
        lines = np.concatenate((y, chroma))
    else:
        lines = np.empty((height, 2 * width))
        for place, letter in enumerate(order):
            start = place // 2 if letter == "y" else 0  # the Ys of a pair are its two pixels'
            lines[:, place::4] = planes[letter][:, start::2]
    rows = np.pad(lines.round().astype(np.uint8), ((0, 0), (0, padding)), constant_values=171)
    return Image(height=height, width=width, encoding=encoding, step=rows.shape[1], data=rows.tobytes())


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("colour", [RED, GREEN, BLUE], ids=["red", "green", "blue"])
@pytest.mark.parametrize("encoding", COLOURED)
def test_colours(encoding, colour, padding):
    padding = padding // 5 * 6 if "16" in encoding else padding
    rgb = image_to_rgb(message(encode(plain(colour), encoding), encoding, padding))
    assert rgb.shape == (H, W, 3) and rgb.dtype == np.uint8
    assert np.array_equal(rgb, plain(colour))


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("encoding", GREYS)
def test_grey(encoding, padding):
    ramp = np.repeat(np.arange(H * W, dtype=np.uint8).reshape(H, W, 1), 3, axis=2)
    assert np.array_equal(image_to_rgb(message(encode(ramp, encoding), encoding, padding)), ramp)


@pytest.mark.parametrize("padding", [0, 4, 7])
@pytest.mark.parametrize("encoding", list(YUV))
def test_yuv(encoding, padding):
    """A picture of six colours, none symmetric in U and V, with edges between pairs: each stays in its place."""
    colours = np.array([RED, GREEN, BLUE, (200, 120, 0), (0, 90, 200), GREY], np.uint8)
    rgb = np.kron(colours.reshape(2, 3, 3), np.ones((4, 4, 1), np.uint8))  # H x W, tiles of 4 x 4
    got = image_to_rgb(yuv_message(rgb, encoding, padding))
    assert got.shape == (H, W, 3) and got.dtype == np.uint8
    assert np.abs(got.astype(int) - rgb).max() <= 4


@pytest.mark.parametrize("encoding", list(YUV))
def test_yuv_brightness_is_by_pixel(encoding):
    """Luma is not subsampled: a grey ramp comes back, column by column and row by row."""
    ramp = np.repeat(np.arange(20, 20 + 2 * H * W, 2, dtype=np.uint8).reshape(H, W, 1), 3, axis=2)
    assert np.abs(image_to_rgb(yuv_message(ramp, encoding, 3)).astype(int) - ramp).max() <= 2


SIXTEEN = [e for e in SUPPORTED_ENCODINGS if "16" in e]


@pytest.mark.parametrize("padding", [0, 4])
@pytest.mark.parametrize("encoding", SIXTEEN)
def test_byte_order(encoding, padding):
    colour = GREY if encoding in GREYS else (200, 120, 30)
    pixels = encode(plain(colour), encoding)
    little, big = (image_to_rgb(message(pixels, encoding, padding, big)) for big in (False, True))
    assert np.array_equal(little, big) and np.array_equal(little, plain(colour))


def test_the_byte_order_of_single_bytes_means_nothing():
    for encoding in ("rgb8", "bayer_gbrg8"):
        assert np.array_equal(image_to_rgb(message(encode(plain(RED), encoding), encoding, 2, big=True)), plain(RED))


@pytest.mark.parametrize("encoding", [e for e in COLOURED if e.startswith("bayer")])
def test_bayer_halves_stay_on_their_sides(encoding):
    """Left half orange, right half blue: away from the edge the colours are exact, on either side of it they differ."""
    rgb = plain((200, 120, 30))
    rgb[:, W // 2 :] = (10, 60, 220)
    got = image_to_rgb(message(encode(rgb, encoding), encoding, 2))
    for columns in (slice(0, W // 2 - 1), slice(W // 2 + 1, W)):
        assert np.array_equal(got[:, columns], rgb[:, columns])


def test_every_supported_encoding_has_a_test_of_its_colours():
    assert set(SUPPORTED_ENCODINGS) == {*COLOURED, *GREYS, *YUV}
    for encoding in COLOURED:
        encode(plain(RED), encoding)


def test_every_pixel_stays_in_its_place():
    rgb = np.random.default_rng(1).integers(0, 256, (H, W, 3), np.uint8)
    for encoding in ("rgb8", "bgr8", "rgba8", "bgra8", "rgb16"):
        assert np.array_equal(image_to_rgb(message(encode(rgb, encoding), encoding, 2)), rgb)


def test_round_trip_and_header():
    rgb = np.random.default_rng(2).integers(0, 256, (H, W, 3), np.uint8)
    sent = rgb_to_image(rgb[:, ::-1], Header(frame_id="eye"))  # not contiguous
    assert sent.header.frame_id == "eye" and sent.step == 3 * W
    assert np.array_equal(image_to_rgb(sent), rgb[:, ::-1])


@pytest.mark.parametrize(
    "broken",
    [
        Image(encoding="rgb8"),
        Image(encoding="rgb8", height=2, width=0, data=[1]),
        Image(encoding="rgb8", height=2, width=2, step=5, data=[0] * 12),
        Image(encoding="rgb8", height=2, width=2, step=6, data=[0] * 11),
        Image(encoding="rgb8", height=2**31, width=2**31, step=2**31 - 1, data=[0] * 11),
        Image(encoding="yuyv", height=2, width=3, step=6, data=[0] * 12),
        Image(encoding="nv12", height=3, width=2, step=2, data=[0] * 12),
        Image(encoding="nv21", height=2, width=3, step=4, data=[0] * 12),
        Image(encoding="nv12", height=2, width=2, step=2, data=[0] * 5),
        Image(encoding="nv12", height=2, width=0, data=[0] * 5),
        Image(encoding="bayer_rggb8", height=1, width=1, step=1, data=[0]),
    ],
    ids=[
        "0x0",
        "no width",
        "short step",
        "short data",
        "huge",
        "odd width",
        "nv12 odd",
        "nv21 odd",
        "nv12 cut",
        "nv12 no width",
        "bayer of one pixel",
    ],  # fmt: skip
)
def test_broken_images_are_typed_errors(broken):
    with pytest.raises(ImageMessageError):
        image_to_rgb(broken)


def test_step_zero_means_no_padding():
    assert image_to_rgb(Image(encoding="mono8", height=2, width=2, step=0, data=[1, 2, 3, 4]))[1, 0, 0] == 3


def test_an_unknown_encoding_names_itself_and_the_known():
    with pytest.raises(UnsupportedEncodingError, match="'theora9'.*rgb8"):
        image_to_rgb(Image(encoding="theora9", height=1, width=1, step=3, data=[0] * 3))


def test_empty_means_the_latest_frame():
    assert is_empty(Image()) and is_empty(Image(height=3))
    assert not is_empty(Image(data=[1])) and not is_empty(Image(height=1, width=1))


@pytest.mark.parametrize("codec", ["png", "jpg"])
def test_compressed(codec):
    ok, data = cv2.imencode(f".{codec}", plain(RED)[..., ::-1])
    rgb = compressed_to_rgb(CompressedImage(format=f"rgb8; {codec} compressed bgr8", data=data.tobytes()))
    assert np.all(abs(rgb.astype(int) - plain(RED)) <= 8)


def test_broken_compressed():
    with pytest.raises(ImageMessageError):
        compressed_to_rgb(CompressedImage(format="jpeg", data=b"\xff\xd8 nothing"))
    with pytest.raises(ImageMessageError):
        compressed_to_rgb(CompressedImage(format="png"))
    endless = bytearray(cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes())
    endless[16:24] = (40_000).to_bytes(4, "big") * 2  # the header's width and height
    endless[29:33] = zlib.crc32(endless[12:29]).to_bytes(4, "big")
    with pytest.raises(ImageMessageError, match="does not decode"):
        compressed_to_rgb(CompressedImage(format="png", data=bytes(endless)))
    with pytest.raises(UnsupportedEncodingError, match="h264"):
        compressed_to_rgb(CompressedImage(format="h264", data=b"\x00\x00\x00\x01"))


@pytest.mark.parametrize("big", [False, True])
def test_depth_units_come_from_the_encoding(big):
    millimetres = np.array([[0, 1500], [65535, 20]], np.uint16)
    metres = np.array([[np.nan, 1.5], [0.0, np.inf]], np.float32)
    first = depth_to_metres(message(millimetres, "16UC1", 4, big))
    assert np.isnan(first[0, 0]) and first[0, 1] == pytest.approx(1.5) and first[1, 1] == pytest.approx(0.02)
    second = depth_to_metres(message(metres, "32FC1", 8, big))
    assert second[0, 1] == 1.5 and np.isnan(second).sum() == 3
    with pytest.raises(DepthMessageError):
        depth_to_metres(Image(encoding="rgb8", height=1, width=1, step=3, data=[0] * 3))
    with pytest.raises(DepthMessageError):
        depth_to_metres(Image(encoding="32FC1", height=2, width=2, step=8, data=[0] * 3))


def test_position_is_robust_to_holes_and_background():
    depth = np.full((100, 100), 2.0, np.float32)  # the wall
    depth[35:65, 35:65] = 0.5  # the object
    depth[45:48] = np.nan  # a hole across it
    camera = CameraModel(100.0, 100.0, 49.5, 49.5, 100, 100)
    x, y, z = place_of_box(depth, Box(30, 30, 70, 70), (100, 100), camera).position
    assert z == pytest.approx(0.5) and (x, y) == pytest.approx((0.0, 0.0))
    x, y, z = place_of_box(depth, Box(60, 60, 140, 140), (200, 200), camera).position  # the image is twice as large
    assert (x, y, z) == pytest.approx((0.0, 0.0, 0.5), abs=0.003)
    assert place_of_box(np.full((9, 9), np.nan, np.float32), Box(1, 1, 8, 8), (9, 9), camera) is None


def test_array_to_image_is_a_memory_copy():
    """A loop over the bytes in Python would take 50 ms for VGA; ten copies take less than that together."""
    import time

    pixels = np.zeros((480, 640, 3), np.uint8)
    array_to_image(pixels, "rgb8", Header())
    begun = time.perf_counter()
    for _ in range(10):
        array_to_image(pixels, "rgb8", Header())
    assert time.perf_counter() - begun < 0.05 * 10
