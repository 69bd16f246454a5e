"""A time slot: `clue train … --minutes 9` stops cleanly when it is over; the same command goes on in the next one."""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Iterator, Optional


class SlotOver(Exception):
    """The time is over; everything is saved."""


@dataclass(frozen=True)
class Slot:
    """deadline: on the clock of time.monotonic (seconds), which the machine's processes share; None for no end.
    until: step at which to stop as if the time were over (tests)."""

    deadline: Optional[float] = None
    until: Optional[int] = None

    @classmethod
    def of_minutes(cls, minutes: Optional[float]) -> "Slot":
        return cls(None if minutes is None else time.monotonic() + 60 * minutes)

    def over(self, step: int = 0) -> bool:
        """Is there no time for another step after this many?"""
        return (self.until is not None and step >= self.until) or (
            self.deadline is not None and time.monotonic() >= self.deadline
        )

    def check(self) -> None:
        """Raises SlotOver if the time is over."""
        if self.over():
            raise SlotOver

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Raise SlotOver in the block when the time is over, whatever it is doing: for work that goes on where it
        stopped (rendering, features). In the main thread of the main process only; elsewhere the block runs to its
        end, because processes that share a stage must stop together."""
        own = multiprocessing.parent_process() is None and threading.current_thread() is threading.main_thread()
        if self.deadline is None or not own:
            yield
            return
        self.check()

        def ring(*_):
            raise SlotOver

        before = signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, max(1e-3, self.deadline - time.monotonic()))
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
