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
# Counted in looks: a console that is held up itself, by a busy machine, does not take that for the node's silence.
SILENT = 6  # looks, 3 s: a node that has not answered for so long is away
STALE_S = 1.0  # of the newest camera frame
GONE_S = 10.0
_LEVELS = {b"\x00": "ok", b"\x01": "warn", b"\x02": "error", b"\x03": "stale"}
MAX_VALUES = 20


class ConsoleHealth:
    """Looks twice a second. on_loss is called when the node goes, on_return when it answers after a silence: another
    one, which knows nothing, may have taken its place."""

    def __init__(
        self,
        node: Node,
        state: ConsoleState,
        camera: CameraEars,
        name: str,
        on_loss: Callable[[], None],
        on_return: Callable[[], None],
        own_line: Callable[[], dict],
    ) -> None:
        self._node = node
        self._state = state
        self._camera = camera
        self._on_loss, self._on_return = on_loss, on_return
        self._own_line = own_line
        self._name = node.resolve_service_name(name)
        self._client = node.create_client(GetState, f"{self._name}/get_state")
        self._pending: List[Any] = []  # what was asked, the newest last
        self._here = False
        self._unanswered = 0  # looks since the node was asked what it has not answered
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
        was, self._here = self._here, self._client.service_is_ready()
        self._unanswered = self._unanswered + 1 if self._here else 0
        if not self._here or self._unanswered > SILENT:
            self._label, self._model = "away", None
        elif not was:
            self._label = "asked"
        if was and not self._here:
            self._on_loss()
        self._ask()
        self._tell()

    def _tell(self) -> None:
        camera, age = self._look_at_camera(time.monotonic())
        self._state.connect(
            node=self._label, camera=camera, camera_age_s=age, model=self._model,
            advice=self._advice(camera),
        )  # fmt: skip

    def _ask(self) -> None:
        self._pending = [future for future in self._pending if not future.done()]
        if self._here and self._pending and self._unanswered % SILENT:
            return
        # The question may be lost, and is put anew; a late answer to the one before still counts.
        for future in self._pending[:-1] if self._here else self._pending:
            self._client.remove_pending_request(future)
        self._pending = self._pending[-1:] if self._here else []
        if self._here:
            self._pending.append(self._client.call_async(GetState.Request()))
            self._pending[-1].add_done_callback(self._on_state)

    def _on_state(self, done: Any) -> None:
        if done.cancelled() or done.exception() is not None:
            return
        silent, self._unanswered = self._unanswered > SILENT, 0
        if silent:
            self._on_return()
        label = done.result().current_state.label
        self._loads = label == CONFIGURING
        label = (
            "unconfigured" if self._loads else label if label in ("active", "inactive", "unconfigured") else "inactive"
        )
        if label != self._label:
            self._label = label
            if label == "unconfigured":
                self._model = None
            self._tell()

    def _look_at_camera(self, now: float) -> "tuple[str, Optional[float]]":
        last = self._camera.last
        if last is None:
            return "away", None
        age = round(now - last, 1)
        if age <= STALE_S:
            return "ok", age
        return ("away" if age > GONE_S and not self._camera.publishers else "stale"), age

    def _advice(self, camera: str) -> str:
        if self._label == "away":
            if self._here:
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
        if self._label == "asked":
            return f"{self._name} is there and was asked how it is; its first answer takes a moment."
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
