"""See before being asked: while nobody wants anything, the model looks at the camera ahead of any words.

A frame whose picture is new is encoded and run ahead in the worker's lowest lane, at most `look_ahead_rate` times a
second and never for more than half of the worker's time. A look that waits is dropped when work arrives, none begins
while a dialogue is open, and the newest frame is the one that is looked at. An instruction about that picture then
costs only its own words.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Optional, Tuple

from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage, Image

from clue_ros.ros.camera import Camera
from clue_ros.ros.conversation import Conversation
from clue_ros.ros.inference import Inference, Job
from clue_ros.ros.job_queue import Lane
from clue_ros.ros.parameters import read
from clue_ros.ros.sight import Sight
from clue_ros.types import Cancelled

CHECK_S = 0.1  # how often a frame is compared with the seen one: a millisecond of work
SHARE = 0.5  # of the worker's time
PAUSE_S = 60.0  # after a failure, or where looking does not pay
SLOW_LOOKS = 3  # in a row: then it does not pay


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
        self._newest: "Optional[Tuple[Image | CompressedImage, float]]" = None
        self._examined: Any = None  # the message that was compared or looked at last
        self._job: Optional[Job] = None
        self._not_before = 0.0
        self._slow = 0
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
        self._slow = 0
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
            self._newest = (message, self._camera.taken())
            self._begin()

    def _begin(self) -> None:
        """A look, if one is due and nobody wants anything."""
        if self._job is not None or self._newest is None or self._newest[0] is self._examined:
            return
        if time.monotonic() < self._not_before or self._conversation.busy or self._inference.busy:
            return
        parameters = read(self._node)
        tolerance = parameters.sight_tolerance
        if tolerance is None:
            self._sight.clear()
            self._not_before = time.monotonic() + CHECK_S
            return
        # Half: a seen frame must still be young enough when words come before the next look.
        refresh_s = parameters.max_image_age_s / 2

        def work(grounder: Any, should_stop: Callable[[], bool]) -> Tuple[bool, float]:
            newest, begun = self._newest, time.monotonic()
            if newest is None:
                return False, 0.0
            self._examined = newest[0]
            looked = self._sight.look(grounder, newest[0], newest[1], tolerance, refresh_s, should_stop)
            return looked, time.monotonic() - begun

        self._job = self._inference.submit(work, self._node.executor, Lane.LOOK)
        self._job.future.add_done_callback(
            lambda future: self._on_done(future, 1.0 / parameters.look_ahead_rate, parameters.max_image_age_s)
        )

    def _on_done(self, future: Future, period_s: float, max_age_s: float) -> None:
        self._job = None
        error = future.exception()
        if isinstance(error, Cancelled):
            return
        if error is not None:
            self._sight.clear()
            self._pause(f"looking ahead failed: {error}")
            return
        looked, seconds = future.result()
        # Counted from the look's begin.
        wait_s = max(period_s, seconds / SHARE) if looked else min(period_s, CHECK_S)
        self._not_before = time.monotonic() - seconds + wait_s
        if looked:
            self._slow = self._slow + 1 if seconds > max_age_s else 0
            if self._slow >= SLOW_LOOKS:
                self._slow = 0
                self._pause(
                    f"looking ahead does not pay: it takes {seconds:.1f} s and frames older than {max_age_s:g} s are"
                    " refused; raise max_image_age_s, or set look_ahead to false"
                )

    def _pause(self, reason: str) -> None:
        self._node.get_logger().warning(f"{reason}; next try in {PAUSE_S:g} s")
        self._not_before = time.monotonic() + PAUSE_S
