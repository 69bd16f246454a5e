"""The robot that faults are done to: the real node in a process of its own, a camera that can be broken, a client.

Nothing here reaches into the node: what a row sees, it sees as the rest of a robot would, over DDS, or as the operating
system does (memory, log, death).
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

import clue_ros
from clue_ros.action import Ground
from clue_ros.geometry import box_iou
from clue_ros.ros.demonstration import processes as processes
from clue_ros.ros.lab.faults.camera import Camera, Picture
from clue_ros.ros.lab.faults.client import Client, DidNotHappen, Goal, wait_for
from clue_ros.ros.running.spinning import Spinner
from clue_ros.ros.wire.messages import msg_to_box
from clue_ros.types import Box, ClueError

NAMESPACE = "/faults"
NODE = "clue_ros.ros.node"
EMBEDDED = Path(clue_ros.__file__).resolve().parent / "models" / "tabletop"
START_S = 600.0  # for the process to start and the model to load, on a slow machine
RESULT_S = 30.0  # a result that takes longer counts as none
CALM_S = 0.5  # limits of time are for a machine on which a clear goal takes no longer
AFTERWARDS_S = 5.0  # for a clear goal after a fault
SAME_BOX = 0.5  # IoU: the usual bar for the same thing
SEEDS_TRIED = 6


class Situation(NamedTuple):
    """What the camera shows and what is said about it. `box`: what is meant, pixels; `kind`: the episode's."""

    picture: Picture
    expression: str
    box: Box
    kind: str
    episode: Any
    objects: Sequence[Any]


