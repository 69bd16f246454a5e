"""Pictures on their way to the browsers: encoded once for all of them, the newest camera frame only.

A `Picture` holds the very bytes that go over every socket: four bytes with the length of a JSON header, the header,
the JPEG or PNG. Encoding happens in one worker thread, never in the thread that hears the robot.
"""

from __future__ import annotations

import itertools
import json
import logging
import threading
import time
from collections import Counter, OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Dict, Iterable, List, NamedTuple, Optional, Set, Tuple

import cv2
import numpy as np

from clue_ros.types import ClueError

JPEG_QUALITY = 80
MAX_SIDE = 1280  # of a JPEG, pixels; a larger image is made smaller for the page, its header says the original size
FRESH_S = 0.5  # an encoded frame older than this is not sent any more if the camera has a newer one
BYTES_KEPT = 64 << 20  # of frozen frames and maps of the whole session; the oldest go first
HELD = 4  # frames of a camera before, and as many after, the words that a dialogue begins with

_log = logging.getLogger(__name__)
_numbers = itertools.count(1)  # of all pictures of this process: a page may look at several stores


class Picture(NamedTuple):
    """data: what goes over the socket; body: the JPEG or PNG alone, a view into it; mime: of that."""

    id: int
    kind: str
    mime: str
    data: bytes
    body: memoryview


class Frame(NamedTuple):
    """A camera frame before it is encoded. stamp: ns, of its header; rgb() gives uint8[H, W, 3] and may raise a
    ClueError."""

    stamp: int
    rgb: Callable[[], np.ndarray]


def pack(kind: str, number: int, width: int, height: int, mime: str, body: bytes, **more: object) -> Picture:
    """width, height: of the original image, in pixels."""
    header = {"kind": kind, "id": number, "width": width, "height": height, "mime": mime, **more}
    text = json.dumps(header, separators=(",", ":")).encode()
    data = len(text).to_bytes(4, "big") + text + body
    return Picture(number, kind, mime, data, memoryview(data)[4 + len(text) :])


def encode_frame(number: int, rgb: np.ndarray, live: bool) -> Picture:
    """uint8[H, W, 3] RGB -> JPEG, its longer side at most MAX_SIDE."""
    height, width = rgb.shape[:2]
    scale = MAX_SIDE / max(height, width)
    if scale < 1:
        rgb = cv2.resize(
            rgb, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA
        )
    done, body = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise ClueError(f"a frame of {width}x{height} does not encode as JPEG")
    return pack("frame", number, width, height, "image/jpeg", body.tobytes(), live=live)


def encode_map(number: int, grey: np.ndarray) -> Picture:
    """uint8[h, w] -> PNG: an attention map (its own small size) or a mask (the image's)."""
    done, body = cv2.imencode(".png", grey)
    if not done:
        raise ClueError(f"a map of {grey.shape} does not encode as PNG")
    return pack("map", number, grey.shape[1], grey.shape[0], "image/png", body.tobytes())


