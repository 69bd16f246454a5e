"""Is everything there? The node's lifecycle state, its diagnostics, the camera; and what to do if not."""

from __future__ import annotations

import time
from typing import Any, Callable, List, Optional

from lifecycle_msgs.srv import GetState
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from clue_ros.console.state import ConsoleState
from clue_ros.ros.operator.ears import CameraEars
from clue_ros.ros.running.lifecycle import CONFIGURING

PERIOD_S = 0.5
SILENT_S = 3.0  # a node that has not answered for so long is away
STALE_S = 1.0  # of the newest camera frame
GONE_S = 10.0
_LEVELS = {b"\x00": "ok", b"\x01": "warn", b"\x02": "error", b"\x03": "stale"}
MAX_VALUES = 20


class ConsoleHealth:
    """Looks twice a second. on_loss is called when the node goes away."""

    def __init__(
        self,
        node: Node,
        state: ConsoleState,
        camera: CameraEars,
        name: str,
        on_loss: Callable[[], None],
        own_line: Callable[[], dict],
    ) -> None:
        self._node = node
        self._state = state
        self._camera = camera
        self._on_loss = on_loss
        self._own_line = own_line
        self._name = node.resolve_service_name(name)
        self._client = node.create_client(GetState, f"{self._name}/get_state")
        self._pending: Optional[Any] = None
        self._asked = 0.0
        self._answered: Optional[float] = None
        self._label = "away"
        self._loads = False
        self._model: Optional[str] = None
        self._lines: List[dict] = []
        try:
            from diagnostic_msgs.msg import DiagnosticArray
        except ImportError:
            node.get_logger().info("no health lines: diagnostic_msgs is not installed")
        else:
            node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        # Steady: a simulation that stands still is no node that is away.
        node.create_timer(PERIOD_S, self.look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    @property
    def active(self) -> bool:
        return self._label == "active"

    def look(self) -> None:
        """Asks the node, looks at the camera, tells the state."""
        now = time.monotonic()
        self._ask(now)
        here = self._client.service_is_ready()
        silent = self._answered is None or now - self._answered > SILENT_S
        if not here or silent:
            if self._label != "away":
                self._label, self._model = "away", None
                self._on_loss()
        camera, age = self._look_at_camera(now)
        self._state.connect(
            node=self._label, camera=camera, camera_age_s=age, model=self._model,
            advice=self._advice(here, camera),
        )  # fmt: skip

    def _ask(self, now: float) -> None:
        if self._pending is not None and not self._pending.done():
            if now - self._asked < SILENT_S:
                return
            self._client.remove_pending_request(self._pending)
            self._pending = None
        if not self._client.service_is_ready():
            return
        self._asked = now
        self._pending = self._client.call_async(GetState.Request())
        self._pending.add_done_callback(self._on_state)

    def _on_state(self, done: Any) -> None:
        if done.cancelled() or done.exception() is not None:
            return
        self._answered = time.monotonic()
        label = done.result().current_state.label
        self._loads = label == CONFIGURING
        label = (
            "unconfigured" if self._loads else label if label in ("active", "inactive", "unconfigured") else "inactive"
        )
        if label != self._label:
            self._label = label
            if label == "unconfigured":
                self._model = None
            self.look()

    def _look_at_camera(self, now: float) -> "tuple[str, Optional[float]]":
        last = self._camera.last
        if last is None:
            return "away", None
        age = round(now - last, 1)
        if age <= STALE_S:
            return "ok", age
        return ("away" if age > GONE_S and not self._camera.publishers else "stale"), age

    def _advice(self, here: bool, camera: str) -> str:
        if self._label == "away":
            if here:
                return (
                    f"{self._name} does not answer: it loads its model, or it hangs or was killed. If it does not "
                    "come back,"
                    " look at its log and start it again."
                )
            namespace = self._name.rsplit("/", 1)[0] or "/"
            return (
                f"{self._name} is not there. Start it: ros2 run clue_ros clue_node --ros-args -r __ns:={namespace}; "
                "the same"
                " ROS_DOMAIN_ID and namespace for it and this console."
            )
        if self._label == "unconfigured" and self._loads:
            return f"{self._name} loads its model; its line on /diagnostics counts the seconds."
        if self._label == "unconfigured":
            return f"No model is loaded; the node's log says why. Then: ros2 lifecycle set {self._name} configure"
        if self._label == "inactive":
            return f"The node takes no goals. Type: ros2 lifecycle set {self._name} activate"
        if camera == "away":
            return (
                f"No image has come on {self._camera.topic}: start the camera, or remap `image` of the node and "
                "of this console."
            )
        if camera == "stale":
            return f"No new image comes on {self._camera.topic}: look after the camera driver and its cable."
        return ""

    def _on_diagnostics(self, message: Any) -> None:
        prefix = self._name.lstrip("/") + ":"
        mine = [status for status in message.status if status.name.startswith(prefix)]
        if not mine:
            return
        self._lines = [_line(status) for status in mine]
        for line in self._lines:
            if line["name"].endswith("model"):
                values = dict(line["values"])
                self._model = (values.get("model") or None) if line["level"] == "ok" else None
        self._state.report([*self._lines, self._own_line()])


def _line(status: Any) -> dict:
    return {
        "name": status.name[:100], "level": _LEVELS.get(bytes(status.level), "error"), "message": status.message[:500],
        "values": [[pair.key[:100], pair.value[:200]] for pair in status.values[:MAX_VALUES]],
    }  # fmt: skip
