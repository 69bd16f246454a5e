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


# What is held before (empty: what came before it), a correction's state, dialogue and corrects, and the order. The same
# rows are in test/ros/client/test_client.py.
CORRECTIONS = (
    ("a", "REOPENED", "b", "x", "NOTHING"),
    ("", "REOPENED", "b", "a", "HALT"),
    ("", "REOPENED", "c", "a", "NOTHING"),
    ("", "CORRECTED", "b", "a", "GO"),
    ("", "REOPENED", "c", "b", "HALT"),
    ("", "FAILED", "c", "b", "GIVE_UP"),
    ("d", "WITHDRAWN", "e", "d", "GIVE_UP"),
    ("f", "CORRECTED", "g", "f", "GO"),
    ("", "FAILED", "h", "g", "GIVE_UP"),
)
HEARD = """
  clue_ros::msg::Correction message;
  pick_pipeline::Held held;
  const char * orders[] = {"NOTHING", "HALT", "GIVE_UP", "GO"};
  const auto hear = [&](const char * holds, int state, const char * dialogue, const char * corrects) {
      if (*holds) {
        held.dialogue = holds;
      }
      message.state = state;
      message.dialogue = dialogue;
      message.corrects = corrects;
      std::cout << "hear|" << orders[static_cast<int>(held.hear(message))] << "\\n";
    };
  hear("", clue_ros::msg::Correction::WITHDRAWN, "", "");
"""


def run(command: list, **options) -> str:
    """The command's output; on failure the test shows all of it."""
    result = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options
    )
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


def test_plans_and_corrections_are_those_of_the_python_example(tmp_path):
    wanted = plans_in_python()
    lines = [f'  std::cout << "{name}|" << pick_pipeline::words_of(pick_pipeline::plan_of(Code::{name})) << "\\n";'
             for name in wanted]  # fmt: skip
    heard = [f'  hear("{holds}", clue_ros::msg::Correction::{state}, "{dialogue}", "{corrects}");'
             for holds, state, dialogue, corrects, _ in CORRECTIONS]  # fmt: skip
    uuid = '  std::cout << "uuid|" << pick_pipeline::hexadecimal({0, 1, 255, 16}) << "\\n";'
    (tmp_path / "main.cpp").write_text(MAIN + "\n".join([*lines, HEARD, *heard, uuid]) + "\n}\n")
    (tmp_path / "CMakeLists.txt").write_text(CMAKE.format(folder=EXAMPLES / "pick_pipeline_cpp"))
    build(tmp_path, tmp_path / "build")
    said = [line.split("|") for line in run([tmp_path / "build" / "plans"]).splitlines()]
    assert [order for what, order in said if what == "hear"] == ["NOTHING", *(row[-1] for row in CORRECTIONS)]
    plans = dict(line for line in said if line[0] != "hear")
    assert plans.pop("uuid") == "0001ff10" + 24 * "0"
    assert plans.pop("NONE") == "nothing to do"
    assert plans == wanted and len(plans) >= 17


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
            done = subprocess.run([*program, words, *names], input=answers, capture_output=True, text=True, timeout=300,
                                  env=environment, check=False)  # fmt: skip
            assert done.returncode == status and said in done.stdout, f"{words}: {done.stdout}{done.stderr}"
    finally:
        server.terminate()
        server.wait(120)
