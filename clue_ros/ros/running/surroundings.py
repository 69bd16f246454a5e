"""What around the node is not as it must be, though nothing fails: told in the log when it begins, and on /diagnostics.

A second node of the same full name, simulated time that nobody gives, publishers of another type on a topic that the
node listens to. ROS says nothing of these, or says it once on another terminal.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, NamedTuple, Sequence, Tuple

from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

LOOK_S = 2.0
CLOCK = "/clock"
IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"


class Trouble(NamedTuple):
    text: str
    severe: bool = False


class Surroundings:
    """Looks every LOOK_S seconds. `ignored`: what was given at start and is not taken. For the executor's thread."""

    def __init__(self, node: Node, group: CallbackGroup, ignored: Sequence[str] = ()) -> None:
        self._node = node
        self._ignored = [Trouble(text) for text in ignored]
        self._found: Dict[str, Trouble] = {}
        # Steady: one of the troubles is that the node's own clock stands still.
        self._timer = node.create_timer(
            LOOK_S, self.look, callback_group=group, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    @property
    def troubles(self) -> List[Trouble]:
        """The severe ones first."""
        return sorted([*self._found.values(), *self._ignored], key=lambda trouble: not trouble.severe)

    def look(self) -> None:
        found = dict(self._look())
        logger = self._node.get_logger()
        for key, trouble in found.items():
            if key in self._found:
                continue
            # Two lines: rclpy refuses, by an exception that would end the node, another severity from the same one.
            if trouble.severe:
                logger.error(trouble.text)
            else:
                logger.warning(trouble.text)
        for key in self._found.keys() - found.keys():
            logger.info(f"over: {self._found[key].text}")
        self._found = found

    def close(self) -> None:
        self._node.destroy_timer(self._timer)

    def _look(self) -> Iterator[Tuple[str, Trouble]]:
        twins = self._node.get_node_names_and_namespaces().count((self._node.get_name(), self._node.get_namespace()))
        if twins > 1:
            name = self._node.get_fully_qualified_name()
            yield (
                "twins",
                Trouble(
                    f"{twins} nodes are named {name}: each hears the same words and serves the same goals. End all "
                    "but one, or"
                    " start them in namespaces of their own (-r __ns:=/...). One that was killed is seen for some "
                    "seconds more",
                    severe=True,
                ),
            )
        if self._node.get_clock().ros_time_is_active and not has_clock(self._node):
            yield (
                "clock",
                Trouble(
                    f"use_sim_time is true, and nobody publishes {CLOCK}: start the simulator or the bag "
                    "(--clock), or set"
                    " use_sim_time to false. Images grow old by this computer's time meanwhile"
                ),
            )
        for subscription in self._node.subscriptions:
            kind = subscription.msg_type
            wanted = "/".join((kind.__module__.split(".")[0], "msg", kind.__name__))
            text = another_type(self._node, subscription.topic_name, wanted)
            if text:
                yield f"{subscription.topic_name} {wanted}", Trouble(text)


def has_clock(node: Node) -> bool:
    """Whether somebody gives simulated time; it may stand still."""
    return node.count_publishers(CLOCK) > 0


def another_type(node: Node, topic: str, wanted: str) -> str:
    """A sentence about publishers of `topic` whose type is not `wanted` (pkg/msg/Name); empty if there is none."""
    kinds = sorted({info.topic_type for info in node.get_publishers_info_by_topic(topic)} - {wanted})
    if not kinds:
        return ""
    text = f"{topic} carries {' and '.join(kinds)}, and the node takes {wanted} there"
    if wanted == IMAGE and COMPRESSED in kinds:
        base = topic.removesuffix("/compressed")
        if base != topic:
            return f"{text}: remap `image` to {base}, and {topic} is taken by itself"
        return f"{text}: compressed images are taken from a topic that ends with /compressed"
    return f"{text}: remap it to a topic of that type"
