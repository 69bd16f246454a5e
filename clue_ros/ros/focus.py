"""The `focus` node: a camera without distractors, in front of a policy or a detector.

    ros2 run clue_ros focus --ros-args -r image:=/camera/color/image_raw -p mode:=blur
    ros2 topic pub --once /focus_on std_msgs/msg/String "data: put the red cup on the plate"

`image_focused` comes for every frame of `image`, with its header and its encoding: what does not matter to the last
instruction on `focus_on` is covered, blurred or without colour, and with `crop` the picture is the smallest box that
keeps all that matters; `camera_info_focused` is right for it. The model works in a thread of its own, when the
instruction or the scene changes; between, the heatmap follows the camera's motion. Without an instruction, before the
first heatmap, and where nothing matters, frames pass through as they are.
"""

from __future__ import annotations

import copy
import sys
import threading
import time
import traceback
from typing import Any, List, NamedTuple, Optional, Tuple

import cv2
import numpy as np
from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image, RegionOfInterest
from std_msgs.msg import String

from clue_ros.images.encodings import LAYOUTS
from clue_ros.images.messages import image_to_rgb, image_to_samples
from clue_ros.masks.focus import MODES, THRESHOLD, active_pixels, focused, smallest_box
from clue_ros.ros.running import overrides, spinning
from clue_ros.ros.running.errors import from_load
from clue_ros.ros.running.loading import GrounderFactory, ModelSettings, load_grounder
from clue_ros.ros.seeing.sight import difference, thumbnail
from clue_ros.ros.wire.adaptive_subscription import AdaptiveSubscriptions
from clue_ros.ros.wire.camera_topics import info_topic
from clue_ros.ros.wire.conversions import array_to_image
from clue_ros.seams import Capability, Grounder, MissingCapabilityError
from clue_ros.types import Box, ClueError

# What can be drawn into: one byte a sample, each pixel of its own.
ENCODINGS = {n: layout.channels for n, layout in LAYOUTS.items() if layout.dtype is np.uint8 and layout.own_samples}
EXPLAINED = 0.7  # a shift counts if it leaves at most this share of the difference between two thumbnails


class Heat(NamedTuple):
    """A heatmap, and the thumbnail float32[64,64] of the frame that it belongs to."""

    values: np.ndarray
    thumbnail: np.ndarray
    instruction: str


