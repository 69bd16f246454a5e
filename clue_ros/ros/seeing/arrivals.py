"""When the messages of one topic came: age and rate."""

from __future__ import annotations

import time
from typing import Optional

LOOK_S = 0.5  # a shorter look says nothing of a rate


class Arrivals:
    """Of one topic. Times on the monotonic clock, seconds."""

    def __init__(self) -> None:
        self.count = 0
        self._newest: Optional[float] = None
        self._rate = 0.0
        self._looked, self._looked_at = 0, time.monotonic()

    def note(self) -> None:
        """A message came."""
        self.count += 1
        self._newest = time.monotonic()

    @property
    def age_s(self) -> Optional[float]:
        """Since the newest came; None before the first."""
        return None if self._newest is None else time.monotonic() - self._newest

    def rate_hz(self) -> float:
        """Since the last look that was long enough ago."""
        now = time.monotonic()
        if now - self._looked_at >= LOOK_S:
            self._rate = (self.count - self._looked) / (now - self._looked_at)
            self._looked, self._looked_at = self.count, now
        return self._rate
