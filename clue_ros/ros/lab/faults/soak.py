"""A thousand goals in a row with a live camera: is one lost, does memory grow, does the node become slow?

The camera shows a scene for some goals, then another. Each goal is one of four kinds: a clear one, an ambiguous one
whose questions are answered by speech or by a click, one that is cancelled while it runs.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np

from clue_ros.evaluation.episode_runner import person_rng
from clue_ros.geometry import box_iou
from clue_ros.ros.client import ClientCode
from clue_ros.ros.lab.faults.camera import Picture, metres
from clue_ros.ros.lab.faults.client import DidNotHappen, Goal
from clue_ros.ros.lab.faults.robot import RESULT_S, Robot, Situation, situations
from clue_ros.ros.lab.faults.rows import Check, Rows
from clue_ros.ros.wire.messages import msg_to_box
from clue_ros.simulation.person import SimulatedPerson
from clue_ros.types import Box, ClueError

WARM_UP = 0.1  # of the goals: buffers, caches and threads find their size
SAVED = 50  # goals between two writings of the files
DWELL = 5  # goals a scene: all scenes are seen while it warms up
SCENES = 16
GROWTH = 0.05
SLOWEST = 3.0  # p99 over p50
THINK_S = (0.05, 0.25)  # between two goals, and before an answer
KINDS = ("clear", "answered", "clicked", "cancelled")
NOT_RESULTS = (
    "no result",
    "UNKNOWN",
    "MODEL_ERROR",
    "OUT_OF_MEMORY",
    "MODEL_UNAVAILABLE",
    "NOT_ACTIVE",
    "NO_IMAGE",
    *ClientCode.__members__,
)
SHOWN = {"clear": "clear", "answered": "ambiguous_color", "clicked": "click", "cancelled": "ambiguous_position"}


class Played(NamedTuple):
    """waits: seconds from each last word (the goal, an answer) to the node's next (a question, the result)."""

    kind: str
    code: str
    waits: List[float]
    right: Optional[bool]  # the box is the object in mind; None: no box, or cancelled


def soak(
    goals: int,
    rows: Rows,
    output: Path,
    model: str = "",
    device: str = "cpu",
    seed: int = 0,
    size: Tuple[int, int] = (640, 480),
    notice: Callable[[int], object] = lambda number: None,
) -> None:
    """Plays them and adds the rows; `notice` hears the number of goals played. After Ctrl-C the rows are of those.

    size: width and height of the camera's images; depth has half of it, as many depth cameras do.

    Raises:
        ClueError: the robot cannot be started, or the results not written.
    """
    with Robot(output, model, device) as robot:
        scenes = {kind: [scaled(one, size) for one in drawn] for kind, drawn in draw_scenes(seed).items()}
        robot.camera.make_depth = lambda depth, header: metres(np.ascontiguousarray(depth[::2, ::2]), header)
        robot.camera.show(scenes["clear"][0].picture)
        robot.start()
        log = Log(robot, size)

        def tell(number: int) -> None:
            if number % SAVED == 0:
                rows.rows.clear()
                log.conclude(rows, goals)
            notice(number)

        try:
            play_all(robot, scenes, goals, seed, log, tell)
        finally:
            rows.rows.clear()  # of what `add` wrote on the way
            if log.played:
                log.conclude(rows, goals)


