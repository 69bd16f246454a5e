"""Subscriptions whose QoS follows what the publishers offer, so that a latched message is seen by who comes later.

A message that was published once with transient_local durability goes only to readers that ask for it, and, on Fast
DDS, only to reliable ones; readers that ask are not matched with volatile publishers. rosbag2 and `ros2 topic echo` ask
if all publishers offer it, and lose the latched message where one does not. Here a topic has up to two subscriptions,
looked after by a slow timer: a live one for everybody, and a latched one while somebody offers that. What both get
counts once.

For state only (images, calibration, who speaks): words and gestures of the past must not be heard again by a robot that
has just been started, so those subscriptions stay volatile.
"""

from __future__ import annotations

import functools
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Optional, Set

from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

LIVE, LATCHED = "live", "latched"
LOOK_S = 0.5
REMEMBERED = 16  # times of publication by which a message is known again
IMAGE_QOS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


class AdaptiveSubscriptions:
    """Of one node or a part of it, with one timer. For the executor's thread."""

    def __init__(self, node: Node, group: Optional[CallbackGroup] = None) -> None:
        self._node, self._group = node, group
        self._topics: List[_Topic] = []
        # Steady: a simulation that stands still must not keep a camera from being seen.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(LOOK_S, self.look, callback_group=group, clock=steady)

    def add(
        self, kind: type, topic: str, callback: Callable[[Any], None], live: QoSProfile = IMAGE_QOS,
        instead_of: str = "",
    ) -> None:  # fmt: skip
        """Subscribes to `topic` (resolved) from now on.

        live: for publishers whose messages are not latched. instead_of: only while nobody publishes that topic; then
        from the next look on.
        """
        one = _Topic(self._node, self._group, kind, topic, callback, live, instead_of)
        self._topics.append(one)
        if not instead_of:
            one.look()

    def look(self) -> None:
        """Sees what the publishers offer now."""
        for one in self._topics:
            one.look()

    def close(self) -> None:
        self._node.destroy_timer(self._timer)
        for one in self._topics:
            one.close()
        self._topics.clear()


class _Topic:
    def __init__(
        self, node: Node, group: Optional[CallbackGroup], kind: type, topic: str, callback: Callable[[Any], None],
        live: QoSProfile, instead_of: str,
    ) -> None:  # fmt: skip
        self._node, self._group, self._kind, self._topic, self._callback = node, group, kind, topic, callback
        self._type = "/".join((kind.__module__.split(".")[0], "msg", kind.__name__))
        self._instead_of = instead_of
        self._profiles = {
            LIVE: live,
            LATCHED: QoSProfile(
                history=HistoryPolicy.KEEP_LAST, depth=live.depth, reliability=ReliabilityPolicy.RELIABLE,
                durability=DurabilityPolicy.TRANSIENT_LOCAL,
            ),
        }  # fmt: skip
        self._subscriptions: Dict[str, Any] = {}
        self._unneeded: Set[str] = set()  # since the last look
        self._newest_live = 0  # ns at its publisher
        self._heard: Deque[int] = deque(maxlen=REMEMBERED)  # ns, of both

    def look(self) -> None:
        needed = self._needed()
        for which in (LIVE, LATCHED):
            if which in needed and which not in self._subscriptions:
                self._subscriptions[which] = self._subscribe(which)
        # At the second look: what it still holds is read meanwhile, and a publisher that starts anew changes nothing.
        gone = {which for which in self._subscriptions if which not in needed}
        for which in gone & self._unneeded:
            self._node.destroy_subscription(self._subscriptions.pop(which))
        self._unneeded = gone

    def close(self) -> None:
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def _needed(self) -> Set[str]:
        if self._instead_of and self._node.count_publishers(self._instead_of):
            return set()
        offers = [
            info.qos_profile
            for info in self._node.get_publishers_info_by_topic(self._topic)
            if info.topic_type == self._type
        ]
        latched = [
            offer.durability == DurabilityPolicy.TRANSIENT_LOCAL and offer.reliability == ReliabilityPolicy.RELIABLE
            for offer in offers
        ]
        needed = {LATCHED} if any(latched) else set()
        return needed if latched and all(latched) else needed | {LIVE}

    def _subscribe(self, which: str) -> Any:
        # Publishers that a latched subscription does not match are the live one's: no event needs to tell of them.
        quiet = SubscriptionEventCallbacks(use_default_callbacks=False)
        return self._node.create_subscription(
            self._kind, self._topic, functools.partial(self._on_message, which), self._profiles[which],
            callback_group=self._group, event_callbacks=quiet,
        )  # fmt: skip

    def _on_message(self, which: str, message: Any, info: Any) -> None:
        published = info["source_timestamp"]
        if published and self._is_old(which, published):
            return
        self._heard.append(published)
        if which == LIVE:
            self._newest_live = max(self._newest_live, published)
        self._callback(message)

    def _is_old(self, which: str, published: int) -> bool:
        """Whether both got it, or it is history: published before what came live, which it must not replace."""
        if published in self._heard:
            return True
        return which == LATCHED and LIVE in self._subscriptions and published < self._newest_live
