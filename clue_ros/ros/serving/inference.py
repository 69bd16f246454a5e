"""One worker thread that owns the Grounder; everything else asks it for work and awaits an rclpy Future.

The executor never blocks on the model, a cancel reaches the token loop through `should_stop`, and whatever the
Grounder raises becomes a typed error on the Future: the thread and the node stay up. One job runs at a time and from
its begin to its end; which one comes next is the JobQueue's affair.
"""

from __future__ import annotations

import threading
import time
import traceback
from concurrent.futures import Future as ThreadFuture
from typing import Any, Callable, Hashable, Optional, Sequence, Set, Tuple

from rclpy.executors import Executor
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.task import Future

from clue_ros.fleet.connection import Health
from clue_ros.fleet.job_queue import JobQueue, Lane
from clue_ros.fleet.remote import RemoteGrounder
from clue_ros.ros.running.errors import from_load, from_model
from clue_ros.ros.running.loading import GrounderFactory, ModelSettings
from clue_ros.seams import Capability, Grounder
from clue_ros.taught.asking import knowing
from clue_ros.types import Cancelled, ClueError, ModelLoadError

Work = Callable[[Grounder, Callable[[], bool]], Any]  # (grounder, should_stop) -> result


class Job:
    """One piece of work. `future` ends with its result or a ClueError, on the executor's side."""

    def __init__(self, work: Work, executor: Optional[Executor], jobs: "JobQueue[Job]") -> None:
        self._work: Optional[Work] = work  # until it is done: it holds what it was made from, an image among it
        self._executor = executor
        self._jobs = jobs
        self._stop = threading.Event()
        self.future: Future = Future(executor=executor)

    def cancel(self) -> None:
        """Ends a waiting job at once; stops a running one at its next look at `should_stop`. Then it is Cancelled."""
        self._stop.set()
        if self._jobs.remove(self):
            self._fail(Cancelled("canceled before the model began"))

    def run(self, grounder: Grounder, logger: RcutilsLogger) -> None:
        """Called by the worker thread."""
        work, self._work = self._work, None
        try:
            if self._stop.is_set():
                raise Cancelled("canceled before the model began")
            self.future.set_result(work(grounder, self._stop.is_set))
        except ClueError as error:
            # Without the frames that it came through: they hold this job, and the image with it.
            self.future.set_exception(error.with_traceback(None))
        except Exception as error:  # the model's own bug or the device's failure must not end the thread
            logger.error(f"the model failed:\n{traceback.format_exc()}")
            self.future.set_exception(from_model(error))
        self._wake()

    def forget(self) -> None:
        """Its owner has dealt with the result: an error keeps no frames, which would lead back to the owner."""
        error = self.future.exception()
        if error is not None:
            error.__traceback__ = None

    def refuse(self, reason: str) -> None:
        self._fail(Cancelled(reason))

    def _fail(self, error: ClueError) -> None:
        self._work = None
        self.future.set_exception(error)
        self.future.exception()  # looked at: nobody need be told of a job that its owner gave up
        self._wake()

    def _wake(self) -> None:
        if self._executor is not None:
            # The future may be set from another thread: a waiting executor would only see it at its next event.
            self._executor.wake()


class Loading:
    """A model on its way, from `Inference.begin` on. `ready` ends with None, or with a ClueError that says why not."""

    def __init__(self, settings: ModelSettings) -> None:
        self.settings = settings
        self.ready: ThreadFuture = ThreadFuture()
        self.begun = time.monotonic()
        # A queue of its own: what an earlier thread may still have in its queue is not for this one.
        self.queue: "JobQueue[Job]" = JobQueue()
        self.thread: Optional[threading.Thread] = None
        self.refusal: Optional[ClueError] = None  # it was given up
        self.remarks: Sequence[str] = ()  # Inference.remarks, when it is ready
        self.server: Optional[Health] = None  # Inference.server, when it is ready
        self.taught: Optional[Tuple[str, ...]] = None  # Inference.taught, when it is ready
        self._lock = threading.Lock()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun

    def end(self, error: Optional[ClueError] = None) -> None:
        """Only the first end counts: a model may be ready after it was given up."""
        with self._lock:
            if self.ready.done():
                return
            if error is None:
                self.ready.set_result(None)
            else:
                self.ready.set_exception(error)