def draw_scenes(seed: int) -> Dict[str, List[Situation]]:
    """Kind of goal -> situations for it."""
    drawn: Dict[str, List[Situation]] = {kind: [] for kind in KINDS}
    for number in range(SCENES // len(KINDS)):
        for situation in situations(seed + number, tuple(SHOWN.values())):
            for kind, shown in SHOWN.items():
                if situation.kind == shown:
                    drawn[kind].append(situation)
    return drawn


def scaled(situation: Situation, size: Tuple[int, int]) -> Situation:
    """The situation as a camera of another resolution sees it."""
    picture = situation.picture
    height, width = picture.rgb.shape[:2]
    if (width, height) == tuple(size):
        return situation
    x, y = size[0] / width, size[1] / height
    fx, fy, cx, cy = picture.intrinsics
    rgb = cv2.resize(picture.rgb, tuple(size), interpolation=cv2.INTER_AREA)
    depth = cv2.resize(picture.depth, tuple(size), interpolation=cv2.INTER_NEAREST)
    box = situation.box
    return situation._replace(
        picture=Picture(rgb, depth, (fx * x, fy * y, cx * x, cy * y)),
        box=Box(box.x0 * x, box.y0 * y, box.x1 * x, box.y1 * y),
    )


def play_all(robot: Robot, scenes: Dict[str, List[Situation]], goals: int, seed: int, log: "Log", notice: Any) -> None:
    rng = random.Random(seed)
    for number in range(goals):
        kind = KINDS[number // DWELL % len(KINDS)]
        pool = scenes[kind]
        situation = pool[number // DWELL // len(KINDS) % len(pool)]
        if number % DWELL == 0:
            robot.camera.show(situation.picture)
        time.sleep(rng.uniform(*THINK_S))
        log.add(play(robot, kind, situation, number, rng))
        notice(number + 1)


def play(robot: Robot, kind: str, situation: Situation, number: int, rng: random.Random) -> Played:
    """One goal to its end; what does not come within RESULT_S is "no result"."""
    person = SimulatedPerson(situation.objects, situation.episode.target_index, person_rng(0, number))
    goal = robot.client.goal(situation.expression)
    waits: List[float] = []
    try:
        if kind == "cancelled":
            time.sleep(rng.uniform(0.0, 0.15))
            at = goal.cancel()
            goal.wait(RESULT_S)
            return Played(kind, goal.code, [goal.finished - at], None)
        spoke = goal.sent
        while goal.wait_for_question(len(waits) + 1, RESULT_S):
            waits.append(goal.asked[len(waits)] - spoke)
            time.sleep(rng.uniform(*THINK_S))
            spoke = time.monotonic()
            if kind == "clicked":
                robot.client.click(*situation.box.center)
            else:
                robot.client.say(person.answer(goal.question))
        waits.append(goal.finished - spoke)
    except DidNotHappen:
        return Played(kind, goal.code, waits, None)
    return Played(kind, goal.code, waits, right(goal, situation))


def right(goal: Goal, situation: Situation) -> Optional[bool]:
    if goal.code != "NONE":
        return None
    return box_iou(msg_to_box(goal.result.target.box), situation.box) >= 0.5


class Log:
    """What was seen, and what it amounts to."""

    def __init__(self, robot: Robot, size: Tuple[int, int]) -> None:
        self._robot, self._size = robot, size
        self._begun, self._frames = time.monotonic(), robot.camera.published
        self.played: List[Played] = []
        self.memory: List[float] = []  # 10^6 bytes, after each goal

    def add(self, played: Played) -> None:
        if not self._robot.alive:
            raise ClueError(
                f"the node ended after {len(self.played)} goals:\n{self._robot.children.tail(self._robot.name)}"
            )
        self.played.append(played)
        self.memory.append(self._robot.rss_mb())

    def conclude(self, rows: Rows, wanted: int) -> None:
        seconds = time.monotonic() - self._begun
        rate = (self._robot.camera.published - self._frames) / seconds
        counts: Dict[str, Dict[str, int]] = {}
        for played in self.played:
            of_kind = counts.setdefault(played.kind, {})
            of_kind[played.code] = of_kind.get(played.code, 0) + 1
        lost = sum(played.code in NOT_RESULTS for played in self.played)
        rows.figures.update(
            goals=len(self.played),
            seconds=round(seconds, 1),
            camera_hz=round(rate, 1),
            outcomes=counts,
            right=tally_right(self.played),
            memory_mb=[round(value, 1) for value in self.memory],
            waits_ms=[[round(1e3 * wait, 1) for wait in played.waits] for played in self.played],
        )
        for kind in KINDS:
            ends = ", ".join(
                f"{count} {code}" for code, count in sorted(counts.get(kind, {}).items(), key=lambda e: -e[1])
            )
            if ends:
                rows.add(
                    "soak",
                    Check(
                        f"{sum(counts[kind].values())} goals, {kind}",
                        "each ends with a result of its own",
                        ends,
                        not any(code in NOT_RESULTS for code in counts[kind]),
                    ),
                    seconds,
                )
        rows.add(
            "soak",
            Check(
                f"{len(self.played)} goals in {seconds:.0f} s, camera {self._size[0]}x{self._size[1]} at {rate:.0f} Hz",
                f"{wanted} results, none lost",
                f"{len(self.played) - lost} results, {lost} without",
                lost == 0 and len(self.played) == wanted,
            ),
            seconds,
        )
        rows.add("soak", self._memory(), seconds)
        rows.add(
            "soak",
            latency("question or result after the last word", self._waits(lambda p: p.kind != "cancelled")),
            seconds,
        )
        for kind in KINDS[:3]:
            rows.add("soak", latency(f"the same, {kind}", self._waits(lambda p, kind=kind: p.kind == kind)), seconds)
        cancels = self._waits(lambda p: p.kind == "cancelled")
        if cancels:
            rows.add(
                "soak",
                Check("result after the cancel", f"each ≤ {RESULT_S:g} s", figures(cancels), max(cancels) <= RESULT_S),
                seconds,
            )

    def _memory(self) -> Check:
        warm = int(len(self.memory) * WARM_UP)
        tenth = max(1, warm)
        first, last = np.median(self.memory[warm : warm + tenth] or self.memory), np.median(self.memory[-tenth:])
        growth = last / first - 1
        return Check(
            f"resident memory of the node, from goals {warm + 1} to {warm + tenth} to the last {tenth} (medians)",
            f"growth < {GROWTH:.0%}",
            f"{first:.0f} MB to {last:.0f} MB: {growth:+.1%} (highest {max(self.memory):.0f} MB)",
            growth < GROWTH,
        )

    def _waits(self, wanted: Callable[[Played], bool]) -> List[float]:
        warm = int(len(self.played) * WARM_UP)
        return [wait for played in self.played[warm:] if wanted(played) for wait in played.waits]


def latency(what: str, waits: Sequence[float]) -> Check:
    if not waits:
        return Check(what, f"p99 < {SLOWEST:g} × p50", "none", None)
    p50, p99 = np.percentile(waits, (50, 99))
    return Check(
        what, f"p99 < {SLOWEST:g} × p50", f"{figures(waits)}, ratio {p99 / p50:.2f}", bool(p99 < SLOWEST * p50)
    )


def figures(seconds: Sequence[float]) -> str:
    p50, p95, p99 = 1e3 * np.percentile(seconds, (50, 95, 99))
    return f"p50 {p50:.0f} ms, p95 {p95:.0f}, p99 {p99:.0f}, n {len(seconds)}"


def tally_right(played: Sequence[Played]) -> str:
    judged = [each.right for each in played if each.right is not None]
    return f"{sum(judged)} of {len(judged)} boxes are the object in mind"
