"""What the model has seen of the camera: one encoded frame, taken again for the words that come later.

A frame "was seen" if it is the very message, or if its picture is the same: then what the model made of the seen frame
holds for the newest one too, whose header and pixels are used for everything else. Two pictures are the same if in no
tile of an 8 x 8 grid their small grey thumbnails differ by more than a tolerance on average. The tiles matter: an
object that moves changes one or two of them a lot, and the mean over the whole image about as little as noise does.
"""

from __future__ import annotations

import threading
import time
from enum import Enum
from typing import Any, Callable, NamedTuple, Optional

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from clue_ros.images.sample_bits import UnusedBits
from clue_ros.ros.wire.conversions import message_to_rgb
from clue_ros.seams import Grounder

TILES = 8  # a side
TILE = 8  # thumbnail pixels a side of a tile
ENOUGH = 360  # rows or columns: of larger images every second, third, ... pixel is looked at


class Glance(Enum):
    """What `Sight.look` made of a frame."""

    SAME = "the picture was seen already"
    MOVING = "it is new, and not yet at rest"
    LOOKED = "the model had to work"


class View(NamedTuple):
    """A frame as a dialogue uses it: uint8[H, W, 3] RGB, and what `Grounder.encode` or `look` made of the picture."""

    rgb: np.ndarray
    encoded: Any
    ahead: bool  # the model had run it ahead before it was asked for


class _Seen(NamedTuple):
    message: "Image | CompressedImage"
    rgb: np.ndarray
    thumbnail: np.ndarray
    encoded: Any
    since: float  # monotonic seconds
    ahead: bool


class Sight:
    """Holds one seen frame at most. `view`, `look` and `decode` belong to the worker's thread, `open` and `forget` to
    any.

    sample_bits: as encodings.eight_bits. warn: called with a sentence, once, if the pictures show that it should be
    set.
    """

    def __init__(self, sample_bits: int = 0, warn: Optional[Callable[[str], Any]] = None) -> None:
        self._sample_bits, self._unused, self._warn = sample_bits, UnusedBits(sample_bits), warn
        self._lock = threading.Lock()
        self._open = False
        self._seen: Optional[_Seen] = None
        self._glimpse: Optional[np.ndarray] = None  # the thumbnail of the frame that `look` got last
        self._rests = False  # that one showed the seen picture

    def open(self) -> None:
        """From now on what is seen is kept."""
        with self._lock:
            self._open = True

    def forget(self) -> None:
        """Frees the seen frame; nothing is kept until `open`, also not by a look that runs right now."""
        with self._lock:
            self._open = False
            self._seen = self._glimpse = None

    def clear(self) -> None:
        """Frees the seen frame only."""
        self._keep(None)

    def decode(self, message: "Image | CompressedImage") -> np.ndarray:
        """uint8[H, W, 3] RGB; raises as message_to_rgb."""
        return message_to_rgb(message, self._sample_bits, self._on_wide)

    def _on_wide(self, samples: np.ndarray) -> None:
        advice = self._unused.see(samples)
        if advice is not None and self._warn is not None:
            self._warn(advice)

    def view(self, grounder: Grounder, message: "Image | CompressedImage", tolerance: Optional[float]) -> View:
        """The frame encoded: as seen if its picture is the same, else anew.

        tolerance: see `difference`; 0: only the very message counts; None: anew in any case, and not kept. Raises what
        decode and Grounder.encode do.
        """
        if tolerance is None:
            rgb = self.decode(message)
            return View(rgb, grounder.encode(rgb), False)
        seen = self._seen
        if seen is not None and seen.message is message:
            return View(seen.rgb, seen.encoded, seen.ahead)
        rgb = self.decode(message)
        small = thumbnail(rgb)
        if seen is not None and _same(seen, rgb, small, tolerance):
            return View(rgb, seen.encoded, seen.ahead)
        del seen
        return self._encode(grounder, message, rgb, small)

    def look(
        self, grounder: Grounder, message: "Image | CompressedImage", tolerance: float, renew_s: float,
        should_stop: Callable[[], bool], at_once: bool = False,
    ) -> Glance:  # fmt: skip
        """Runs the frame ahead if its picture is new and at rest.

        New: not the seen one, or that is older than `renew_s`. At rest: the same as the frame before it, for while
        something moves a seen frame is of no use to the next words. at_once: also the first that differs from a picture
        at rest, once: it may be another scene as well as the begin of a movement. Stops between encoding and running
        ahead. Raises as `view`, and what Grounder.look raises.
        """
        seen = self._seen
        if seen is None or seen.message is not message:
            rgb = self.decode(message)
            small = thumbnail(rgb)
            before, self._glimpse = self._glimpse, small
            rested, self._rests = self._rests, seen is not None and _same(seen, rgb, small, tolerance)
            young = seen is not None and time.monotonic() - seen.since <= renew_s
            if not (young and self._rests):
                moves = before is not None and 0 < tolerance < difference(before, small)
                if moves and not (at_once and rested):
                    return Glance.MOVING
                del seen
                self._encode(grounder, message, rgb, small)
                seen = self._seen
        if seen is None:  # forgotten meanwhile
            return Glance.LOOKED
        if seen.ahead:
            return Glance.SAME
        if not should_stop():
            self._keep(seen._replace(encoded=grounder.look(seen.encoded), ahead=True))
        return Glance.LOOKED

    def _encode(
        self, grounder: Grounder, message: "Image | CompressedImage", rgb: np.ndarray, small: np.ndarray
    ) -> View:
        self._keep(None)  # before the new one is made: never two in the device's memory
        encoded = grounder.encode(rgb)
        self._keep(_Seen(message, rgb, small, encoded, time.monotonic(), False))
        return View(rgb, encoded, False)

    def _keep(self, seen: Optional[_Seen]) -> None:
        with self._lock:
            self._seen = seen if self._open else None


def thumbnail(rgb: np.ndarray) -> np.ndarray:
    """uint8[H, W, 3] RGB -> float32[64, 64] grey in [0, 255], each pixel the mean of its part of the image."""
    side = TILES * TILE
    step = max(1, min(rgb.shape[:2]) // ENOUGH)
    grey = cv2.cvtColor(np.ascontiguousarray(rgb[::step, ::step]), cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Of two thumbnails: the mean absolute difference of the tile in which it is largest, in [0, 255]."""
    tiles = np.abs(one - other).reshape(TILES, TILE, TILES, TILE)
    return float(tiles.mean(axis=(1, 3)).max())


def _same(seen: _Seen, rgb: np.ndarray, small: np.ndarray, tolerance: float) -> bool:
    return tolerance > 0 and seen.rgb.shape == rgb.shape and difference(seen.thumbnail, small) <= tolerance
