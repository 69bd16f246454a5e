"""Batches made ahead by worker processes, so that a fast card does not wait for them.

A batch depends on its step's seeds alone, so it is the same whoever makes it; without workers it is made on demand.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any, Callable, Dict, List, Optional

import numpy as np
import torch

Make = Callable[[np.random.Generator], Any]
_held: Dict[str, Make] = {}


class Ahead:
    """make: picklable, gives a batch from a generator; seeds: of a step; last: the step after the last one."""

    def __init__(self, make: Make, seeds: Callable[[int], List[int]], last: int, workers: int = 0):
        self._make, self._seeds, self._last, self._workers = make, seeds, last, workers
        self._waiting: Dict[int, Future] = {}
        self._pool: Optional[ProcessPoolExecutor] = None

    def __enter__(self) -> "Ahead":
        if self._workers:
            self._pool = ProcessPoolExecutor(self._workers, multiprocessing.get_context("spawn"), _hold, (self._make,))
        return self

    def __exit__(self, *_) -> None:
        if self._pool:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def batch(self, step: int):
        """The batch of a step; those of the next steps are ordered from the workers."""
        if self._pool is None:
            return self._make(np.random.default_rng(self._seeds(step)))
        for coming in range(step, min(step + 2 * self._workers, self._last)):
            if coming not in self._waiting:
                self._waiting[coming] = self._pool.submit(_one, self._seeds(coming))
        return self._waiting.pop(step).result()


def _hold(make: Make) -> None:
    torch.set_num_threads(1)
    torch.multiprocessing.set_sharing_strategy("file_system")  # many small tensors: not one open file each
    _held["make"] = make


def _one(seeds: List[int]):
    return _held["make"](np.random.default_rng(seeds))
