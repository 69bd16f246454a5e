"""What the console says of a node that is asked and answers late, or not at all; its looks are the clock."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from lifecycle_msgs.srv import GetState
from rclpy.task import Future

from clue_ros.console.state import ConsoleState
from clue_ros.ros.operator.health import SILENT, ConsoleHealth


class Robot:
    """The console's node and the client of get_state, as far as the health looks at them."""

    def __init__(self) -> None:
        self.here, self.asked, self.removed = False, [], []
        self.gone = self.back = 0
        self.state = ConsoleState()
        camera = SimpleNamespace(last=None, publishers=0, topic="/image")
        self.health = ConsoleHealth(self, self.state, camera, "clue", self._lose, self._return, dict)

    def _lose(self):
        self.gone += 1

    def _return(self):
        self.back += 1

    # The node
    def resolve_service_name(self, name):
        return f"/{name}"

    def create_client(self, kind, name):
        assert (kind, name) == (GetState, "/clue/get_state")
        return self

    def create_subscription(self, *_):
        pass

    create_timer = get_logger = lambda self, *_, **__: SimpleNamespace(info=print)

    # The client
    def service_is_ready(self):
        return self.here

    def call_async(self, _request):
        self.asked.append(Future())
        return self.asked[-1]

    def remove_pending_request(self, future):
        self.removed.append(future)

    # What the test does and sees
    def look(self, times=1):
        """(node, advice) after that many looks."""
        for _ in range(times):
            self.health.look()
        return self.state.connection["node"], self.state.connection["advice"]

    def answer(self, label, question=-1):
        response = GetState.Response()
        response.current_state.label = label
        self.asked[question].set_result(response)
        return self.state.connection["node"]


@pytest.fixture
def robot():
    return Robot()


def test_a_node_that_was_just_asked_is_not_called_silent(robot):
    assert robot.look()[0] == "away" and "Start it" in robot.look()[1] and not robot.asked
    robot.here = True
    for _ in range(SILENT):
        node, advice = robot.look()
        assert node == "asked" and "was asked how it is" in advice
    node, advice = robot.look()
    assert node == "away" and "does not answer" in advice
    assert robot.answer("active") == "active" and "No image" in robot.state.connection["advice"]


def test_an_active_node_that_answers_late_stays_active_and_keeps_its_goals(robot):
    robot.here = True
    robot.look()
    robot.answer("active")
    for _ in range(3):
        assert robot.look(SILENT)[0] == "active"
        robot.answer("active")
    assert (robot.gone, robot.back) == (0, 0)


def test_after_a_silence_the_goals_are_asked_for_and_with_the_node_they_are_lost(robot):
    robot.here = True
    robot.look()
    robot.answer("active")
    assert robot.look(SILENT + 1)[0] == "away"
    assert len(robot.asked) == 3 and not robot.removed, "asked again: the question may be lost"
    assert robot.gone == robot.back == 0
    assert robot.answer("active", 1) == "active" and robot.back == 1, "late, and it counts"
    robot.look()
    robot.here = False
    assert robot.look(3)[0] == "away" and robot.gone == 1
    robot.here = True
    assert robot.look()[0] == "asked" and robot.answer("inactive") == "inactive" and robot.back == 1
