"""One picture of each further part at work, over real ROS 2: masks, focus, pointing and numbers, belief, chat,
teaching, machine dialogue.

    python -m clue_ros.ros.demo_parts --seed 0 --output out/demo/parts      (make demo does it with the episodes' node)

Starts the clue node and the focus node as processes and talks to them as a robot's programs would: parameters, the
action `ground`, the services `answer` and `chat`, the topics of the focus node. The machine-made dialogue is one that
`clue data dialogues` makes of the same kind of scene, beside the others. What a model cannot do is left out, and said.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import Any, Callable, Collection, Dict, List, Optional, Tuple

import numpy as np
from rich.console import Console
from rich.markup import escape

from clue_ros.ros.running.loading import has_eyes
from clue_ros.ros.running.stop_signals import Interrupted, StopSignals
from clue_ros.terminal import any_encoding
from clue_ros.types import ClueError
from clue_ros.visualization.part_pictures import card

NAMESPACE = "/clue"
Picture = np.ndarray


def arguments(argv: Optional[List[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo_parts", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="other scenes and words (0 or more)")
    parser.add_argument("--output", type=Path, default=Path("out/demo/parts"), help="folder of the pictures")
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), metavar="PART", help="of: " + ", ".join(PARTS))
    parser.add_argument("--model", default="", help="model directory; default: the embedded model")
    parser.add_argument("--domain", type=int, help="ROS_DOMAIN_ID; default: one that no other demo uses")
    chosen = parser.parse_args(argv)
    if chosen.seed < 0:
        parser.error("--seed must be 0 or more")
    return chosen


def main(argv: Optional[List[str]] = None) -> int:
    """0: every picture is there; 1: some part failed, 130 after Ctrl-C."""
    any_encoding()
    options = arguments(argv)
    stop = StopSignals()
    try:
        with stop.making():
            return _main(options, Console(highlight=False), stop)
    except Interrupted:
        print("\nstopped")
        return 130
    finally:
        stop.ignore()


def _main(options: argparse.Namespace, console: Console, stop: StopSignals) -> int:
    wanted = {name: PARTS[name] for name in (options.only or PARTS)}
    from clue_ros.ros.demonstration import processes as processes

    model = str(Path(options.model).resolve()) if options.model else ""
    options.model = model
    try:
        domain, lock = (options.domain, None) if options.domain is not None else processes.free_domain()
        os.environ.update(processes.environment(domain))
        with processes.Processes(NAMESPACE, options.output.resolve() / "logs") as children:
            given = taught_here(wanted, options.output, model)
            children.start("clue_node", "clue_ros.ros.node", {"model": model, **given})
            if "focus" in wanted:
                from clue_ros.ros.demonstration.robot import Robot

                Robot.start_focus(children, model)
            return play(options, console, children, wanted, stop)
    except (ClueError, OSError) as error:
        console.print(f"[bold red]the parts failed:[/] {escape(str(error))}", soft_wrap=True)
        return 1


def taught_here(wanted: Collection[str], output: Path, model: str) -> Dict[str, object]:
    """The clue node's parameter for what the part "teaching" teaches it: an empty folder under `output`."""
    if "teaching" not in wanted or not has_eyes(model):
        return {}
    folder = output.resolve() / "taught"
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier demo
    return {"taught": str(folder)}


def play(
    options: argparse.Namespace, console: Console, children: Any, wanted: Dict[str, Callable], stop: StopSignals
) -> int:
    """Makes the pictures with nodes that run or load: `clue`, and `focus` where it is wanted; options: seed, model,
    output. 1 if some part failed."""
    import rclpy

    from clue_ros.ros.demonstration.part_shows import making_dialogue
    from clue_ros.ros.demonstration.robot import Robot
    from clue_ros.ros.demonstration.scripted_scene import Stage
    from clue_ros.ros.running import spinning

    console.print(f"[bold]parts[/] · seed {options.seed} · {', '.join(wanted)}")
    options.output.mkdir(parents=True, exist_ok=True)
    spinning.init([], stop)
    robot, stage, failed = Robot(NAMESPACE, children), Stage(options.seed), 0
    options.making = making_dialogue(stage, options) if "dialogue" in wanted else None
    try:
        robot.wait_for_the_node()
        for name, show in wanted.items():
            try:
                title, panels, lines = show(robot, stage, options)
            except ClueError as error:
                failed += 1
                console.print(f"  [red]{name}[/]: {escape(str(error))}", soft_wrap=True)
                continue
            path = options.output / f"{name}.png"
            _write_png(path, card(title, panels, lines))
            console.print(f"  {name}: [dim]{path}[/]", soft_wrap=True)
    finally:
        if options.making is not None:
            options.making.kill()
        robot.close()
        stage.close()
        rclpy.try_shutdown()
    return 1 if failed else 0


def _write_png(path: Path, rgb: Picture) -> None:
    import cv2

    if not cv2.imwrite(str(path), rgb[..., ::-1]):
        raise OSError(f"cannot write {path}: check the folder and the space on the disk")


def _lazy(name: str) -> Callable[..., Tuple[str, list, list]]:
    def show(*args: Any) -> Tuple[str, list, list]:
        from clue_ros.ros.demonstration import part_shows as demo_part_shows

        return getattr(demo_part_shows, name)(*args)

    return show


PARTS: Dict[str, Callable] = {
    name: _lazy(name) for name in ("masks", "focus", "pointing", "belief", "chat", "teaching", "dialogue")
}

if __name__ == "__main__":
    sys.exit(main())
