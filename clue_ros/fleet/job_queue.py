"""Who is served next by the one model: fair between clients, and looks at the camera only when nobody waits.

Within a source (one camera's requests, one dialogue) jobs keep their order. Sources take turns, and so do dialogues and
requests as a whole: whoever was served last comes last. So however many detection requests a client has sent, a
dialogue's step waits for one of them at most, and a stream of goals cannot starve the requests. No ROS here.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from enum import Enum
from typing import Any, Callable, Deque, Dict, Generic, Hashable, Optional, TypeVar

T = TypeVar("T")


class Lane(Enum):
    """What a job is for."""

    DIALOGUE = "dialogue"  # one step of a goal's or a spoken instruction's dialogue
    REQUEST = "request"  # one reading for a service's client
    LOOK = "look"  # seeing ahead: only when nothing else waits, and dropped as soon as something does


class _Turns(Generic[T]):
    """Groups that take turns; `make` makes a group, `take` of it gives its next item or None when it is empty."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._groups: "OrderedDict[Hashable, Any]" = OrderedDict()
        self._served: Optional[Hashable] = None

    def group(self, key: Hashable) -> Any:
        if key not in self._groups:
            self._groups[key] = self._make()
        return self._groups[key]

    def take(self) -> Optional[T]:
        if self._served in self._groups:
            # Only now, not when it was served: who came meanwhile goes first.
            self._groups.move_to_end(self._served)
        for key in tuple(self._groups):
            item = self._groups[key].take()
            if item is not None:
                self._served = key
                return item
            del self._groups[key]
        return None


class _Line(Generic[T]):
    """First come, first served."""

    def __init__(self) -> None:
        self._items: Deque[T] = deque()

    def add(self, item: T) -> None:
        self._items.append(item)

    def remove(self, item: T) -> None:
        self._items.remove(item)

    def take(self) -> Optional[T]:
        return self._items.popleft() if self._items else None


class JobQueue(Generic[T]):
    """Thread-safe. `put` and `remove` never block; `take` waits for work."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._lanes: _Turns[T] = _Turns(lambda: _Turns(_Line))
        self._places: Dict[T, "tuple[Lane, Hashable]"] = {}  # of the jobs that wait, looks apart
        self._look: Optional[T] = None
        self._closed = False

    def put(self, job: T, lane: Lane, source: Hashable = "") -> bool:
        """Adds a job; `source` is whose it is. False once closed, or for a look beside another one: not added."""
        with self._changed:
            if self._closed or (lane is Lane.LOOK and self._look is not None):
                return False
            if lane is Lane.LOOK:
                self._look = job
            else:
                self._places[job] = (lane, source)
                self._lanes.group(lane).group(source).add(job)
            self._changed.notify()
            return True

    def remove(self, job: T) -> bool:
        """Takes a waiting job out; False if it was taken already."""
        with self._changed:
            if job is self._look:
                self._look = None
                return True
            place = self._places.pop(job, None)
            if place is None:
                return False
            self._lanes.group(place[0]).group(place[1]).remove(job)
            return True

    def take(self) -> Optional[T]:
        """The next job, as soon as there is one; None once closed."""
        with self._changed:
            while True:
                if self._closed:
                    return None
                job = self._next()
                if job is not None:
                    return job
                self._changed.wait()

    def close(self) -> None:
        """`take` gives None from now on, whatever waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _next(self) -> Optional[T]:
        job = self._lanes.take()
        if job is not None:
            del self._places[job]
            return job
        job, self._look = self._look, None
        return job
