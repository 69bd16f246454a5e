"""One worker thread that owns the Grounder; everything else asks it for work and awaits an rclpy Future.

The executor never blocks on the model, a cancel reaches the token loop through `should_stop`, and whatever the
Grounder raises becomes a typed error on the Future: the thread and the node stay up.
"""

from __future__ import annotations

import os
import queue
import threading
import traceback
from concurrent.futures import Future as ThreadFuture
from typing import Any, Callable, Optional, Set

from rclpy.executors import Executor
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.task import Future

from clue_ros.ros.errors import from_model
from clue_ros.types import Cancelled, ClueError, ModelLoadError

GrounderFactory = Callable[[str, str], Any]  # (model directory or "", device) -> Grounder
Work = Callable[[Any, Callable[[], bool]], Any]  # (grounder, should_stop) -> result


def load_grounder(model: str, device: str) -> Any:
    """The real Grounder; imported here so that a node with a scripted one needs no torch."""
    # OpenMP's threads spin while they wait for each other: beside one other busy process (a camera driver, a planner) a
    # decision took 2.0 s instead of 0.13 s on 2 cores. Sleeping costs nothing measurable. Read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from clue_ros.grounder import Grounder

    return Grounder.from_pretrained(model or None, device=device)


class Job:
    """One piece of work. `future` ends with its result or a ClueError, on the executor's side."""

    def __init__(self, work: Work, executor: Optional[Executor]) -> None:
        self._work = work
        self._executor = executor
        self._stop = threading.Event()
        self.future: Future = Future(executor=executor)

    def cancel(self) -> None:
        """Stops the model at its next look at `should_stop`; the future then ends with Cancelled."""
        self._stop.set()

    def run(self, grounder: Any, logger: RcutilsLogger) -> None:
        """Called by the worker thread."""
        try:
            if self._stop.is_set():
                raise Cancelled("canceled before the model began")
            self.future.set_result(self._work(grounder, self._stop.is_set))
        except ClueError as error:
            self.future.set_exception(error)
        except Exception as error:  # the model's own bug or the device's failure must not end the thread
            logger.error(f"the model failed:\n{traceback.format_exc()}")
            self.future.set_exception(from_model(error))
        if self._executor is not None:
            # The future was set from another thread: a waiting executor would only see it at its next event.
            self._executor.wake()


class Inference:
    """The worker thread and its Grounder, between `load` and `unload`."""

    def __init__(self, factory: GrounderFactory, logger: RcutilsLogger) -> None:
        self._factory = factory
        self._logger = logger
        self._queue: "queue.Queue[Optional[Job]]" = queue.Queue()
        self._thread: Optional[threading.Thread] = None
        self._jobs: Set[Job] = set()

    @property
    def loaded(self) -> bool:
        return self._thread is not None

    def load(self, model: str, device: str) -> None:
        """Loads and warms up in the worker thread, and waits for it.

        Raises:
            ClueError: ModelLoadError and the like, with the path and the reason.
        """
        if self._thread is not None:
            raise ModelLoadError("a model is loaded already: clean up before configuring again")
        ready: ThreadFuture = ThreadFuture()
        # A queue of its own: what an earlier thread may still have in its queue is not for this one.
        self._queue = queue.Queue()
        thread = threading.Thread(target=self._serve, args=(model, device, ready, self._queue), name="clue_inference")
        thread.daemon = True  # a model that hangs must not keep a killed node alive
        thread.start()
        ready.result()
        self._thread = thread

    def submit(self, work: Work, executor: Optional[Executor]) -> Job:
        """Queues `work`; its result comes as `job.future`, whose callbacks run in `executor`."""
        job = Job(work, executor)
        if self._thread is None:
            job.future.set_exception(Cancelled("no model is loaded: configure and activate the node"))
            return job
        self._jobs = {other for other in self._jobs if not other.future.done()}
        self._jobs.add(job)
        self._queue.put(job)
        return job

    def cancel_all(self) -> None:
        for job in self._jobs:
            job.cancel()

    def unload(self, timeout_s: float = 10.0) -> None:
        """Stops the thread and frees the model; logs if the model does not stop in time."""
        if self._thread is None:
            return
        self.cancel_all()
        self._queue.put(None)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._logger.error(f"the model did not stop within {timeout_s:g} s; its memory is not freed yet")
        self._thread = None
        self._jobs.clear()  # they hold encoded images, which may lie in the device's memory

    def _serve(self, model: str, device: str, ready: ThreadFuture, jobs: "queue.Queue[Optional[Job]]") -> None:
        try:
            grounder = self._factory(model, device)
            grounder.warm_up()
        except ClueError as error:
            ready.set_exception(error)
            return
        except Exception as error:  # loading runs foreign code (torch, safetensors) on files that may be garbage
            self._logger.error(f"loading the model failed:\n{traceback.format_exc()}")
            where = model or "the embedded model"
            ready.set_exception(ModelLoadError(f"{where}: {type(error).__name__}: {error}"))
            return
        ready.set_result(None)
        while True:
            job = jobs.get()
            if job is None:
                break
            job.run(grounder, self._logger)
            del job  # or the last image stays referenced until the next job
        grounder.close()
