"""Data-parallel training in several CPU processes of one machine (gloo), each on its share of the batch.

On few cores this beats more threads in one process: the decoder's many small operations leave a second thread waiting
(measured in docs/log). Gradients are averaged, so every process keeps the same weights.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from contextlib import contextmanager
from typing import Any, Callable, Iterator, List, cast

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import ProcessExitedException, spawn

from clue_ros.training.slot import SlotOver


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def launch(processes: int, work: Callable[[], None]) -> None:
    """Run `work` (picklable) in `processes` processes with one thread each, and wait for all of them.

    SIGINT and SIGTERM to this process alone are passed on, so that it ends when the others have saved: raises
    KeyboardInterrupt then."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    told: List[bool] = []
    children: list = []

    def pass_on(*_) -> None:
        told.append(True)
        for child in children:
            child.terminate()

    with handling(pass_on):
        context = cast(Any, spawn(_worker, (processes, port, work), nprocs=processes, join=False))
        children += context.processes
        if told:  # before there were any
            pass_on()
        try:
            while not context.join():
                pass
        except ProcessExitedException:
            if not told:  # else: a process that had not begun yet
                raise
    if told:
        raise KeyboardInterrupt


@contextmanager
def handling(handler: Callable) -> Iterator[None]:
    """SIGINT and SIGTERM go to `handler` in the block; in the main thread, other threads may not catch any."""
    caught = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = [(number, signal.signal(number, handler)) for number in caught]
    try:
        yield
    finally:
        for number, previous in before:
            signal.signal(number, previous)


def average_gradients(parameters: List[torch.nn.Parameter], stop: bool = False) -> bool:
    """Replace every gradient by its mean over the processes; True if any process wants to stop."""
    if world() == 1:
        return stop
    grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    flat = torch.cat([g.reshape(-1) for g in grads] + [torch.tensor([float(stop)])])
    dist.all_reduce(flat)
    wanted = bool(flat[-1] > 0)
    flat /= world()
    start = 0
    for p in parameters:
        p.grad = flat[start : start + p.numel()].view_as(p)
        start += p.numel()
    return wanted


def summed(values: torch.Tensor) -> torch.Tensor:
    """The sum of a tensor over the processes, in each of them."""
    if world() > 1:
        dist.all_reduce(values)
    return values


def gathered(rows: torch.Tensor) -> torch.Tensor:
    """The rows of all processes, one under another; a process may have any number of them."""
    if world() == 1:
        return rows
    counts = torch.zeros(world(), dtype=torch.int64)
    counts[rank()] = len(rows)
    counts = summed(counts)
    whole = rows.new_zeros(int(counts.sum()), *rows.shape[1:])
    start = int(counts[: rank()].sum())
    whole[start : start + len(rows)] = rows
    return summed(whole)


def _worker(index: int, processes: int, port: int, work: Callable[[], None]) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # outside the steps, which save first (loop.py)
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=index, world_size=processes)
    try:
        work()
    except SlotOver:
        pass  # saved; the parent looks at how far the run got
    finally:
        dist.destroy_process_group()
