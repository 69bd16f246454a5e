"""Batches made ahead by worker processes, so that a fast card does not wait for them.

A batch depends on its step's seeds alone, so it is the same whoever makes it; without workers it is made on demand.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import fields, is_dataclass, replace
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

    def batch(self, step: int) -> Any:
        """The batch of a step; those of the next steps are ordered from the workers."""
        if self._pool is None:
            return self._make(np.random.default_rng(self._seeds(step)))
        for coming in range(step, min(step + 2 * self._workers, self._last)):
            if coming not in self._waiting:
                self._waiting[coming] = self._pool.submit(_one, self._seeds(coming))
        return _exchanged(self._waiting.pop(step).result(), np.ndarray, torch.from_numpy)


def _hold(make: Make) -> None:
    torch.set_num_threads(1)
    _held["make"] = make


def _one(seeds: List[int]):
    # As arrays: torch would send tensors through /dev/shm, which is small in many containers.
    return _exchanged(_held["make"](np.random.default_rng(seeds)), torch.Tensor, torch.Tensor.numpy)


def _exchanged(value: Any, kind: type, change: Callable) -> Any:
    """The dataclasses in a tuple with their fields of one kind changed; the tuple's own arrays stay."""
    if type(value) is tuple:
        return tuple(_exchanged(v, kind, change) for v in value)
    if not is_dataclass(value) or isinstance(value, type):
        return value
    return replace(
        value,
        **{f.name: change(getattr(value, f.name)) for f in fields(value) if isinstance(getattr(value, f.name), kind)},
    )
