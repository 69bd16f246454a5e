"""Work shared among processes, its results in the order of the work, as if one process had done it all."""

from __future__ import annotations

import os
import signal
from typing import Any, Callable, Iterator, List, Sequence

from clue_ros.types import ClueError

_state: List[Any] = []  # of a worker process: what its `prepare` returned


def in_processes(
    count: int, prepare: Callable[[], Any], work: Callable[[Any, Any], Any], items: Sequence[Any]
) -> Iterator[Any]:
    """work(prepare(), item) of every item, in order; `prepare` runs once a process.

    Functions, items and results are pickled between our own processes, which share out the processor's cores evenly.
    Raises what `work` raised, ClueError where a process ended by itself.
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    # spawn: a forked child would inherit the parent's GL state and hang.
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _begin, (prepare, count))
    try:
        yield from pool.map(_do, [work] * len(items), items)
    except BrokenProcessPool as error:
        raise ClueError(
            f"one of {count} processes ended (its own message is above; none: it was killed for memory): "
            "try fewer --processes; what was done is kept"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(prepare: Callable[[], Any], count: int) -> None:
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends the others
    threads = max(1, (os.cpu_count() or 1) // count)
    os.environ["LP_NUM_THREADS"] = str(threads)  # of the software renderer
    torch.set_num_threads(threads)
    _state[:] = [prepare()]


def _do(work: Callable[[Any, Any], Any], item: Any) -> Any:
    return work(_state[0], item)
