"""A C++ program finds clue_ros with CMake, includes clue_ros/action/ground.hpp, links and runs."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent / "cpp_consumer"


def run(command, **options):
    """The command's output; on failure the test shows all of it."""
    result = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options
    )
    assert result.returncode == 0, f"{' '.join(map(str, command))}\n{result.stdout}"
    return result.stdout


def test_cpp_program_uses_ground_action(tmp_path):
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "")
    if not any(Path(prefix, "share", "clue_ros", "cmake").is_dir() for prefix in prefixes.split(os.pathsep)):
        pytest.skip("clue_ros is not built (make test builds it)")
    cmake = shutil.which("cmake")
    assert cmake, "cmake is not on PATH: run the tests through make test"
    environment = dict(os.environ, CMAKE_PREFIX_PATH=prefixes)
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    output = run([cmake, *generator, "-S", PROJECT, "-B", tmp_path, "-DCMAKE_BUILD_TYPE=Debug"], env=environment)
    assert "CMake Warning" not in output, output
    run([cmake, "--build", tmp_path], env=environment)
    assert run([tmp_path / "consumer"]).strip() == "the red mug|7005|12.5"
