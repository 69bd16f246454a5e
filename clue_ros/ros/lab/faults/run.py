"""The fault suite: which faults there are, one after the other, each followed by a goal that must simply work.

    clue faults                              all of them, on the embedded model
    clue faults --only camera_stops,words    some

A robot is started once and shared; a fault that kills the node or gives it parameters of its own leaves the next one a
new node. Limits of time are for a machine on which a clear goal takes half a second at most; where it takes longer (it
is measured before each fault) they grow with it, and the table shows the limits that were applied.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Callable, List, Optional, Sequence, Tuple

from clue_ros.ros.demonstration.processes import ProcessDied
from clue_ros.ros.lab.faults import crowd, life, server, sight, words
from clue_ros.ros.lab.faults.robot import AFTERWARDS_S, Robot
from clue_ros.ros.lab.faults.rows import CannotTry, Check, Fault, Rows
from clue_ros.types import ClueError

FAULTS: Tuple[Fault, ...] = (
    Fault("camera_stops", sight.camera_stops),
    Fault("camera_floods", sight.camera_floods),
    Fault("camera_changes", sight.camera_changes),
    Fault("truncated_data", sight.truncated_data),
    Fault("nan_depth", sight.nan_depth),
    Fault("speech_flood", crowd.speech_flood),
    Fault("fifty_clients", crowd.fifty_clients),
    Fault("cancel_storm", crowd.cancel_storm),
    Fault("node_killed", life.node_killed),
    Fault("model_server", server.model_server),
    Fault("clock_jumps", life.clock_jumps),
    Fault("disk_full", life.disk_full),
    Fault("checkpoint_garbage", life.checkpoint_garbage),
    Fault("strange_words", words.strange_words),
)


def chosen(names: Sequence[str]) -> List[Fault]:
    """The faults of these names, all for none. Raises ClueError naming what there is."""
    known = {fault.name: fault for fault in FAULTS}
    wrong = [name for name in names if name not in known]
    if wrong:
        raise ClueError(f"there is no fault {', '.join(wrong)}: choose from {', '.join(known)}")
    return [known[name] for name in names] if names else list(FAULTS)


def run_all(
    faults: Sequence[Fault], rows: Rows, output: Path, model: str = "", device: str = "cpu", effort: float = 1.0,
    notice: Callable[[str, Optional[Check]], None] = lambda name, check: None,
) -> None:  # fmt: skip
    """Does them all; `notice` hears (fault, None) before each and (fault, check) after each row.

    Raises:
        ClueError: the robot cannot be started, or the results not written.
    """
    with Robot(output, model, device, effort) as robot:
        robot.start()
        robot.rehearse()
        for fault in faults:
            notice(fault.name, None)
            play(fault, robot, rows, notice)
    rows.save(complete=True)


def play(fault: Fault, robot: Robot, rows: Rows, notice: Callable[[str, Optional[Check]], None]) -> None:
    """One fault, and a goal afterwards."""
    begun = time.monotonic()

    def keep(check: Check) -> None:
        nonlocal begun
        rows.add(fault.name, check, time.monotonic() - begun)
        notice(fault.name, check)
        begun = time.monotonic()

    try:
        prepare(robot)
        for check in fault.play(robot):
            keep(check)
        robot.camera.healthy()
        keep(afterwards(robot))
    except CannotTry as reason:
        keep(Check(fault.name, "", str(reason), None))
    except (ClueError, ProcessDied) as error:
        keep(Check("(the same)", "every step ends within its limit", str(error)[-300:], False))
    finally:
        robot.camera.healthy()


def prepare(robot: Robot) -> None:
    """A node without a row's own parameters, and how fast it is right now."""
    if not robot.ordinary:
        robot.restart()
    robot.measure_pace()


def afterwards(robot: Robot) -> Check:
    if not robot.alive:
        return Check("afterwards", "the node is alive", f"it ended: {robot.children.tail(robot.name, 3)[-200:]}", False)
    goal, limit = robot.clear_situation_goal(), robot.limit(AFTERWARDS_S)
    return Check(
        "afterwards, a clear goal",
        f"found ≤ {limit:g} s",
        f"{goal.code} after {goal.seconds:.2f} s",
        robot.found_it(goal) and goal.seconds <= limit,
    )
