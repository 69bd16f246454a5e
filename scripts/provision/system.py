"""System packages: found by trying, installed with apt as root, otherwise named in one line."""

import ctypes
import ctypes.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from stage import Setup, SetupError, clean_environment

EGL_PACKAGES = ("libegl1", "libegl-mesa0", "libgl1-mesa-dri", "libopengl0")


def loads(*names: str) -> bool:
    """True if every shared library of these names can be loaded."""
    try:
        for name in names:
            ctypes.CDLL(name)
    except OSError:
        return False
    return True


def can_render() -> bool:
    """EGL or OSMesa is there: MuJoCo needs one of them to draw without a display."""
    return loads("libEGL.so.1", "libOpenGL.so.0") or loads("libOSMesa.so.8") or loads("libOSMesa.so")


def has_compiler() -> bool:
    return bool(shutil.which(os.environ.get("CXX") or "c++") or shutil.which("g++")) and bool(shutil.which("make"))


def has_venv(setup: Setup) -> bool:
    """The interpreter can make environments (Debian ships ensurepip in python3-venv). Asked only where one is needed."""
    if setup.python.exists():
        return True
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        return False
    return True


def missing_packages(setup: Setup) -> list:
    """The Debian packages to install for what was not found here."""
    python = f"python3.{sys.version_info.minor}"
    missing = []
    if not has_compiler():
        missing += ["g++", "make"]
    if not can_render():
        missing += EGL_PACKAGES
    if not has_venv(setup):
        missing.append(f"{python}-venv")
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        missing.append(f"{python}-dev")  # the messages' Python type support is compiled
    return missing


def check_packages(setup: Setup) -> None:
    """Raises SetupError with the exact command if something is missing that cannot be installed from here."""
    missing = missing_packages(setup)
    if not missing:
        return
    command = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    by_hand = f"system packages are missing; type:  sudo apt-get update && sudo {' '.join(command)}"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise SetupError(by_hand)
    print(f"setup: installing system packages: {' '.join(missing)}", flush=True)
    environment = clean_environment(DEBIAN_FRONTEND="noninteractive")
    # A package list that cannot be refreshed (one dead mirror is enough) need not stop the installation.
    subprocess.run(["apt-get", "update", "-qq"], env=environment, check=False)
    subprocess.run([command[0], command[1], "-qq", *command[2:]], env=environment, check=False)
    still_missing = missing_packages(setup)
    if still_missing:
        raise SetupError(by_hand)
