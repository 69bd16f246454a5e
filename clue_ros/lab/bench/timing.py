"""Timing two ways of the same work in turns, so that a machine that slows down slows both."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Callable, List, Optional, Sequence

from clue_ros.lab.bench.machine import synchronize

Work = Callable[[], Any]


@dataclass
class Samples:
    """Seconds of each round; `result`: what the last call returned."""

    seconds: List[float] = field(default_factory=list)
    result: Any = None

    def time(self, work: Work, device: str, prepare: Optional[Work] = None) -> None:
        """One more sample of `work`; `prepare` runs before it and is not timed."""
        if prepare is not None:
            prepare()
        synchronize(device)
        start = time.perf_counter()
        self.result = work()
        synchronize(device)
        self.seconds.append(time.perf_counter() - start)


def percentile(values: Sequence[float], share: float) -> Optional[float]:
    """Linear between the nearest ranks; None of nothing."""
    ordered = sorted(values)
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
