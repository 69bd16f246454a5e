"""Faults of a model's server: it is killed in a dialogue, stays away, is flooded and sent garbage."""

from __future__ import annotations

import http.client
import signal
import time
from typing import Iterator, List
from urllib.parse import urlsplit

from clue_ros.fleet import wire
from clue_ros.fleet.load import Server
from clue_ros.ros.lab.faults.robot import RESULT_S, Robot
from clue_ros.ros.lab.faults.rows import Check
from clue_ros.ros.lab.faults.sight import click

PATIENCE_S = 300
FLOOD = 500
GARBAGE = (b"", b"\x80\x04K\x01.", b"CLUE1\xff\xff\xff\xff", wire.pack({"image": "x"}), bytes(100_000))


def model_server(robot: Robot) -> Iterator[Check]:
    serve = ["serve", "--without-ray", "--model", str(robot.model_folder), "--device", robot.device, "--port"]
    with Server([*serve, "0"], robot.output / "server.log") as server:
        serve.append(server.url.rpartition(":")[2])
        robot.restart(model=f"{server.url}?patience={PATIENCE_S}")
        goal = robot.clear_situation_goal()
        yield Check("the node asks a model on a server", "found", goal.code, robot.found_it(goal))
        yield killed(robot, server, serve)
        yield away(robot, server, serve)
        yield abused(robot, server)
        robot.restart()  # with a model of its own again


def killed(robot: Robot, server: Server, serve: List[str]) -> Check:
    goal = robot.ask()
    server.stop(signal.SIGKILL)
    click(robot)
    time.sleep(1.0)
    waits = not goal.done
    again(server, serve)
    goal.wait(RESULT_S + 30.0)
    return Check(
        "SIGKILL of the server while a question is open; an answer; a new server",
        "the dialogue waits, then NONE",
        f"{'waited' if waits else 'ended'}, then {goal.code}",
        waits and goal.code == "NONE",
    )


def away(robot: Robot, server: Server, serve: List[str]) -> Check:
    server.stop(signal.SIGKILL)
    goal = robot.clear_goal(timeout=2.0).wait(RESULT_S)
    again(server, serve)
    after = robot.clear_situation_goal()
    return Check(
        "no server for a goal with a timeout of 2 s; then there is one",
        "MODEL_UNAVAILABLE, then found",
        f"{goal.code}, then {after.code}",
        goal.code == "MODEL_UNAVAILABLE" and robot.found_it(after),
    )


def abused(robot: Robot, server: Server) -> Check:
    """Another client's garbage, and more of it than anybody needs, while the robot has goals."""
    before = robot.clear_situation_goal().seconds
    parts, refused, count = urlsplit(server.url), 0, max(len(GARBAGE), int(FLOOD * robot.effort))
    goal = robot.clear_goal()
    for number in range(count):
        line = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=RESULT_S)
        headers = {"Content-Type": wire.TYPE, wire.ROBOT: f"stranger-{number % 3}"}
        line.request("POST", "/v1/ground", GARBAGE[number % len(GARBAGE)], headers)
        refused += 400 <= line.getresponse().status < 500
        line.close()
    goal.wait(RESULT_S)
    return Check(
        f"a stranger sends {count} bodies of garbage, a goal meanwhile",
        "all refused with 4xx; found",
        f"{refused} refused; {goal.code} after {goal.seconds:.2f} s ({before:.2f} s before)",
        refused == count and robot.found_it(goal),
    )


def again(server: Server, serve: List[str]) -> None:
    """A new server at the same address."""
    server.arguments = serve
    server.start()
