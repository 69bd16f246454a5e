"""ROS 2: the wheels' CMake files made to fit this environment, and `colcon build` of this package."""

import os
import re
import shutil
import subprocess

from stage import Setup, SetupError, Stage, clean_environment, file_digest, lines_of, run_logged

BUILD_INPUTS = ("package.xml", "CMakeLists.txt", "scripts/executable.py.in", "msg/*", "srv/*", "action/*")
INSTALLED_TREES = ("clue_ros", "launch", "config")

# What the wheels' exported CMake files name: folders of the machine that built them.
BUILD_MACHINE_PYTHON = re.compile(r"/opt/python/cp3\d+-cp3\d+/include/python3\.\d+t?")
BUILD_MACHINE_NUMPY = re.compile(
    r"/opt/python/cp3\d+-cp3\d+/lib/python3\.\d+t?/site-packages/numpy/(?:_core|core)/include"
)


def adapt_cmake_files(setup: Setup) -> None:
    """Replaces the build machine's include folders in the wheels' CMake files by this environment's. Idempotent."""
    if setup.ros_distro:
        return
    stage = Stage(setup, "ros-cmake", setup.venv, (setup.keys["packages"],), "CMake files of the ROS wheels")
    if stage.is_done():
        return
    with stage:
        query = "import sysconfig, numpy; print(sysconfig.get_paths()['include']); print(numpy.get_include())"
        answer = subprocess.run(
            [str(setup.python), "-I", "-c", query], env=clean_environment(), capture_output=True, text=True, check=False
        )
        if answer.returncode != 0:
            raise SetupError(
                f"numpy of {setup.venv} does not import: {answer.stderr.strip()[-500:]}\n"
                f"  type:  rm -rf {setup.venv}  and repeat"
            )
        python_include, numpy_include = answer.stdout.split("\n")[:2]
        for path in setup.venv.glob("share/*/cmake/*.cmake"):
            text = path.read_text(encoding="utf-8")
            fitted = BUILD_MACHINE_NUMPY.sub(lambda _: numpy_include, text)
            fitted = BUILD_MACHINE_PYTHON.sub(lambda _: python_include, fitted)
            if fitted != text:
                path.write_text(fitted, encoding="utf-8")
        # colcon warns of a prefix without this file; the wheels have nothing to set up in it.
        (setup.venv / "local_setup.sh").write_text("# ROS 2 wheels: nothing to set up\n", encoding="utf-8")


def build(setup: Setup) -> None:
    """colcon build --symlink-install: edits of .py, .yaml and launch files are live, so only a changed list of files
    (or a changed interface or build file) builds again."""
    definitions = sorted(path for pattern in BUILD_INPUTS for path in setup.root.glob(pattern) if path.is_file())
    names = sorted(
        str(path.relative_to(setup.root))
        for tree in INSTALLED_TREES
        for path in (setup.root / tree).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    install = setup.workspace / "install"
    # What CMake's cache remembers: where things are, and which ROS and numpy. Another pin elsewhere is no reason to
    # compile.
    numpy_pins = [line for line in lines_of(setup.requirements / "core.txt") if line.startswith("numpy==")]
    ros_source = os.environ.get("AMENT_PREFIX_PATH") if setup.ros_distro else lines_of(setup.ros_requirements)
    configuration = (setup.keys["environment"], str(setup.root), setup.ros_distro, ros_source, numpy_pins)
    stage = Stage(
        setup,
        "build",
        install,
        (configuration, file_digest(definitions), names),
        "colcon build of clue_ros (messages and package)",
    )
    configured = Stage(setup, "configuration", setup.workspace / "build", configuration)
    if stage.is_done():
        return
    with stage:
        if not configured.is_done():
            # A cache made with another environment or ROS names folders that may be gone.
            for folder in (setup.workspace / "build", install):
                shutil.rmtree(folder, ignore_errors=True)
            # From here on the cache fits: a build that fails or is interrupted goes on where it stopped.
            configured.write()
        remove_dead_links(install)
        run_logged(
            setup,
            colcon_command(setup),
            "colcon",
            f"The compiler's messages stand in {setup.workspace / 'log' / 'latest_build'}.",
            env=build_environment(setup),
        )


def colcon_command(setup: Setup) -> list:
    own = setup.venv / "bin" / "colcon"
    # A colcon of the system's satisfies pip in an environment that sees the system's packages.
    colcon = own if own.exists() else shutil.which("colcon")
    if colcon is None:
        raise SetupError("colcon is missing; type:  sudo apt-get install python3-colcon-common-extensions")
    return [
        colcon,
        "--log-base",
        setup.workspace / "log",
        "build",
        "--symlink-install",
        "--base-paths",
        setup.root,
        "--packages-select",
        "clue_ros",
        "--build-base",
        setup.workspace / "build",
        "--install-base",
        setup.workspace / "install",
        "--event-handlers",
        "console_direct+",
        "--cmake-args",
        f"-DPython3_EXECUTABLE={setup.python}",
        f"-DPython3_NumPy_INCLUDE_DIR={numpy_link(setup)}",
        "-DBUILD_TESTING=OFF",
        "-DCMAKE_BUILD_TYPE=Release",
    ]


def numpy_link(setup: Setup):
    """A link to numpy's headers in the install space.

    CMake refuses to export a target whose include folder lies in the source tree, as .venv does, unless it is inside
    the install space.
    """
    link = setup.workspace / "install" / "clue_ros" / "include" / "numpy-headers"
    answer = subprocess.run(
        [str(setup.python), "-I", "-c", "import numpy; print(numpy.get_include())"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(answer.stdout.strip())
    return link


def build_environment(setup: Setup) -> dict:
    """The environment's tools first; the wheels' packages lie right in the environment's prefix."""
    environment = clean_environment(
        PATH=f"{setup.venv / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}", VIRTUAL_ENV=str(setup.venv)
    )
    if not setup.ros_distro:
        environment.update(AMENT_PREFIX_PATH=str(setup.venv), CMAKE_PREFIX_PATH=str(setup.venv))
    # Two C++ compilers at a time fit a small machine's memory; more where there are more cores.
    environment.setdefault("CMAKE_BUILD_PARALLEL_LEVEL", str(max(2, os.cpu_count() or 2)))
    return environment


def remove_dead_links(install) -> None:
    """A module deleted in the source leaves a dangling link in the install space."""
    for path in install.rglob("*"):
        if path.is_symlink() and not path.exists():
            path.unlink()
