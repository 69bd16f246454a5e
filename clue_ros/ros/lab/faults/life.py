"""Faults of the machine: the node is killed, the clock jumps, the disk is full, the checkpoint becomes garbage."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Iterator, List, Tuple

import cv2
from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Time
from lifecycle_msgs.msg import Transition
from rosgraph_msgs.msg import Clock

from clue_ros.ros.demonstration.processes import own_environment
from clue_ros.ros.lab.faults.camera import changed
from clue_ros.ros.lab.faults.client import wait_for
from clue_ros.ros.lab.faults.robot import RESULT_S, START_S, Robot
from clue_ros.ros.lab.faults.rows import CannotTry, Check
from clue_ros.ros.lab.faults.sight import click, fresh
from clue_ros.ros.wire.conversions import rgb_to_image

LOSS_S = 25.0  # Fast DDS believes in a silent participant for 20 s
HOUR = 3600
CONFIGURE_S = 20.0
DISK_KB = 64
COMMAND_S = 600.0
FULL_DISK = (
    'set -e; mount -t tmpfs -o size={kb}k tmpfs "$1"; head -c {bytes} /dev/zero > "$1/filler" || true; shift; exec "$@"'
)
GARBAGE: Tuple[Tuple[str, Any], ...] = (
    ("overwritten with random bytes", lambda path: path.write_bytes(os.urandom(4096))),
    ("cut in half", lambda path: os.truncate(path, path.stat().st_size // 2)),
    ("emptied", lambda path: path.write_bytes(b"")),
    ("deleted", lambda path: path.unlink()),
)
PARTS = ("model.safetensors", "config.json", "clue.json", "tokenizer.json", "ambiguity.safetensors",
         "adapters/dialogue/adapter_model.safetensors", "eyes.json", "eyes.safetensors")  # fmt: skip


def node_killed(robot: Robot) -> Iterator[Check]:
    goal = robot.ask()
    robot.stop(signal.SIGKILL)
    killed = time.monotonic()
    took = goal.wait(60.0).finished - killed
    yield Check(
        "SIGKILL while a question is open, no restart",
        f"SERVER_GONE ≤ {LOSS_S:g} s",
        f"{goal.code} after {took:.1f} s",
        took <= LOSS_S and goal.code == "SERVER_GONE",
    )
    robot.start()
    goal = robot.ask()
    lost = goal
    robot.stop(signal.SIGKILL)
    killed = time.monotonic()
    robot.start()
    up = time.monotonic() - killed
    again = robot.clear_situation_goal()
    yield Check(
        "SIGKILL while a question is open, restarted at once",
        f"a new goal is found ≤ {START_S:g} s after the kill",
        f"{again.code} after {time.monotonic() - killed:.1f} s (active after {up:.1f} s)",
        robot.found_it(again),
    )
    took = lost.wait(60.0).finished - killed
    yield Check(
        "the old goal, while the new node serves",
        f"SERVER_GONE ≤ {LOSS_S:g} s after the kill",
        f"{lost.code} after {took:.1f} s",
        took <= LOSS_S and lost.code == "SERVER_GONE",
    )
    asked = time.monotonic()
    response = lost.ask_again()
    wait_for(response.done, RESULT_S, "an answer about the lost goal")
    status, took, limit = response.result().status, time.monotonic() - asked, robot.limit(2.0)
    yield Check(
        "its client asks the new node for the old goal's result",
        f'"unknown goal" ≤ {limit:g} s, not silence',
        f"status {status} after {took:.2f} s",
        status == GoalStatus.STATUS_UNKNOWN and took <= limit,
    )


def clock_jumps(robot: Robot) -> Iterator[Check]:
    clock = SimulatedClock(robot)
    robot.camera.stamp = clock.stamp
    try:
        robot.restart(use_sim_time=True)
        robot.show(robot.clear)
        fresh(robot)
        for name, seconds in (("an hour forward", HOUR), ("an hour back", -HOUR), ("to zero", None)):
            goal = robot.ask()
            clock.jump(seconds)
            jumped = time.monotonic()
            click(robot)
            goal.wait(RESULT_S)
            took, limit = goal.finished - jumped, robot.limit(3.0)
            yield Check(
                f"the simulated clock jumps {name} while a question is open; then the answer",
                f"NONE ≤ {limit:g} s",
                f"{goal.code} after {took:.2f} s",
                goal.code == "NONE" and took <= limit,
            )
            goal = robot.clear_situation_goal()
            yield Check(
                "and a new goal",
                f"found ≤ {limit:g} s",
                f"{goal.code} after {goal.seconds:.2f} s",
                robot.found_it(goal) and goal.seconds <= limit,
            )
        goal = robot.ask(answer_timeout=1.0)
        clock.running = False
        stopped = time.monotonic()
        goal.wait(RESULT_S)
        took, limit = goal.finished - stopped, robot.limit(2.0)
        yield Check(
            "it stops while a question is open, answer_timeout 1 s",
            f"ANSWER_TIMEOUT ≤ {limit:g} s",
            f"{goal.code} after {took:.2f} s",
            goal.code == "ANSWER_TIMEOUT" and took <= limit,
        )
    finally:
        clock.close()
        robot.camera.stamp = lambda: robot.client.get_clock().now().to_msg()


class SimulatedClock:
    """/clock at 100 Hz in the pace of the wall, from a thread of its own."""

    def __init__(self, robot: Robot) -> None:
        self.running = True
        self._offset = 1000.0 - time.monotonic()
        self._publisher = robot.client.create_publisher(Clock, "/clock", 10)
        self._node = robot.client
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clock", daemon=True)
        self._thread.start()

    def stamp(self) -> Time:
        now = max(0.0, time.monotonic() + self._offset)
        return Time(sec=int(now), nanosec=int(now % 1 * 1e9))

    def jump(self, seconds: "float | None") -> None:
        """By so many seconds; None: to a second after zero. The clock stays at 0 or more."""
        now = time.monotonic() + self._offset
        self._offset += 1.0 - now if seconds is None else max(seconds, 1.0 - now)
        time.sleep(0.1)

    def close(self) -> None:
        self._stop.set()
        self._thread.join(2.0)
        self._node.destroy_publisher(self._publisher)

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            if self.running:
                self._publisher.publish(Clock(clock=self.stamp()))


def disk_full(robot: Robot) -> Iterator[Check]:
    folder = Path(tempfile.mkdtemp(prefix="clue_full_"))
    try:
        under = on_full_disk(folder)
        robot.stop()
        robot.start(under=[*under, *into_dev_full()], variables={"ROS_LOG_DIR": str(folder), "TMPDIR": str(folder)})
        goals = []
        for index in range(20):
            robot.camera.make = changed(rgb_to_image, encoding=f"nothing{index}")  # each is a line in the log
            fresh(robot)
            goals.append(robot.clear_goal().wait(RESULT_S))
        robot.camera.healthy()
        fresh(robot)
        refused = sum(goal.code == "UNSUPPORTED_ENCODING" for goal in goals)
        goal = robot.clear_goal().wait(RESULT_S)
        yield Check(
            "the node's log folder, its stdout and stderr are on a full disk; 20 errors to log",
            "it serves on: 20 × UNSUPPORTED_ENCODING, then found",
            f"{refused} × UNSUPPORTED_ENCODING, then {goal.code}",
            refused == 20 and robot.found_it(goal),
        )
        picture = robot.output.resolve() / "scene.png"
        cv2.imwrite(str(picture), robot.clear.picture.rgb[..., ::-1])
        for name, command in writers(folder, picture):
            yield written(name, [*under, sys.executable, "-m", "clue_ros.cli.main", *command])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def on_full_disk(folder: Path) -> List[str]:
    """A command that runs its arguments where `folder` is a full file system: a mount of their own, no root needed.

    Raises CannotTry where the kernel does not let users do so.
    """
    script = FULL_DISK.format(kb=DISK_KB, bytes=DISK_KB * 1024 + 1)
    command = ["unshare", "--user", "--mount", "--map-root-user", "bash", "-c", script, "full_disk", str(folder)]
    try:
        done = subprocess.run(
            [*command, "bash", "-c", f'echo x > "{folder}/probe"'], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotTry(f"no full disk to be had here: {error}") from error
    if "No space left" not in done.stderr:
        raise CannotTry(f"no full disk to be had here: {done.stderr.strip() or 'unshare made none'}")
    return command


def into_dev_full() -> List[str]:
    return ["bash", "-c", 'exec "$@" > /dev/full 2> /dev/full', "into_dev_full"]


def writers(full: Path, picture: Path) -> "Tuple[Tuple[str, List[str]], ...]":
    """(what, arguments of `clue`): our programs that write files."""
    return (
        ("clue record", ["record", "-o", str(full / "bag"), "--episodes", "1"]),
        ("clue scenes", ["scenes", "--output", str(full / "scenes"), "--count", "2", "--workers", "1"]),
        ("clue ground --out", ["ground", str(picture), "the red mug", "--out", str(full / "out.png")]),
        ("clue evaluate", ["evaluate", "tabletop", "--scenes", "1", "--condition", "in", "-o", str(full / "results")]),
    )


def written(name: str, command: List[str]) -> Check:
    """Runs a command of ours that has to write to a full disk."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, env=own_environment())
    except subprocess.TimeoutExpired:
        return Check(f"{name} onto the full disk", "it ends", f"not within {COMMAND_S:g} s", False)
    last = (done.stderr.strip().splitlines() or [""])[-1]
    clean = done.returncode not in (0, 130) and "Traceback" not in done.stderr and "space" in last
    return Check(
        f"{name} onto the full disk",
        "exit code, one line that says so, no traceback",
        f"exit {done.returncode}: {last[-160:]}",
        clean,
    )


