"""The whole bench: every model on every device in a process of its own, rows to the files as they come."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Callable, Dict, Iterator, List, Optional, Sequence, cast

import clue_ros
from clue_ros.lab.bench.order import Order
from clue_ros.lab.bench.results import Results

Event = Dict[str, Any]
OnEvent = Callable[[Order, Event], None]


def run_all(
    orders: Sequence[Order], rounds: Optional[int], results: Results, on_event: OnEvent, only: Sequence[str] = ()
) -> None:
    """Measure every order in turn. A model that cannot be measured is in `results.skipped` with the reason."""
    for order in orders:
        for event in events_of(order, rounds, only):
            _keep(order, event, results)
            on_event(order, event)
    results.save(complete=True)


def events_of(order: Order, rounds: Optional[int], only: Sequence[str] = ()) -> Iterator[Event]:
    """The events of `measure` from a fresh process; a 'skip' if it ends before its time."""
    request = json.dumps({"order": asdict(order), "rounds": rounds, "only": list(only)})
    package = str(Path(clue_ros.__file__).resolve().parents[1])
    path = os.pathsep.join(p for p in (package, os.environ.get("PYTHONPATH", "")) if p)
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints:
        process = subprocess.Popen(
            [sys.executable, "-m", "clue_ros.lab.bench.worker", request],
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": path},
        )
        try:
            for line in cast(IO[str], process.stdout):  # a pipe, as it was ordered
                yield json.loads(line)
            code = process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        if code:
            yield {"event": "skip", "reason": _why(code, complaints)}


def devices(wanted: Sequence[str]) -> List[str]:
    """The devices named, or the CPU and a GPU if torch sees one."""
    if wanted:
        return list(wanted)
    import torch

    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def _keep(order: Order, event: Event, results: Results) -> None:
    content = {k: v for k, v in event.items() if k != "event"}
    if event["event"] == "row":
        results.add(content)
    elif event["event"] == "about":
        results.subjects.append(content)
        results.save(complete=False)
    elif event["event"] == "skip":
        results.skipped.append({"model": order.model, "device": order.device, **content})
        results.save(complete=False)


def _why(code: int, complaints) -> str:
    if code == -signal.SIGKILL:
        return "the system ended the process, most likely because memory ran out; its earlier rows are kept"
    complaints.seek(0)
    lines = [line.strip() for line in complaints.read().splitlines() if line.strip()]
    return f"the process ended with {code}: {lines[-1] if lines else 'no message'}"
