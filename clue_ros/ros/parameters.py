"""The parameters of the `clue` node: declared with type, range and description, read as one frozen snapshot.

config/clue.yaml and docs/interfaces.md document the same list; a test compares them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Dict, Optional, Tuple

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node

TRANSPORTS = ("raw", "compressed", "both")


@dataclass(frozen=True)
class Parameters:
    """One reading of the node's parameters. Times in seconds."""

    model: str
    device: str
    threshold: float
    max_questions: int
    answer_timeout_s: float
    max_image_age_s: float
    wait_for_image_s: float
    image_transport: str
    use_depth: bool
    max_depth_offset_s: float
    autostart: bool

    @property
    def decision_threshold(self) -> Optional[float]:
        """None: the model's own."""
        return self.threshold or None


# name: (default, description, (lowest, highest) or None)
_DECLARATIONS: Dict[str, Tuple[Any, str, Optional[Tuple[float, float]]]] = {
    "model": ("", "Model directory; empty: the embedded tabletop model. Read by configure.", None),
    "device": ("cpu", "torch device of the model: cpu, cuda, cuda:1. Read by configure.", None),
    "threshold": (0.0, "P(ambiguous) from which the node asks; 0: the model's own.", (0.0, 1.0)),
    "max_questions": (3, "Questions that one dialogue may ask, unless the goal says otherwise.", (0, 20)),
    "answer_timeout_s": (30.0, "Seconds to wait for each answer, unless the goal says otherwise.", (0.1, 3600.0)),
    "max_image_age_s": (
        1.0,
        "Camera frames older than this are refused, unless the goal says otherwise.",
        (0.01, 3600.0),
    ),
    "wait_for_image_s": (2.0, "Seconds to wait for a camera frame that is fresh enough.", (0.0, 600.0)),
    "image_transport": ("both", "Which camera topics to take: raw, compressed or both. Read by configure.", None),
    "use_depth": (True, "Take depth and camera_info and give the target a position. Read by configure.", None),
    "max_depth_offset_s": (0.1, "Largest difference of stamp between the image and its depth image.", (0.0, 10.0)),
    "autostart": (True, "Configure and activate at start, without a lifecycle client. Read once.", None),
}


def declare(node: Node) -> None:
    """Declares every parameter and refuses values that cannot work, with the reason."""
    for name, (default, description, limits) in _DECLARATIONS.items():
        descriptor = ParameterDescriptor(description=description)
        if limits is not None and isinstance(default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=limits[0], to_value=limits[1])]
        elif limits is not None:
            descriptor.integer_range = [IntegerRange(from_value=int(limits[0]), to_value=int(limits[1]), step=1)]
        node.declare_parameter(name, default, descriptor)
    node.add_on_set_parameters_callback(_check)


def read(node: Node) -> Parameters:
    return Parameters(**{field.name: node.get_parameter(field.name).value for field in fields(Parameters)})


def _check(parameters) -> SetParametersResult:
    for parameter in parameters:
        if parameter.name == "image_transport" and parameter.value not in TRANSPORTS:
            reason = f"image_transport is {parameter.value!r}: give one of {', '.join(TRANSPORTS)}"
            return SetParametersResult(successful=False, reason=reason)
        if parameter.name == "device" and not str(parameter.value).strip():
            return SetParametersResult(successful=False, reason="device is empty: give cpu or cuda")
    return SetParametersResult(successful=True)
