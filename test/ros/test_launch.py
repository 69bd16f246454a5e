"""The launch file: it compiles everywhere; where launch is installed its description is loaded and looked at."""

from __future__ import annotations

import importlib.util

import pytest
from conftest import REPOSITORY

PATH = REPOSITORY / "launch" / "clue.launch.py"
EXPECTED = {
    "namespace", "model", "device", "image", "camera_info", "depth", "speech", "utterance", "params_file", "autostart",
    "use_sim_time",
}  # fmt: skip


def test_it_compiles():
    compile(PATH.read_text(), str(PATH), "exec")


def test_description(monkeypatch):
    pytest.importorskip("launch", reason="launch is not on PyPI: this runs where ROS is installed")
    pytest.importorskip("launch_ros", reason="launch_ros is not on PyPI: this runs where ROS is installed")
    from launch import LaunchContext
    from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable

    spec = importlib.util.spec_from_file_location("clue_launch", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.delenv(module.PROFILE, raising=False)
    entities = module.generate_launch_description().entities
    arguments = [entity for entity in entities if isinstance(entity, DeclareLaunchArgument)]
    assert {argument.name for argument in arguments} == EXPECTED
    assert all(argument.description for argument in arguments)
    context = LaunchContext()
    for entity in entities:
        if isinstance(entity, (DeclareLaunchArgument, SetEnvironmentVariable)):
            entity.execute(context)
    assert context.environment[module.PROFILE].endswith("fastdds_shm.xml")
    (node,) = next(entity for entity in entities if isinstance(entity, OpaqueFunction)).execute(context)
    assert node.node_package == "clue_ros" and node.node_executable == "clue_node"
