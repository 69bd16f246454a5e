"""Is the node as quick as that of another version? Two checkouts' nodes side by side, asked in turns, pair by pair.

    git worktree add --detach /tmp/before 1d23138           (any commit whose messages have the fields that goals use)
    python -m clue_ros.ros.lab.latency_ab /tmp/before --pairs 100

Both load the same model; every pair sends the same clear instruction with the same image to the one and then to the
other, in an order drawn for each pair. So a machine with other work slows both alike, and the ratio within the pairs
counts. Beside the time that passed (`response_time`, and the client's) stands the processor time of the node's process.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from clue_ros.types import ClueError

SIDES = ("other", "this")
MEASURES = ("response", "client", "processor")
DRAWS = 2000  # of the bootstrap
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
START_S, GOAL_S = 300.0, 120.0


class Side:
    """One version's node in a namespace of its own, and its client."""

    def __init__(self, name: str, checkout: Optional[Path], node: Any, logs: Path, model: str) -> None:
        from clue_ros.ros.client import ClueClient
        from clue_ros.ros.demonstration.processes import Processes

        self.processes = Processes(f"/{name}", logs)
        variables = None
        if checkout is not None:
            variables = {"PYTHONPATH": os.pathsep.join([str(checkout), os.environ.get("PYTHONPATH", "")])}
        self.processes.start(name, "clue_ros.ros.node", {"model": model, "look_ahead": False}, variables=variables)
        self.name = name
        self._clue = ClueClient(f"/{name}", node=node)
        self._ready = node.executor.create_task(self._clue.wait_until_ready_async, START_S)

    @property
    def ready(self) -> bool:
        """The model is loaded, and the node active."""
        return self._ready.done() and self._ready.result().ok

    def processor_s(self) -> float:
        """Seconds of processor time that the node's process has used."""
        text = Path(f"/proc/{self.processes.pid(self.name)}/stat").read_text()
        fields = text[text.rindex(")") + 2 :].split()
        return (int(fields[11]) + int(fields[12])) * TICK_S

    def ground(self, goal: Any, wait: Any) -> Dict[str, float]:
        """Seconds of one goal. Raises ClueError if it ends without a decision."""
        before, begun = self.processor_s(), time.perf_counter()
        outcome = wait(self._clue.send(goal), f"{self.name}: result")
        passed = time.perf_counter() - begun
        if outcome.result is None or not outcome.result.response_time > 0:
            raise ClueError(f"{self.name}: {outcome.error_msg or 'no decision'}; see {self.processes.log(self.name)}")
        return {"response": outcome.result.response_time, "client": passed, "processor": self.processor_s() - before}

    def close(self) -> None:
        self._clue.close()
        self.processes.stop()


