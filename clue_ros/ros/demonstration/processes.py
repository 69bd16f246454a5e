"""The demo's processes: started without a shell, logged to files, and never left behind."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import clue_ros
from clue_ros.ros.running.dds_profile import profile_variables
from clue_ros.types import ClueError

PACKAGE_ROOT = Path(clue_ros.__file__).resolve().parent.parent
STOP_S = 8.0  # for a clean shutdown; then SIGKILL
_PR_SET_PDEATHSIG = 1


class ProcessDied(ClueError):
    """A process of the demo ended by itself; the text names it and shows the end of its log."""


def free_domain() -> "tuple[int, socket.socket]":
    """A ROS_DOMAIN_ID that no other demo on this machine uses; it stays taken while the socket is open.

    An abstract socket leaves nothing behind, not even after SIGKILL.
    """
    start = os.getpid() % 90
    for offset in range(90):
        domain = 11 + (start + offset) % 90  # domains up to 101 leave Linux's ephemeral ports alone
        lock = socket.socket(socket.AF_UNIX)
        try:
            lock.bind(f"\0clue_ros_demo_domain_{domain}")
            return domain, lock
        except OSError:
            lock.close()
    raise ClueError("90 demos run on this machine already: end one, or give --domain")


def environment(domain: int) -> Dict[str, str]:
    """What every process of the demo runs in, this one included: traffic on this machine only, and large messages."""
    variables = {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "PYTHONUNBUFFERED": "1"}
    return {**variables, **profile_variables(os.environ)}


def own_environment() -> Dict[str, str]:
    """This process's environment, with this very package before any other that is installed."""
    paths = [str(PACKAGE_ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def parameters(values: Dict[str, object]) -> List[str]:
    """-p name:=value for the command line of a node; JSON scalars are YAML, so strings keep their type."""
    arguments: List[str] = []
    for name, value in values.items():
        arguments += ["-p", f"{name}:={json.dumps(value)}"]
    return arguments


class Processes:
    """The running nodes. Use as a context manager: leaving it stops them all."""

    def __init__(self, namespace: str, log_folder: Path) -> None:
        self._namespace = namespace
        self._logs = log_folder
        self._children: Dict[str, subprocess.Popen] = {}
        log_folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def start(
        self, name: str, module: str, values: Dict[str, object], *, at_terminal: bool = False,
        under: Sequence[str] = (), variables: Optional[Dict[str, str]] = None, remaps: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """python -m `module` in the namespace; `at_terminal`: with this terminal, else with a log file.

        under: a command that runs the rest of its arguments in its own place; variables: beside this environment's;
        remaps: each "name:=other".
        """
        command = [*under, sys.executable, "-m", module, "--ros-args", "-r", f"__ns:={self._namespace}"]
        command += [word for remap in remaps for word in ("-r", remap)] + parameters(values)
        variables = {**own_environment(), **(variables or {})}
        with open(self.log(name), "wb") as log:
            self._children[name] = subprocess.Popen(
                command,
                env=variables,
                cwd=self._logs,
                stdin=None if at_terminal else subprocess.DEVNULL,
                stdout=None if at_terminal else log,
                stderr=log,
                # A session of its own: Ctrl-C reaches only the demo, which then stops its nodes in order.
                start_new_session=not at_terminal,
                preexec_fn=_die_with_parent,
            )

    def log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def check(self, may_end: Sequence[str] = (), beside: Sequence[str] = ()) -> None:
        """Raises ProcessDied if one ended that should not have; those of `beside` do not matter yet."""
        for name, child in self._children.items():
            code = child.poll()
            if code is not None and name not in beside and not (name in may_end and code == 0):
                raise ProcessDied(f"{name} ended with code {code}; the end of {self.log(name)}:\n{self.tail(name)}")

    def ended(self, name: str) -> bool:
        return self._children[name].poll() is not None

    def __contains__(self, name: str) -> bool:
        return name in self._children

    def pid(self, name: str) -> int:
        return self._children[name].pid

    def end(self, name: str, number: int = signal.SIGINT, limit_s: float = STOP_S) -> None:
        """Ends one of them by a signal, SIGKILL after `limit_s`, and forgets it; its log stays."""
        child = self._children.pop(name)
        if child.poll() is None:
            child.send_signal(number)
        try:
            child.wait(limit_s)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def tail(self, name: str, lines: int = 15) -> str:
        text = self.log(name).read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def stop(self) -> None:
        """SIGINT to all, so that they can say goodbye; SIGKILL to what is left after STOP_S."""
        running = [child for child in self._children.values() if child.poll() is None]
        for child in running:
            child.send_signal(signal.SIGINT)
        end = time.monotonic() + STOP_S
        for child in running:
            try:
                child.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _die_with_parent() -> None:
    """Runs in the child before exec: the kernel ends it when the demo is gone, however the demo ended (Linux)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