class Pictures:
    """All pictures of a session. Any thread may call it; `on_new` is called from the worker when one is ready."""

    def __init__(self, on_new: Callable[[], None] = lambda: None) -> None:
        self.on_new = on_new
        self.encoded_live = 0  # how many live frames were encoded so far, whoever looks at them
        self._lock = threading.Lock()
        self._offered: Optional[Frame] = None
        self._offers = 0
        self._live: Optional[Picture] = None
        self._live_at = 0.0  # monotonic seconds
        self._live_of = 0
        self._kept: "OrderedDict[int, Picture]" = OrderedDict()
        self._bytes = 0
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="console-encoder")
        self._busy = False

    # The camera.

    def offer(self, frame: Frame) -> None:
        """The newest camera frame: it replaces the one before, which nobody may ever see. Costs nothing."""
        with self._lock:
            self._offered = frame
            self._offers += 1

    @property
    def offers(self) -> int:
        """How many frames were offered so far."""
        return self._offers

    @property
    def live(self) -> Optional[Picture]:
        """The newest live frame; None before the first, and while only one is encoded that is long out of date."""
        with self._lock:
            fresh = self._live_of == self._offers or time.monotonic() - self._live_at < FRESH_S
            return self._live if fresh else None

    def encode_live(self) -> bool:
        """Asks for the newest offered frame as the live picture; False if it is encoded already, or one is on its
        way.
        """
        with self._lock:
            frame, number = self._offered, self._offers
            if frame is None or self._busy or number == self._live_of:
                return False
            self._busy = True
        self._worker.submit(self._encode_live, frame, number)
        return True

    def _encode_live(self, frame: Frame, number: int) -> None:
        picture: Optional[Picture] = None
        try:
            picture = encode_frame(next(_numbers), frame.rgb(), live=True)
        except (ClueError, cv2.error) as error:
            _log.debug("a live frame was left out: %s", error)
        with self._lock:
            self._busy, self._live_of = False, number
            if picture is not None:
                self._live, self._live_at = picture, time.monotonic()
                self.encoded_live += 1
        self.on_new()

    # What a dialogue is about.

    def freeze(self, frame: Frame) -> int:
        """The id under which a frame will be found; it is encoded in the background."""
        return self.keep(lambda number: encode_frame(number, frame.rgb(), live=False))

    def keep_map(self, grey: np.ndarray) -> int:
        """The same for uint8[h, w]."""
        return self.keep(lambda number: encode_map(number, grey))

    def keep(self, make: Callable[[int], Picture]) -> int:
        """The same for a picture that `make` encodes under the id that it is given, in the worker thread."""
        number = next(_numbers)
        self._worker.submit(self._keep, number, make)
        return number

    def get(self, number: int) -> Optional[Picture]:
        """None while it is not encoded yet, or no longer kept."""
        with self._lock:
            return self._kept.get(number)

    def find(self, numbers: Iterable[int]) -> List[Picture]:
        """Those that are here."""
        return [picture for picture in map(self.get, numbers) if picture is not None]

    def settle(self, last: Callable[[], None] = lambda: None) -> None:
        """Waits until everything that was asked for is encoded. last: done after that, in the worker thread."""
        self._worker.submit(last).result()

    def close(self) -> None:
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _keep(self, number: int, make: Callable[[int], Picture]) -> None:
        try:
            picture = make(number)
        except (ClueError, cv2.error) as error:
            _log.warning("a picture of the dialogue was left out: %s", error)
            return
        with self._lock:
            self._kept[picture.id] = picture
            self._bytes += len(picture.data)
            while self._bytes > BYTES_KEPT and len(self._kept) > 1:
                self._bytes -= len(self._kept.popitem(last=False)[1].data)
        self.on_new()


class RecentFrames:
    """The last frames of all cameras by their stamps, so that a dialogue's very image is found. For one thread.

    Large frames last a second only (35 of 1280x720), and a model may take longer to say which it looked at: those
    around the moment when it began are held.
    """

    def __init__(self, seconds: float = 4.0, max_bytes: int = 96 << 20) -> None:
        self._seconds, self._max_bytes = seconds, max_bytes
        self._frames: "OrderedDict[Tuple[str, int], Tuple[Frame, float, int]]" = OrderedDict()
        self._bytes = 0
        self._held: Set[Tuple[str, int]] = set()
        self._to_come: Optional[Counter] = None  # how many of each camera were held since `hold`

    def hold(self) -> None:
        """A dialogue begins: the last HELD frames of each camera, and as many that follow, stay until `release`."""
        count: Counter = Counter()
        self._held, self._to_come = set(), Counter()
        for key in reversed(self._frames):
            count[key[0]] += 1
            if count[key[0]] <= HELD:
                self._held.add(key)

    def release(self) -> None:
        self._held, self._to_come = set(), None

    def add(self, frame_id: str, frame: Frame, size: int, now: float) -> None:
        """size: bytes that it holds; now: monotonic seconds."""
        key = (frame_id, frame.stamp)
        old = self._frames.pop(key, None)
        self._bytes += size - (0 if old is None else old[2])
        self._frames[key] = (frame, now, size)
        if self._to_come is not None and self._to_come[frame_id] < HELD:
            self._to_come[frame_id] += 1
            self._held.add(key)
        for gone, (_, since, length) in list(self._frames.items())[:-1]:
            if self._bytes <= self._max_bytes and now - since <= self._seconds:
                break
            if gone not in self._held:
                del self._frames[gone]
                self._bytes -= length

    def find(self, frame_id: str, stamp: int) -> Optional[Frame]:
        """The frame of exactly that header; None if it was never seen here, or is gone."""
        found = self._frames.get((frame_id, stamp))
        return None if found is None else found[0]

    def __len__(self) -> int:
        return len(self._frames)


def to_grey(heat: np.ndarray) -> np.ndarray:
    """float[h, w] in [0, 1] (what is not finite counts as 0) -> uint8[h, w]."""
    return np.rint(np.clip(np.nan_to_num(np.asarray(heat, np.float32), nan=0.0), 0.0, 1.0) * 255).astype(np.uint8)


def ids_in(dialogue: Dict) -> List[int]:
    """The pictures that a dialogue of the state refers to, each once, its frame first."""
    numbers = [dialogue.get("frame")]
    for reading in dialogue.get("readings", ()):
        numbers += [reading["frame"], reading["map"]]
    numbers.append((dialogue.get("target") or {}).get("mask"))
    return list(dict.fromkeys(number for number in numbers if number is not None))