class Focus(Node):
    """One camera, one instruction. The model loads in the node's thread for it, and frames pass through meanwhile. If
    it cannot be loaded, or has no mask head, `failure` says why and `done` is true."""

    def __init__(self, factory: GrounderFactory = load_grounder, **kwargs) -> None:
        super().__init__("focus", **kwargs)
        declare = lambda name, value, text: overrides.declare(  # noqa: E731
            self, name, value, ParameterDescriptor(description=text)
        )
        self.add_on_set_parameters_callback(_check)
        model = declare("model", "", "Model directory; empty: the embedded one. Read at start.")
        device = declare("device", "cpu", "torch device. Read at start.")
        declare("mode", MODES[0], "What becomes of the rest of the picture: " + ", ".join(MODES))
        declare("crop", False, "Also cut to the smallest box that keeps what matters.")
        for name, value, low, high, text in (
            ("margin", 0.1, 0.0, 1.0, "Added around the box of a crop, a share of its sides."),
            ("threshold", THRESHOLD, 0.01, 0.99, "Heat from which a pixel matters."),
            ("tolerance", 6.0, 0.0, 255.0, "Grey levels by which a tile may change before the model looks again."),
            ("rate", 2.0, 0.1, 30.0, "At most so many looks of the model a second."),
        ):  # fmt: skip
            limits = [FloatingPointRange(from_value=low, to_value=high)]
            overrides.declare(self, name, value, ParameterDescriptor(description=text, floating_point_range=limits))
        overrides.take_integers(self)
        overrides.check(self)
        self._load = lambda: factory(ModelSettings(model, device))
        self._grounder: Optional[Grounder] = None
        self.failure: Optional[ClueError] = None
        self.done = False
        self._instruction, self._heat, self._info = "", None, None
        self._active: Optional[Tuple[np.ndarray, float, np.ndarray]] = None  # heatmap, threshold, what they make active
        self._looked, self._wanted = 0.0, None  # when the model last began; (rgb, thumbnail, instruction) for it
        self._wake, self._stop = threading.Condition(), False
        self.added_s: List[float] = []  # seconds that each of the last frames took here
        self.looks = 0
        self._image = self.create_publisher(Image, "image_focused", qos_profile_sensor_data)
        self._info_out = self.create_publisher(CameraInfo, "camera_info_focused", qos_profile_sensor_data)
        cameras = AdaptiveSubscriptions(self)
        cameras.add(Image, self.resolve_topic_name("image"), self._on_image, qos_profile_sensor_data)
        cameras.add(CameraInfo, info_topic(self), self._on_info, qos_profile_sensor_data)
        self.create_subscription(String, "focus_on", self._on_instruction, 10)
        self._thread = threading.Thread(target=self._work, name="focus_model", daemon=True)

    def start(self) -> None:
        """Loads the model, and looks from then on, in a thread of its own."""
        self._thread.start()

    def close(self) -> None:
        """Ends the model's thread and frees the model."""
        with self._wake:
            self._stop = True
            self._wake.notify()
        if self.loads_still:
            return
        if self._thread.is_alive():
            self._thread.join(10.0)
        if not self._thread.is_alive() and self._grounder is not None:
            self._grounder.close()

    @property
    def loads_still(self) -> bool:
        """Whether the thread has not got its model yet."""
        return self._grounder is None and self._thread.is_alive()

    def _on_info(self, message: CameraInfo) -> None:
        self._info = message

    def _on_instruction(self, message: String) -> None:
        """An empty one ends the focus."""
        self._instruction = message.data.strip()
        self._looked = 0.0

    def _on_image(self, message: Image) -> None:
        begun = time.perf_counter()
        try:
            picture, box = self._shown(message)
        except ClueError as error:
            self.get_logger().warning(f"a frame passes through as it is: {error}", throttle_duration_sec=10.0)
            picture, box = message, None
        self._image.publish(picture)
        if self._info is not None:
            info = copy.copy(self._info) if box is None else cropped_info(self._info, box)
            info.header = message.header
            self._info_out.publish(info)
        self.added_s = [*self.added_s[-199:], time.perf_counter() - begun]

    def _shown(self, message: Image) -> Tuple[Image, Optional[Box]]:
        """The frame to publish, and the box that it was cut to."""
        if not self._instruction:
            return message, None
        channels = ENCODINGS.get(message.encoding)
        if channels is None:
            raise ClueError(f"encoding {message.encoding} cannot be drawn into: give one of {', '.join(ENCODINGS)}")
        rgb = image_to_rgb(message)
        small = thumbnail(rgb)
        self._refresh(rgb, small)
        heat = self._heat
        if heat is None or heat.instruction != self._instruction or heat.values.shape != rgb.shape[:2]:
            return message, None
        active = self._active_of(heat, small)
        if not active.any():
            return message, None
        pixels = image_to_samples(message, channels, np.uint8)
        pixels = pixels[..., 0] if pixels.ndim == 3 and channels == 1 else pixels
        shown, box, mode = focused(pixels, active, self._value("mode")), None, self._value("mode")
        if self._value("crop") or mode == "crop":
            box = smallest_box(active, self._value("margin"))
            shown = shown[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)]
        return array_to_image(shown, message.encoding, message.header), box

    def _active_of(self, heat: Heat, small: np.ndarray) -> np.ndarray:
        """bool[H,W]; kept while the heatmap, its place and the threshold stay the same."""
        values, threshold = moved(heat, small), self._value("threshold")
        last = self._active
        if last is None or last[0] is not values or last[1] != threshold:
            last = self._active = (values, threshold, active_pixels(values, threshold))
        return last[2]

    def _refresh(self, rgb: np.ndarray, small: np.ndarray) -> None:
        """Lets the model look where the words or the scene are new."""
        heat, now = self._heat, time.monotonic()
        new = heat is None or heat.instruction != self._instruction
        if not new and difference(heat.thumbnail, small) <= self._value("tolerance"):
            return
        if now - self._looked < 1 / self._value("rate"):
            return
        with self._wake:
            if self._wanted is None:
                self._looked = now
                self._wanted = rgb, small, self._instruction
                self._wake.notify()

    def _work(self) -> None:
        """The model's thread."""
        try:
            grounder = self._load()
            if Capability.RELEVANCE not in grounder.capabilities:
                grounder.close()
                raise MissingCapabilityError(Capability.RELEVANCE)
        except Exception as error:  # loading runs foreign code on files that may be garbage
            self.failure, self.done = from_load(error, "the model"), True
            return
        self._grounder = grounder
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._stop or self._wanted is not None)
                if self._stop:
                    return
                rgb, small, instruction = self._wanted
            try:
                heat = Heat(grounder.relevance(rgb, instruction), small, instruction)
            except ClueError as error:
                self.get_logger().warning(f"'{instruction}': {error}", throttle_duration_sec=10.0)
                heat = None
            except Exception:  # a bug or a broken device: the thread lives on, or an old heatmap would stay for ever
                self.get_logger().error(
                    f"'{instruction}': the model failed:\n{traceback.format_exc()}", throttle_duration_sec=10.0
                )
                heat = None
            with self._wake:
                self._wanted = None
                if heat is not None:
                    self._heat, self.looks = heat, self.looks + 1

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value


