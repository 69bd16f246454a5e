"""The node's health on `/diagnostics` (diagnostic_msgs), once a second and at once after every transition.

Lines of a node: `model` (ERROR while none is loaded, WARN while one is on its way,
or where the self-check left out what makes it fast), `camera` (WARN while no fresh image
is there), `depth` and `camera_info` of each camera (WARN while they give no position), `goals` (WARN after a failure of
the model, until a goal ends otherwise), and `node` (what around it is wrong: surroundings.py). Without diagnostic_msgs
the node works all the same.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from typing import Any, List, Optional

from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from clue_ros.action import Ground
from clue_ros.fleet.connection import Health
from clue_ros.ros.running.errors import CODE_NAMES
from clue_ros.ros.running.loading import ModelSettings
from clue_ros.ros.running.parameters import read
from clue_ros.ros.running.surroundings import Surroundings
from clue_ros.ros.seeing.cameras import Cameras
from clue_ros.ros.seeing.optics_health import optics_health
from clue_ros.ros.serving.conversation import Conversation
from clue_ros.ros.serving.inference import Inference

PERIOD_S = 1.0
_BROKEN = (Ground.Result.MODEL_ERROR, Ground.Result.OUT_OF_MEMORY, Ground.Result.MODEL_UNAVAILABLE)


class Diagnostics:
    """From the node's start to its end: also an unconfigured node says how it is. For the executor's thread."""

    def __init__(self, node: Node, inference: Inference, group: CallbackGroup, surroundings: Surroundings) -> None:
        self._node = node
        self._surroundings = surroundings
        self._inference = inference
        self._settings: Optional[ModelSettings] = None
        self._cameras: Optional[Cameras] = None
        self._conversation: Optional[Conversation] = None
        self._outcomes: "Counter[int]" = Counter()
        self._last: Optional[Ground.Result] = None
        self._seen, self._seen_at = 0, time.monotonic()  # frames at the last look, for their rate
        self._publisher: Any = None
        self._timer: Any = None
        try:
            from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
        except ImportError as error:
            node.get_logger().info(f"nothing goes out on /diagnostics: diagnostic_msgs is not installed ({error})")
            return
        self._array, self._status, self._key_value = DiagnosticArray, DiagnosticStatus, KeyValue
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # Steady: a simulation that stands still must not silence it.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(PERIOD_S, self.publish, callback_group=group, clock=steady)

    def configured(self, settings: ModelSettings, cameras: Cameras, conversation: Conversation) -> None:
        """The model is loaded; from now on cameras and goals are looked at."""
        self._settings, self._cameras, self._conversation = settings, cameras, conversation
        self._seen, self._seen_at = cameras.first.frames, time.monotonic()
        conversation.on_result = self.count

    def released(self) -> None:
        """The model is gone, and camera and conversation with it."""
        self._settings = self._cameras = self._conversation = None

    def count(self, result: Ground.Result) -> None:
        """A goal or a spoken instruction ended."""
        self._outcomes[result.error_code] += 1
        self._last = result

    def publish(self) -> None:
        if self._publisher is None:
            return
        array = self._array(status=[self._model(), self._images(), *self._optics(), self._goals(), self._around()])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)

    def close(self) -> None:
        if self._publisher is not None:
            self._node.destroy_timer(self._timer)
            self._node.destroy_publisher(self._publisher)
            self._publisher = None

    def _model(self) -> Any:
        settings, loading = self._settings, self._inference.loading
        if loading is not None:
            wanted = loading.settings
            text = f"loading {wanted.name}, {loading.seconds:.0f} s"
            return self._line("model", self._status.WARN, text, model=wanted.name, device=wanted.device)
        if settings is None or not self._inference.loaded:
            wanted = read(self._node).model_settings
            text = "no model is loaded: configure the node; if that fails, its log names the path and the reason"
            return self._line("model", self._status.ERROR, text, model=wanted.name, device=wanted.device)
        if self._inference.server is not None:
            return self._served(settings, self._inference.server)
        values = {"model": settings.name, "device": settings.device, "dtype": settings.dtype}
        values["quantization"] = settings.quantization
        resident = resident_mb()
        if resident is not None:
            values["memory_mb"] = f"{resident:.0f}"
        reserved = gpu_mb(settings.device)
        if reserved is not None:
            values["gpu_memory_mb"] = f"{reserved:.0f}"
        remarks = self._inference.remarks
        if remarks:
            text = f"loaded, slower than it could be: {'; '.join(remarks)}: clue doctor says more"
            return self._line("model", self._status.WARN, text, **values)
        return self._line("model", self._status.OK, "loaded", **values)

    def _served(self, settings: ModelSettings, server: Health) -> Any:
        """A model elsewhere: the line to it."""
        times = sorted(server.latency_s)
        values = {"model": settings.name, "server": server.server, "server_queue": str(server.waiting),
                  "failures": str(server.failures)}  # fmt: skip
        if times:
            values["latency_s"] = f"{times[len(times) // 2]:.3f}"
            values["latency_worst_s"] = f"{times[-1]:.3f}"
        since = server.away_since
        if since is None:
            return self._line("model", self._status.OK, "on a server", **values)
        text = f"no server answers since {time.monotonic() - since:.0f} s ({server.why}): is clue serve running?"
        return self._line("model", self._status.ERROR, text, **values)

    def _images(self) -> Any:
        camera = None if self._cameras is None else self._cameras.first
        if camera is None:
            return self._line("camera", self._status.OK, "not looked at: the node is not configured")
        now = time.monotonic()
        rate = (camera.frames - self._seen) / max(now - self._seen_at, 1e-3)
        # A publish right after a transition does not count: half a second is too short to measure a rate.
        if now - self._seen_at > PERIOD_S / 2:
            self._seen, self._seen_at = camera.frames, now
        age, limit = camera.age_s(), read(self._node).max_image_age_s
        values = {
            "topic": camera.topic,
            "age_s": "none yet" if age is None else f"{age:.3f}",
            "rate_hz": f"{rate:.1f}",
            "frames": str(camera.frames),
        }
        if age is None or age > limit:
            return self._line("camera", self._status.WARN, camera.why_none(limit), **values)
        return self._line("camera", self._status.OK, "images arrive", **values)

    def _optics(self) -> List[Any]:
        cameras = {} if self._cameras is None else self._cameras.by_name
        return [
            self._line(
                health.part, self._status.OK if health.well else self._status.WARN, health.message, **health.values
            )
            for name, camera in cameras.items()
            for health in optics_health(camera, name)
        ]

    def _goals(self) -> Any:
        last, active = self._last, self._conversation is not None and self._conversation.active
        values = {"active": str(active).lower(), "queue": str(self._inference.waiting)}
        if last is not None:
            values["last_outcome"] = CODE_NAMES.get(last.error_code, str(last.error_code))
            values["last_response_s"] = f"{last.response_time:.3f}"
            values["last_inference_s"] = f"{last.inference_time:.3f}"
        values["ended"] = str(sum(self._outcomes.values()))
        for code, count in sorted(self._outcomes.items()):
            values[f"ended_{CODE_NAMES.get(code, code)}"] = str(count)
        if last is not None and last.error_code in _BROKEN:
            return self._line("goals", self._status.WARN, f"the last goal failed: {last.error_msg}", **values)
        text = "ready" if active else "goals are refused: the node is not active"
        return self._line("goals", self._status.OK, text, **values)

    def _around(self) -> Any:
        troubles = self._surroundings.troubles
        if not troubles:
            return self._line("node", self._status.OK, "nothing around it is wrong")
        level = self._status.ERROR if troubles[0].severe else self._status.WARN
        return self._line("node", level, "; ".join(trouble.text for trouble in troubles))

    def _line(self, part: str, level: bytes, message: str, **values: str) -> Any:
        name = self._node.get_fully_qualified_name().lstrip("/")
        pairs = [self._key_value(key=key, value=value) for key, value in values.items()]
        return self._status(level=level, name=f"{name}: {part}", hardware_id=name, message=message, values=pairs)


def resident_mb() -> Optional[float]:
    """Resident memory of this process in 10^6 bytes; None where /proc is not there."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return None


def gpu_mb(device: str) -> Optional[float]:
    """What torch holds of a CUDA device in 10^6 bytes; None on the CPU, or while torch is not loaded."""
    torch = sys.modules.get("torch")
    if torch is None or not device.startswith("cuda"):
        return None
    try:
        return torch.cuda.memory_reserved(device) / 1e6
    except (RuntimeError, ValueError, AssertionError):  # no such device: torch's own words stand in the node's log
        return None
