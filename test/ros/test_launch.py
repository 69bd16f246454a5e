"""The launch files: they compile everywhere; where launch is installed their descriptions are loaded and looked at."""

from __future__ import annotations

import importlib.util

import pytest
from conftest import REPOSITORY

FOLDER = REPOSITORY / "launch"
EXPECTED = {
    "clue": {
        "namespace", "model", "device", "image", "camera_info", "depth", "speech", "utterance", "params_file",
        "autostart", "use_sim_time",
    },
    "demo": {"namespace", "seed", "episode", "person", "console", "port", "model", "device"},
}  # fmt: skip


@pytest.fixture
def load(monkeypatch):
    """load(name) -> (module, entities of its description). Skips where launch is not installed."""
    pytest.importorskip("launch", reason="launch is not on PyPI: this runs where ROS is installed")
    pytest.importorskip("launch_ros", reason="launch_ros is not on PyPI: this runs where ROS is installed")

    def load(name):
        spec = importlib.util.spec_from_file_location(f"{name}_launch", FOLDER / f"{name}.launch.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module, module.generate_launch_description().entities

    monkeypatch.delenv("FASTDDS_DEFAULT_PROFILES_FILE", raising=False)
    return load


@pytest.mark.parametrize("name", EXPECTED)
def test_it_compiles(name):
    path = FOLDER / f"{name}.launch.py"
    compile(path.read_text(), str(path), "exec")


@pytest.mark.parametrize("name", EXPECTED)
def test_arguments(load, name):
    from launch.actions import DeclareLaunchArgument

    arguments = [entity for entity in load(name)[1] if isinstance(entity, DeclareLaunchArgument)]
    assert {argument.name for argument in arguments} == EXPECTED[name]
    assert all(argument.description for argument in arguments)


def test_clue(load):
    from launch import LaunchContext
    from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable

    module, entities = load("clue")
    context = LaunchContext()
    for entity in entities:
        if isinstance(entity, (DeclareLaunchArgument, SetEnvironmentVariable)):
            entity.execute(context)
    assert context.environment[module.PROFILE].endswith("fastdds_shm.xml")
    (node,) = next(entity for entity in entities if isinstance(entity, OpaqueFunction)).execute(context)
    assert node.node_package == "clue_ros" and node.node_executable == "clue_node"


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ({}, {"tabletop_camera", "person", "console"}),
        ({"person": "none", "console": "false"}, {"tabletop_camera"}),
    ],
)
def test_demo(load, arguments, expected):
    from launch import LaunchContext
    from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
    from launch_ros.actions import Node

    _, entities = load("demo")
    context = LaunchContext()
    context.launch_configurations.update(arguments)
    for entity in entities:
        if isinstance(entity, DeclareLaunchArgument):
            entity.execute(context)
    nodes = [entity for entity in entities if isinstance(entity, Node)]
    started = {node.node_executable for node in nodes if node.condition is None or node.condition.evaluate(context)}
    assert started == expected
    included = [entity for entity in entities if isinstance(entity, IncludeLaunchDescription)]
    assert len(included) == 1 and entities.index(included[0]) < min(entities.index(node) for node in nodes)
