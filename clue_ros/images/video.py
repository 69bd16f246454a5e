"""Pictures that move: a webcam, a network stream, a video file or a folder of pictures, one frame after the other.

    with open_video("0") as video:          # also "/dev/video0", "rtsp://…", "table.mp4", "pictures/"
        rgb = video.read()                  # uint8[H, W, 3] RGB; None: it is over

Live sources give frames at their own pace and `read` waits for the next one. Files and folders are read at once;
whoever shows them keeps the pace that `rate_hz` says.
"""

from __future__ import annotations

import contextlib
import os
import re
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Iterator, List, Optional, Tuple

import cv2
import numpy as np

from clue_ros.images.photos import read_photo
from clue_ros.types import ClueError, InvalidImageError

PICTURES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"))
STREAM = re.compile(r"^(rtsp|rtsps|rtmp|http|https|udp|tcp)://\S+$", re.IGNORECASE)
DEVICE = re.compile(r"^(/dev/video)?(\d{1,3})$")
STREAM_TIMEOUT_MS = 8000  # of a stream that does not answer
USUAL_RATE_HZ = 30.0  # where a source does not know its own


class VideoError(ClueError):
    """A source that cannot be opened or read; the text says what to do."""


class Video(ABC):
    """One opened source. is_live: it goes on by itself, and frames that nobody reads are lost; rate_hz: frames a
    second, as the source says."""

    is_live: bool
    rate_hz: float

    @abstractmethod
    def read(self) -> Optional[np.ndarray]:
        """The next frame, uint8[H, W, 3] RGB; None when there is none any more (end of a file, camera unplugged)."""

    @abstractmethod
    def rewind(self) -> None:
        """To the first frame of a file or folder; a live source is opened anew. Raises VideoError."""

    def close(self) -> None:
        """Gives the device back."""

    def __enter__(self) -> "Video":
        return self

    def __exit__(self, *_) -> None:
        self.close()


def open_video(source: str, size: Optional[Tuple[int, int]] = None, picture_s: float = 5.0) -> Video:
    """Opens a source.

    Args:
        source: a camera's number or device ("0", "/dev/video0"), the address of a stream (rtsp, http, …), a video file,
            a picture, or a folder of pictures, which are shown in the order of their names.
        size: (width, height) in pixels that a camera is asked for; it may give another one. None: its own default.
        picture_s: seconds that each picture of a folder is shown, > 0.

    Raises:
        VideoError: there is no such source, or it gives no frame.
    """
    source = source.strip()
    # Persistent names such as /dev/v4l/by-id/usb-… are links to the device.
    device = DEVICE.match(os.path.realpath(source) if source.startswith("/dev/") else source)
    if device:
        return _Capture(int(device[2]), f"camera {source}", size, is_live=True)
    if STREAM.match(source):
        return _Capture(source, f"stream {_without_password(source)}", None, is_live=True)
    path = Path(source).expanduser()
    if source and path.is_dir() or (path.is_file() and path.suffix.lower() in PICTURES):
        return _Pictures(path, picture_s)
    if path.is_file():
        return _Capture(str(path), f"video {path}", None, is_live=False)
    raise VideoError(
        f"{_without_password(source)!r} is no source of pictures: give a camera's number (0) or device "
        "(/dev/video0), an address"
        " (rtsp://…, http://…), a video file, or a folder of pictures that exists"
    )