def measure(checkout: Path, pairs: int, seed: int, model: str, logs: Path) -> List[Dict[str, Dict[str, float]]]:
    """[{"other": times, "this": times} of each pair]. Raises ClueError."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node

    rclpy.init()
    node, executor = Node("latency_ab"), SingleThreadedExecutor()
    executor.add_node(node)
    sides: List[Side] = []

    def until(condition: Any, what: str, limit_s: float) -> None:
        end = time.monotonic() + limit_s
        while not condition():
            for side in sides:
                side.processes.check()
            if time.monotonic() > end:
                raise ClueError(f"{what} did not come within {limit_s:g} s; logs in {logs}")
            executor.spin_once(timeout_sec=0.02)

    def wait(goal: Any, what: str) -> Any:
        until(lambda: goal.done, what, GOAL_S)
        return goal.outcome

    try:
        goals = _goals(seed)
        for name in SIDES:
            sides.append(Side(name, checkout if name == "other" else None, node, logs, model))
            until(lambda: sides[-1].ready, f"the node of {name}", START_S)  # one after the other: loading is heavy
        for side in sides:
            for goal in goals:
                side.ground(goal, wait)  # the first goals are slower
        rng, rows = np.random.default_rng(seed), []
        for number in range(pairs):
            goal = goals[number % len(goals)]
            rows.append({sides[n].name: sides[n].ground(goal, wait) for n in rng.permutation(2)})
        return rows
    finally:
        for side in sides:
            side.close()
        node.destroy_node()
        executor.shutdown()
        rclpy.try_shutdown()


def _goals(seed: int) -> List[Any]:
    """Clear instructions about four scenes, each with its image."""
    from std_msgs.msg import Header

    from clue_ros.action import Ground
    from clue_ros.ros.demonstration.scripted_scene import Stage
    from clue_ros.ros.wire.conversions import rgb_to_image

    stage = Stage(seed)
    try:
        drawn = [stage.render(6 * n) for n in range(4)]
    finally:
        stage.close()
    return [Ground.Goal(expression=episode.expression, image=rgb_to_image(view.rgb, Header(frame_id="camera")),
                        ambiguity_policy=Ground.Goal.BEST_GUESS) for episode, view in drawn]  # fmt: skip


def summary(rows: Sequence[Dict[str, Dict[str, float]]], seed: int = 0) -> List[Dict[str, Any]]:
    """One line a measure: median (processor: mean, its clock ticks in 10 ms) of both in ms, and this / other within the
    pairs with its 95 % bootstrap interval."""
    rng, lines = np.random.default_rng(seed), []
    for measure_name in MEASURES:
        other, this = (np.array([row[side][measure_name] for row in rows]) for side in SIDES)
        drawn = rng.integers(0, len(rows), (DRAWS, len(rows)))
        if measure_name == "processor":
            middle, ratio = np.mean, this.sum() / other.sum()
            ratios = this[drawn].sum(1) / other[drawn].sum(1)
        else:
            middle, ratio = np.median, np.median(this / other)
            ratios = np.median((this / other)[drawn], axis=1)
        low, high = np.percentile(ratios, (2.5, 97.5))
        lines.append(
            {
                "measure": measure_name,
                "other_ms": float(middle(other)) * 1e3,
                "this_ms": float(middle(this)) * 1e3,
                "ratio": float(ratio),
                "interval": [float(low), float(high)],
            }
        )
    return lines


def main(argv: Optional[List[str]] = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m clue_ros.ros.lab.latency_ab", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("checkout", type=Path, help="the other version's source tree, such as a git worktree")
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="", help="model directory of both (default: this version's embedded one)")
    parser.add_argument("--json", type=Path, default=Path("out/latency_ab.json"), metavar="FILE.json")
    options = parser.parse_args(argv)
    if not (options.checkout / "clue_ros" / "ros" / "node.py").is_file():
        parser.error(f"{options.checkout} holds no clue_ros/ros/node.py")
    if options.pairs < 2:
        parser.error("--pairs must be 2 or more")
    from clue_ros.ros.demonstration import processes as demo_processes

    model = Path(options.model) if options.model else Path(__file__).resolve().parents[2] / "models" / "tabletop"
    domain, lock = demo_processes.free_domain()
    os.environ.update(demo_processes.environment(domain))
    logs = Path(tempfile.mkdtemp(prefix="latency_ab_"))
    load = os.getloadavg()[0]
    try:
        rows = measure(options.checkout.resolve(), options.pairs, options.seed, str(model.resolve()), logs)
    except ClueError as error:
        print(f"latency_ab: {error}", file=sys.stderr)
        return 1
    lines = summary(rows)
    print(f"{len(rows)} pairs, load average {load:.1f} before the run; ms: median (processor: mean)")
    for line in lines:
        low, high = line["interval"]
        print(
            f"{line['measure']:10} other {line['other_ms']:8.1f}  this {line['this_ms']:8.1f}  this / other "
            f"{line['ratio']:.3f} ({low:.3f}–{high:.3f})"
        )
    options.json.parent.mkdir(parents=True, exist_ok=True)
    about = {"what": "latency_ab", "checkout": str(options.checkout), "load": load, "summary": lines, "rows": rows}
    options.json.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
