"""Compressed images, whose format says what was compressed; payloads by OpenCV, as compressed_image_transport has
them.
"""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image as Picture

from clue_ros.images.compressed import Format, compressed_to_rgb, parse_format
from clue_ros.images.encodings import LAYOUTS, ImageMessageError, UnsupportedEncodingError
from clue_ros.images.messages import message_to_rgb

H, W = 16, 24
ORANGE, BLUE = (200, 120, 40), (10, 60, 220)


def scene() -> np.ndarray:
    """uint8[H, W, 3] RGB: the left half orange, the right half blue."""
    rgb = np.full((H, W, 3), ORANGE, np.uint8)
    rgb[:, W // 2 :] = BLUE
    return rgb


def mosaic(rgb: np.ndarray, pattern: str) -> np.ndarray:
    """Each pixel keeps the colour that the pattern's letter, of the cell's first row and then its second, says."""
    result = np.empty(rgb.shape[:2], rgb.dtype)
    for place, letter in enumerate(pattern):
        row, column = divmod(place, 2)
        result[row::2, column::2] = rgb[row::2, column::2, "rgb".index(letter)]
    return result


def sent(matrix: np.ndarray, codec: str, form: str) -> SimpleNamespace:
    """A message whose payload OpenCV made of the matrix as it is, as cv_bridge and the transport hand it over."""
    ok, data = cv2.imencode({"jpeg": ".jpg", "png": ".png", "tiff": ".tiff"}[codec], matrix, QUALITY[codec])
    assert ok
    return SimpleNamespace(format=form, data=data.tobytes())


QUALITY = {"jpeg": [cv2.IMWRITE_JPEG_QUALITY, 100, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111], "png": [], "tiff": []}


def halves_are(rgb: np.ndarray, left, right, tolerance: int = 0) -> None:
    """Away from the edge and the rim, where demosaicing mixes."""
    assert rgb.shape == (H, W, 3) and rgb.dtype == np.uint8
    for columns, colour in ((slice(2, W // 2 - 2), left), (slice(W // 2 + 2, W - 2), right)):
        assert np.abs(rgb[2:-2, columns].astype(int) - colour).max() <= tolerance


def order(rgb: np.ndarray, encoding: str) -> np.ndarray:
    """The channels as `encoding` names them."""
    alpha = np.full_like(rgb[..., :1], 7)
    return {
        "rgb": rgb,
        "bgr": rgb[..., ::-1],
        "rgba": np.dstack((rgb, alpha)),
        "bgra": np.dstack((rgb[..., ::-1], alpha)),
    }[encoding.rstrip("0123456789")]


COLOURS = ["rgb8", "bgr8", "rgba8", "bgra8", "rgb16", "bgr16", "rgba16", "bgra16"]
MOSAICS = [encoding for encoding in LAYOUTS if encoding.startswith("bayer")]


@pytest.mark.parametrize("encoding", COLOURS)
@pytest.mark.parametrize("codec", ["jpeg", "png"])
def test_colour_is_made_bgr_before_it_is_compressed(codec, encoding):
    """compressed_publisher.cpp: bgr8 for jpeg, bgr8 or bgr16 for png."""
    wide = codec == "png" and encoding.endswith("16")
    matrix = scene()[..., ::-1].astype(np.uint16) * 256 + 99 if wide else scene()[..., ::-1]
    form = f"{encoding}; {codec} compressed {'bgr16' if wide else 'bgr8'}"
    halves_are(compressed_to_rgb(sent(matrix, codec, form)), ORANGE, BLUE, 3 if codec == "jpeg" else 0)


@pytest.mark.parametrize("encoding", COLOURS)
def test_tiff_is_written_in_the_cameras_own_order(encoding):
    pixels = order(scene(), encoding)
    pixels = pixels.astype(np.uint16) * 256 + 99 if encoding.endswith("16") else pixels
    halves_are(compressed_to_rgb(sent(pixels, "tiff", f"{encoding}; tiff compressed ")), ORANGE, BLUE)


@pytest.mark.parametrize("codec", ["jpeg", "png", "tiff"])
@pytest.mark.parametrize("payload", ["rgb8", "bgr8"])
def test_a_payload_that_names_its_order(payload, codec):
    message = sent(order(scene(), payload), codec, f"rgb8; {codec} compressed {payload}")
    halves_are(compressed_to_rgb(message), ORANGE, BLUE, 3)


@pytest.mark.parametrize("encoding", MOSAICS)
@pytest.mark.parametrize("codec", ["png", "tiff"])
@pytest.mark.parametrize("named", [False, True], ids=["as the transport does", "payload named"])
def test_a_mosaic_is_coloured(named, codec, encoding):
    pixels = mosaic(scene(), encoding[6:10])
    pixels = pixels.astype(np.uint16) * 256 + 99 if encoding.endswith("16") else pixels
    message = sent(pixels, codec, f"{encoding}; {codec} compressed {encoding if named else ''}")
    halves_are(compressed_to_rgb(message), ORANGE, BLUE)


def test_a_mosaic_in_a_jpeg():
    """Older transports do so; what jpeg leaves of it shows at least which colour is which."""
    message = sent(mosaic(scene(), "rggb"), "jpeg", "bayer_rggb8; jpeg compressed ")
    halves_are(compressed_to_rgb(message), ORANGE, BLUE, 12)


def test_a_mosaic_of_16_bits_in_a_jpeg_has_8():
    message = sent(mosaic(scene(), "grbg"), "jpeg", "bayer_grbg16; jpeg compressed ")
    halves_are(compressed_to_rgb(message), ORANGE, BLUE, 12)


@pytest.mark.parametrize("codec", ["jpeg", "png"])
def test_a_mosaic_that_was_coloured_or_greyed_before(codec):
    """Newer transports let cv_bridge make mono8 of it, others bgr8: the payload says so."""
    halves_are(
        compressed_to_rgb(sent(scene()[..., ::-1], codec, f"bayer_rggb8; {codec} compressed bgr8")), ORANGE, BLUE, 3
    )
    grey = np.full((H, W), 90, np.uint8)
    got = compressed_to_rgb(sent(grey, codec, f"bayer_rggb8; {codec} compressed mono8"))
    halves_are(got, (90, 90, 90), (90, 90, 90), 1)


def test_a_mosaic_whose_payload_is_said_to_be_colour_but_is_not():
    halves_are(
        compressed_to_rgb(sent(mosaic(scene(), "gbrg"), "png", "bayer_gbrg8; png compressed bgr8")), ORANGE, BLUE
    )


@pytest.mark.parametrize(
    "form, codec, wide",
    [
        ("mono8; jpeg compressed ", "jpeg", False), ("mono8; jpeg compressed mono8", "jpeg", False),
        ("mono8; png compressed ", "png", False), ("8UC1; png compressed ", "png", False),
        ("mono16; jpeg compressed mono8", "jpeg", False), ("mono16; png compressed ", "png", True),
        ("16UC1; png compressed ", "png", True), ("mono16; png compressed mono16", "png", True),
        ("mono16; tiff compressed ", "tiff", True), ("mono16; png compressed bgr8", "png", True), ("png", "png", True),
        ("jpeg", "jpeg", False),
    ],
)  # fmt: skip
def test_grey(form, codec, wide):
    ramp = np.repeat(np.arange(5, 5 + 8 * W, 8, dtype=np.uint8)[None], H, axis=0)
    got = compressed_to_rgb(sent(ramp.astype(np.uint16) * 256 + 99 if wide else ramp, codec, form))
    assert np.abs(got.astype(int) - ramp[..., None]).max() <= (1 if codec == "jpeg" else 0)


@pytest.mark.parametrize(
    "form",
    [
        "jpeg",
        "JPEG",
        "rgb8; jpeg",
        "rgb8; jpeg compressed",
        "bgr8; jpeg compressed",
        "",
        "image/jpeg",
        "rgb8;jpeg compressed bgr8",
        "jpeg compressed bgr8",
    ],
)
def test_cameras_that_compress_themselves_write_ordinary_files(form, tmp_path):
    """Made by another library: a jpeg's colours are its own, whatever the camera's encoding is said to be."""
    Picture.fromarray(scene()).save(tmp_path / "a.jpg", quality=100, subsampling=0)
    halves_are(compressed_to_rgb(SimpleNamespace(format=form, data=(tmp_path / "a.jpg").read_bytes())), ORANGE, BLUE, 3)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "1", "I;16"])
def test_every_kind_of_png(mode, tmp_path):
    if mode == "I;16":
        picture = Picture.fromarray(np.full((H, W), 90 * 256, np.uint16))
    else:
        picture = Picture.fromarray(np.full((H, W, 3), 90 if mode != "1" else 255, np.uint8))
        picture = picture.quantize(4) if mode == "P" else picture.convert(mode)
    picture.save(tmp_path / "a.png")
    got = compressed_to_rgb(SimpleNamespace(format="png", data=(tmp_path / "a.png").read_bytes()))
    grey = 255 if mode == "1" else 90
    halves_are(got, (grey,) * 3, (grey,) * 3)


def test_a_rotation_in_the_file_is_not_the_sensors(tmp_path):
    exif = Picture.Exif()
    exif[0x0112] = 6
    Picture.fromarray(scene()).save(tmp_path / "a.jpg", exif=exif, quality=100, subsampling=0)
    halves_are(
        compressed_to_rgb(SimpleNamespace(format="jpeg", data=(tmp_path / "a.jpg").read_bytes())), ORANGE, BLUE, 3
    )


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("encoding", ["mono16", "bayer_rggb16"])
def test_the_bits_of_samples(encoding, bits):
    """By the definition: the upper eight of so many bits."""
    samples = (np.arange(H * W).reshape(H, W) * 37 % 2**bits).astype(np.uint16)
    if encoding != "mono16":
        samples = np.full((H, W), 2**bits - 1, np.uint16)
    got = compressed_to_rgb(sent(samples, "png", f"{encoding}; png compressed "), bits)
    assert np.array_equal(got, np.repeat((samples // 2 ** (bits - 8)).astype(np.uint8)[..., None], 3, axis=2))


def test_a_sample_beyond_its_bits_is_white_not_black():
    image = SimpleNamespace(
        encoding="mono16", height=1, width=3, step=6, is_bigendian=0, data=np.uint16([0, 4096, 65535]).tobytes()
    )
    assert message_to_rgb(image, 12)[0, :, 0].tolist() == [0, 255, 255]


def test_raw_images_by_their_bits():
    """12 bits in rgb16, from the lowest: the expected colours are those of the 8-bit picture."""
    samples = scene().astype(np.uint16) * 16 + 15
    image = SimpleNamespace(encoding="rgb16", height=H, width=W, step=6 * W, is_bigendian=0, data=samples.tobytes())
    assert np.array_equal(message_to_rgb(image, 12), scene())
    assert message_to_rgb(image).max() <= 13, "nearly black by the full range"


@pytest.mark.parametrize(
    "text, parts",
    [
        ("rgb8; jpeg compressed bgr8", ("rgb8", "jpeg", "bgr8")), ("mono16; png compressed ", ("mono16", "png", "")),
        ("jpeg", ("", "jpeg", "")), ("", ("", "", "")), ("bayer_rggb8;PNG compressed", ("bayer_rggb8", "png", "")),
        (";", ("", "", "")), ("16UC1; compressedDepth png", ("16UC1", "compresseddepth", "")),
    ],
)  # fmt: skip
def test_the_parts_of_a_format(text, parts):
    assert parse_format(text) == Format(*parts)


def test_what_cannot_be_read_is_named():
    depth = sent(np.zeros((H, W), np.float32), "tiff", "32FC1; tiff compressed ")
    with pytest.raises(UnsupportedEncodingError, match="'32FC1; tiff compressed ' holds 1 channel.* of float32"):
        compressed_to_rgb(depth)
    for form, error in (
        ("bayer_rggb8; png compressed ", ImageMessageError),
        ("16UC1; compressedDepth", UnsupportedEncodingError),
    ):
        with pytest.raises(error, match=form.split(";")[0]):
            compressed_to_rgb(SimpleNamespace(format=form, data=b"\x89PNG nothing"))
    with pytest.raises(ImageMessageError, match="smaller than one Bayer cell"):
        compressed_to_rgb(sent(np.zeros((1, 1), np.uint8), "png", "bayer_rggb8; png compressed "))
