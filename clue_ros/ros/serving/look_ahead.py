"""See before being asked: while nobody wants anything, the model looks at the camera ahead of any words.

A frame whose picture is new and at rest is encoded and run ahead in the worker's lowest lane, at most `look_ahead_rate`
times a second (a pause is made up for by one) and never for more than half of the worker's time. A quick model does not
wait for the rest when a scene begins to change: after a cut the next words find it looked at, and after a movement it
looks once more. A look that waits is dropped when work arrives, none begins while a dialogue is open, and the newest
frame is the one that is looked at. An instruction about that picture then costs only its own words.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Optional, Tuple

from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage, Image

from clue_ros.fleet.job_queue import Lane
from clue_ros.images.encodings import UnsupportedEncodingError
from clue_ros.ros.running.parameters import read
from clue_ros.ros.seeing.camera import Camera
from clue_ros.ros.seeing.sight import Glance, Sight
from clue_ros.ros.serving.conversation import Conversation
from clue_ros.ros.serving.inference import Inference, Job
from clue_ros.seams import Grounder
from clue_ros.types import Cancelled, InvalidImageError, ModelFailedError, ModelUnavailableError, OutOfMemoryError

CHECK_S = 0.1  # so often at least a frame is compared with the seen one: a millisecond of work
CHECK_SHARE = 0.05  # of the worker's time: where comparing is quick, each frame of a camera
SHARE = 0.5  # of the worker's time, looks and the comparing of what moves
QUICK_S = 0.2  # a look: then the first frame that changes may be looked at in vain
BURST = 2  # looks in a row after a pause: that one, and the one at rest
RENEW_S = 10.0  # then a scene that seems unchanged is looked at again: changes below the tolerance add up
RENEW_SHARE = 0.05  # of the worker's time, for slow models: then less often
PAUSE_S = 60.0  # after a failure of the model
AWAY_S = 5.0  # after a server did not answer: asking one that lost its power holds the worker for up to 2 s


class LookAhead:
    """For the executor's thread, except what it gives the worker."""

    def __init__(
        self, node: Node, camera: Camera, inference: Inference, sight: Sight, conversation: Conversation,
        group: CallbackGroup,
    ) -> None:  # fmt: skip
        self._node = node
        self._camera = camera
        self._inference = inference
        self._sight = sight
        self._conversation = conversation
        self._newest: "Optional[Image | CompressedImage]" = None
        self._examined: Any = None  # the message that was compared or looked at last
        self._job: Optional[Job] = None
        self._not_before = 0.0
        self._look_s = 0.0  # what the last look took
        self._credit, self._credited = 0.0, 0.0  # how many looks may be had, and when that was so (monotonic seconds)
        # For a frame that came when no look might begin, and none after it.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(CHECK_S, self._begin, callback_group=group, clock=steady)
        self._timer.cancel()
        camera.on_frame = self._on_frame

    def close(self) -> None:
        self.stop()
        self._camera.on_frame = None
        self._node.destroy_timer(self._timer)

    def start(self) -> None:
        """Activation."""
        self._not_before = 0.0
        self._credit, self._credited = 1.0, time.monotonic()
        self._sight.open()
        self._timer.reset()

    def stop(self) -> None:
        """Deactivation: frees the seen frame."""
        self._timer.cancel()
        self._newest = self._examined = None
        self._sight.forget()

    def _on_frame(self, message: "Image | CompressedImage") -> None:
        if self._conversation.active:
            # Also for a look that waits: once it is its turn it takes the newest.
            self._newest = message
            self._begin()

    def _begin(self) -> None:
        """A look, if one is due and nobody wants anything."""
        if self._job is not None or self._newest is None or self._newest is self._examined:
            return
        if time.monotonic() < self._not_before or self._conversation.busy or self._inference.busy:
            return
        parameters = read(self._node)
        tolerance = parameters.sight_tolerance
        if tolerance is None:
            self._sight.clear()
            self._not_before = time.monotonic() + CHECK_S
            return
        renew_s = max(RENEW_S, self._look_s / RENEW_SHARE)
        at_once = 0.0 < self._look_s <= QUICK_S

        def work(grounder: Grounder, should_stop: Callable[[], bool]) -> Tuple[Glance, float]:
            newest, begun = self._newest, time.monotonic()
            if newest is None:
                return Glance.SAME, 0.0
            self._examined = newest
            glance = self._sight.look(grounder, newest, tolerance, renew_s, should_stop, at_once)
            return glance, time.monotonic() - begun

        self._job = self._inference.submit(work, self._node.executor, Lane.LOOK)
        period_s = 1.0 / parameters.look_ahead_rate
        self._job.future.add_done_callback(lambda future: self._on_done(future, period_s))

    def _on_done(self, future: Future, period_s: float) -> None:
        self._job = None
        error = future.exception()
        if isinstance(error, Cancelled):
            return
        if error is not None:
            # A frame that cannot be read says nothing about the next one; a model that failed once will fail again.
            pause_s = PAUSE_S if isinstance(error, (ModelFailedError, OutOfMemoryError)) else CHECK_S
            pause_s = AWAY_S if isinstance(error, ModelUnavailableError) else pause_s
            self._sight.clear()
            if isinstance(error, (InvalidImageError, UnsupportedEncodingError)) and self._examined is not None:
                self._camera.unreadable(self._examined, error)
            else:
                self._node.get_logger().warning(f"looking ahead failed: {error}", throttle_duration_sec=PAUSE_S)
            self._not_before = time.monotonic() + pause_s
            return
        glance, seconds = future.result()
        begun = time.monotonic() - seconds
        if glance is Glance.LOOKED:
            self._look_s = seconds
            self._credit = min(BURST, self._credit + (begun - self._credited) / period_s) - 1.0
            self._credited = begun
            wait_s = max(seconds / SHARE, (1.0 - self._credit) * period_s)
        else:
            # What has changed is looked at as soon as it rests: the next frame says so.
            wait_s = min(period_s, CHECK_S, seconds / (SHARE if glance is Glance.MOVING else CHECK_SHARE))
        self._not_before = begun + wait_s
