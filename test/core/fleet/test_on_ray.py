"""The server on Ray: robots keep their replica and replicas have equally many; a killed replica loses no request."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from collections import OrderedDict
from types import SimpleNamespace

import numpy as np
import pytest

from clue_ros.fleet.on_ray import Plan, serving
from clue_ros.fleet.remote import RemoteGrounder

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'clue_ros[fleet]'")
RGB = np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8)


def test_robots_are_shared_out_evenly_and_stay_where_they_are():
    from clue_ros.fleet.sticky import StickyRouter

    router = StickyRouter.__new__(StickyRouter)
    router._replica_of = OrderedDict()
    replicas = [SimpleNamespace(replica_id=Name(name)) for name in "abc"]

    def first(robot, living):
        request = SimpleNamespace(metadata=SimpleNamespace(session_id=robot), routing_context=SimpleNamespace())
        ranks = asyncio.run(router.choose_replicas(living, request))
        assert len(ranks) == len(living) and request.routing_context.should_backoff
        return ranks[0][0].replica_id.unique_id

    robots = [f"robot-{n}" for n in range(12)]
    home = {robot: first(robot, replicas) for robot in robots}
    assert sorted(home.values()) == sorted("abc" * 4)
    assert all(first(robot, replicas) == home[robot] for robot in robots)
    moved = {robot: first(robot, replicas[1:]) for robot in robots}  # a died
    assert all(moved[robot] == home[robot] for robot in robots if home[robot] != "a")
    assert sorted(moved.values()) == sorted("bc" * 6)


class Name(str):
    """A replica's id, as a key."""

    @property
    def unique_id(self) -> str:
        return str(self)


@pytest.mark.skipif(not os.environ.get("CLUE_TEST_RAY"), reason="starts Ray, a minute or more: set CLUE_TEST_RAY=1")
def test_two_replicas_answer_and_a_killed_one_loses_nothing(tiny_model_dir):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with serving(Plan(model=str(tiny_model_dir), replicas=2, threads=1), "127.0.0.1", port) as url:
        robots = [RemoteGrounder.open(f"{url}?patience=300", "", f"robot-{n}") for n in range(4)]
        before = [robot.ground(RGB, "the mug") for robot in robots]
        listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
        replicas = [int(line.split()[0]) for line in listed.splitlines() if "ray::ServeReplica:clue" in line]
        assert len(replicas) >= 2
        os.kill(replicas[0], signal.SIGKILL)
        after = [robot.ground(RGB, "the mug") for robot in robots]
        assert [(d.outcome, d.box) for d in after] == [(d.outcome, d.box) for d in before]
        for robot in robots:
            robot.close()
