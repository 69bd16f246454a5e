"""The demo: a robot's camera, the clue node and a person talk to each other over real ROS 2.

    python -m clue_ros.ros.demo --seed 0 --output out/demo          (or: make demo SEED=0)
    python -m clue_ros.ros.demo --person me                         you give the instructions and the answers

Plays one episode of each kind, prints the transcript, writes a picture an episode and summary.json. With --parts the
same node then shows what else it does (demo_parts.py).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from rich.console import Console
from rich.markup import escape

from clue_ros.ros.demo_parts import NAMESPACE, PARTS, play, taught_here
from clue_ros.ros.running.stop_signals import Interrupted, StopSignals
from clue_ros.terminal import any_encoding
from clue_ros.types import ClueError

START_S = 180.0  # for the processes to start and the model to load, on a slow machine
EPISODE_S = 120.0  # for one scripted episode


def arguments(argv: Optional[List[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0, help="other scenes and instructions (0 or more)")
    parser.add_argument("--person", choices=("scripted", "me"), default="scripted", help="who talks to the robot")
    parser.add_argument("--output", type=Path, default=Path("out/demo"), help="folder for pictures and summary.json")
    parser.add_argument("--episodes", type=int, default=6, help="how many; the kinds take turns")
    parser.add_argument(
        "--parts",
        nargs="*",
        choices=tuple(PARTS),
        metavar="PART",
        help="then a picture of each further part, or of these, in OUTPUT/parts: " + ", ".join(PARTS),
    )
    parser.add_argument("--animate", action="store_true", help="also an animation an episode (WebP)")
    parser.add_argument("--model", default="", help="model directory; default: the embedded model")
    parser.add_argument("--device", default="cpu", help="torch device")
    parser.add_argument("--domain", type=int, help="ROS_DOMAIN_ID; default: one that no other demo uses")
    parser.add_argument("--node-module", default="clue_ros.ros.node", help=argparse.SUPPRESS)  # tests: a scripted node
    chosen = parser.parse_args(argv)
    if chosen.seed < 0 or chosen.episodes < 1:
        parser.error("--seed must be 0 or more and --episodes 1 or more")
    if chosen.domain is not None and not 0 <= chosen.domain <= 101:
        parser.error("--domain must be 0 to 101")
    return chosen


def main(argv: Optional[List[str]] = None) -> int:
    any_encoding()
    options = arguments(argv)
    stop = StopSignals()
    try:
        return _main(options, Console(highlight=False), stop)
    finally:
        stop.ignore()


def _main(options: argparse.Namespace, console: Console, stop: StopSignals) -> int:
    console.print(f"[bold]clue_ros demo[/] · seed {options.seed} · starting three ROS 2 nodes …")
    from clue_ros.ros.demonstration import processes as processes

    try:
        domain, lock = (options.domain, None) if options.domain is not None else processes.free_domain()
        os.environ.update(processes.environment(domain))
        options.output.mkdir(parents=True, exist_ok=True)
        for old in [
            *options.output.glob("episode_*.png"),
            *options.output.glob("episode_*.webp"),
            *options.output.glob("scene_*.png"),
            options.output / "summary.json",
        ]:
            old.unlink(missing_ok=True)  # what lies there afterwards is this run's
        with processes.Processes(NAMESPACE, options.output.resolve() / "logs") as children:
            with stop.making():
                _start(children, options)
            console.print(f"[dim]ROS_DOMAIN_ID={domain}, namespace {NAMESPACE}, logs in {options.output}/logs[/]")
            code = Demo(options, console, children, stop).run()
            return max(code, _parts(options, console, children, stop)) if _wanted(options) else code
    except Interrupted:
        console.print("\n[yellow]stopped[/]")
        return 130
    except (ClueError, OSError) as error:
        console.print(f"[bold red]the demo failed:[/] {escape(str(error))}", soft_wrap=True)
        return 1


def _start(children: Any, options: argparse.Namespace) -> None:
    model = str(Path(options.model).resolve()) if options.model else ""
    mine = options.person == "me"
    wanted = _wanted(options)
    node: Dict[str, object] = {"model": model, "device": options.device}
    node.update(taught_here(wanted, options.output / "parts", model))
    if mine:
        node["answer_timeout_s"] = 600.0
    children.start("clue_node", options.node_module, node)
    children.start("tabletop_camera", "clue_ros.ros.tabletop_camera", {"seed": options.seed})
    children.start("person", "clue_ros.ros.person", {"seed": options.seed, "mode": options.person}, at_terminal=mine)
    if "focus" in wanted:  # it loads beside the node and waits
        from clue_ros.ros.demonstration.robot import Robot

        Robot.start_focus(children, model)


def _parts(options: argparse.Namespace, console: Console, children: Any, stop: StopSignals) -> int:
    """The node that has played the episodes goes on, without camera and person."""
    for name in ("person", "tabletop_camera"):
        children.end(name)
    model = str(Path(options.model).resolve()) if options.model else ""
    chosen = argparse.Namespace(seed=options.seed, model=model, output=options.output / "parts")
    console.print()
    return play(chosen, console, children, _wanted(options), stop)


def _wanted(options: argparse.Namespace) -> Dict[str, Callable]:
    """The parts; --parts alone means all."""
    return {} if options.parts is None else {name: PARTS[name] for name in options.parts or PARTS}


class Demo:
    """Plays the episodes. Spins its own node between looks at the children and at Ctrl-C."""

    def __init__(self, options: argparse.Namespace, console: Console, children: Any, stop: StopSignals) -> None:
        self._options = options
        self._console = console
        self._children = children
        self._stop = stop
        self._scripted = options.person == "scripted"
        self._rows: List[Dict[str, Any]] = []

    def run(self) -> int:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        from clue_ros.ros.demonstration.scripted_scene import Stage
        from clue_ros.ros.demonstration.watch import Watcher
        from clue_ros.ros.running import spinning

        spinning.init(stop=self._stop)
        self._stage = Stage(self._options.seed)
        self._executor = SingleThreadedExecutor()
        self._watcher = Watcher(NAMESPACE)
        self._executor.add_node(self._watcher)
        try:
            self._wait_for_the_node()
            for index in range(self._options.episodes):
                if not self._play(index):
                    break
        finally:
            # Also after Ctrl-C: a participant that is not destroyed leaves its shared memory behind.
            self._watcher.destroy_node()
            self._stage.close()
            self._executor.shutdown()
            rclpy.try_shutdown()
        return self._report()

    def _wait(self, condition: Callable[[], Any], limit_s: Optional[float] = None) -> bool:
        """Spins until the condition holds; False after `limit_s` or when the person at the terminal has left."""
        end = None if limit_s is None else time.monotonic() + limit_s
        while not condition():
            if self._stop:
                raise Interrupted
            self._children.check(may_end=() if self._scripted else ("person",), beside=("focus",))
            if end is not None and time.monotonic() > end:
                return False
            if not self._scripted and self._children.ended("person"):
                return False
            self._executor.spin_once(timeout_sec=0.05)
        return True

    def _wait_for_the_node(self) -> None:
        """Until the node is active, or has tried to be."""
        from clue_ros.ros.running.lifecycle import CONFIGURING

        asked: List[Any] = []
        label = ""

        def answered() -> bool:
            nonlocal label
            if not asked or asked[0] is None:
                asked[:] = [self._watcher.ask_state()]
            if asked[0] is not None and asked[0].done():
                label = asked.pop().result().current_state.label
            return label not in ("", CONFIGURING)

        begun = time.monotonic()
        with self._console.status("loading the model …"):
            ready = self._wait(answered, START_S)
        if not ready:
            raise ClueError(f"the clue node did not answer within {START_S:g} s: see {self._children.log('clue_node')}")
        if label != "active":
            raise ClueError(f"the clue node is {label}, not active:\n{self._children.tail('clue_node')}")
        if not self._wait(lambda: self._watcher.everybody_is_here, 30.0):
            raise ClueError("the nodes did not find each other within 30 s: is UDP on the loopback interface blocked?")
        self._console.print(f"[dim]model loaded, nodes connected after {time.monotonic() - begun:.1f} s[/]")

    def _play(self, index: int) -> bool:
        """One episode; False if the person at the terminal has left."""
        episode, view = self._stage.render(index)
        label = episode.kind.value.replace("_", " ") if self._scripted else "your turn"
        self._console.print(f"\n[bold]Episode {index + 1}/{self._options.episodes}[/] · {label}")
        if not self._scripted:
            self._show_scene(index, view)
        self._watcher.announce(index)
        dialogue = self._watcher.dialogue
        printed = 0

        def over() -> bool:
            nonlocal printed
            while printed < len(dialogue.lines) and dialogue.settled(dialogue.lines[printed]):
                self._print(dialogue.lines[printed])
                printed += 1
            return dialogue.outcome is not None and printed == len(dialogue.lines)

        finished = self._wait(over, EPISODE_S if self._scripted else None)
        if not finished and not self._scripted:
            return False
        self._keep(index, dialogue.result(view, episode, self._scripted), view, label)
        return True

    def _print(self, line: Any) -> None:
        from clue_ros.dialogue.steps import PERSON

        if line.speaker == PERSON:
            if self._scripted:  # who sits at the terminal sees what she typed
                self._console.print(f"  [cyan]person[/] {escape(line.text)}")
            return
        reading = ""
        if line.ambiguity is not None:
            colour = "yellow" if line.ambiguity.is_ambiguous else "green"
            reading = f"  [{colour}]P(ambiguous) {line.ambiguity.probability:.2f}[/]"
        self._console.print(f"  [magenta]robot [/] {escape(line.text)}{reading}")

    def _show_scene(self, index: int, view: Any) -> None:
        path = self._options.output / f"scene_{index + 1}.png"
        _write_png(path, view.rgb)
        things = ", ".join(f"{item.color} {item.category}" for item in view.objects)
        self._console.print(f"  [dim]on the table: {things} · picture: {path}[/]", soft_wrap=True)

    def _keep(self, index: int, result: Any, view: Any, label: str) -> None:
        """The picture, the summary and the line below the transcript."""
        from clue_ros.evaluation.episode_runner import picture_of

        path = self._options.output / f"episode_{index + 1}_{result.kind}.png"
        _write_png(path, picture_of(view.rgb, result, f"seed {self._options.seed} · {label}"))
        if self._options.animate:
            _write_animation(path.with_suffix(".webp"), view.rgb, result)
        self._rows.append(result.to_dict())
        summary = {"seed": self._options.seed, "person": self._options.person, "episodes": self._rows}
        text = json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False)
        (self._options.output / "summary.json").write_text(text + "\n", encoding="utf-8")
        parts = [result.outcome.replace("_", " "), f"{result.latency_s:.2f} s"]
        if result.iou is not None:
            parts.insert(1, f"IoU {result.iou:.2f} with the truth")
        if self._scripted:
            verdict = (
                "[green]as it should be[/]"
                if result.success
                else f"[red]not as it should be: {escape(result.reason)}[/]"
            )
            parts.append(verdict)
        self._console.print(f"  [dim]→[/] {' · '.join(parts)}\n  [dim]{path}[/]", soft_wrap=True)

    def _report(self) -> int:
        missing = sum(row["outcome"] == "no_result" for row in self._rows)
        right = sum(bool(row["success"]) for row in self._rows)
        if self._scripted:
            self._console.print(f"\n[bold]{right} of {len(self._rows)} episodes as they should be[/]", end="")
        self._console.print(f"\npictures and summary.json in {self._options.output}")
        if missing:
            self._console.print(f"[bold red]{missing} episodes reached no outcome[/]: see {self._options.output}/logs")
        return 1 if missing else 0


def _write_animation(path: Path, rgb: Any, result: Any) -> None:
    from clue_ros.visualization.episode_animation import episode_frames, save_animation

    save_animation(episode_frames(rgb, result.decisions, result.transcript, clicks=result.clicks), path)


def _write_png(path: Path, rgb: Any) -> None:
    import cv2

    if not cv2.imwrite(str(path), rgb[..., ::-1]):
        raise OSError(f"cannot write {path}: check the folder and the space on the disk")


if __name__ == "__main__":
    sys.exit(main())