class Robot:
    """Use as a context manager. One node process at a time; `restart` makes another."""

    def __init__(
        self, output: Path, model: str = "", device: str = "cpu", effort: float = 1.0, patience: float = 1.0
    ) -> None:
        """output: folder for the node's logs; effort: how much of each flood, 1 for all of it; patience: of all
        limits.
        """
        self.patience = patience
        self.effort = effort
        self.output = output
        self.device = device
        self._values = {"model": str(Path(model).resolve()) if model else "", "device": device}
        self._number = 0
        self._parameters: Dict[str, object] = {}
        self.pace_s = 0.0  # what a clear goal takes right now

    def __enter__(self) -> "Robot":
        domain, self._lock = processes.free_domain()
        self._before = dict(os.environ)
        os.environ.update(processes.environment(domain))
        self.domain = domain
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        self.children = processes.Processes(NAMESPACE, self.output.resolve() / "logs")
        self.client = Client(NAMESPACE)
        self._camera_node = Node("camera", namespace=NAMESPACE)
        self.camera = Camera(self._camera_node)
        self._spinner = Spinner(self.client)
        return self

    def __exit__(self, *_: Any) -> None:
        self.camera.close()
        self.children.stop()
        self._spinner.close()
        self.client.close()
        self._camera_node.destroy_node()
        rclpy.try_shutdown()
        self._lock.close()
        os.environ.clear()
        os.environ.update(self._before)

    # The node.

    @property
    def name(self) -> str:
        """Of the running process, in logs."""
        return f"node_{self._number}"

    @property
    def pid(self) -> int:
        return self.children.pid(self.name)

    @property
    def alive(self) -> bool:
        return self._number > 0 and not self.children.ended(self.name)

    @property
    def ordinary(self) -> bool:
        """It runs as it was started first, without a row's own parameters."""
        return self.alive and not self._parameters

    def start(
        self,
        module: str = NODE,
        under: Sequence[str] = (),
        variables: Optional[Dict[str, str]] = None,
        wait: bool = True,
        **parameters: Any,
    ) -> None:
        """A new node process; waits until it is active. Raises DidNotHappen, ProcessDied."""
        self._number += 1
        # What a row gives of its own makes it another node, which the next row does not want.
        self._parameters = {**parameters, **({"module": module} if module != NODE else {}), **(variables or {})}
        self.children.start(self.name, module, {**self._values, **parameters}, under=under, variables=variables)
        if wait:
            self.wait_until_active()

    def wait_until_active(self) -> None:
        def ready() -> bool:
            self.children.check()
            return self.client.connected and self._label() == "active"

        wait_for(ready, START_S, "the node's start")

    @property
    def model_folder(self) -> Path:
        return Path(str(self._values["model"] or EMBEDDED))

    def stop(self, number: int = signal.SIGINT) -> None:
        if self._number and self.name in self.children:
            self.children.end(self.name, number)

    def restart(self, **options: Any) -> None:
        """Stops the node and starts one; options as `start`."""
        self.stop()
        self.start(**options)

    def rss_mb(self) -> float:
        """Resident memory of the node's process in 10^6 bytes."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def log_lines(self) -> List[str]:
        return self.children.log(self.name).read_text(encoding="utf-8", errors="replace").splitlines()

    def said(self) -> int:
        """How many lines of the log are the node's own; DDS, below it, writes there as well."""
        return sum("[faults.clue]" in line for line in self.log_lines())

    # What is on the table.

    def rehearse(self) -> None:
        """Finds a clear and an ambiguous scene that this model handles, and shows the clear one.

        Raises ClueError if it handles none: a fault would prove nothing.
        """
        self.clear = self._find("clear", self._grounds)
        self.unclear = self._find("ambiguous_color", self._asks)
        self.show(self.clear)

    def show(self, situation: Situation) -> None:
        """Puts it before the camera and waits until its frames are the newest."""
        self.camera.show(situation.picture)
        seen = self.camera.published
        if self.camera.running:
            wait_for(lambda: self.camera.published > seen + 1, 10.0, "a camera frame")

    def clear_goal(self, **fields: Any) -> Goal:
        return self.client.goal(self.clear.expression, ambiguity_policy=Ground.Goal.BEST_GUESS, **fields)

    def found_it(self, goal: Goal, scale: float = 1.0) -> bool:
        """The clear goal found its object; scale: size of the image to the picture's."""
        if goal.code != "NONE":
            return False
        box = Box(*(value * scale for value in self.clear.box))
        return box_iou(msg_to_box(goal.result.target.box), box) >= SAME_BOX

    def measure_pace(self) -> None:
        """Before a fault: what a clear goal takes on this machine, beside whatever else runs on it."""
        self.show(self.clear)
        self.pace_s = sorted(self.clear_goal().wait(RESULT_S).seconds for _ in range(3))[1]

    def limit(self, seconds: float) -> float:
        """A limit of time for this machine: as given, or longer where a clear goal takes more than CALM_S."""
        return round(seconds * self.patience * max(1.0, self.pace_s / CALM_S), 1)

    def clear_situation_goal(self) -> Goal:
        """The clear scene is shown and its goal has ended. Raises DidNotHappen."""
        self.show(self.clear)
        return self.clear_goal().wait(RESULT_S)

    def ask(self, **fields: Any) -> Goal:
        """An ambiguous goal whose question is open. Raises DidNotHappen."""
        self.show(self.unclear)
        goal = self.client.goal(self.unclear.expression, **fields)
        if not goal.wait_for_question(1, RESULT_S):
            raise DidNotHappen(f"a question about {self.unclear.expression!r}: it ended with {goal.code}")
        return goal

    def _label(self) -> str:
        try:
            return self.client.state()
        except DidNotHappen:
            return ""

    def _find(self, kind: str, handles: Any) -> Situation:
        for seed in range(SEEDS_TRIED):
            for situation in situations(seed, (kind,)):
                self.show(situation)
                if handles(situation):
                    return situation
        raise ClueError(
            f"the model handles none of {SEEDS_TRIED} scenes of the kind {kind} (the last ended with {self._last.code}"
            f" {self._last.result.error_msg if self._last.result else ''}): is it a tabletop model? The node's log is"
            f" {self.children.log(self.name)}"
        )

    def _grounds(self, situation: Situation) -> bool:
        self.clear = situation
        self._last = self.client.goal(situation.expression, ambiguity_policy=Ground.Goal.FAIL).wait(RESULT_S)
        return self.found_it(self._last)

    def _asks(self, situation: Situation) -> bool:
        self._last = goal = self.client.goal(situation.expression)
        if not goal.wait_for_question(1, RESULT_S):
            return False
        x, y = situation.box.center
        self.client.click(x, y)
        goal.wait(RESULT_S)
        return goal.code == "NONE" and box_iou(msg_to_box(goal.result.target.box), situation.box) >= SAME_BOX


def situations(seed: int, kinds: Sequence[str]) -> List[Situation]:
    """The episodes of a seed of these kinds, rendered (simulation/episodes.py). Raises SimulationError."""
    from clue_ros.evaluation.episode_runner import derive_episode, truth_box_of
    from clue_ros.ros.demonstration.scripted_scene import Stage
    from clue_ros.simulation.episodes import EpisodeKind

    stage, found = Stage(seed), []
    try:
        for index in range(len(EpisodeKind)):
            if derive_episode(seed, index).kind.value not in kinds:
                continue
            episode, view = stage.render(index)
            picture = Picture(view.rgb, view.depth, tuple(view.intrinsics))
            found.append(
                Situation(
                    picture, episode.expression, truth_box_of(view, episode), episode.kind.value, episode, view.objects
                )
            )
    finally:
        stage.close()
    return found
