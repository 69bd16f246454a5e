"""Whether a target still holds: a person may take it back after the result ("no, the left one", "stop").

`Watch` follows one goal's target through its corrections. It begins with what has been said since the goal ended, since
a correction may come before, or just after, the program has looked at the outcome.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from enum import Enum
from typing import Any, Callable, Deque, Iterator, Optional

from clue_ros.msg import Correction, Target
from clue_ros.ros.client.promise import Promise


class Held(Enum):
    """What became of a target."""

    HOLDS = "it holds"
    REOPENED = "it holds no longer, stop; another one is being looked for"
    WITHDRAWN = "it holds no longer, and there is no other"
    FAILED = "it holds no longer, and no other was found"


class Corrections:
    """clue_ros/Correction messages in their order, for a thread or a coroutine. `close` ends the waiting."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: Deque[Correction] = deque()
        self._news = Promise()
        self._closed = False

    def next(self, limit_s: Optional[float] = None) -> Optional[Correction]:
        """The next one; None if none came within `limit_s` seconds, or none will."""
        end = None if limit_s is None else time.monotonic() + limit_s
        while True:
            news = self._news
            message = self._take()
            if message is not None or self.over:
                return message
            if not news.wait(None if end is None else max(0.0, end - time.monotonic())):
                return None

    async def next_async(self) -> Optional[Correction]:
        """The next one; None if none will come."""
        while True:
            news = self._news
            message = self._take()
            if message is not None or self.over:
                return message
            await news

    def __iter__(self) -> Iterator[Correction]:
        while True:
            message = self.next()
            if message is None:
                return
            yield message

    @property
    def over(self) -> bool:
        """Nothing more will come."""
        return self._closed

    def close(self) -> None:
        self._closed = True
        self._news.set()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def hear(self, message: Correction) -> bool:
        """For the client's executor; False if it is about another target."""
        with self._lock:
            self._kept.append(message)
            news, self._news = self._news, Promise()
        news.set()
        return True

    def _take(self) -> Optional[Correction]:
        with self._lock:
            return self._kept.popleft() if self._kept else None


class Watch(Corrections):
    """The corrections of one target.

    state: HOLDS until somebody takes it back. target: what holds now; None while nothing does. dialogue: the id of the
    dialogue whose target counts: the goal's, then that of the correction that took it back, and so on.
    """

    def __init__(
        self, dialogue: str, target: Optional[Target] = None, on_change: Callable[[Correction], Any] = lambda _: None
    ) -> None:
        super().__init__()
        self.dialogue, self.target, self.state = dialogue, target, Held.HOLDS
        self._on_change = on_change

    @property
    def holds(self) -> bool:
        """Look at it before each motion."""
        return self.state is Held.HOLDS

    @property
    def over(self) -> bool:
        return self._closed or self.state in (Held.WITHDRAWN, Held.FAILED)

    def hear(self, message: Correction) -> bool:
        if not self.dialogue or self.over or not self._follow(message):
            return False
        super().hear(message)
        self._on_change(message)
        return True

    def _follow(self, message: Correction) -> bool:
        corrects, own = message.corrects == self.dialogue, message.dialogue == self.dialogue
        if corrects and message.state in (Correction.REOPENED, Correction.WITHDRAWN):
            reopened = message.state == Correction.REOPENED
            self.state, self.target = Held.REOPENED if reopened else Held.WITHDRAWN, None
        elif (own or corrects) and message.state == Correction.CORRECTED:
            self.state, self.target = Held.HOLDS, message.target
        elif (own or corrects) and message.state == Correction.FAILED:
            self.state, self.target = Held.FAILED, None
        else:
            return False
        self.dialogue = message.dialogue
        return True
