"""Work shared among processes, here or on a Ray cluster, its results in the order of the work, as if one process had
done it all."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import sys
import threading
from collections import deque
from typing import Any, Callable, Iterable, Iterator, List, NamedTuple, Optional, Sized, Tuple

from clue_ros.types import ClueError

OWN_RAY = "local"  # a Ray of its own on this machine
INSTALL = "pip install 'clue_ros[fleet]'"

_state: List[Any] = []  # of a worker process: `prepare`, and what it returned


class Sharing(NamedTuple):
    """count: of processes, 0 for one a core of the cluster (one a GPU, if they want GPUs); gpus: of Ray's for each
    process; cluster: of Ray, as `ray.init` takes its address ("auto":
    the one that runs here, "ray://HOST:10001"), OWN_RAY, or None for processes of this machine without Ray."""

    count: int = 1
    cluster: Optional[str] = None
    gpus: float = 0.0

    @classmethod
    def of_cores(cls) -> "Sharing":
        """One process a core of this machine."""
        return cls(os.cpu_count() or 1)

    @property
    def alone(self) -> bool:
        """Whether nothing is shared: the caller does the work itself."""
        return self.count == 1 and self.cluster is None


def in_processes(
    sharing: Sharing, prepare: Callable[[], Any], work: Callable[[Any, Any], Any], items: Iterable[Any]
) -> Iterator[Any]:
    """work(prepare(), item) of every item, in order; `prepare` runs once a process. Few items more than processes are
    taken ahead of the results, so that a caller may stop.

    Functions, items and results are pickled between our own processes, which share out the processor's cores evenly.
    On Ray every machine needs the same clue_ros and the files that `prepare` and `work` name; what a lost machine had
    begun is done again.

    Raises what `work` raised, ClueError where a process ended by itself, or Ray is missing or cannot be reached.
    """
    if sharing.count and isinstance(items, Sized):
        sharing = sharing._replace(count=max(1, min(sharing.count, len(items))))
    return (_on_ray if sharing.cluster is not None else _here)(sharing, prepare, work, items)


def _here(sharing: Sharing, prepare: Callable, work: Callable, items: Iterable[Any]) -> Iterator[Any]:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    count = sharing.count
    # spawn: a forked child would inherit the parent's GL state and hang.
    begin = prepare, max(1, (os.cpu_count() or 1) // count)
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _begin, begin)
    waiting: "deque[Any]" = deque()
    try:
        for item in items:
            waiting.append(pool.submit(_do, work, item))
            if len(waiting) > 2 * count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise ClueError(
            f"one of {count} processes ended (its own message is above; none: it was killed for memory): "
            "try fewer --processes; what was done is kept"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _on_ray(sharing: Sharing, prepare: Callable, work: Callable, items: Iterable[Any]) -> Iterator[Any]:
    with _cluster(sharing) as (ray, count, threads):
        from ray.util import ActorPool  # pyright: ignore[reportMissingImports]  # optional

        kind = ray.remote(num_cpus=1, num_gpus=sharing.gpus, max_restarts=-1, max_task_retries=-1)(_Worker)
        pool = ActorPool([kind.remote(prepare, threads) for _ in range(count)])  # they end with this program
        begun = 0
        try:
            for item in items:
                pool.submit(lambda worker, item: worker.do.remote(work, item), item)
                begun += 1
                if begun > 2 * count:
                    yield pool.get_next()
                    begun -= 1
            while pool.has_next():
                yield pool.get_next()
        except ray.exceptions.RayTaskError as error:
            raise getattr(error, "cause", error) from error
        except ray.exceptions.RayError as error:
            raise ClueError(f"Ray gave up ({str(error).splitlines()[0]}); what was done is kept") from error


@contextlib.contextmanager
def _cluster(sharing: Sharing) -> Iterator[Tuple[Any, int, int]]:
    """(the module, processes, threads of each). Raises ClueError."""
    import logging

    if importlib.util.find_spec("ray") is None:
        raise ClueError(f"Ray is not installed: {INSTALL}, or leave --ray out")
    import ray  # pyright: ignore[reportMissingImports]  # optional

    before = signal.getsignal(signal.SIGTERM)  # Ray takes it
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        if sharing.cluster == OWN_RAY:
            cores = max(sharing.count, os.cpu_count() or 1)
            ray.init(address="local", num_cpus=cores, include_dashboard=False, **quiet)
        else:
            ray.init(address=sharing.cluster, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClueError(
            f"no Ray cluster at {sharing.cluster} ({str(error).splitlines()[0]}): ray start --head"
        ) from error
    try:
        there = ray.cluster_resources()
        cores = int(there.get("CPU", 1))
        count = sharing.count or (int(there.get("GPU", 0) / sharing.gpus) if sharing.gpus else cores)
        if not count:
            raise ClueError("no machine of the cluster has a GPU for Ray: give --processes N, or --device cpu")
        yield ray, count, max(1, cores // count)
    finally:
        ray.shutdown()
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


class _Worker:
    """An actor of Ray: a process of our own on some machine."""

    def __init__(self, prepare: Callable[[], Any], threads: int):
        _begin(prepare, threads)

    def do(self, work: Callable[[Any, Any], Any], item: Any) -> Any:
        return _do(work, item)


def _begin(prepare: Callable[[], Any], threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends the others
    os.environ["LP_NUM_THREADS"] = str(threads)  # of the software renderer
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    _state[:] = [prepare]


def _do(work: Callable[[Any, Any], Any], item: Any) -> Any:
    if len(_state) == 1:  # with the first item, so that what goes wrong is raised as of the work
        _state.append(_state[0]())
    return work(_state[1], item)
