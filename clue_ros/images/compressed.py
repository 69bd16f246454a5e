"""sensor_msgs/CompressedImage to pixels: pure functions over anything that has its fields.

`format` as compressed_image_transport writes it: "ENCODING; CODEC compressed PAYLOAD", as in "rgb8; jpeg compressed
bgr8" or "bayer_rggb8; png compressed ". ENCODING is what the camera sent; PAYLOAD is what was given to OpenCV's
encoder, and nothing where it was the camera's image itself. So a one-channel payload is a Bayer mosaic unless PAYLOAD
says mono. Cameras with a codec of their own write the bare "jpeg" or "png".
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

import cv2
import numpy as np

from clue_ros.images.encodings import ImageMessageError, Seen, UnsupportedEncodingError, is_mosaic, samples_to_rgb

CODECS = ("jpeg", "jpg", "png", "tif")


class Format(NamedTuple):
    """The parts of `format`; empty: not said."""

    encoding: str
    codec: str
    payload: str


def parse_format(text: str) -> Format:
    """ "rgb8; jpeg compressed bgr8" -> Format("rgb8", "jpeg", "bgr8"); "jpeg" -> Format("", "jpeg", "")."""
    head, semicolon, tail = text.partition(";")
    encoding, words = (head.strip(), tail.split()) if semicolon else ("", head.split())
    codec = words[0].lower() if words else ""
    payload = words[2] if len(words) > 2 and words[1] == "compressed" else ""
    return Format(encoding, codec, payload)


def compressed_to_rgb(msg: Any, sample_bits: int = 0, seen: Optional[Seen] = None) -> np.ndarray:
    """sensor_msgs/CompressedImage (jpeg, png or tiff) -> uint8[H, W, 3] RGB.

    sample_bits, seen: as encodings.samples_to_rgb.

    Raises:
        UnsupportedEncodingError: the format names another codec, or the samples are no colours.
        ImageMessageError: the data do not decode.
    """
    named = parse_format(msg.format)
    samples = _decoded(msg, named)
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    if samples.dtype not in (np.uint8, np.uint16) or channels not in (1, 3, 4):
        raise UnsupportedEncodingError(
            f"compressed format {msg.format[:40]!r} holds {channels} channel(s) of {samples.dtype}: use 8 or 16 "
            "bits, grey or"
            " colour"
        )
    return samples_to_rgb(samples, _layout(named, channels), sample_bits, seen)


def _decoded(msg: Any, named: Format) -> np.ndarray:
    data = np.frombuffer(msg.data, np.uint8)
    # Unchanged: 16 bits and mosaics stay, and an EXIF rotation is ignored: camera_info and depth refer to the pixels as
    # the sensor gave them.
    try:
        samples = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except cv2.error:  # a stated size beyond OpenCV's limit
        samples = None
    if samples is not None:
        return samples
    if any(codec in named.codec for codec in CODECS) or not msg.format:
        raise ImageMessageError(f"the {msg.format or 'compressed'} image of {data.size} bytes does not decode")
    raise UnsupportedEncodingError(f"compressed format {msg.format[:40]!r} is not supported: use jpeg, png or tiff")


def _layout(named: Format, channels: int) -> str:
    """The encoding of what OpenCV's decoder gave: the payload's if that has so many channels, else by the channels."""
    if channels == 1:
        mosaic = named.payload or named.encoding
        if not mosaic.startswith(("mono", "8UC1", "16UC1")) and is_mosaic(named.encoding):
            mosaic = named.encoding
        return mosaic if is_mosaic(mosaic) else "mono8"
    # The encoder takes every three channels for BGR: a payload of RGB is RGB again after the decoder.
    tiff = "tif" in named.codec  # written with no conversion, and no payload is named
    order = "rgb" if (named.payload or (named.encoding if tiff else "")).startswith("rgb") else "bgr"
    return f"{order}8" if channels == 3 else f"{order}a8"
