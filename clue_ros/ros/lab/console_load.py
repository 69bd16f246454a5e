"""What pages cost: processor time of the console, images each page gets, and what the grounding node notices of it.

Camera, node and console are processes of their own, over real DDS; the pages are WebSocket clients in this process that
acknowledge every image at once. Three conditions take turns, so that a busy machine treats them alike: no console, a
console that nobody looks at, and one with all pages. `clue console-load` is its command.
"""

from __future__ import annotations

import json
import os
import threading
import time
from argparse import Namespace
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Callable, Dict, List

from clue_ros.console.client import Page, open_page
from clue_ros.types import ClueError

NO_CONSOLE, NO_PAGES, PAGES = "no console", "console, no page", "console, all pages"
START_S = 240.0
GOAL_S = 60.0
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Phase:
    """One condition, all rounds together. Times in seconds; cpu: {process: processor seconds}; latencies: from the
    goal's sending to its result at the client; responses: the node's own, from the last word to the decision; frames:
    images that all pages got; oldest: the longest pause between two images of one page."""

    seconds: float = 0.0
    cpu: Dict[str, float] = field(default_factory=dict)
    latencies: List[float] = field(default_factory=list)
    responses: List[float] = field(default_factory=list)
    frames: int = 0
    bytes: int = 0
    longest_pause: float = 0.0

    def summary(self, pages: int) -> Dict[str, Any]:
        """JSON values."""
        return {
            "seconds": round(self.seconds, 1),
            "cores": {name: round(spent / self.seconds, 3) for name, spent in self.cpu.items()},
            "goals": len(self.latencies),
            "goal_p50_s": round(median(self.latencies), 4), "goal_max_s": round(max(self.latencies), 4),
            "response_p50_s": round(median(self.responses), 4), "response_max_s": round(max(self.responses), 4),
            "images_per_page_s": round(self.frames / self.seconds / pages, 2) if pages else 0.0,
            "megabytes_s": round(self.bytes / self.seconds / 1e6, 2), "longest_pause_s": round(self.longest_pause, 2),
        }  # fmt: skip


