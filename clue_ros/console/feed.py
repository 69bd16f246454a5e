"""What flows to all pages: the state, serialised once for all of them, and live frames as often as somebody looks."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Protocol, Set, Tuple

from clue_ros.console.pictures import Pictures, ids_in
from clue_ros.console.requests import Replay, RequestError
from clue_ros.console.state import ConsoleState

STATES_PER_S = 10.0
FRAMES_PER_S = 10.0


class Current(NamedTuple):
    """text: a message of type state; pictures: the ids that it speaks of."""

    version: int
    text: str
    pictures: Tuple[int, ...]


class View(Protocol):
    """What a page looks at: the robot, or a moment of a recording."""

    pictures: Pictures

    def current(self) -> Current: ...


class Recording(Protocol):
    """A replay source (clue_ros/console/replay.py)."""

    pictures: Pictures

    def about(self) -> Dict[str, Any]: ...

    def moment(self, episode: int, step: int) -> "Tuple[Dict[str, Any], Dict[str, Any]]": ...


class LiveView:
    """The robot, now."""

    def __init__(self, pictures: Pictures) -> None:
        self.pictures = pictures
        self.snapshot: Dict[str, Any] = {}
        self._current = Current(0, "", ())

    def current(self) -> Current:
        return self._current

    def update(self, snapshot: Dict[str, Any]) -> None:
        self.snapshot = snapshot
        self._current = _current(self._current.version + 1, snapshot)


class ReplayView:
    """One moment of a recording; connection, goals and health go on being the robot's."""

    def __init__(self, recording: Recording, dialogue: Dict[str, Any], about: Dict[str, Any], live: LiveView) -> None:
        self.pictures = recording.pictures
        self._changes = {"dialogue": dialogue, "replay": about}
        self._live = live
        self._current: Optional[Current] = None

    def current(self) -> Current:
        version = self._live.current().version
        if self._current is None or self._current.version != version:
            self._current = _current(version, {**self._live.snapshot, **self._changes})
        return self._current


class Feed:
    """One for a server. `viewers` are the pages that are open; all methods are for the loop's thread."""

    def __init__(self, state: ConsoleState, pictures: Pictures, frames_per_s: float = FRAMES_PER_S) -> None:
        self.state = state
        self.pictures = pictures
        self.live = LiveView(pictures)
        self.viewers: Set[Any] = set()
        self.recordings: Mapping[str, Recording] = {}
        self._frame_s = 1.0 / frames_per_s
        self._changed = asyncio.Event()
        self.live.update(state.snapshot())

    def replayed(self, request: Replay) -> ReplayView:
        """Raises RequestError for a recording, an episode or a step that is not there."""
        recording = self.recordings.get(request.bag)
        if recording is None:
            raise RequestError("there is no recording of this id: reload the page to see the list")
        dialogue, about = recording.moment(request.episode, request.step)
        return ReplayView(recording, dialogue, {"bag": request.bag, **about}, self.live)

    async def run(self) -> None:
        """Serves the viewers until it is cancelled."""
        loop = asyncio.get_running_loop()

        def from_any_thread(function: Any) -> Any:
            def call() -> None:
                try:
                    loop.call_soon_threadsafe(function)
                except RuntimeError:  # the loop has ended
                    pass

            return call

        self.state.on_change = from_any_thread(self._changed.set)
        self.pictures.on_new = from_any_thread(self.wake_all)
        for recording in self.recordings.values():
            recording.pictures.on_new = self.pictures.on_new
        self._changed.set()
        await asyncio.gather(self._follow_state(), self._follow_camera())

    def wake_all(self) -> None:
        for viewer in self.viewers:
            viewer.wake()

    async def _follow_state(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            self.live.update(self.state.snapshot())
            self.wake_all()
            await asyncio.sleep(1.0 / STATES_PER_S)  # what changes meanwhile goes out together

    async def _follow_camera(self) -> None:
        while True:
            if any(viewer.wants_frame for viewer in self.viewers):
                self.pictures.encode_live()
            await asyncio.sleep(self._frame_s)


def _current(version: int, snapshot: Dict[str, Any]) -> Current:
    message = {"type": "state", "state": snapshot}
    try:
        text = json.dumps(message, separators=(",", ":"), allow_nan=False)
    except ValueError:  # a robot said "not a number", which JSON cannot
        text = json.dumps(finite(message), separators=(",", ":"), allow_nan=False)
    return Current(version, text, tuple(ids_in(snapshot.get("dialogue") or {})))


def finite(value: Any) -> Any:
    """The same JSON value with null in place of numbers that are not finite."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def bags_of(recordings: Mapping[str, Recording]) -> List[Dict[str, Any]]:
    """The list that pages choose from."""
    return [{"id": number, **recording.about()} for number, recording in recordings.items()]
