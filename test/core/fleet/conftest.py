"""A server in a thread, with a scripted Grounder behind it, and robots that ask it."""

from __future__ import annotations

import http.client
from typing import Any, List, Optional

import pytest

from clue_ros.fleet import wire
from clue_ros.fleet.keeper import Limits
from clue_ros.fleet.local import LocalServer
from clue_ros.fleet.remote import RemoteGrounder
from clue_ros.testing.fake_grounder import ScriptedGrounder

LIMIT_S = 120.0  # generous: the machine may be busy


class Running(LocalServer):
    """A server that tests talk to with bare HTTP as well."""

    def __init__(self, grounder: Any, **options: Any) -> None:
        super().__init__(grounder, **{"port": 0, **options})
        self.robots: List[RemoteGrounder] = []
        self.start()

    def robot(self, name: str = "", address: Optional[str] = None, token: str = "", **options: Any) -> RemoteGrounder:
        asked = "&".join(f"{key}={value}" for key, value in {"patience": LIMIT_S, **options}.items())
        robot = RemoteGrounder.open(f"{address or self.url}?{asked}", token, name)
        self.robots.append(robot)
        return robot

    def http(self, method: str, path: str, body: Any = None, **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        said = {"content-type": wire.TYPE, wire.ROBOT: "tester", **{k.replace("_", "-"): v for k, v in headers.items()}}
        connection.request(method, path, body, said)
        response = connection.getresponse()
        response.body = response.read()
        connection.close()
        return response

    def post(self, verb: str, fields: dict, arrays: Any = (), **headers: str) -> "tuple[int, dict]":
        response = self.http("POST", f"/v1/{verb}", wire.pack(fields, arrays), **headers)
        return response.status, wire.unpack(response.body)[0]


@pytest.fixture
def serve():
    running: List[Running] = []

    def make(grounder: Any = None, limits: Limits = Limits(), **options: Any) -> Running:
        running.append(Running(grounder or ScriptedGrounder(), limits=limits, **options))
        return running[-1]

    yield make
    for one in running:
        for robot in one.robots:
            robot.close()
        one.stop()
