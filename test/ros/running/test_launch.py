"""The launch files: what they describe, looked at through a stand-in everywhere; and what real launch makes of it,
where it is.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import launch_stand_in
import numpy as np
import pytest
from bench import wait_until
from conftest import REPOSITORY
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String

from clue_ros.msg import Turn
from clue_ros.ros.node import ClueNode
from clue_ros.ros.running.dds_profile import VARIABLES, profile_path
from clue_ros.ros.running.launching import LaunchArgumentError, full_namespace, parameters_file, remappings, topic_name
from clue_ros.ros.running.parameters import _DECLARATIONS
from clue_ros.ros.running.spinning import Spinner
from clue_ros.ros.wire.conversions import rgb_to_image
from clue_ros.testing.fake_grounder import Say, ScriptedGrounder
from clue_ros.types import Box

FOLDER = REPOSITORY / "launch"
EXPECTED = {
    "clue": {
        "namespace", "model", "device", "image", "camera_info", "depth", "cameras", "speech", "utterance", "remap",
        "target_frame", "params_file", "autostart", "use_sim_time",
    },
    "demo": {"namespace", "seed", "episode", "person", "console", "port", "model", "device"},
}  # fmt: skip


@pytest.fixture
def described(monkeypatch):
    """described(name, pushed, **arguments) -> the nodes of a launch file, as the stand-in sees them."""
    for name, module in launch_stand_in.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)

    def described(name, pushed="", **arguments):
        return launch_stand_in.nodes_of(FOLDER / f"{name}.launch.py", launch_stand_in.Context(arguments, pushed))

    return described


def test_without_arguments_the_node_is_clue_in_the_namespace_clue(described):
    (node,) = described("clue")
    assert (node.package, node.executable, node.name, node.namespace) == ("clue_ros", "clue_node", "clue", "clue")
    assert node.remappings == [] and node.parameters == [{"use_sim_time": False}]


@pytest.mark.parametrize("distribution, variable", [("jazzy", VARIABLES[1]), ("kilted", VARIABLES[0])])
def test_the_profile_is_our_nodes_alone(described, monkeypatch, distribution, variable):
    monkeypatch.setenv("ROS_DISTRO", distribution)
    before = dict(os.environ)
    for node in [*described("clue"), *described("demo")]:
        assert node.additional_env == {variable: str(profile_path())}
    assert dict(os.environ) == before, "every later process of a launch that includes this one would inherit it"


def test_arguments_become_parameters_of_their_types(described, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("/**:\n  ros__parameters:\n    threshold: 0.4\n")
    (node,) = described("clue", params_file=str(file), model="/models/mine", autostart="false", use_sim_time="True",
                        target_frame="base_link", cameras="front, wrist", device="cuda:1")  # fmt: skip
    assert node.parameters == [
        str(file),
        {
            "model": "/models/mine",
            "device": "cuda:1",
            "target_frame": "base_link",
            "autostart": False,
            "use_sim_time": True,
            "cameras": ["front", "wrist"],
        },
    ]
    declared = set(_DECLARATIONS) | {"use_sim_time"}
    assert set(node.parameters[1]) <= declared


def test_several_cameras_are_remapped_one_by_one(described):
    (node,) = described("clue", cameras="front wrist", speech="/ears",
                        remap="front/image:=/front/color/image_raw  wrist/depth:=../wrist/depth/image_raw")  # fmt: skip
    assert node.remappings == [("speech", "/ears"), ("front/image", "/front/color/image_raw"),
                               ("wrist/depth", "/wrist/depth/image_raw")]  # fmt: skip
    with pytest.raises(LaunchArgumentError, match="image:=/x is the topic of one camera.*remap:='front/image:=/x"):
        described("clue", cameras="front wrist", image="/x")


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ({}, ["tabletop_camera", "person", "console", "clue_node"]),
        ({"person": "none", "console": "false"}, ["tabletop_camera", "clue_node"]),
    ],
)
def test_the_demo_starts_all_of_it_in_one_namespace(described, arguments, expected):
    nodes = described("demo", namespace="table", **arguments)
    assert [node.executable for node in nodes] == expected
    assert {node.namespace for node in nodes} == {"table"}


@pytest.mark.parametrize(
    "pushed, namespace, expected",
    [
        ("", "clue", "/clue"),
        ("/robot1", "clue", "/robot1/clue"),
        ("/robot1", "/clue", "/clue"),
        ("/robot1", "", "/robot1"),
        ("", "", "/"),
        ("/fleet/robot1", "arm/clue", "/fleet/robot1/arm/clue"),
        ("/", "clue", "/clue"),
    ],
)
def test_namespaces_are_relative_to_what_is_pushed(pushed, namespace, expected):
    assert full_namespace(pushed, namespace) == expected


@pytest.mark.parametrize(
    "name, expected",
    [
        ("camera/image_raw", "camera/image_raw"),
        ("/camera/image_raw", "/camera/image_raw"),
        ("../camera/image_raw", "/robot1/camera/image_raw"),
        ("../../overhead/image", "/overhead/image"),
        ("~/image", "~/image"),
    ],
)
def test_names_are_seen_from_the_nodes_namespace(name, expected):
    assert topic_name("image", name, "/robot1/clue") == expected


@pytest.mark.parametrize(
    "name", ["../../../image", "..", "a b", "/camera//image", "1st/image", "../~/image", "/camera/"]
)
def test_what_is_no_name_is_refused_with_the_argument(name):
    with pytest.raises(LaunchArgumentError, match="image:="):
        topic_name("image", name, "/robot1/clue")


@pytest.mark.parametrize("rule", ["front/image", "front/image=/x", ":=/x", "front/image:=", "a:=b:=c"])
def test_what_is_no_remapping_is_refused(rule):
    arguments = dict.fromkeys(("image", "camera_info", "depth", "speech", "utterance", "cameras"), "")
    with pytest.raises(LaunchArgumentError, match="remap:= takes pairs such as"):
        remappings({**arguments, "remap": rule}, "/clue")


@pytest.mark.parametrize(
    "argument, says",
    [
        ("imgae", "did you mean image:=?"),
        ("camera-info", "did you mean camera_info:=?"),
        ("threshold", "stands in a params_file"),
    ],
)
def test_an_argument_that_nobody_declared_is_named(described, monkeypatch, argument, says):
    monkeypatch.setattr(sys, "argv", ["ros2", "launch", "clue_ros", "clue.launch.py", f"{argument}:=/x"])
    with pytest.raises(
        LaunchArgumentError, match=f"{argument}:= is no argument of clue.launch.py: .*{re.escape(says)}"
    ):
        described("clue", **{argument: "/x"})
    monkeypatch.setattr(sys, "argv", ["ros2", "launch", "their_robot", "all.launch.py", f"{argument}:=/x"])
    assert described("clue", **{argument: "/x"}), "one that is included cannot know whose it is"


def test_the_demo_names_them_too(described, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["ros2", "launch", "clue_ros", "demo.launch.py"])
    with pytest.raises(LaunchArgumentError, match="personn:= is no argument of demo.launch.py: did you mean person:="):
        described("demo", personn="none")
    assert described("demo", person="none")


@pytest.mark.parametrize("name", ["autostart", "use_sim_time"])
def test_what_is_no_truth_value_is_refused(described, name):
    with pytest.raises(LaunchArgumentError, match=f"{name}:='maybe'"):
        described("clue", **{name: "maybe"})


@pytest.mark.parametrize(
    "content, says",
    [(None, "does not exist: correct the path"), ("a: [1\nb: 2", "is not YAML: .*line 2"), ("\tx: 1", "is not YAML"),
     ("", "holds no parameters"), ("threshold: 0.5\n", "holds no parameters"), ("- 1\n", "holds no parameters"),
     ("/**:\n  ros__parameters:\n", "holds no parameters"), (b"\xff\xfe\x00", "cannot be read|is not YAML")],
)  # fmt: skip
def test_a_parameter_file_that_cannot_be_used_is_one_sentence(tmp_path, content, says):
    path = tmp_path / "mine.yaml"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(LaunchArgumentError, match=says) as error:
        parameters_file(str(path))
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_parameter_files_that_ros_takes_are_taken(tmp_path, monkeypatch):
    assert parameters_file(str(REPOSITORY / "config" / "clue.yaml")) == str(REPOSITORY / "config" / "clue.yaml")
    nested = tmp_path / "nested.yaml"
    nested.write_text("robot1:\n  clue:\n    clue:\n      ros__parameters: {threshold: 0.4}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert parameters_file("~/nested.yaml") == parameters_file("nested.yaml") == str(nested)


def show(node, publisher):
    """Publishes a black picture of now."""
    publisher.publish(rgb_to_image(np.zeros((60, 80, 3), np.uint8), Header(stamp=node.get_clock().now().to_msg())))


def test_two_pushed_robots_hear_only_their_own_sentence(described, domain):
    """As launch_ros would start them: with the namespaces and names that the launch file gives under
    PushRosNamespace.
    """
    nodes, spinners = {}, []
    client = Node("client")
    turns = {robot: [] for robot in ("robot1", "robot2")}
    for robot, heard in turns.items():
        (start,) = described("clue", pushed=f"/{robot}", image="../camera/image_raw")
        rules = [f"{source}:={target}" for source, target in start.remappings]
        rules.append(f"__ns:={full_namespace(f'/{robot}', start.namespace)}")
        arguments = ["--ros-args", *(word for rule in rules for word in ("-r", rule))]
        node = ClueNode(lambda settings: ScriptedGrounder({"the mug": Say.found(Box(0, 0, 9, 9))}), cli_args=arguments)
        client.create_subscription(Turn, f"/{robot}/clue/turn", heard.append, 10)
        nodes[robot] = node
        node.trigger_configure()
        node.trigger_activate()
        spinners.append(Spinner(node))
    spinners.append(Spinner(client))
    assert [node.get_fully_qualified_name() for node in nodes.values()] == ["/robot1/clue/clue", "/robot2/clue/clue"]
    cameras = {
        robot: client.create_publisher(Image, f"/{robot}/camera/image_raw", qos_profile_sensor_data) for robot in nodes
    }
    try:
        for robot in nodes:
            speech = client.create_publisher(String, f"/{robot}/clue/speech", 10)
            wait_until(speech.get_subscription_count, what=f"{robot} listens")
            wait_until(cameras[robot].get_subscription_count, what=f"{robot} looks")
            assert speech.get_subscription_count() == 1 and cameras[robot].get_subscription_count() == 1
            speech.publish(String(data="the mug"))
            other = "robot2" if robot == "robot1" else "robot1"
            silent = len(turns[other])
            heard, camera = turns[robot], cameras[robot]
            wait_until(lambda: heard or show(client, camera), what=f"{robot} heard it")
            time.sleep(0.2)
            assert len(turns[other]) == silent
    finally:
        for spinner in spinners:
            spinner.close()
        for node in (*nodes.values(), client):
            node.destroy_node()


# What follows needs the real launch, which is not on PyPI: it runs where ROS is installed.

TWO_PUSHED = """\
from launch import LaunchDescription
from launch.actions import ExecuteProcess, GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import PushRosNamespace