def measure(
    output: Path,
    pages: int = 10,
    rate: float = 10.0,
    rounds: int = 3,
    seconds: float = 10.0,
    model: str = "",
    device: str = "cpu",
    say: Callable[[str], None] = print,
) -> Dict[str, Any]:
    """JSON values of everything that was measured; also written to output/console_load.json.

    Raises ClueError where a process does not start, or a goal gets no result.
    """
    import rclpy

    from clue_ros.evaluation.episode_runner import derive_episode
    from clue_ros.ros.console_demo import CAMERA, CONSOLE, NAMESPACE, NODE
    from clue_ros.ros.demonstration import processes as processes
    from clue_ros.ros.lab.faults.client import Client
    from clue_ros.ros.running import spinning
    from clue_ros.ros.running.spinning import Spinner

    domain, lock = processes.free_domain()
    os.environ.update(processes.environment(domain))
    options = Namespace(seed=0, episode=0, model=model, device=device)
    words = derive_episode(options.seed, options.episode).expression
    phases = {NO_CONSOLE: Phase(), NO_PAGES: Phase(), PAGES: Phase()}
    spinning.init([])
    client = Client(NAMESPACE, "console_load")
    spinner = Spinner(client)
    try:
        with processes.Processes(NAMESPACE, Path(output).resolve() / "logs") as children:
            _start(children, options)
            say("the model loads …")
            _until(lambda: children.check() or client.connected, START_S, "the node", children, NODE)
            _goal(client, words)
            for number in range(rounds):
                for name in (NO_CONSOLE, NO_PAGES, PAGES):
                    children.check()
                    url = "" if name == NO_CONSOLE else _start_console(children, rate)
                    watched = [part for part in (NODE, CAMERA, CONSOLE) if part in children]
                    with _Pages(url, pages if name == PAGES else 0) as looking:
                        _phase(
                            phases[name],
                            client,
                            words,
                            seconds,
                            {part: children.pid(part) for part in watched},
                            looking,
                        )
                    if name != NO_CONSOLE:
                        children.end(CONSOLE)
                    say(f"round {number + 1} of {rounds}: {name} done")
    finally:
        spinner.close()
        client.close()
        rclpy.try_shutdown()
    result = {
        "pages": pages, "wanted_images_per_page_s": rate, "instruction": words, "cpu_count": os.cpu_count(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "conditions": {name: phase.summary(pages if name == PAGES else 0) for name, phase in phases.items()},
    }  # fmt: skip
    (Path(output) / "console_load.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def _start(children: Any, options: Namespace) -> None:
    from clue_ros.ros.console_demo import CAMERA, NODE, RATE_HZ

    children.start(
        CAMERA, "clue_ros.ros.tabletop_camera", {"seed": options.seed, "episode": options.episode, "rate_hz": RATE_HZ}
    )
    children.start(NODE, "clue_ros.ros.node", {"model": options.model, "device": options.device})


def _start_console(children: Any, rate: float) -> str:
    """Its address, as soon as it sees node and camera."""
    from clue_ros.ros.console_demo import CONSOLE, address_of

    children.start(CONSOLE, "clue_ros.ros.console", {"port": 0, "frames_per_s": rate})
    _until(lambda: children.check() or address_of(children), START_S, "the console", children, CONSOLE)
    url = address_of(children)
    with open_page(url) as page:
        try:
            page.until(lambda p: p.state and p.state["connection"]["node"] == "active" and p.frames, START_S)
        except TimeoutError as error:
            raise ClueError(f"the console did not see the node and the camera:\n{children.tail(CONSOLE)}") from error
    return url


def _phase(phase: Phase, client: Any, words: str, seconds: float, pids: Dict[str, int], pages: "_Pages") -> None:
    """So many seconds with goals one after the other, with a pause after each, as an operator would send them."""
    before, begun = {name: _cpu_s(pid) for name, pid in pids.items()}, time.monotonic()
    pages.begin()
    while time.monotonic() - begun < seconds:
        goal = _goal(client, words)
        phase.latencies.append(goal.finished - goal.sent)
        phase.responses.append(float(goal.result.response_time))
        time.sleep(0.5)
    phase.seconds += time.monotonic() - begun
    for name, pid in pids.items():
        phase.cpu[name] = phase.cpu.get(name, 0.0) + _cpu_s(pid) - before[name]
    frames, data, pause = pages.end()
    phase.frames, phase.bytes = phase.frames + frames, phase.bytes + data
    phase.longest_pause = max(phase.longest_pause, pause)


def _goal(client: Any, words: str) -> Any:
    goal = client.goal(words).wait(GOAL_S)
    if goal.result is None:
        raise ClueError("the node refused a goal")
    return goal


class _Pages:
    """Pages that look and acknowledge, each in a thread of its own."""

    def __init__(self, url: str, count: int) -> None:
        self._url, self._count = url, count
        self._stop = threading.Event()
        self._arrivals: List[List[tuple]] = [[] for _ in range(count)]
        self._threads = [threading.Thread(target=self._look, args=(n,), daemon=True) for n in range(count)]
        self._since = 0.0

    def __enter__(self) -> "_Pages":
        for thread in self._threads:
            thread.start()
        end = time.monotonic() + GOAL_S
        while not all(self._arrivals):
            if time.monotonic() > end:
                raise ClueError("not every page got an image")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10.0)

    def begin(self) -> None:
        self._since = time.monotonic()

    def end(self) -> "tuple[int, int, float]":
        """(images, bytes, longest pause in seconds) since `begin`."""
        now = time.monotonic()
        images, data, longest = 0, 0, 0.0
        for arrivals in self._arrivals:
            mine = [(at, size) for at, size in arrivals if self._since <= at <= now]
            times = [self._since, *(at for at, _ in mine), now]
            longest = max(longest, *(later - earlier for earlier, later in zip(times, times[1:])))
            images, data = images + len(mine), data + sum(size for _, size in mine)
        return images, data, longest

    def _look(self, number: int) -> None:
        with open_page(self._url) as page:
            while not self._stop.is_set():
                _read(page, self._arrivals[number])


def _read(page: Page, arrivals: List[tuple]) -> None:
    """One message, acknowledged if it is an image."""
    try:
        shown = len(page.frames)
        page.take(page.socket.recv(timeout=0.5))
    except TimeoutError:
        return
    if len(page.frames) > shown:
        arrivals.append((time.monotonic(), page.frames[-1]["bytes"]))
        page.send(type="seen", frame=page.frames[-1]["id"])


def _until(condition: Callable[[], Any], limit_s: float, what: str, children: Any, name: str) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            raise ClueError(f"{what} was not there within {limit_s:g} s; the end of its log:\n{children.tail(name)}")
        time.sleep(0.1)


def _cpu_s(pid: int) -> float:
    """User and system seconds that a process has spent."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK
