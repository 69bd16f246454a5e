"""The node's ears: what a person says reaches the conversation, and what the robot itself says does not.

An open microphone must not move a robot: `speech_mode` says whether words may begin a dialogue or only answer one.
While the robot speaks (for `mute_after_utterance_s` after each utterance, while its `say_action` runs, and while the
topic `speaking` says true) it hears nothing but what begins with words of stopping ("stop", "never mind"): a person may
always say those.
"""

from __future__ import annotations

import time
from typing import Any, List, Optional

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from std_msgs.msg import Bool, String

from clue_ros.ros.running.errors import MissingPackageError
from clue_ros.ros.running.parameters import Parameters, read
from clue_ros.ros.serving.conversation import Conversation
from clue_ros.ros.serving.outputs import RELIABLE, Outputs
from clue_ros.ros.wire.adaptive_subscription import AdaptiveSubscriptions


def live_speech_type(topic: str) -> Optional[Any]:
    """The message type of `live_speech_topic`, None if that is empty.

    Raises:
        MissingPackageError: a topic is given, and hri_msgs is not installed.
    """
    if not topic:
        return None
    try:
        from hri_msgs.msg import LiveSpeech
    except ImportError as error:
        raise MissingPackageError(
            f"live_speech_topic is {topic!r}, but hri_msgs cannot be imported ({error}): install"
            " ros-$ROS_DISTRO-hri-msgs and source its setup file, or leave live_speech_topic empty and use `speech`"
        ) from error
    return LiveSpeech


class Speech:
    """Hears `speech`, `speaking` and, if configured, a topic of hri_msgs/LiveSpeech. For the executor's thread."""

    def __init__(
        self, node: Node, parameters: Parameters, outputs: Outputs, conversation: Conversation, group: CallbackGroup
    ) -> None:
        """Raises MissingPackageError, as live_speech_type."""
        self._node = node
        self._outputs = outputs
        self._conversation = conversation
        self._says_it_speaks = False
        self._subscriptions: List[Any] = []

        def subscribe(kind: type, topic: str, callback: Any) -> None:
            self._subscriptions.append(node.create_subscription(kind, topic, callback, RELIABLE, callback_group=group))

        live = live_speech_type(parameters.live_speech_topic)
        subscribe(String, "speech", lambda message: self._on_words(message.data))
        # What was said before the node came is no instruction any more; who speaks is a state, and may be latched.
        self._states = AdaptiveSubscriptions(node, group)
        self._states.add(Bool, node.resolve_topic_name("speaking"), self._on_speaking, RELIABLE)
        if live is not None:
            # REP 155: `incremental` is a guess that may change yet, and `final` is empty until the sentence is over.
            subscribe(live, parameters.live_speech_topic, lambda message: self._on_words(message.final))

    def close(self) -> None:
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()
        self._states.close()

    def _robot_speaks(self, mute_s: float) -> bool:
        said_at = self._outputs.said_at
        if self._outputs.speaking or (said_at is not None and time.monotonic() - said_at < mute_s):
            return True
        # A speech engine that died while it spoke must not leave the robot deaf.
        return self._says_it_speaks and self._node.count_publishers(self._node.resolve_topic_name("speaking")) > 0

    def _on_speaking(self, message: Bool) -> None:
        self._says_it_speaks = message.data

    def _on_words(self, words: str) -> None:
        self._conversation.hear(words, self._robot_speaks(read(self._node).mute_after_utterance_s))
