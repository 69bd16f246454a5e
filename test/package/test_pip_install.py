"""`pip install .` without ROS gives the core and the `clue` command."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_pip_install_gives_the_core_and_the_command_line(tmp_path):
    if not (ROOT / "clue_ros" / "cli" / "main.py").exists():
        pytest.skip("there is no clue_ros/cli yet")
    # A copy without the build products, so that nothing is written to the checkout.
    source = tmp_path / "source"
    shutil.copytree(
        ROOT, source, ignore=shutil.ignore_patterns(".*", "build", "install", "log", "out", "test", "__pycache__")
    )
    target = tmp_path / "target"
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "AMENT_PREFIX_PATH", "ROS_DISTRO", "PYTHONSAFEPATH")
    }
    # The dependencies are there already: what is tested is what this package puts where. No network is needed.
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--disable-pip-version-check",
            "--target",
            str(target),
            str(source),
        ],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert (target / "clue_ros" / "types.py").exists()
    assert (target / "clue_ros" / "py.typed").exists(), "type checkers of others read our annotations"
    models = ROOT / "clue_ros" / "models"
    shipped = {
        path.relative_to(models) for path in models.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
    assert shipped <= {
        path.relative_to(target / "clue_ros" / "models") for path in (target / "clue_ros" / "models").rglob("*")
    }

    environment["PYTHONPATH"] = str(target)
    answer = subprocess.run(
        [str(target / "bin" / "clue"), "--help"],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert "ground" in answer.stdout

    requirements = next(target.glob("clue_ros-*.dist-info/METADATA")).read_text(encoding="utf-8")
    assert "Requires-Dist: torch==" in requirements
