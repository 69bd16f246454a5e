"""examples/pick_pipeline_cpp: its plans are those of the Python example; all of it where rclcpp_action is installed."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CMAKE = """cmake_minimum_required(VERSION 3.20)
project(plans CXX)
set(CMAKE_CXX_STANDARD 17)
find_package(clue_ros REQUIRED)
add_executable(plans main.cpp)
target_include_directories(plans PRIVATE {folder})
target_compile_options(plans PRIVATE -Wall -Wextra -Wpedantic -Werror)
target_link_libraries(plans PRIVATE ${{clue_ros_TARGETS}})
"""
MAIN = """#include <iostream>
#include "plans.hpp"
int main()
{
  using Code = clue_ros::action::Ground::Result;
  std::cout << "NONE|" << pick_pipeline::words_of(pick_pipeline::plan_of(Code::NONE)) << "\\n";
"""


def run(command: list, **options) -> str:
    """The command's output; on failure the test shows all of it."""
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    assert result.returncode == 0, f"{' '.join(map(str, command))}\n{result.stdout}"
    return result.stdout


def prefixes() -> list:
    return [Path(prefix) for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if prefix]


def has(package: str) -> bool:
    return any((prefix / "share" / package / "cmake").is_dir() for prefix in prefixes())


def build(source: Path, folder: Path) -> None:
    if not has("clue_ros"):
        pytest.skip("clue_ros is not built (make test builds it)")
    environment = dict(os.environ, CMAKE_PREFIX_PATH=os.environ["AMENT_PREFIX_PATH"])
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    run(["cmake", *generator, "-S", source, "-B", folder], env=environment)
    run(["cmake", "--build", folder], env=environment)


def plans_in_python() -> dict:
    """{name of an error code: words of its plan}, read from the source: it imports rclpy."""
    tree = ast.parse((EXAMPLES / "pick_pipeline.py").read_text(encoding="utf-8"))
    plan = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Plan")
    words = {line.targets[0].id: line.value.value for line in plan.body if isinstance(line, ast.Assign)}
    table = next(node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "PLANS")
    return {key.attr: words[value.attr] for key, value in zip(table.keys, table.values)}


def test_the_plans_are_those_of_the_python_example(tmp_path):
    wanted = plans_in_python()
    lines = [f'  std::cout << "{name}|" << pick_pipeline::words_of(pick_pipeline::plan_of(Code::{name})) << "\\n";'
             for name in wanted]  # fmt: skip
    (tmp_path / "main.cpp").write_text(MAIN + "\n".join(lines) + "\n}\n")
    (tmp_path / "CMakeLists.txt").write_text(CMAKE.format(folder=EXAMPLES / "pick_pipeline_cpp"))
    build(tmp_path, tmp_path / "build")
    said = dict(line.split("|") for line in run([tmp_path / "build" / "plans"]).splitlines())
    assert said.pop("NONE") == "nothing to do"
    assert said == wanted and len(said) >= 17


def test_the_example_builds_and_picks(tmp_path):
    if not has("rclcpp_action"):
        pytest.skip("rclcpp_action is not installed: the wheels have no rclcpp")
    pytest.importorskip("rclpy")
    build(EXAMPLES / "pick_pipeline_cpp", tmp_path)
    program = [tmp_path / "pick_pipeline"]
    names = ["--ros-args", "-r", "__ns:=/clue"]
    environment = dict(os.environ, ROS_DOMAIN_ID=str(60 + os.getpid() % 40))
    server = subprocess.Popen(["python", "-m", "clue_ros.ros.scripted_ground", *names], env=environment)
    try:
        for words, answers, status, said in (
            ("the red mug", "", 0, "arm: picks at x"), ("the mug", "the left one\n", 0, "robot: "),
            ("error not found", "", 1, "plan: move the camera and look again"),
            ("error no image", "", 1, "plan: try again"), ("the mug", "never mind\n", 1, "plan: stop"),
        ):  # fmt: skip
            done = subprocess.run([*program, words, *names], input=answers, capture_output=True, text=True, timeout=60,
                                  env=environment, check=False)  # fmt: skip
            assert done.returncode == status and said in done.stdout, f"{words}: {done.stdout}{done.stderr}"
    finally:
        server.terminate()
        server.wait(20)
