"""What is wrong around the node is told: a twin, simulated time that nobody gives, topics of another type; remaps of
the action.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
import rclpy
from bench import SUCCEEDED, wait_until
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header, String

from clue_ros.action import Ground
from clue_ros.ros.client import ClueClient
from clue_ros.ros.node import ClueNode
from clue_ros.ros.running import surroundings
from clue_ros.ros.running.spinning import Spinner
from clue_ros.ros.wire.conversions import rgb_to_image
from clue_ros.testing.fake_grounder import ScriptedGrounder

Code = Ground.Result


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(surroundings, "LOOK_S", 0.2)


def around(bench) -> DiagnosticStatus:
    """The line `node` of a report that the node makes now; one listener a bench."""
    if not hasattr(bench, "node_lines"):
        bench.node_lines = []
        bench.client.create_subscription(
            DiagnosticArray, "/diagnostics",
            lambda m: bench.node_lines.extend(s for s in m.status if s.name == "clue: node"), 10,
        )  # fmt: skip
    before = len(bench.node_lines)

    def told() -> bool:
        bench.node_spinner.call(bench.node._diagnostics.publish)
        time.sleep(0.05)
        return len(bench.node_lines) > before

    wait_until(told)
    return bench.node_lines[-1]


@pytest.fixture
def elsewhere(domain):
    """elsewhere(name) -> a node that is a DDS participant of its own, as in another process."""
    made = []

    def make(name: str) -> Node:
        context = rclpy.Context()
        context.init()
        made.append((Node(name, context=context), context))
        return made[-1][0]

    yield make
    for node, context in made:
        node.destroy_node()
        context.try_shutdown()


def until(bench, level: bytes) -> None:
    """Waits for a level of the line `node`; says what stood there instead."""
    lines = []
    try:
        wait_until(lambda: lines.append(around(bench)) or lines[-1].level == level)
    except AssertionError as error:
        raise AssertionError(f"{error}; the last line: {lines[-1] if lines else None}") from error


def test_a_second_node_of_the_same_name_is_told_when_it_comes_and_when_it_has_gone(make_bench, elsewhere, capfd):
    bench = make_bench(activate=False)
    until(bench, DiagnosticStatus.OK)
    twin = elsewhere("clue")
    until(bench, DiagnosticStatus.ERROR)
    assert around(bench).message.startswith("2 nodes are named /clue: each hears the same words")
    assert capfd.readouterr().err.count("2 nodes are named /clue") == 1
    twin.destroy_node()
    until(bench, DiagnosticStatus.OK)
    assert "over: 2 nodes are named /clue" in capfd.readouterr().err


def test_simulated_time_that_nobody_gives_is_told_and_images_grow_old_all_the_same(make_bench, capfd):
    bench = make_bench(camera=False, wait_for_image_s=0.05, max_image_age_s=60.0, look_ahead=False, use_sim_time=True)
    assert bench.node.get_clock().ros_time_is_active
    until(bench, DiagnosticStatus.WARN)
    assert around(bench).message.startswith("use_sim_time is true, and nobody publishes /clock")
    assert "nobody publishes /clock" in capfd.readouterr().err
    camera = bench.eye

    def show(stamp) -> float:
        before = camera.frames
        bench.image_publisher.publish(rgb_to_image(np.full((48, 64, 3), 90, np.uint8), Header(stamp=stamp)))
        wait_until(lambda: camera.frames > before)
        return time.monotonic()

    wait_until(lambda: bench.image_publisher.get_subscription_count() > 0)
    shown = show(bench.client.get_clock().now().to_msg())
    assert bench.ground("the mug")[0] == SUCCEEDED
    bench.node.set_parameters([Parameter("max_image_age_s", value=0.2)])
    wait_until(lambda: time.monotonic() - shown > 0.3)
    result = bench.ground("the mug")[1]
    assert result.error_code == Code.NO_IMAGE and "old" in result.error_msg
    # A clock that is there and stands still is a pause: nothing moves in that world.
    clock = bench.client.create_publisher(Clock, "/clock", 10)
    until(bench, DiagnosticStatus.OK)
    standing = camera._frame.message.header.stamp.__class__(sec=50)
    clock.publish(Clock(clock=standing))
    wait_until(lambda: camera._now() == 50.0)
    shown = show(standing)
    wait_until(lambda: time.monotonic() - shown > 0.3)
    assert bench.ground("the mug")[0] == SUCCEEDED
    # The simulator has gone.
    bench.drop(clock)
    wait_until(lambda: bench.ground("the mug")[1].error_code == Code.NO_IMAGE)


def test_a_topic_of_another_type_is_told_in_the_log_the_result_and_on_diagnostics(make_bench, elsewhere, capfd):
    bench = make_bench(camera=False, wait_for_image_s=0.05)
    until(bench, DiagnosticStatus.OK)
    driver = elsewhere("driver")
    wrong = driver.create_publisher(CompressedImage, "image", 1)
    told = "/image carries sensor_msgs/msg/CompressedImage, and the node takes sensor_msgs/msg/Image there"
    wait_until(lambda: told in around(bench).message)
    assert told in capfd.readouterr().err
    result = bench.ground("the mug")[1]
    assert result.error_code == Code.NO_IMAGE and told in result.error_msg
    driver.destroy_publisher(wrong)
    until(bench, DiagnosticStatus.OK)


def test_what_to_do_about_a_compressed_topic(domain):
    node = Node("listener")
    node.create_publisher(CompressedImage, "/cam/image_raw/compressed", 1)
    node.create_publisher(String, "/cam/info", 1)
    wait_until(lambda: surroundings.another_type(node, "/cam/image_raw/compressed", surroundings.IMAGE))
    text = surroundings.another_type(node, "/cam/image_raw/compressed", surroundings.IMAGE)
    assert text.endswith("remap `image` to /cam/image_raw, and /cam/image_raw/compressed is taken by itself")
    assert not surroundings.another_type(node, "/cam/info", "std_msgs/msg/String")
    text = surroundings.another_type(node, "/cam/info", "sensor_msgs/msg/CameraInfo")
    assert text == (
        "/cam/info carries std_msgs/msg/String, and the node takes sensor_msgs/msg/CameraInfo there: "
        "remap it to"
        " a topic of that type"
    )
    node.destroy_node()


def test_a_remap_of_the_action_is_followed_on_every_distribution(domain):
    """Jazzy's rcl remaps topics and services only."""
    node = ClueNode(lambda settings: ScriptedGrounder(), namespace="/clue",
                    cli_args=["--ros-args", "-r", "ground:=/pick/find"])  # fmt: skip
    spinner, client = Spinner(node), ClueClient(action="/pick/find")
    try:
        for transition in ("configure", "activate"):
            spinner.call(getattr(node, f"trigger_{transition}"))
        outcome = client.ground("the mug", image=rgb_to_image(np.zeros((48, 64, 3), np.uint8), Header()))
        assert outcome.ok, outcome
    finally:
        spinner.call(node.stop_dialogues)
        spinner.close()
        client.close()
        node.destroy_node()


def test_troubles_of_both_kinds_in_one_process_are_told(make_bench, elsewhere, capfd):
    """rclpy refuses another severity from the same line of code, and the exception would end the node."""
    bench = make_bench(camera=False, wait_for_image_s=0.05)
    driver = elsewhere("driver")
    driver.create_publisher(CompressedImage, "image", 1)
    until(bench, DiagnosticStatus.WARN)
    elsewhere("clue")
    until(bench, DiagnosticStatus.ERROR)
    log = capfd.readouterr().err
    assert "/image carries sensor_msgs/msg/CompressedImage" in log and "2 nodes are named /clue" in log
    assert bench.ground("the mug")[1].error_code != Code.NONE, "the node goes on"
