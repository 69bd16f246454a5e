"""`clue fleet`: simulated robots on one server, beside the same dialogues one by one in this process.

Every robot plays dialogues over rendered scenes with a simulated person, as often as it gets answers. Three parts:
speed (throughput, latency, fairness, equal decisions), overhead of one decision, and dialogues through a server that is
killed and a line that is cut. The last has a scripted model, so that a thousand dialogues take a minute.
"""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from clue_ros.belief.grounder import BeliefGrounder
from clue_ros.fleet.cut_line import CutLine
from clue_ros.fleet.local import LocalServer
from clue_ros.fleet.remote import RemoteGrounder
from clue_ros.testing.fake_grounder import Say, ScriptedGrounder
from clue_ros.types import Answer, Box, ClueError, Turn

START_S = 600.0
WORDS, QUESTION, FOUND = "the mug", "left or right ?", Box(5, 5, 30, 40)
Say_ = Callable[[str], None]


@dataclass
class Robot:
    """What one robot saw. seconds: of each request; decided: what came of each dialogue."""

    seconds: List[float] = field(default_factory=list)
    decided: List[Any] = field(default_factory=list)
    ended: float = 0.0


class Server:
    """`clue serve` in a process of its own; use as a context manager."""

    def __init__(self, arguments: Sequence[str], log: Path, module: str = "clue_ros.cli.main") -> None:
        self.arguments, self._module, self._log = list(arguments), module, log
        self.process: Optional[subprocess.Popen] = None
        self.url = ""

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop(signal.SIGTERM)

    def start(self) -> None:
        """Raises ClueError with the end of its log."""
        command = [sys.executable, "-m", self._module, *self.arguments]
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        end = time.monotonic() + START_S
        while time.monotonic() < end and self.process.poll() is None:
            said = re.search(r"serving on (\S+)", self._log.read_text(errors="replace"))
            if said:
                self.url = said[1]
                return
            time.sleep(0.05)
        raise ClueError(f"the server did not start: {self._log.read_text(errors='replace')[-500:]}")

    def stop(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(60.0)


def rendered(seed: int, count: int) -> List[Tuple[Any, Any]]:
    """(episode, view) of so many episodes. Raises SimulationError."""
    from clue_ros.evaluation.episode_runner import derive_episode
    from clue_ros.simulation.renderer import TabletopRenderer

    episodes = [derive_episode(seed, index) for index in range(count)]
    with TabletopRenderer() as renderer:
        return [(episode, renderer.render(episode.scene, depth=False)) for episode in episodes]


def play(grounder: Any, scenes: Sequence[Tuple[Any, Any]], seed: int, robot: Robot) -> None:
    """Each scene's dialogue to its end; the person is the same for whoever asks."""
    from clue_ros.evaluation.episode_runner import person_rng, run_episode

    class Timed:
        """Notes what every request took."""

        encode = grounder.encode

        @staticmethod
        def ground(*args: Any, **options: Any) -> Any:
            begun = time.perf_counter()
            decision = grounder.ground(*args, **options)
            robot.seconds.append(time.perf_counter() - begun)
            robot.decided.append((decision.outcome.value, decision.box, decision.question, decision.confidence))
            return decision

    for number, (episode, view) in enumerate(scenes):
        asking: Any = Timed()
        run_episode(asking, view, episode, rng=person_rng(seed, number))
    robot.ended = time.perf_counter()


def alike(some: Sequence[Any], others: Sequence[Any]) -> bool:
    """Whether robots decided the same: outcome and question exactly, a box to half a pixel, its confidence to 0.01.
    Replicas with another number of threads add up in another order."""

    def same(a: Any, b: Any) -> bool:
        if (a[0], a[2], a[1] is None) != (b[0], b[2], b[1] is None) or abs(a[3] - b[3]) > 0.01:
            return False
        return a[1] is None or max(abs(p - q) for p, q in zip(a[1], b[1])) <= 0.5

    return len(some) == len(others) and all(map(same, some, others))


def all_at_once(work: Sequence[Callable[[], None]]) -> float:
    """Seconds until the last thread is done. What one raises is raised here."""
    errors: List[BaseException] = []

    def safely(one: Callable[[], None]) -> None:
        try:
            one()
        except BaseException as error:  # raised below
            errors.append(error)

    threads = [threading.Thread(target=safely, args=(one,)) for one in work]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return time.perf_counter() - begun


def speed(grounder: Any, url: str, robots: int, dialogues: int, seed: int, token: str, say: Say_) -> Dict[str, Any]:
    """The same dialogues here one by one, and there by all robots at once."""
    scenes = rendered(seed, dialogues)
    alone = [Robot() for _ in range(robots)]
    say(f"{robots} x {dialogues} dialogues one by one")
    begun = time.perf_counter()
    for robot in alone:
        play(BeliefGrounder(grounder), scenes, seed, robot)  # as a node asks, and the server
    one_by_one = time.perf_counter() - begun
    lines = [RemoteGrounder.open(url, token, f"robot-{number}") for number in range(robots)]
    together = [Robot() for _ in range(robots)]
    say(f"{robots} robots at once")
    start = time.perf_counter()
    at_once = all_at_once([lambda g=g, r=r: play(g, scenes, seed, r) for g, r in zip(lines, together)])
    seconds = [s for robot in together for s in robot.seconds]
    ends = [robot.ended - start for robot in together]
    p50, p99 = np.percentile(seconds, (50, 99))
    say("overhead of one decision")
    for line in lines:
        line.close()
    here, more = overhead(grounder, scenes)
    return {
        "robots": robots, "dialogues": robots * dialogues, "requests": len(seconds),
        "equal_decisions": all(alike(a.decided, b.decided) for a, b in zip(alone, together)),
        "one_by_one_s": round(one_by_one, 2), "at_once_s": round(at_once, 2),
        "throughput": round(one_by_one / at_once, 3), "p50_s": round(float(p50), 4), "p99_s": round(float(p99), 4),
        "p99_over_p50": round(float(p99 / p50), 2), "slowest_over_median": round(max(ends) / median(ends), 3),
        "here_ms": round(here * 1e3, 2), "overhead_ms": round(more * 1e3, 2),
        "seconds": [[round(s, 4) for s in robot.seconds] for robot in together],
    }  # fmt: skip


def overhead(grounder: Any, scenes: Sequence[Tuple[Any, Any]], rounds: int = 24) -> Tuple[float, float]:
    """Median seconds of a decision about a picture that was not seen before, by a call, and how much more over HTTP:
    the median of the rounds' differences, as the model's own time varies more.

    The server is one in this process: a second copy of the model would take the processor's caches from the first.
    """
    took: List[List[float]] = [[], []]
    with LocalServer(grounder, port=0) as server:
        line = RemoteGrounder.open(server.url, "")
        for number in range(rounds):
            episode, view = scenes[number % len(scenes)]
            for index in ((0, 1), (1, 0))[number % 2]:
                asked: Any = (grounder, line)[index]
                picture = view.rgb.copy()
                picture[0, 0] = (number, index, 7)
                begun = time.perf_counter()
                asked.ground(picture, episode.expression, may_ask=False)
                took[index].append(time.perf_counter() - begun)
        line.close()
    return median(took[0]), median(there - here for here, there in zip(*took))


def losses(log: Path, robots: int, dialogues: int, cut: float, kills: int, say: Say_) -> Dict[str, Any]:
    """Dialogues of two turns through a line that is cut and a server that is killed `kills` times."""
    done, wrong = [0] * robots, [0] * robots
    with Server(["0"], log, "clue_ros.fleet.load") as server, CutLine(server.url, cut) as line:
        port = server.url.rpartition(":")[2]

        def dialogue(number: int) -> None:
            robot = RemoteGrounder.open(f"{line.url}?patience=120", "", f"robot-{number}")
            for count in range(number, dialogues, robots):
                picture = np.full((120, 160, 3), count % 251, np.uint8)
                seen = robot.encode(picture)
                first = robot.ground(seen, WORDS)
                second = robot.ground(seen, WORDS, [Turn(first.question, Answer("the left one"))])
                wrong[number] += (first.question, second.box) != (QUESTION, FOUND)
                done[number] += 1
            robot.close()

        def killer() -> None:
            for count in range(kills):
                while sum(done) < dialogues * (count + 1) / (kills + 1) and sum(done) < dialogues:
                    time.sleep(0.01)
                server.stop(signal.SIGKILL if count % 2 == 0 else signal.SIGTERM)
                server.arguments = [port]
                server.start()

        say(f"{dialogues} dialogues, {cut:.0%} of connections cut, {kills} kills and restarts")
        seconds = all_at_once([killer, *(lambda n=n: dialogue(n) for n in range(robots))])
        return {
            "dialogues": dialogues, "ended": sum(done), "wrong": sum(wrong), "kills": kills,
            "cut": line.cut, "exchanges": line.exchanges, "seconds": round(seconds, 1),
        }  # fmt: skip


def write(results: Dict[str, Any], folder: Path) -> None:
    """fleet.json, fleet.csv (a line a request) and fleet.png."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fleet.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    rows = results["speed"]["seconds"]
    with (folder / "fleet.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("robot", "request", "seconds"))
        table.writerows((robot, n, s) for robot, row in enumerate(rows) for n, s in enumerate(row))
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 3.6), layout="constrained")
    axes.boxplot(rows, tick_labels=[str(n) for n in range(len(rows))], whis=(0, 100))
    axes.set(xlabel="robot", ylabel="seconds a decision", ylim=(0, None))
    figure.savefig(folder / "fleet.png", dpi=120)
    pyplot.close(figure)


def main(arguments: Sequence[str]) -> int:
    """A server with a scripted model, for `losses`: PORT."""
    script = {WORDS: [Say.ask(QUESTION, box=FOUND), Say.found(FOUND)]}
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with LocalServer(ScriptedGrounder(script), port=int(arguments[0])) as server:
        print(f"serving on {server.url} (process {os.getpid()})", flush=True)
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
