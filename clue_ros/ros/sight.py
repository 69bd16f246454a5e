"""What the model has seen of the camera: one encoded frame, taken again for the words that come later.

A frame "was seen" if it is the very message, or if its picture is the same: then what the model made of the seen frame
holds for the newest one too, whose header and pixels are used for everything else. Two pictures are the same if in no
tile of an 8 x 8 grid their small grey thumbnails differ by more than a tolerance on average. The tiles matter: an
object that moves changes one or two of them a lot, and the mean over the whole image about as little as noise does.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, NamedTuple, Optional

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from clue_ros.ros.conversions import message_to_rgb

TILES = 8  # a side
TILE = 8  # thumbnail pixels a side of a tile
ENOUGH = 360  # rows or columns: of larger images every second, third, ... pixel is looked at


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
    taken: float  # monotonic seconds
    ahead: bool


class Sight:
    """Holds one seen frame at most. `view` and `look` belong to the worker's thread, `open` and `forget` to any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = False
        self._seen: Optional[_Seen] = None

    def open(self) -> None:
        """From now on what is seen is kept."""
        with self._lock:
            self._open = True

    def forget(self) -> None:
        """Frees the seen frame; nothing is kept until `open`, also not by a look that runs right now."""
        with self._lock:
            self._open = False
            self._seen = None

    def clear(self) -> None:
        """Frees the seen frame only."""
        self._keep(None)

    def view(
        self, grounder: Any, message: "Image | CompressedImage", taken: float, tolerance: float, max_age_s: float
    ) -> View:
        """The frame encoded: as seen if its picture is the same and was taken at most `max_age_s` ago, else anew.

        taken: monotonic seconds at which the frame was taken. Raises what message_to_rgb and Grounder.encode raise.
        """
        seen = self._seen
        if seen is not None and seen.message is message:
            return View(seen.rgb, seen.encoded, seen.ahead)
        rgb = message_to_rgb(message)
        small = thumbnail(rgb)
        if seen is not None and _holds(seen, rgb, small, tolerance, max_age_s):
            return View(rgb, seen.encoded, seen.ahead)
        del seen
        return self._encode(grounder, message, rgb, small, taken)

    def look(
        self, grounder: Any, message: "Image | CompressedImage", taken: float, tolerance: float, max_age_s: float,
        should_stop: Callable[[], bool],
    ) -> bool:  # fmt: skip
        """Runs the frame ahead unless its picture was seen less than `max_age_s` ago; True if the model had to work.

        Stops between encoding and running ahead. Raises as `view`, and what Grounder.look raises.
        """
        seen = self._seen
        if seen is None or seen.message is not message:
            rgb = message_to_rgb(message)
            small = thumbnail(rgb)
            if seen is None or not _holds(seen, rgb, small, tolerance, max_age_s):
                del seen
                self._encode(grounder, message, rgb, small, taken)
                seen = self._seen
        if seen is None or seen.ahead:
            return seen is None
        if not should_stop():
            self._keep(seen._replace(encoded=grounder.look(seen.encoded), ahead=True))
        return True

    def _encode(
        self, grounder: Any, message: "Image | CompressedImage", rgb: np.ndarray, small: np.ndarray, taken: float
    ) -> View:
        self._keep(None)  # before the new one is made: never two in the device's memory
        encoded = grounder.encode(rgb)
        self._keep(_Seen(message, rgb, small, encoded, taken, False))
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


def _holds(seen: _Seen, rgb: np.ndarray, small: np.ndarray, tolerance: float, max_age_s: float) -> bool:
    if tolerance <= 0 or seen.rgb.shape != rgb.shape or time.monotonic() - seen.taken > max_age_s:
        return False
    return difference(seen.thumbnail, small) <= tolerance
