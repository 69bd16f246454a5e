"""nav2's lifecycle manager against the node: its service calls in its order, and the bond that it wants after activate.

The manager's side is written after nav2_lifecycle_manager and the bond protocol. bondpy is no wheel: where it is
missing, a stand-in with the part of its API that the node uses takes its place and talks over DDS.
"""

from __future__ import annotations

import importlib.util
import sys
import time
import uuid
from types import ModuleType

import pytest
from bench import wait_until
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.node import Node

from clue_ros.ros.node import ClueNode
from clue_ros.ros.running.bonds import HEARTBEAT_S, _above
from clue_ros.ros.running.spinning import Spinner
from clue_ros.testing.fake_grounder import ScriptedGrounder


def stand_in() -> ModuleType:
    module = ModuleType("bondpy.bondpy")

    class Bond:
        def __init__(self, node, topic, bond_id, on_broken=None, on_formed=None):
            from bond.msg import Status

            self.node, self.topic, self.id, self.instance_id = node, topic, bond_id, str(uuid.uuid4())
            self.heartbeat_period, self.heartbeat_timeout, self.broken = 1.0, 4.0, False
            self.Status, self.pub, self.on_broken = Status, node.create_publisher(Status, topic, 1), on_broken

        def start(self):
            self.sub = self.node.create_subscription(self.Status, self.topic, self.hear, 1)
            self.timer = self.node.create_timer(self.heartbeat_period, lambda: self.tell(True))

        def hear(self, status):
            if (
                status.id == self.id
                and status.instance_id != self.instance_id
                and not status.active
                and not self.broken
            ):
                self.broken = True
                self.on_broken()

        def tell(self, active):
            if not self.broken:
                self.pub.publish(self.Status(id=self.id, instance_id=self.instance_id, active=active))

        def is_broken(self):
            return self.broken

        def shutdown(self):
            self.node.destroy_timer(self.timer)
            self.tell(False)
            self.sub.destroy()
            self.pub.destroy()

    module.Bond = Bond
    return module


@pytest.fixture
def bondpy(stand_ins, monkeypatch):
    if importlib.util.find_spec("bondpy") is None:
        package = ModuleType("bondpy")
        package.bondpy = stand_in()
        monkeypatch.setitem(sys.modules, "bondpy", package)
        monkeypatch.setitem(sys.modules, "bondpy.bondpy", package.bondpy)


class Manager:
    """nav2_lifecycle_manager in `namespace`, with one node in its list, as it stands there."""

    def __init__(self, namespace: str, node_name: str) -> None:
        from bond.msg import Status

        self.Status, self.id, self.instance = Status, node_name, "manager's"
        self.node = Node("lifecycle_manager", namespace=namespace)
        self.spinner = Spinner(self.node)
        self._change = self.node.create_client(ChangeState, f"{node_name}/change_state")
        self._state = self.node.create_client(GetState, f"{node_name}/get_state")
        self.heard: list = []
        self.timer = None

    def start_up(self) -> None:
        wait_until(self._change.service_is_ready)
        for transition, state in (
            (Transition.TRANSITION_CONFIGURE, State.PRIMARY_STATE_INACTIVE),
            (Transition.TRANSITION_ACTIVATE, State.PRIMARY_STATE_ACTIVE),
        ):
            self.change(transition, state)
        self.publisher = self.node.create_publisher(self.Status, "bond", 1)
        self.node.create_subscription(self.Status, "bond", self._hear, 10)
        self.timer = self.node.create_timer(0.1, lambda: self.tell(True))

    def change(self, transition: int, state: int) -> None:
        done = self._change.call_async(ChangeState.Request(transition=Transition(id=transition)))
        wait_until(done.done)
        assert done.result().success
        done = self._state.call_async(GetState.Request())
        wait_until(done.done)
        assert done.result().current_state.id == state

    def tell(self, active: bool) -> None:
        self.publisher.publish(
            self.Status(
                id=self.id, instance_id=self.instance, active=active, heartbeat_timeout=4.0, heartbeat_period=0.1
            )
        )

    def _hear(self, status) -> None:
        if status.id == self.id and "manager" not in status.instance_id:
            self.heard.append(status.active)

    def close(self) -> None:
        self.spinner.close()
        self.node.destroy_node()


def test_the_manager_brings_the_node_up_is_bound_to_it_and_takes_it_down(domain, bondpy, capfd):
    for manager_in, name in (("/", "robot/clue"), ("/robot", "clue"), ("/", "/robot/clue")):
        node = ClueNode(lambda settings: ScriptedGrounder(), namespace="/robot")
        spinner, manager = Spinner(node), Manager(manager_in, name)
        try:
            manager.start_up()
            wait_until(lambda: len(manager.heard) > 3, what=f"heartbeats in {manager_in} for {name}")
            ((bond, _),) = node._bonds._bonds.values()
            assert all(manager.heard) and bond.heartbeat_period == HEARTBEAT_S < 1.0, "nav2 asks for less than a second"
            manager.change(Transition.TRANSITION_DEACTIVATE, State.PRIMARY_STATE_INACTIVE)
            wait_until(lambda: not manager.heard[-1], what="it says that it ends")
            manager.spinner.call(lambda: manager.node.destroy_timer(manager.timer))
            manager.change(Transition.TRANSITION_CLEANUP, State.PRIMARY_STATE_UNCONFIGURED)
            manager.change(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN, State.PRIMARY_STATE_FINALIZED)
            assert [end.topic_name for end in node.subscriptions if end.topic_name.endswith("bond")] == []
        finally:
            spinner.close()
            manager.close()
            node.destroy_node()
    assert "Traceback" not in capfd.readouterr().err


def test_a_manager_that_was_started_anew_is_answered_and_the_bond_of_another_node_is_not(domain, bondpy):
    node = ClueNode(lambda settings: ScriptedGrounder(), namespace="/robot")
    spinner, manager = Spinner(node), Manager("/", "robot/clue")
    try:
        manager.start_up()
        wait_until(lambda: manager.heard)
        wait_until(lambda: node._bonds._bonds)
        first, manager.instance = node._bonds._bonds["/bond", "robot/clue"][0], "manager's second life"
        wait_until(lambda: node._bonds._bonds.get(("/bond", "robot/clue"), (first,))[0] is not first)
        manager.heard.clear()
        wait_until(lambda: any(manager.heard))
        manager.id = "clue"  # of the manager's namespace: /clue
        manager.heard.clear()
        time.sleep(0.5)
        assert not manager.heard and len(node._bonds._bonds) == 1
    finally:
        spinner.close()
        manager.close()
        node.destroy_node()


def test_the_namespaces_above():
    assert _above("/") == [""] and _above("/robot/clue") == ["", "/robot", "/robot/clue"]
