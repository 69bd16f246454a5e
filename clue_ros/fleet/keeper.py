"""What a server does with its one Grounder: a worker thread, robots that take turns, and the images that were seen.

Nothing here knows HTTP. A dialogue is not kept: each request brings its turns, so a server that dies loses none.
An image is kept under the robot's name and the hash of its bytes, so nobody can reach or replace another's.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import Counter, OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Optional, Tuple

import cv2
import numpy as np

from clue_ros.belief.grounder import BeliefGrounder
from clue_ros.fleet.job_queue import JobQueue, Lane
from clue_ros.fleet.wire import File, fingerprint
from clue_ros.geometry import MAX_SIDE
from clue_ros.seams import Grounder, SeenImage
from clue_ros.types import Cancelled, ClueError, InvalidImageError, OutOfMemoryError, StopTest


class BusyError(ClueError):
    """Too much waits already: try again."""


class UnknownImageError(ClueError):
    """The server does not hold (any more) what it is asked about: send the image along."""


@dataclass(frozen=True)
class Limits:
    """images: held in all; per_robot: of them a robot's; waiting: requests that wait or run, and of them a robot's."""

    images: int = 64
    images_per_robot: int = 4
    waiting: int = 64
    waiting_per_robot: int = 4


@dataclass
class Held:
    """An image that was seen, and what asks about it in each policy."""

    seen: SeenImage
    ahead: bool = False
    asking: Dict[str, BeliefGrounder] = field(default_factory=dict)


class Keeper:
    """`submit` from any thread; `work` of a job runs in the worker's, where `held` may be used."""

    def __init__(self, grounder: Grounder, limits: Limits = Limits()) -> None:
        self.grounder, self.limits = grounder, limits
        self.done: "Counter[str]" = Counter()  # requests by how they ended
        self.seconds, self.encoded = 0.0, 0  # of work; images that the model had to see
        self._images: "OrderedDict[Tuple[str, str], Held]" = OrderedDict()
        self._queue: "JobQueue[Job]" = JobQueue()
        self._lock = threading.Lock()
        self._waiting: "Counter[str]" = Counter()
        self._thread = threading.Thread(target=self._serve, name="keeper", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Requests that wait or run."""
        with self._lock:
            return self._waiting.total()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def images(self) -> int:
        return len(self._images)

    def check_room(self, robot: str) -> None:
        """Raises BusyError: before a body is read, and again by `submit`."""
        with self._lock:
            if self._waiting.total() >= self.limits.waiting:
                raise BusyError(f"{self.limits.waiting} requests wait already: try again, or start more replicas")
            if self._waiting[robot] >= self.limits.waiting_per_robot:
                raise BusyError(f"{self._waiting[robot]} requests of this robot wait already: await them first")

    def submit(self, robot: str, work: "Callable[[StopTest], Any]", ahead: bool = False) -> "Job":
        """Queues work(should_stop). ahead: nobody waits for it. Raises BusyError."""
        self.check_room(robot)
        job = Job(work, robot, self)
        with self._lock:
            self._waiting[robot] += 1
        self._queue.put(job, Lane.REQUEST if ahead else Lane.DIALOGUE, robot)
        return job

    def held(self, robot: str, image: str, sent: Any = None) -> Held:
        """What was seen under this hash, or what is seen of `sent` now. Raises UnknownImageError, InvalidImageError."""
        key = (robot, image)
        held = self._images.pop(key, None)
        if held is None:
            if sent is None:
                raise UnknownImageError("this image is not held: send it along")
            if fingerprint(sent) != image:
                raise InvalidImageError("the image does not have the hash under which it was sent")
            rgb = pixels_of(sent)
            self._make_room(robot)
            held = Held(self.grounder.encode(rgb))
            self.encoded += 1
        self._images[key] = held  # the newest is last
        return held

    def asking(self, held: Held, policy: str) -> BeliefGrounder:
        """What keeps a belief about this image from turn to turn. Raises ValueError for an unknown policy."""
        if policy not in held.asking:
            held.asking[policy] = BeliefGrounder(self.grounder, policy)
        return held.asking[policy]

    def close(self) -> None:
        """Ends the worker after what runs; what waits is Cancelled."""
        self._queue.close()
        self._thread.join(30.0)

    def metrics(self, replica: str = "") -> str:
        """As Prometheus reads it."""
        label = f'{{replica="{replica}"}}'
        lines = ["# TYPE clue_requests_total counter"]
        lines += [
            f'clue_requests_total{{replica="{replica}",ended="{how}"}} {n}' for how, n in sorted(self.done.items())
        ]
        for name, kind, value in (
            ("clue_work_seconds_total", "counter", round(self.seconds, 6)),
            ("clue_images_encoded_total", "counter", self.encoded),
            ("clue_images_held", "gauge", self.images),
            ("clue_waiting", "gauge", self.waiting),
            ("clue_waiting_limit", "gauge", self.limits.waiting),
        ):
            lines += [f"# TYPE {name} {kind}", f"{name}{label} {value}"]
        return "\n".join(lines) + "\n"

    def _make_room(self, robot: str) -> None:
        """Before a new image is seen: never more in the device's memory than the limits say."""
        own = [key for key in self._images if key[0] == robot]
        for key in own[: max(0, len(own) - self.limits.images_per_robot + 1)]:
            del self._images[key]
        while len(self._images) >= self.limits.images:
            self._images.popitem(last=False)

    def _serve(self) -> None:
        while True:
            job = self._queue.take()
            if job is None:
                return
            begun = time.perf_counter()
            try:
                job.run()
            except OutOfMemoryError:
                self._images.clear()  # what can be given back is given back
            self.seconds += time.perf_counter() - begun
            del job  # or its image stays until the next one

    def ended(self, job: "Job", how: str) -> None:
        with self._lock:
            self.done[how] += 1
            self._waiting[job.robot] -= 1
            self._waiting += Counter()  # forgets robots with nothing


class Job:
    """One request. `future` ends with its result or whatever the Grounder raised."""

    def __init__(self, work: "Callable[[StopTest], Any]", robot: str, keeper: Keeper) -> None:
        self._work: "Optional[Callable[[StopTest], Any]]" = work
        self.robot, self._keeper = robot, keeper
        self._stop = threading.Event()
        self.future: "Future[Any]" = Future()
        self.future.set_running_or_notify_cancel()  # from now on only its end decides: nobody can cancel the Future

    def cancel(self) -> None:
        """A waiting job ends at once, a running one at its next look at should_stop."""
        self._stop.set()
        if self._keeper._queue.remove(self):
            self._end(Cancelled("the client went away"))

    def run(self) -> None:
        """By the worker. Raises only OutOfMemoryError, after it is told to the client."""
        work, self._work = self._work, None
        assert work is not None
        try:
            result = work(self._stop.is_set)
        except Exception as error:  # the model's own bug must not end the thread
            if not isinstance(error, ClueError):
                traceback.print_exc()
            self._end(error.with_traceback(None))
            if isinstance(error, OutOfMemoryError):
                raise OutOfMemoryError from None
            return
        self._keeper.ended(self, "ok")
        self.future.set_result(result)

    def _end(self, error: Exception) -> None:
        self._work = None
        self._keeper.ended(self, type(error).__name__)
        self.future.set_exception(error)


def pixels_of(sent: Any) -> np.ndarray:
    """uint8[H,W,3] RGB of what a client sent. Raises InvalidImageError."""
    if not isinstance(sent, File):
        if sent.dtype != np.uint8 or sent.ndim != 3 or sent.shape[2] != 3 or not sent.size:
            raise InvalidImageError(f"the image is {sent.dtype}{list(sent.shape)}: send uint8[H,W,3] RGB or a JPEG")
        return sent
    width, height = jpeg_size(sent.data)
    if not 0 < max(width, height) <= MAX_SIDE or width * height > 100_000_000:
        raise InvalidImageError(f"the JPEG says it has {width}x{height} pixels")
    try:
        flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        rgb = cv2.imdecode(np.frombuffer(sent.data, np.uint8), flags)
    except cv2.error:
        rgb = None
    if rgb is None:
        raise InvalidImageError("the JPEG does not decode")
    return rgb


def jpeg_size(data: bytes) -> "tuple[int, int]":
    """(width, height) as the file says, before memory is taken for it. Raises InvalidImageError."""
    at = 2
    while data[:2] == b"\xff\xd8" and at + 9 <= len(data) and data[at] == 0xFF:
        kind, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        at += 2 + length
    raise InvalidImageError("what was sent as JPEG is none")