def checkpoint_garbage(robot: Robot) -> Iterator[Check]:
    with tempfile.TemporaryDirectory(prefix="clue_model_") as folder:
        copy = Path(folder) / "model"
        source = robot.model_folder
        shutil.copytree(source, copy)
        robot.restart(model=str(copy))
        goal = robot.clear_situation_goal()
        yield Check("a copy of the checkpoint is served", "found", goal.code, robot.found_it(goal))
        parts = [part for part in PARTS if (copy / part).is_file()]
        for index, part in enumerate(parts):
            for name, spoil in GARBAGE if index == 0 else GARBAGE[index % len(GARBAGE) :][:1]:
                yield spoilt(robot, copy, source, part, name, spoil)
        goal = robot.clear_situation_goal()
        yield Check("all of it put back", "found", goal.code, robot.found_it(goal))


def spoilt(robot: Robot, copy: Path, source: Path, part: str, name: str, spoil: Any) -> Check:
    """One part of the checkpoint becomes garbage between cleanup and configure, and whole again afterwards."""
    change = robot.client.change_state
    lines = len(robot.log_lines())
    change(Transition.TRANSITION_DEACTIVATE)
    change(Transition.TRANSITION_CLEANUP)
    spoil(copy / part)
    begun = time.monotonic()
    configured = change(Transition.TRANSITION_CONFIGURE)
    took, limit = time.monotonic() - begun, robot.limit(CONFIGURE_S)
    label = robot.client.state()
    log = " ".join(robot.log_lines()[lines:])
    named = str(copy) in log and "cannot configure" in log
    shutil.copy2(source / part, copy / part)
    whole = label == "inactive" or change(Transition.TRANSITION_CONFIGURE)
    active = change(Transition.TRANSITION_ACTIVATE)
    return Check(
        f"{part} {name} between cleanup and configure",
        f"configure fails ≤ {limit:g} s, the log names it; whole again, it works",
        f"configure {'succeeded' if configured else 'failed'} after {took:.1f} s, {label}, "
        f"{'named' if named else 'NOT named'}; then {'active' if whole and active else 'NOT active'}",
        not configured and took <= limit and label == "unconfigured" and named and whole and active,
    )
