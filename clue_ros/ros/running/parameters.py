"""The parameters of the `clue` node: declared with type, range and description, read as one frozen snapshot.

config/clue.yaml and docs/interfaces.md document the same list; a test compares them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any, Dict, List, Optional, Sequence, Tuple

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.validate_topic_name import validate_topic_name

from clue_ros.dialogue.steps import Policy
from clue_ros.images.sample_bits import CHOICES as SAMPLE_BITS
from clue_ros.ros.running import overrides
from clue_ros.ros.running.loading import DTYPES, MERGES, MOST_GLANCES, QUANTIZATIONS, ModelSettings

TRANSPORTS = ("raw", "compressed", "both")
TOLERANCE = 2.0  # grey levels: above a camera's noise (sigma 10: 1.2), below an object that moved by 1 cm (2.2)
RECTIFIED = ("auto", "yes", "no")
SPEECH_MODES = ("start", "answer", "off")
GOAL_POLICIES = ("preempt", "queue")
QUESTION_POLICIES = ("learned", "information_gain", "numbers")  # those of clue_ros.belief.grounder
SAY_ACTION_TYPES = ("tts_msgs/action/TTS", "communication_skills/action/Say")
POLICIES = tuple(policy.value for policy in Policy)
_CHOICES = {
    "image_transport": TRANSPORTS, "dtype": DTYPES, "quantization": QUANTIZATIONS, "merge_adapters": MERGES,
    "speech_policy": POLICIES, "speech_mode": SPEECH_MODES, "say_action_type": SAY_ACTION_TYPES,
    "goal_policy": GOAL_POLICIES, "rectified": RECTIFIED, "question_policy": QUESTION_POLICIES,
}  # fmt: skip
_YES_NO = ("merge_adapters", "rectified")  # in YAML an unquoted yes or no is a truth value: taken, and read as the word
_READ_ONLY = ("autostart",)  # read once, before anybody can set it; what configure reads may be set between two of them


@dataclass(frozen=True)
class Parameters:
    """One reading of the node's parameters. Times in seconds."""

    model: str
    device: str
    dtype: str
    quantization: str
    merge_adapters: str
    glances: int
    taught: str
    most_taught: int
    most_views: int
    threshold: float
    min_confidence: float
    speech_policy: str
    speech_mode: str
    mute_after_utterance_s: float
    live_speech_topic: str
    say_action: str
    say_action_type: str
    goal_policy: str
    question_policy: str
    point_window_s: float
    correction_window_s: float
    max_questions: int
    answer_timeout_s: float
    max_image_age_s: float
    wait_for_image_s: float
    cameras: List[str]
    image_transport: str
    sample_bits: int
    use_depth: bool
    rectified: str
    max_depth_offset_s: float
    target_frame: str
    target_mask: bool
    publish_detections: bool
    look_ahead: bool
    look_ahead_rate: float
    look_ahead_tolerance: float
    autostart: bool

    @property
    def decision_threshold(self) -> Optional[float]:
        """None: the model's own."""
        return self.threshold or None

    @property
    def least_confidence(self) -> Optional[float]:
        """None: the model's own."""
        return self.min_confidence or None

    @property
    def camera_names(self) -> Tuple[str, ...]:
        """One empty name: the one camera, whose topics stand under no name."""
        return tuple(name for name in self.cameras if name) or ("",)

    @property
    def sight_tolerance(self) -> Optional[float]:
        """`look_ahead_tolerance`; None with look_ahead off."""
        return self.look_ahead_tolerance if self.look_ahead else None

    @property
    def model_settings(self) -> ModelSettings:
        glances = None if self.glances < 0 else self.glances
        return ModelSettings(
            self.model, self.device, self.quantization, self.merge_adapters, self.dtype, glances, self.taught,
            self.most_taught, self.most_views,
        )  # fmt: skip


_CAMERA_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")