class _Capture(Video):
    """OpenCV's VideoCapture."""

    def __init__(self, source: "int | str", name: str, size: Optional[Tuple[int, int]], is_live: bool) -> None:
        self.is_live = is_live
        self._source, self._name, self._size = source, name, size
        self._capture: Optional[cv2.VideoCapture] = None
        self._first: Optional[np.ndarray] = None
        self.rewind()

    def rewind(self) -> None:
        self.close()
        self._capture = capture = _opened(self._source)
        if self._size is not None:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._size[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._size[1])
        if self.is_live:
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest frame, not one of a queue; not every driver obeys
        rate = capture.get(cv2.CAP_PROP_FPS)
        self.rate_hz = float(rate) if np.isfinite(rate) and 0.1 <= rate <= 240 else USUAL_RATE_HZ
        self._first = self._next() if capture.isOpened() else None
        if self._first is None:
            self.close()
            raise VideoError(f"{self._name} gives no picture: {_cure(self._source)}")

    def read(self) -> Optional[np.ndarray]:
        first, self._first = self._first, None
        return self._next() if first is None else first

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _next(self) -> Optional[np.ndarray]:
        if self._capture is None:
            return None
        try:
            good, bgr = self._capture.read()
        except cv2.error:
            return None
        if not good or bgr is None or bgr.size == 0:
            return None
        if bgr.ndim == 2 or bgr.shape[2] == 1:
            return cv2.cvtColor(bgr, cv2.COLOR_GRAY2RGB)
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


class _Pictures(Video):
    """The pictures of a folder, or one picture, upright. Files that cannot be read are passed over."""

    is_live = False

    def __init__(self, path: Path, picture_s: float) -> None:
        if not picture_s > 0:
            raise VideoError(f"a picture must be shown for more than 0 seconds, not {picture_s:g}")
        self.rate_hz = 1.0 / picture_s
        self._paths = _pictures_in(path) if path.is_dir() else [path]
        self._folder = path
        self._at = 0
        self._first: Optional[np.ndarray] = None
        self.rewind()

    def rewind(self) -> None:
        self._at = 0
        self._first = self._next()
        if self._first is None:
            raise VideoError(f"{self._folder} holds no picture that can be read ({', '.join(sorted(PICTURES))})")

    def read(self) -> Optional[np.ndarray]:
        first, self._first = self._first, None
        return self._next() if first is None else first

    def _next(self) -> Optional[np.ndarray]:
        while self._at < len(self._paths):
            path, self._at = self._paths[self._at], self._at + 1
            try:
                return read_photo(path)
            except InvalidImageError:
                continue
        return None


def _pictures_in(folder: Path) -> List[Path]:
    """By name, numbers in names by their value: 2.jpg before 10.jpg."""

    def order(path: Path) -> List:
        return [
            (0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", path.name.lower())
        ]

    return sorted((path for path in folder.iterdir() if path.suffix.lower() in PICTURES and path.is_file()), key=order)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What fails is said once, in words; OpenCV and FFmpeg say it in their own at every try."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    before = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(before)


@_quiet()
def _opened(source: "int | str") -> cv2.VideoCapture:
    if isinstance(source, int):
        return cv2.VideoCapture(source)
    if STREAM.match(source):
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, STREAM_TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, STREAM_TIMEOUT_MS]
        return cv2.VideoCapture(source, cv2.CAP_FFMPEG, limits)
    return cv2.VideoCapture(source)


def _cure(source: "int | str") -> str:
    if isinstance(source, int):
        device = Path(f"/dev/video{source}")
        if not device.exists():
            others = sorted(path.name for path in Path("/dev").glob("video*"))
            return (
                f"there is no {device} here ({', '.join(others) if others else 'no camera at all'}); is it plugged in?"
            )
        if not os.access(device, os.R_OK | os.W_OK):
            return f"{device} may not be opened by you; type:  sudo usermod -aG video $USER  and log in again"
        return (
            f"{device} is in use by another program, or is no camera (a camera often has two devices: try the "
            "next number)"
        )
    if STREAM.match(source):
        return (
            f"nothing answers there, or no video comes within {STREAM_TIMEOUT_MS / 1000:.0f} s; is the address right, "
            "with its port, path and password?  ffplay  shows what it gives"
        )
    return "it is damaged or of a format that OpenCV cannot read; convert it with  ffmpeg -i FILE out.mp4"


def _without_password(address: str) -> str:
    return re.sub(r"//[^/@\s]*@", "//…@", address)
