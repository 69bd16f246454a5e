"""The scripted Ground server as a client's tests use it: a real action client, no model, no camera."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time

import pytest
from bench import ABORTED, CANCELED, PATIENT, SUCCEEDED, TIMEOUT, Goal, wait_until
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import String

from clue_ros.action import Ground
from clue_ros.msg import Correction
from clue_ros.ros.client import ClueClient
from clue_ros.ros.node import autostart
from clue_ros.ros.running.spinning import Spinner
from clue_ros.ros.scripted_ground import CODES, KEPT, ScenarioGrounder, ScriptedGround
from clue_ros.testing.scenario import DEFAULT, load_scenario

Code = Ground.Result


class Stack:
    """Somebody's own node, with a client of the server."""

    def __init__(self) -> None:
        self.node = Node("stack")
        self.clue = ClueClient(node=self.node, server_timeout=TIMEOUT, acceptance_timeout=TIMEOUT)
        self.said = []
        self.node.create_subscription(String, "utterance", lambda message: self.said.append(message.data), 10)
        self.spinner = Spinner(self.node)

    def goal(self, expression, **fields):
        return Goal(self.clue, Ground.Goal(expression=expression, **fields))

    def ground(self, expression, **fields):
        return self.goal(expression, **fields).finish()

    def close(self):
        self.clue.close()
        self.spinner.close()
        self.node.destroy_node()


@pytest.fixture
def stack(domain):
    stack = Stack()
    yield stack
    stack.close()


@pytest.fixture
def serve(domain):
    """serve(**parameters) -> a running ScriptedGround and its spinner."""
    running = []

    def start(**parameters):
        parameters = {**PATIENT, **parameters}
        node = ScriptedGround(parameter_overrides=[Parameter(name, value=value) for name, value in parameters.items()])
        spinner = Spinner(node)
        running.append((node, spinner))
        assert spinner.call(functools.partial(autostart, node))
        return node, spinner

    yield start
    for node, spinner in running:
        spinner.call(node.stop_dialogues)
        spinner.close()
        node.destroy_node()


def box(result):
    found = result.target.box
    return (found.x0, found.y0, found.x1, found.y1)


def test_a_clear_goal_gives_box_and_position_without_any_camera(serve, stack):
    serve()
    # The first image may come before the first camera_info.
    status, result = wait_until(lambda: (lambda e: e[1].target.has_position and e)(stack.ground("the red mug")))
    assert (status, result.error_code, box(result)) == (SUCCEEDED, Code.NONE, (100, 200, 180, 280))
    point = result.target.position.point
    assert point.z == pytest.approx(0.8) and point.x < 0 < result.target.confidence
    assert result.target.header.frame_id == "camera_color_optical_frame" and result.target.header.stamp.sec > 0


def test_a_question_is_asked_and_the_answer_decides(serve, stack):
    serve()
    goal = stack.goal("hand me the mug")
    wait_until(lambda: goal.reached(Ground.Feedback.WAITING_FOR_ANSWER))
    assert goal.feedback[-1].question == "Which mug, the red or the blue one?"
    assert stack.clue.answer("the blue one").ok
    status, result = goal.finish()
    assert status == SUCCEEDED and box(result) == (400, 200, 480, 280) and result.was_ambiguous
    assert result.target.confidence == pytest.approx(0.7)
    wait_until(lambda: "I see it." in stack.said)
    # The policies are the real node's.
    assert stack.ground("the mug", ambiguity_policy=Ground.Goal.FAIL)[1].error_code == Code.AMBIGUOUS
    assert stack.ground("the mug", ambiguity_policy=Ground.Goal.BEST_GUESS)[0] == SUCCEEDED