def moved(heat: Heat, small: np.ndarray) -> np.ndarray:
    """The heatmap shifted as the picture has shifted since, by phase correlation of the thumbnails; as it was where no
    shift makes the old thumbnail clearly more like the new one."""
    if difference(heat.thumbnail, small) < 1.0:
        return heat.values
    window = cv2.createHanningWindow(small.shape[::-1], cv2.CV_32F)
    (across, down), _ = cv2.phaseCorrelate(heat.thumbnail, small, window)
    reach = int(np.ceil(max(abs(across), abs(down))))
    if not 0 < reach <= small.shape[0] // 4:
        return heat.values
    inner = (slice(reach, -reach), slice(reach, -reach))
    before = np.abs(heat.thumbnail - small)[inner].mean()
    if np.abs(_shifted(heat.thumbnail, across, down) - small)[inner].mean() > EXPLAINED * before:
        return heat.values
    height, width = heat.values.shape
    return _shifted(heat.values, across * width / small.shape[1], down * height / small.shape[0])


def _shifted(values: np.ndarray, across: float, down: float) -> np.ndarray:
    return cv2.warpAffine(values, np.float32([[1, 0, across], [0, 1, down]]), values.shape[::-1])


def cropped_info(info: CameraInfo, box: Box) -> CameraInfo:
    """camera_info of a picture that was cut to a box: its size, and K and P for its own pixels. The region of interest
    and the binning of the picture before are in them, and are given no more."""
    result = copy.deepcopy(info)
    result.width, result.height = int(box.x1 - box.x0), int(box.y1 - box.y0)
    result.roi, result.binning_x, result.binning_y = RegionOfInterest(), 0, 0
    across, down = max(1, info.binning_x), max(1, info.binning_y)
    for matrix, row in ((result.k, 3), (result.p, 4)):
        if matrix[0] == 0:  # not filled
            continue
        matrix[2], matrix[row + 2] = matrix[2] - info.roi.x_offset, matrix[row + 2] - info.roi.y_offset
        matrix[:row], matrix[row : 2 * row] = matrix[:row] / across, matrix[row : 2 * row] / down
        matrix[2], matrix[row + 2] = matrix[2] - box.x0, matrix[row + 2] - box.y0
    return result


def _check(parameters) -> SetParametersResult:
    for parameter in parameters:
        if parameter.name == "mode" and parameter.value not in MODES:
            reason = f"mode is {parameter.value!r}: give one of {', '.join(MODES)}"
            return SetParametersResult(successful=False, reason=reason)
    return SetParametersResult(successful=True)


def main(args: Optional[List[str]] = None) -> int:
    return spinning.run("focus", Focus, args)


if __name__ == "__main__":
    sys.exit(main())
