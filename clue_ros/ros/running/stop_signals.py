"""SIGINT and SIGTERM as a wish to stop that may be uttered more than once. Imports no rclpy: a program needs it
first.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Iterator, List

PATIENCE_S = 20.0  # a signal so long after the first one finds a program that hangs
_early: List[int] = []


def catch_early() -> None:
    """For the first line of a program: what comes while its modules are imported is kept for its StopSignals."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: _early.append(number))


class Interrupted(BaseException):
    """A signal while a node was being made; not an Exception, so that nothing takes it for a failure of its own."""


class StopSignals:
    """Notes SIGINT and SIGTERM. More of them mean the same: systemd and launch both signal the whole group, and people
    press Ctrl-C twice. Only one that comes PATIENCE_S after the first ends the process at once."""

    def __init__(self) -> None:
        self.received: List[int] = list(_early)
        self._first = time.monotonic()
        self._making = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def __bool__(self) -> bool:
        return bool(self.received)

    @contextlib.contextmanager
    def making(self) -> Iterator[None]:
        """Within it a signal raises Interrupted at once: a node may load a model or a scene while it is made."""
        self._making = True
        try:
            if self.received:
                raise Interrupted
            yield
        finally:
            self._making = False

    def ignore(self) -> None:
        """The program ends because of a signal: what comes now must not look like a crash."""
        for number in (signal.SIGINT, signal.SIGTERM) if self.received else ():
            signal.signal(number, signal.SIG_IGN)

    def _on_signal(self, number: int, _frame) -> None:
        now = time.monotonic()
        if not self.received:
            self._first = now
        elif now - self._first > PATIENCE_S:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.received.append(number)
        if self._making:
            self._making = False
            raise Interrupted