def test_a_correction_after_the_result(serve, stack):
    serve()
    heard = []
    stack.node.create_subscription(Correction, "correction", heard.append, 10)
    wait_until(lambda: stack.node.count_publishers("correction") > 0)
    goal = stack.goal("the mug")
    wait_until(lambda: goal.reached(Ground.Feedback.WAITING_FOR_ANSWER))
    assert stack.clue.answer("the blue one").ok
    assert box(goal.finish()[1]) == (400, 200, 480, 280)
    assert stack.clue.answer("no, the red one").ok
    wait_until(lambda: len(heard) == 2)
    assert [message.state for message in heard] == [Correction.REOPENED, Correction.CORRECTED]
    assert heard[1].corrects == goal.id and box(heard[1]) == (100, 200, 180, 280)


def test_every_error_code_can_be_had(serve, stack):
    serve()
    for name, code in CODES.items():
        status, result = stack.ground("the error " + name.lower().replace("_", " "))
        assert (status, result.error_code) == (ABORTED, code), name
        assert result.error_msg
    assert len(CODES) == 18 and stack.ground("the unicorn")[1].error_code == Code.NOT_FOUND


def test_a_slow_goal_can_be_canceled_and_superseded(serve, stack):
    serve()
    goal = stack.goal("something slow")
    goal.cancel()
    assert goal.finish()[0] == CANCELED
    goal = stack.goal("something slow")
    assert stack.ground("the red mug")[0] == SUCCEEDED
    assert goal.finish()[1].error_code == Code.PREEMPTED


def test_a_scenario_of_ones_own_and_another_one_after_cleanup(serve, stack, tmp_path):
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("camera: {width: 64, height: 48}\nrules: [{match: the cup, box: [1, 2, 3, 4]}]")
    second.write_text("camera: {width: 64, height: 48}\nrules: [{match: the cup, error: TIMEOUT, message: gone}]")
    node, spinner = serve(model=str(first))
    assert box(stack.ground("the cup")[1]) == (1, 2, 3, 4)
    for transition in ("deactivate", "cleanup"):
        assert spinner.call(getattr(node, f"trigger_{transition}")) == TransitionCallbackReturn.SUCCESS
    wait_until(lambda: not stack.clue.available)
    node.set_parameters([Parameter("model", value=str(second))])
    assert spinner.call(functools.partial(autostart, node))
    result = stack.ground("the cup")[1]
    assert (result.error_code, result.error_msg) == (Code.TIMEOUT, "gone")


def test_a_scenario_with_a_mistake_fails_configure_and_says_where(domain, tmp_path, capfd):
    path = tmp_path / "scenario.yaml"
    path.write_text("rules: [{match: the mug, eror: NOT_FOUND}]")
    node = ScriptedGround(parameter_overrides=[Parameter("model", value=str(path))])
    try:
        assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    finally:
        node.destroy_node()
    log = capfd.readouterr().err
    assert str(path) in log and "did you mean 'error'?" in log


def test_as_a_program_in_a_namespace_until_a_signal(domain, tmp_path):
    """As `ros2 run clue_ros scripted_ground --ros-args -r __ns:=/clue` starts it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "clue_ros.ros.scripted_ground", "--ros-args", "-r", "__ns:=/clue"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, cwd=tmp_path,
    )  # fmt: skip
    try:
        with ClueClient("/clue") as clue:
            assert clue.wait_until_ready(TIMEOUT).ok
            seconds = []
            for _ in range(10):
                begun = time.monotonic()
                assert clue.ground("the red mug").ok
                seconds.append(time.monotonic() - begun)
        print(f"a goal took {sorted(seconds)[5] * 1e3:.1f} ms (median of 10)")
        process.send_signal(signal.SIGTERM)
        assert process.wait(300.0) == 0
    finally:
        process.kill()
        process.wait()


def test_it_remembers_a_few_calls_only():
    import numpy as np

    grounder = ScenarioGrounder(load_scenario(DEFAULT, CODES))
    for _ in range(KEPT + 5):
        grounder.ground(np.zeros((480, 640, 3), np.uint8), "the red mug")
    assert len(grounder.calls) == len(grounder.images) == KEPT