# name: (default, description, (lowest, highest) or None)
_DECLARATIONS: Dict[str, Tuple[Any, str, Optional[Tuple[float, float]]]] = {
    "model": (
        "",
        "Model directory or http://HOST:PORT of `clue serve`; empty: the embedded model. Read by configure.",
        None,
    ),
    "device": ("cpu", "torch device of the model: cpu, cuda, cuda:1. Read by configure.", None),
    "dtype": ("auto", "Type of the model's weights: auto, float32 or bfloat16. Read by configure.", None),
    "quantization": ("none", "Weight-only quantization: none, int8 or int4. Read by configure.", None),
    "merge_adapters": ("auto", 'Fold adapters into the weights: auto, "yes" or "no". Read by configure.', None),
    "glances": (-1, "Second glances a picture, 0: none; -1: the model's own. Read by configure.", (-1, MOST_GLANCES)),
    "taught": ("", "Folder of things shown and named; empty: nothing can be taught. Read by configure.", None),
    "most_taught": (200, "Things that may be taught. Read by configure.", (1, 10000)),
    "most_views": (8, "Views of one taught thing. Read by configure.", (1, 64)),
    "threshold": (0.0, "P(ambiguous) from which the node asks; 0: the model's own.", (0.0, 1.0)),
    "min_confidence": (
        0.0,
        "A box below it is asked about under the policy ASK_UNTIL_CONFIDENT; 0: the model's own.",
        (0.0, 1.0),
    ),
    "speech_policy": ("ask", "What a spoken instruction does when it is ambiguous; goals bring their own.", None),
    "speech_mode": ("start", "What speech may do: start a dialogue or answer, only answer, or only stop (off).", None),
    "mute_after_utterance_s": (0.0, "Speech is not heard for so many seconds after each utterance.", (0.0, 60.0)),
    "live_speech_topic": (
        "",
        "Also listen to this topic of hri_msgs/LiveSpeech; empty: none. Read by configure.",
        None,
    ),
    "say_action": ("", "Also speak through this action, as in /tts_engine/tts; empty: none. Read by configure.", None),
    "say_action_type": (SAY_ACTION_TYPES[0], "Type of the action say_action. Read by configure.", None),
    "goal_policy": ("preempt", "What a goal does while a dialogue is open: preempt (end it) or queue (wait).", None),
    "question_policy": ("learned", "What is asked: learned (the model's), information_gain, or numbers.", None),
    "point_window_s": (3.0, 'Seconds for which a pointed place waits for words such as "this one".', (0.0, 60.0)),
    "correction_window_s": (
        10.0,
        'Seconds after a result in which "the other one" or "never mind" corrects its target; 0: never.',
        (0.0, 600.0),
    ),
    "max_questions": (3, "Questions that one dialogue may ask, unless the goal says otherwise.", (0, 20)),
    "answer_timeout_s": (30.0, "Seconds to wait for each answer, unless the goal says otherwise.", (0.1, 3600.0)),
    "max_image_age_s": (
        1.0,
        "Camera frames older than this are refused, unless the goal says otherwise.",
        (0.01, 3600.0),
    ),
    "wait_for_image_s": (2.0, "Seconds to wait for a camera frame that is fresh enough.", (0.0, 600.0)),
    "cameras": ([""], "Names of several cameras; the first is looked through by default. Read by configure.", None),
    "image_transport": ("both", "Which camera topics to take: raw, compressed or both. Read by configure.", None),
    "sample_bits": (
        0,
        "Bits that 16-bit image samples use, 8 to 16, from the lowest; 0: all. Read by configure.",
        (0, 16),
    ),
    "use_depth": (True, "Take depth and camera_info and give the target a position. Read by configure.", None),
    "rectified": (
        "auto",
        'Whether images are rectified (P) or raw (K, D): auto (by topic name), "yes" or "no". Read by configure.',
        None,
    ),
    "max_depth_offset_s": (0.1, "Largest difference of stamp between image and depth. Read by configure.", (0.0, 10.0)),
    "target_frame": ("", "Give positions in this frame, through tf2; empty: the optical one. Read by configure.", None),
    "target_mask": (False, "Fill Target.mask with the target's pixels, where the model has masks.", None),
    "publish_detections": (False, "Also publish the target as vision_msgs detections. Read by configure.", None),
    "look_ahead": (True, "Run camera frames ahead of any words while the node is idle.", None),
    "look_ahead_rate": (2.0, "At most so many frames a second are run ahead.", (0.1, 30.0)),
    "look_ahead_tolerance": (
        TOLERANCE,
        "Largest difference to the seen frame that still counts as the same picture: grey levels, mean over the worst"
        " of 8 x 8 tiles; 0: only the very frame.",
        (0.0, 255.0),
    ),
    "autostart": (True, "Configure and activate at start, without a lifecycle client. Read once.", None),
}


def declare(node: Node) -> None:
    """Declares every parameter; values that cannot work are refused with the reason, also those given at start.

    Raises:
        rclpy.exceptions.ParameterException: a value given at start is of a wrong type or makes no sense.
    """
    node.add_on_set_parameters_callback(_check)
    for name, (default, description, limits) in _DECLARATIONS.items():
        descriptor = ParameterDescriptor(description=description, read_only=name in _READ_ONLY)
        if name in _CHOICES:
            descriptor.additional_constraints = "one of: " + ", ".join(_CHOICES[name])
        descriptor.dynamic_typing = name in _YES_NO
        if limits is not None and isinstance(default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=limits[0], to_value=limits[1])]
        elif limits is not None:
            descriptor.integer_range = [IntegerRange(from_value=int(limits[0]), to_value=int(limits[1]), step=1)]
        overrides.declare(node, name, default, descriptor)
    overrides.take_integers(node)


def read(node: Node) -> Parameters:
    return Parameters(**{field.name: _word(node.get_parameter(field.name)) for field in fields(Parameters)})


def _word(parameter: Parameter) -> Any:
    if parameter.name in _YES_NO and isinstance(parameter.value, bool):
        return "yes" if parameter.value else "no"
    return parameter.value


def _check(parameters: Sequence[Parameter]) -> SetParametersResult:
    for parameter in parameters:
        choices = _CHOICES.get(parameter.name)
        if choices is not None and _word(parameter) not in choices:
            reason = f"{parameter.name} is {parameter.value!r}: give one of {', '.join(choices)}"
            return SetParametersResult(successful=False, reason=reason)
        if parameter.name in ("live_speech_topic", "say_action") and parameter.value:
            try:
                validate_topic_name(parameter.value)
            except InvalidTopicNameException as error:
                return SetParametersResult(successful=False, reason=f"{parameter.name}: {error}")
        if parameter.name == "cameras" and parameter.value:
            names = [name for name in parameter.value if name]
            if len(set(names)) < len(names) or not all(_CAMERA_NAME.fullmatch(name) for name in names):
                reason = f"cameras is {names}: give different names of letters, digits and _, a letter first"
                return SetParametersResult(successful=False, reason=reason)
        if parameter.name == "sample_bits" and parameter.value not in SAMPLE_BITS:
            reason = f"sample_bits is {parameter.value}: give 8 to 16, or 0 for all"
            return SetParametersResult(successful=False, reason=reason)
        if parameter.name == "device" and not str(parameter.value).strip():
            return SetParametersResult(successful=False, reason="device is empty: give cpu or cuda")
    return SetParametersResult(successful=True)