def robot(name):
    arguments = {{"autostart": "false", "image": "../camera/image_raw"}}
    clue = IncludeLaunchDescription(PythonLaunchDescriptionSource({clue!r}), launch_arguments=arguments.items())
    return GroupAction([PushRosNamespace(name), clue])


def generate_launch_description():
    foreign = ExecuteProcess(cmd=["env"], output="screen")
    return LaunchDescription([robot("robot1"), robot("robot2"), foreign])
"""
RUN = """\
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import AnyLaunchDescriptionSource

service = LaunchService(argv=sys.argv[2:])
arguments = [tuple(argument.split(":=", 1)) for argument in sys.argv[2:]]
service.include_launch_description(LaunchDescription([
    IncludeLaunchDescription(AnyLaunchDescriptionSource(sys.argv[1]), launch_arguments=arguments)]))
sys.exit(service.run())
"""


@pytest.fixture
def real_launch(tmp_path, domain):
    """real_launch(file, *arguments) -> the running process; Ctrl-C ends it."""
    pytest.importorskip("launch", reason="launch is not on PyPI: this runs where ROS is installed")
    pytest.importorskip("launch_ros", reason="launch_ros is not on PyPI: this runs where ROS is installed")
    started = []

    def start(file, *arguments):
        environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        output = open(tmp_path / "launch.log", "wb")
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", RUN, str(file), *arguments],
                stdout=output,
                stderr=output,
                env={**environment, "ROS_LOG_DIR": str(tmp_path)},
                start_new_session=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(300)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("name", EXPECTED)
def test_really_the_arguments_are_declared_and_described(name):
    pytest.importorskip("launch_ros", reason="launch_ros is not on PyPI: this runs where ROS is installed")
    from launch.launch_description_sources import AnyLaunchDescriptionSource

    from launch import LaunchContext

    description = AnyLaunchDescriptionSource(str(FOLDER / f"{name}.launch.py")).get_launch_description(LaunchContext())
    arguments = description.get_launch_arguments()
    assert {argument.name for argument in arguments} >= EXPECTED[name]
    assert all(argument.description for argument in arguments)


def test_really_two_pushed_robots_run_side_by_side_and_nothing_leaks(real_launch, tmp_path):
    file = tmp_path / "two.launch.py"
    file.write_text(TWO_PUSHED.format(clue=str(FOLDER / "clue.launch.py")))
    process = real_launch(file)
    watcher = Node("watcher")
    spinner = Spinner(watcher)
    try:
        expected = {("clue", "/robot1/clue"), ("clue", "/robot2/clue")}
        wait_until(lambda: expected <= set(watcher.get_node_names_and_namespaces()), 300.0, "both nodes")
    finally:
        spinner.close()
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(300) == 0
    log = (tmp_path / "launch.log").read_text()
    assert "ROS_DISTRO" in log or "PATH=" in log, "the foreign process showed its environment"
    assert not any(f"{variable}=" in log for variable in VARIABLES)


@pytest.mark.parametrize("arguments, says", [
    (["params_file:=/nowhere/mine.yaml"], "params_file /nowhere/mine.yaml does not exist"),
    (["cameras:=front wrist", "image:=/x"], "image:=/x is the topic of one camera"),
    (["imgae:=/x"], "imgae:= is no argument of clue.launch.py: did you mean image:=?"),
])  # fmt: skip
def test_really_a_bad_argument_ends_the_launch_with_a_sentence(real_launch, tmp_path, arguments, says):
    assert real_launch(FOLDER / "clue.launch.py", *arguments).wait(300) == 1
    log = Path(tmp_path / "launch.log").read_text()
    assert says in log and "Traceback" not in log
