"""The bond that nav2's lifecycle manager wants of a node that it has activated, by bondpy where that is installed.

The manager publishes bond/Status on `bond` of its own namespace, with the node's name as it stands in its list as id,
and takes the node for dead if nobody answers within `bond_timeout`. A node cannot know where a manager runs: this one
listens in every namespace above it, and answers an id that is its own name from there. Without bondpy the manager needs
`bond_timeout: 0.0`.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Set, Tuple

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node

HEARTBEAT_S = 0.1  # as nav2's own nodes


class Bonds:
    """From `start` to `stop`, while the node is active. For the executor's thread."""

    def __init__(self, node: Node, group: CallbackGroup) -> None:
        self._node, self._group = node, group
        self._listeners: List[Any] = []
        self._bonds: Dict[Tuple[str, str], Tuple[Any, str]] = {}  # (topic, id): the bond, the manager's end of it
        self._own: Set[str] = set()  # our ends of all of them: what they said may still come

    def start(self) -> None:
        try:
            from bond.msg import Status
            from bondpy.bondpy import Bond
        except ImportError:
            return
        for above in _above(self._node.get_namespace()):
            self._listeners.append(
                self._node.create_subscription(
                    Status, f"{above}/bond", self._hearer(above, Bond), 10, callback_group=self._group
                )
            )

    def stop(self) -> None:
        """Ends the bonds; the manager learns that it was on purpose."""
        while self._listeners:
            self._node.destroy_subscription(self._listeners.pop())
        while self._bonds:
            self._end(self._bonds.popitem()[1][0])

    def _hearer(self, above: str, make: Callable[..., Any]) -> Callable[[Any], None]:
        topic, own_name = f"{above}/bond", self._node.get_fully_qualified_name()

        def hear(status: Any) -> None:
            name = status.id if status.id.startswith("/") else f"{above}/{status.id}"
            if name != own_name:
                return
            key = (topic, status.id)
            known, manager = self._bonds.get(key, (None, ""))
            if (
                not status.active
                or status.instance_id in self._own
                or (known is not None and status.instance_id == manager)
            ):
                return
            if known is not None:  # the manager was started anew
                self._end(self._bonds.pop(key)[0])
            self._bonds[key] = bind(status), status.instance_id

        def bind(status: Any) -> Any:
            self._node.get_logger().info(f"bound to a lifecycle manager on {topic}")
            bond = make(self._node, topic, status.id, on_broken=self._broken)
            self._own.add(bond.instance_id)
            bond.heartbeat_period = HEARTBEAT_S
            if status.heartbeat_timeout > 0:
                bond.heartbeat_timeout = status.heartbeat_timeout
            bond.start()
            return bond

        return hear

    def _broken(self) -> None:
        if self._listeners:  # not by `stop`
            self._node.get_logger().warning(
                "the bond to the lifecycle manager is broken: it ended, or it gave this node up"
            )

    def _end(self, bond: Any) -> None:
        bond.shutdown()
        self._node.destroy_subscription(bond.sub)  # bondpy leaves it in the node's list
        self._node.destroy_publisher(bond.pub)


def _above(namespace: str) -> List[str]:
    """Of /robot/clue: "", /robot and /robot/clue."""
    parts = [part for part in namespace.split("/") if part]
    return ["".join(f"/{part}" for part in parts[:count]) for count in range(len(parts) + 1)]
