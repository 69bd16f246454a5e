"""System packages: found by trying, installed with apt as root, otherwise named in one line.

python3 scripts/provision/system.py       prints what MuJoCo can draw with: egl, osmesa or nothing
"""

import ctypes
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from stage import Setup, SetupError, clean_environment  # noqa: E402

EGL_PLATFORM_DEVICE_EXT = 0x313F
EGL_PACKAGES = ("libegl1", "libegl-mesa0", "libgl1-mesa-dri", "libopengl0")


def loads(*names: str) -> bool:
    """True if every shared library of these names can be loaded."""
    try:
        for name in names:
            ctypes.CDLL(name)
    except OSError:
        return False
    return True


def egl_works() -> bool:
    """One EGL device initialises, asked in the way MuJoCo asks. The library alone is not enough: it needs a driver."""
    if not loads("libEGL.so.1", "libOpenGL.so.0"):
        return False
    egl = ctypes.CDLL("libEGL.so.1")
    find = egl.eglGetProcAddress
    find.restype, find.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
    query_address, display_address = find(b"eglQueryDevicesEXT"), find(b"eglGetPlatformDisplayEXT")
    if not query_address or not display_address:
        return False
    query_devices = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(query_address)
    platform_display = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p)(
        display_address
    )
    initialize = egl.eglInitialize
    initialize.restype, initialize.argtypes = ctypes.c_uint, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    devices, count = (ctypes.c_void_p * 16)(), ctypes.c_int(0)
    if not query_devices(16, devices, ctypes.byref(count)):
        return False
    for device in devices[: count.value]:
        display = platform_display(EGL_PLATFORM_DEVICE_EXT, device, None)
        if display and initialize(display, None, None):
            return True
    return False


def renderer() -> str:
    """What MuJoCo can draw with and no display: "egl", "osmesa" or "" (nothing)."""
    if egl_works():
        return "egl"
    return "osmesa" if loads("libOSMesa.so.8") or loads("libOSMesa.so") else ""


def renderer_in_use() -> str:
    """`renderer()` in a process of its own: a graphics driver that crashes must not take the set-up along."""
    answer = subprocess.run([sys.executable, "-I", "-S", "-B", __file__], capture_output=True, text=True, check=False)
    return answer.stdout.strip()


def has_compiler() -> bool:
    return bool(shutil.which(os.environ.get("CXX") or "c++") or shutil.which("g++")) and bool(shutil.which("make"))


def has_venv(setup: Setup) -> bool:
    """The interpreter can make environments (Debian ships ensurepip in python3-venv). Asked only where one is
    needed.
    """
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
    if not renderer_in_use():
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


if __name__ == "__main__":
    print(renderer())
