"""What the console hears of the grounding node, turned into its state: turns, readings, targets, corrections,
images.
"""

from __future__ import annotations

import time
from typing import Any, Callable, List, Optional, Sequence

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from clue_ros.console.dialogue import Found, Reading
from clue_ros.console.pictures import Frame, Pictures, RecentFrames, to_grey
from clue_ros.console.state import ConsoleState
from clue_ros.dialogue import phrases
from clue_ros.dialogue.steps import PERSON, ROBOT, End
from clue_ros.images.messages import image_to_samples
from clue_ros.msg import Ambiguity, Correction, Target, Turn
from clue_ros.ros.running.errors import CODE_NAMES
from clue_ros.ros.serving.report import REFUSAL
from clue_ros.ros.wire.adaptive_subscription import AdaptiveSubscriptions
from clue_ros.ros.wire.camera_topics import image_topic, under
from clue_ros.ros.wire.conversions import message_to_rgb
from clue_ros.ros.wire.messages import msg_to_attention_map, msg_to_box, stamp_to_seconds
from clue_ros.types import ClueError

DEPTH = 50  # of what belongs to dialogues: none of it may be lost while pictures arrive


class CameraEars:
    """The newest frames of one or several cameras; the first is the one that is shown live."""

    def __init__(
        self, node: Node, names: Sequence[str], transport: str, pictures: Pictures, sample_bits: int = 0
    ) -> None:
        self.recent = RecentFrames()
        self.frames = 0  # of the first camera
        self.last: Optional[float] = None  # when the last of those came, monotonic seconds
        self.topic = image_topic(node, under(names[0], "image"), "compressed")
        self._node = node
        self._pictures, self._sample_bits = pictures, sample_bits
        subscriptions = AdaptiveSubscriptions(node)
        for number, name in enumerate(names):
            first = number == 0
            topic = image_topic(node, under(name, "image"), "compressed")

            def hear(message: Any, first: bool = first) -> None:
                self._on_image(message, first)

            if transport in ("raw", "both"):
                subscriptions.add(Image, topic, hear)
            if transport in ("compressed", "both"):
                subscriptions.add(CompressedImage, topic + "/compressed", hear)

    @property
    def publishers(self) -> int:
        """How many cameras publish on the first topic, as far as DDS knows."""
        return self._node.count_publishers(self.topic) + self._node.count_publishers(self.topic + "/compressed")

    def _on_image(self, message: "Image | CompressedImage", first: bool) -> None:
        frame = Frame(stamp_ns(message.header), lambda: message_to_rgb(message, self._sample_bits))
        now = time.monotonic()
        self.recent.add(message.header.frame_id, frame, len(message.data), now)
        if first:
            self.frames += 1
            self.last = now
            self._pictures.offer(frame)


class DialogueEars:
    """Listens to everything that the node tells about its dialogues."""

    def __init__(self, node: Node, state: ConsoleState, pictures: Pictures, camera: CameraEars) -> None:
        self._state = state
        self._pictures = pictures
        self._camera = camera
        self._frozen: "dict[tuple, int]" = {}  # (frame id, stamp) of the last frames that a reading was about: picture
        heard: "List[tuple[type, str, Callable]]" = [
            (Correction, "correction", self._on_correction), (Turn, "turn", self._on_turn),
            (Ambiguity, "ambiguity", self._on_ambiguity), (Target, "target", self._on_target),
        ]  # fmt: skip
        for kind, topic, callback in heard:
            node.create_subscription(kind, topic, callback, DEPTH)

    def frame_of(self, header: Header) -> Optional[int]:
        """The picture of exactly this image; None if the console never got it (a lost frame, an image in a goal)."""
        key = (header.frame_id, stamp_ns(header))
        if key not in self._frozen:
            frame = self._camera.recent.find(*key)
            if frame is None:
                return None
            while len(self._frozen) >= 8:
                del self._frozen[next(iter(self._frozen))]
            self._frozen[key] = self._pictures.freeze(frame)
        return self._frozen[key]

    def _on_turn(self, turn: Turn) -> None:
        if turn.speaker == PERSON:  # the node takes its image now, and says which when the model has read it
            self._camera.recent.hold()
        else:
            self._camera.recent.release()
        with self._state.dialogues() as dialogues:
            outcome = closing_of(turn.text, dialogues.expression) if turn.speaker == ROBOT else None
            dialogues.say(turn.speaker, turn.text, stamp_to_seconds(turn.stamp), time.monotonic(), outcome)

    def _on_ambiguity(self, message: Ambiguity) -> None:
        now = time.monotonic()
        heat = attention_of(message)
        # Where a belief is kept, what it is over competes; else what the attention points at.
        rivals = tuple((msg_to_box(box), float(share)) for box, share in zip(message.candidates, message.belief))
        rivals = rivals or tuple((msg_to_box(region.box), float(region.strength)) for region in message.regions)
        reading = Reading(
            message.expression, message.probability, message.threshold, message.is_ambiguous, rivals,
            self.frame_of(message.header), None if heat is None else self._pictures.keep_map(to_grey(heat)),
        )  # fmt: skip
        with self._state.dialogues() as dialogues:
            dialogues.read(reading, now)

    def _on_target(self, target: Target) -> None:
        found = found_of(target, self._mask(target.mask))
        with self._state.dialogues() as dialogues:
            dialogues.find_target(found, target.dialogue)

    def _on_correction(self, message: Correction) -> None:
        with self._state.dialogues() as dialogues:
            if message.state == Correction.REOPENED:
                dialogues.take_back(message.corrects, message.text, message.dialogue, time.monotonic())
            elif message.state == Correction.WITHDRAWN:
                dialogues.take_back(message.corrects, message.text)
            elif message.state == Correction.FAILED:
                name = CODE_NAMES.get(message.error_code, str(message.error_code))
                dialogues.end(message.dialogue, name.lower(), (message.error_code, name, message.error_msg))
            else:
                dialogues.end(message.dialogue, End.FOUND.value)

    def _mask(self, mask: Image) -> Optional[int]:
        if not mask.height or mask.encoding != "mono8":
            return None
        try:
            return self._pictures.keep_map(image_to_samples(mask, 1, np.uint8))
        except ClueError:
            return None


def found_of(target: Target, mask: Optional[int] = None) -> Found:
    """A Target message -> Found. mask: id of its picture."""
    point = target.position.point
    return Found(
        msg_to_box(target.box), float(target.confidence), target.expression,
        (point.x, point.y, point.z) if target.has_position else None,
        target.position.header.frame_id if target.has_position else target.header.frame_id, mask,
    )  # fmt: skip


def attention_of(message: Ambiguity) -> Optional[np.ndarray]:
    """float32[h, w]; None for a message whose numbers do not fit each other."""
    try:
        return msg_to_attention_map(message) if message.map_height and message.map_width else None
    except ValueError:
        return None


def closing_of(words: str, expression: str) -> Optional[str]:
    """The outcome that the robot's line announces ('found', 'not_found', ..., 'error'); None: it is a question."""
    if words.startswith(REFUSAL):
        return "error"
    if words.startswith("I do not know "):
        return End.UNKNOWN_WORDS.value
    if words in (phrases.withdrawn(True), phrases.withdrawn(False)):
        return End.ABANDONED.value
    end = phrases.announced(words, expression)
    return None if end is None else end.value


def stamp_ns(header: Header) -> int:
    return header.stamp.sec * 10**9 + header.stamp.nanosec
