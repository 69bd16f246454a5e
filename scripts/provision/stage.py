"""What the stages share: the facts of this set-up, stamps, and running a command with a log."""

import hashlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_WHEELS = "kilted"
WHEELS = (DEFAULT_WHEELS, "jazzy")


class SetupError(Exception):
    """Set-up cannot go on; the text says what to do."""


@dataclass
class Setup:
    """root: the repository; venv: the environment; ros_distro: the sourced ROS, None: ROS comes from wheels, those of
    the distribution `wheels`."""

    root: Path
    venv: Path
    ros_distro: "str | None"
    wheels: str = DEFAULT_WHEELS
    keys: dict = field(default_factory=dict)  # stage name -> key of its inputs, filled as the stages run

    @property
    def python(self) -> Path:
        return self.venv / "bin" / "python"

    @property
    def requirements(self) -> Path:
        return self.root / "requirements"

    @property
    def ros_requirements(self) -> Path:
        """The pins of ROS, or of what a sourced ROS lacks."""
        return self.requirements / ("ros-installed.txt" if self.ros_distro else f"ros-{self.wheels}.txt")

    @property
    def workspace(self) -> Path:
        """Holds build, install and log: beside another distribution's they would overwrite each other."""
        return self.root if self.wheels == DEFAULT_WHEELS else self.venv

    @property
    def lock_file(self) -> Path:
        """One for each workspace: they share nothing that is written."""
        return self.root / (".setup.lock" if self.workspace == self.root else f".setup-{self.wheels}.lock")

    @property
    def log_directory(self) -> Path:
        return self.venv / "setup-log"


@dataclass
class Stage:
    """One stage with its stamp: a file that holds the key of the inputs it was finished with.

    `with stage:` removes the stamp at the start and writes it only when the body ends without an exception, so an
    interrupted stage is done again. The stamp lies in the folder that the stage fills: who deletes the folder deletes
    the stamp.
    """

    setup: Setup
    name: str
    folder: Path
    inputs: tuple  # anything whose repr tells one set of inputs from another
    message: str = ""

    def __post_init__(self):
        self.key = hashlib.sha256(repr(self.inputs).encode()).hexdigest()
        self.setup.keys[self.name] = self.key
        self.stamp = self.folder / f".clue-{self.name}.stamp"

    def is_done(self) -> bool:
        try:
            return self.stamp.read_text(encoding="utf-8") == self.key
        except OSError:
            return False

    def __enter__(self):
        self.stamp.unlink(missing_ok=True)
        if self.message:
            print(f"setup: {self.message}", flush=True)
        self.started = time.monotonic()
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            self.write()
            print(f"setup: {self.name} done in {time.monotonic() - self.started:.0f} s", flush=True)
        return False

    def write(self):
        """Writes the stamp, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.stamp.with_suffix(".new")
        temporary.write_text(self.key, encoding="utf-8")
        temporary.replace(self.stamp)


def file_digest(paths) -> str:
    """One digest of names and contents of the given files, in the given order."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path}\0".encode())
        digest.update(path.read_bytes())
        digest.update(b"\0")
    return digest.hexdigest()


def lines_of(path) -> list:
    """The lines of a requirements file without comments and blank lines."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def clean_environment(**changes: str) -> dict:
    """This process's environment without what another Python environment may have left in it.

    PYTHONPATH is kept only with a sourced ROS, whose packages are on it. The guard variable of the ROS wheels would
    stop them from setting their library path in our own environment.
    """
    drop = {"PYTHONHOME", "VIRTUAL_ENV", "_ROS_WHEELS_BOOTSTRAP_COMPLETE", "PYTHONSAFEPATH", "PYTHONDONTWRITEBYTECODE"}
    if not os.environ.get("ROS_DISTRO"):
        drop |= {"PYTHONPATH", "AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH", "COLCON_PREFIX_PATH"}
    return {**{name: value for name, value in os.environ.items() if name not in drop}, **changes}


def run_logged(setup: Setup, command: list, log_name: str, hint: str, env: "dict | None" = None) -> None:
    """Runs `command` with its output in a log file and a running clock on a terminal.

    Raises SetupError with the log's last lines and `hint` if the command fails.
    """
    setup.log_directory.mkdir(parents=True, exist_ok=True)
    log_path = setup.log_directory / f"{log_name}.log"
    started = time.monotonic()
    with open(log_path, "w", encoding="utf-8") as log:
        log.write("+ " + " ".join(map(str, command)) + "\n")
        log.flush()
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=setup.root,
            env=env or clean_environment(),
        )
        try:
            while True:
                try:
                    code = process.wait(timeout=1.0)
                    break
                except subprocess.TimeoutExpired:
                    if sys.stdout.isatty():
                        print(f"\rsetup:   {time.monotonic() - started:4.0f} s ", end="", flush=True)
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise
    if sys.stdout.isatty():
        print("\r", end="")
    if code != 0:
        tail = [line for line in log_path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        tail = [line for line in tail if not line.startswith("WARNING: Location")][-25:]
        raise SetupError(
            "\n  ".join(
                [
                    f"{' '.join(map(str, command[:4]))} ... failed (exit status {code}):",
                    *tail,
                    f"(all of it: {log_path})",
                    hint,
                ]
            )
        )
