"""What a client has open, goals and calls, and who listens: what is heard is given to whom it concerns."""

from __future__ import annotations

import contextlib
import threading
import time
import traceback
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Optional

from rclpy.executors import InvalidHandle

from clue_ros.msg import Correction
from clue_ros.ros.client.goal import CANCEL_S, Goal
from clue_ros.ros.client.promise import NotSpunError
from clue_ros.ros.client.watch import Corrections, Watch
from clue_ros.ros.client.wires import Wires, endings
from clue_ros.types import ClueError

SPIN_S = 10.0  # a blocking call gives up on a node that nobody spins
# corrections that a later watch still hears, and goals with on_correction: only the newest targets are corrected
KEPT = 64
OnCorrection = Callable[[Correction], Any]


class Ledger:
    """Use `open` once, before anything else. Its methods with `on_` are for the executor, the others for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: List[Any] = []  # goals, calls: what has on_tick, done and close
        self._goals: Dict[str, Goal] = {}
        self._watches: List[Corrections] = []
        self._followers: Deque[Watch] = deque(maxlen=KEPT)  # of on_correction; nobody closes them
        self._heard: Deque[Correction] = deque(maxlen=KEPT)
        self._shut = self._shut_down = False
        self._ticked = 0.0
        self._wires: Optional[Wires] = None

    def open(self, wires: Wires) -> None:
        self._wires, self._node = wires, wires.node

    def begin(self, pending: Any) -> Any:
        """Looks after it until it is done. Raises ClueError if the client is closed."""
        with self._lock:
            if self._shut:
                raise ClueError("this ClueClient is closed: make another one")
            self._pending.append(pending)
            if isinstance(pending, Goal):
                self._goals[pending.dialogue] = pending
            self._wires.tick(True)
        pending.on_tick(time.monotonic())  # who is there already is asked at once
        return pending

    def settle(self, pending: Any) -> Any:
        """Blocks until it is done: its outcome. Ctrl-C cancels a goal, waits for its result, and goes on."""
        try:
            return self._wait(pending)
        except KeyboardInterrupt:
            if isinstance(pending, Goal):
                pending.cancel()
                with contextlib.suppress(Exception):  # the interrupt is the news
                    self._wait(pending)
            raise

    def goals(self) -> List[Goal]:
        """Those that are not done."""
        with self._lock:
            return [goal for goal in self._goals.values() if not goal.done]

    def watch(self, watch: Corrections) -> Any:
        """It hears the corrections from now on; a Watch of one target also those before."""
        with self._lock:
            earlier = list(self._heard) if isinstance(watch, Watch) else []
            self._watches.append(watch)
        for message in earlier:
            self._tell(watch, message)
        return watch

    def follow(self, dialogue: str, on_correction: OnCorrection) -> None:
        with self._lock:
            self._followers.append(Watch(dialogue, None, on_correction))

    def shut(self) -> None:
        """Nothing begins any more."""
        with self._lock:
            self._shut = True

    def drop(self, why: str) -> None:
        """Ends all that is open: nothing can be heard of it."""
        with self._lock:
            pending, self._pending, self._goals = self._pending, [], {}
            watches, self._watches = self._watches, []
        for each in pending:
            each.close(why)
        for watch in watches:
            watch.close()

    def on_tick(self) -> None:
        now = self._ticked = time.monotonic()
        with self._lock:
            pending = list(self._pending)
        for each in pending:
            each.on_tick(now)
        with self._lock:
            self._pending = [each for each in self._pending if not each.done]
            self._goals = {goal.dialogue: goal for goal in self._pending if isinstance(goal, Goal)}
            self._watches = [watch for watch in self._watches if not watch.over]
            if not self._pending and not self._shut:
                self._wires.tick(False)

    def on_status(self, message: Any) -> None:
        for dialogue, status in endings(message):
            goal = self._goals.get(dialogue)
            if goal is not None:
                goal.on_status(status)

    def on_feedback(self, message: Any) -> None:
        goal = self._goals.get(bytes(message.goal_id.uuid).hex())
        if goal is not None:
            goal.on_feedback(message.feedback)

    def on_correction(self, message: Correction) -> None:
        with self._lock:
            self._heard.append(message)
            watches = [*self._watches, *self._followers]
        for watch in watches:
            self._tell(watch, message)

    def on_shutdown(self) -> None:
        """Somebody shut rclpy down. Where a signal did, the goals are canceled and their results still heard."""
        with self._lock:
            was, self._shut_down = self._shut_down, True
        if was:  # another thread is at it
            return
        self.shut()
        goals = self.goals()
        with contextlib.suppress(InvalidHandle):  # rclpy.shutdown() was called
            for goal in goals:
                goal.cancel()
            self._wires.hear_without_executor(lambda: all(goal.done for goal in goals), CANCEL_S)
        self.drop(
            "rclpy was shut down before the result came, and the goal may go on at the node: cancel goals before that"
        )

    def _wait(self, pending: Any) -> Any:
        begun = time.monotonic()
        while not pending.wait(0.2):
            if not self._node.context.ok():
                self.on_shutdown()
            elif self._ticked < begun and time.monotonic() > begun + SPIN_S:
                pending.close("nobody spins the node of the client")
                raise NotSpunError(
                    f"nobody has spun the node {self._node.get_name()!r} for {SPIN_S:g} s: its executor does not "
                    "spin, or a"
                    " callback of it blocks"
                )
        return pending.outcome if isinstance(pending, Goal) else pending.result()

    def _tell(self, watch: Corrections, message: Correction) -> None:
        try:
            watch.hear(message)
        except Exception:  # of the program: there is nobody whom it could be raised to
            self._node.get_logger().error(f"on_correction failed:\n{traceback.format_exc()}")
