"""Seconds of the stages of a decision, by name (`Decision.latency_s`)."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import Dict, Iterator

Times = Dict[str, float]


@contextmanager
def timed(times: Times, name: str) -> Iterator[None]:
    """Add the time of a block, in seconds, to a stage."""
    start = time.perf_counter()
    try:
        yield
    finally:
        times[name] = times.get(name, 0.0) + time.perf_counter() - start