class Inference:
    """The worker thread and its Grounder, between `begin` and `unload`."""

    def __init__(self, factory: GrounderFactory, logger: RcutilsLogger) -> None:
        self._factory = factory
        self._logger = logger
        self._queue: "JobQueue[Job]" = JobQueue()
        self._thread: Optional[threading.Thread] = None
        self._jobs: Set[Job] = set()
        self._look: Optional[Job] = None
        self._loading: Optional[Loading] = None
        self._given_up: Optional[Loading] = None  # the last one whose thread may still be loading
        self._remarks: Sequence[str] = ()
        self.server: Optional[Health] = None  # how the line to the model's server is; None: the model is here
        self.taught: Optional[Tuple[str, ...]] = None  # names of what was shown (teaching.py); None: nothing can be

    @property
    def loading(self) -> Optional[Loading]:
        """The model that is on its way."""
        return self._loading

    @property
    def leftover(self) -> bool:
        """Whether a model that was given up is still being loaded: Python cannot end that thread."""
        return self._given_up is not None and self._given_up.thread.is_alive()

    @property
    def loaded(self) -> bool:
        return self._thread is not None

    @property
    def remarks(self) -> Tuple[str, ...]:
        """What makes the loaded model fast elsewhere and is left out here, with the reason, a sentence each."""
        return tuple(self._remarks)

    @property
    def busy(self) -> bool:
        """True while work other than a look waits or runs."""
        return self.waiting > 0

    @property
    def waiting(self) -> int:
        """How many pieces of work other than looks wait or run."""
        return sum(not job.future.done() for job in self._jobs)

    def begin(self, settings: ModelSettings) -> Loading:
        """Loads and warms up in a thread, which becomes the worker; `finish` when its `ready` is done.

        One that was given up and still loads is waited for in that thread first: two models need twice the memory.

        Raises:
            ModelLoadError: a model is loaded or on its way.
        """
        if self._thread is not None or self._loading is not None:
            raise ModelLoadError("a model is loaded already: clean up before configuring again")
        loading = Loading(settings)
        before = self._given_up.thread if self._given_up is not None else None
        thread = threading.Thread(target=self._serve, args=(loading, before), name="clue_inference")
        thread.daemon = True  # a model that hangs must not keep a killed node alive
        loading.thread, self._loading = thread, loading
        thread.start()
        return loading

    def finish(self) -> None:
        """Waits for the model that is on its way and takes it.

        Raises:
            ClueError: ModelLoadError, OutOfMemoryError and the like, with the path and the reason; Cancelled after
                `give_up`.
        """
        loading = self._loading
        try:
            loading.ready.result()
            if loading.refusal is not None:  # it was ready at that very moment
                raise loading.refusal
        finally:
            self._loading = None
        self._queue, self._thread, self._remarks = loading.queue, loading.thread, loading.remarks
        self.server = loading.server
        self.taught = loading.taught

    def give_up(self, why: str) -> None:
        """What is on its way is no longer wanted: `finish` raises Cancelled, and its thread frees what it loads."""
        loading = self._loading
        if loading is None:
            return
        self._given_up = loading
        loading.queue.close()
        loading.refusal = Cancelled(f"given up after {loading.seconds:.1f} s, {why}")
        loading.end(loading.refusal)

    def submit(self, work: Work, executor: Optional[Executor], lane: Lane, source: Hashable = "") -> Job:
        """Queues `work`; its result comes as `job.future`, whose callbacks run in `executor`.

        source: whose work it is; sources of a lane take turns. A look that waits is dropped, one that runs is told to
        stop. For the executor's thread.
        """
        job = Job(work, executor, self._queue)
        if self._thread is None:
            job.refuse("no model is loaded: configure and activate the node")
            return job
        if lane is Lane.LOOK:
            if self._queue.put(job, lane):
                self._look = job
            else:
                job.refuse("another look waits")
            return job
        self._drop_look()
        self._jobs = {other for other in self._jobs if not other.future.done()}
        self._jobs.add(job)
        self._queue.put(job, lane, source)
        return job

    def cancel_all(self) -> None:
        for job in tuple(self._jobs):
            job.cancel()
        self._drop_look()

    def unload(self, timeout_s: float = 10.0) -> None:
        """Stops the thread and frees the model; logs if the model does not stop in time."""
        self.give_up("the node was cleaned up")
        self._loading = None
        if self._thread is None:
            return
        self.cancel_all()
        self._queue.close()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._logger.error(f"the model did not stop within {timeout_s:g} s; its memory is not freed yet")
        self._thread, self._remarks, self.server, self.taught = None, (), None, None
        self._jobs.clear()  # they hold encoded images, which may lie in the device's memory

    def _drop_look(self) -> None:
        look, self._look = self._look, None
        if look is not None:
            look.cancel()

    def _serve(self, loading: Loading, before: Optional[threading.Thread]) -> None:
        if before is not None:
            before.join()
        if loading.refusal is not None:
            return
        try:
            grounder = self._factory(loading.settings)
            begun = time.monotonic()
            grounder.warm_up()
            if isinstance(grounder, RemoteGrounder):
                loading.server = grounder.health
            if Capability.BACKBONE in grounder.capabilities:
                loading.remarks = grounder.backbone.remarks
            if Capability.TAUGHT in grounder.capabilities:
                loading.taught = knowing(grounder).memory.store.names
            for remark in loading.remarks:
                self._logger.warning(f"slower than it could be: {remark}")
            if loading.refusal is None:
                self._logger.info(f"warmed up in {time.monotonic() - begun:.2f} s")
        except Exception as error:  # loading runs foreign code (torch, safetensors) on files that may be garbage
            if not isinstance(error, ClueError):
                self._logger.error(f"loading the model failed:\n{traceback.format_exc()}")
            loading.end(from_load(error, loading.settings.name))
            return
        loading.end()
        while True:
            job = loading.queue.take()
            if job is None:
                break
            job.run(grounder, self._logger)
            del job  # or the last image stays referenced until the next job
        grounder.close()
