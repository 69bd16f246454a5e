"""The whole small state that every page shows: connection, dialogue, goals, health. Thread-safe; JSON values only."""

from __future__ import annotations

import base64
import threading
import time
from collections import OrderedDict
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, Optional

from clue_ros.console.dialogue import NO_DIALOGUE
from clue_ros.console.dialogues import Dialogues

MAX_GOALS = 30
FINAL = ("SUCCEEDED", "ABORTED", "CANCELED", "REJECTED", "LOST")
HEALTH_STALE_S = 3.5  # the node reports once a second


class ConsoleState:
    """on_change is called, from whichever thread, after every change."""

    def __init__(
        self, on_change: Callable[[], None] = lambda: None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.on_change = on_change
        self.clock = clock
        self._lock = threading.RLock()
        self._dialogues = Dialogues()
        self._goals: "OrderedDict[str, Dict[str, Any]]" = OrderedDict()
        self._health: List[Dict[str, Any]] = []
        self._health_at: Optional[float] = None
        self._taught: Optional[List[Dict[str, Any]]] = None
        self._connection: Dict[str, Any] = {
            "node": "away", "camera": "away", "camera_age_s": None, "model": None, "advice": "looking for the node …",
        }  # fmt: skip

    @contextmanager
    def dialogues(self) -> Iterator[Dialogues]:
        """The dialogues, to be read or changed while no one else does."""
        with self._lock:
            yield self._dialogues
        self.on_change()

    def connect(self, **connection: Any) -> None:
        """node, camera, camera_age_s, model, advice: those that are given change."""
        with self._lock:
            if all(self._connection[key] == value for key, value in connection.items()):
                return
            self._connection.update(connection)
        self.on_change()

    @property
    def connection(self) -> Dict[str, Any]:
        with self._lock:
            return dict(self._connection)

    def goal(self, number: str, state: str, expression: str = "", error: str = "") -> None:
        """A goal is in this state; a final state stays, and what is empty stays as it was."""
        with self._lock:
            goal = self._goals.get(number)
            if goal is None:
                goal = self._goals[number] = {
                    "id": number, "expression": "", "state": state, "error": "", "began": self.clock(), "ended": None,
                }  # fmt: skip
                while len(self._goals) > MAX_GOALS:
                    self._goals.popitem(last=False)
            if goal["ended"] is None:
                goal["state"] = state
                if state in FINAL:
                    goal["ended"] = self.clock()
            goal["expression"] = expression or goal["expression"]
            goal["error"] = error or goal["error"]
        self.on_change()

    def knows_goal(self, number: str) -> bool:
        with self._lock:
            return number in self._goals

    def runs(self, number: str) -> bool:
        """Whether a goal is known and not over."""
        with self._lock:
            return number in self._goals and self._goals[number]["ended"] is None

    @property
    def running(self) -> List[str]:
        """The goals that are not over, the oldest first."""
        with self._lock:
            return [number for number, goal in self._goals.items() if goal["ended"] is None]

    def report(self, lines: List[Dict[str, Any]]) -> None:
        """The node's diagnostics: {"name", "level", "message", "values": [[k, v]...]}."""
        with self._lock:
            self._health, self._health_at = lines, self.clock()
        self.on_change()

    def teach(self, things: Optional[List[Dict[str, Any]]]) -> None:
        """What the robot was taught, [{"name", "views", "picture": jpeg}]; None: nothing can be."""
        with self._lock:
            if things == self._taught:
                return
            self._taught = things
        self.on_change()

    @property
    def taught(self) -> Optional[List[Dict[str, Any]]]:
        """As `teach` was told, with a data URI for each picture."""
        with self._lock:
            things = self._taught
        return (
            None
            if things is None
            else [
                {**thing, "picture": "data:image/jpeg;base64," + base64.b64encode(thing["picture"]).decode()}
                for thing in things
            ]
        )

    def snapshot(self) -> Dict[str, Any]:
        """A copy that nobody changes any more."""
        with self._lock:
            now = self.clock()
            current = self._dialogues.current
            stale = self._health_at is not None and now - self._health_at > HEALTH_STALE_S
            return {
                "connection": dict(self._connection),
                "dialogue": dict(NO_DIALOGUE) if current is None else current.as_dict(),
                "goals": [_goal(goal, now) for goal in reversed(self._goals.values())],
                "health": [{**line, "level": "stale"} if stale else dict(line) for line in self._health],
                "history": self._dialogues.history(),
                "replay": None,
                "taught": None
                if self._taught is None
                else [{"name": thing["name"], "views": thing["views"]} for thing in self._taught],
            }

    def records(self) -> List[Dict[str, Any]]:
        """All dialogues of this session in full, oldest first, the open one last."""
        with self._lock:
            kept = list(reversed(self._dialogues.finished))
            current = self._dialogues.current
            if current is not None and current.open:
                kept.append(current)
            return [{**dialogue.as_dict(), "outcome": dialogue.outcome or "open"} for dialogue in kept]


def _goal(goal: Dict[str, Any], now: float) -> Dict[str, Any]:
    end = goal["ended"] if goal["ended"] is not None else now
    return {
        "id": goal["id"], "expression": goal["expression"], "state": goal["state"], "error": goal["error"],
        "elapsed_s": round(end - goal["began"], 1), "can_cancel": goal["ended"] is None,
    }  # fmt: skip
