"""While a model loads the node lives: services, diagnostics and signals are answered, and loading can be given up.

A model loads until the test says so: what is answered before is answered meanwhile, on a slow machine as well.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from bench import ABORTED, SUCCEEDED, Goal, wait_until
from conftest import HERE
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetAvailableTransitions, GetState
from rcl_interfaces.srv import GetParameters
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String

from clue_ros.action import Ground
from clue_ros.ros.client import ClueClient
from clue_ros.ros.running.spinning import Spinner
from clue_ros.ros.wire.conversions import rgb_to_image
from clue_ros.testing.fake_grounder import ScriptedGrounder
from clue_ros.types import ModelLoadError

PROGRAM = """
import os, sys, time
from clue_ros.ros.node import main
from clue_ros.testing.fake_grounder import Say, ScriptedGrounder

def factory(settings):
    how, until = settings.model.split("-")
    while not os.path.exists(until):
        if how == "sleeps":
            time.sleep(0.05)
        else:  # Python code that keeps the interpreter's lock busy
            sum(i * i for i in range(10000))
    return ScriptedGrounder({"the mug": Say.ask("Which?")})

sys.exit(main(factory=factory))
"""


class Operator:
    """`ros2 lifecycle` and `ros2 param` from another process or thread, without waiting."""

    def __init__(self, client) -> None:
        self.client = client
        self.lines = []
        client.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 20)
        self._change = client.create_client(ChangeState, "/clue/change_state")
        self._state = client.create_client(GetState, "/clue/get_state")
        self._available = client.create_client(GetAvailableTransitions, "/clue/get_available_transitions")
        self._parameters = client.create_client(GetParameters, "/clue/get_parameters")

    def connect(self, timeout: float = 180.0) -> "Operator":
        for service in (self._change, self._state, self._available, self._parameters):
            wait_until(service.service_is_ready, timeout, what=service.srv_name)
        return self

    def change(self, label: str = "", number: int = 0):
        """A future; its result has `success`."""
        request = ChangeState.Request()
        request.transition.label, request.transition.id = label, number
        return self._change.call_async(request)

    def now(self, client, request):
        future = client.call_async(request)
        wait_until(future.done, what=client.srv_name)
        return future.result()

    @property
    def state(self) -> str:
        return self.now(self._state, GetState.Request()).current_state.label

    @property
    def available(self):
        found = self.now(self._available, GetAvailableTransitions.Request()).available_transitions
        return [(t.transition.label, t.start_state.label, t.goal_state.label) for t in found]

    def parameter(self, name: str) -> str:
        return self.now(self._parameters, GetParameters.Request(names=[name])).values[0].string_value

    def _on_diagnostics(self, message) -> None:
        self.lines += [status for status in message.status if status.name == "clue: model"]


@pytest.fixture
def operator(domain):
    """Of a node in another process."""
    node = Node("operator")
    spinner = Spinner(node)
    yield Operator(node)
    spinner.close()
    node.destroy_node()


@pytest.fixture
def start(tmp_path):
    """start(model) -> the node as a process, in tmp_path; all of them are ended."""
    (tmp_path / "slow_node.py").write_text(PROGRAM)
    running = []

    def begin(model: str, *arguments: str) -> subprocess.Popen:
        paths = os.pathsep.join([str(tmp_path), str(HERE), *sys.path])
        command = [sys.executable, "-m", "slow_node", "--ros-args", "-p", f"model:={model}", *arguments]
        running.append(subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": paths}, cwd=tmp_path, stderr=subprocess.PIPE, text=True
        ))  # fmt: skip
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.wait()


def ended_well(process: subprocess.Popen, within: float = 300.0) -> str:
    """The log of a process that has ended as it should."""
    _, log = process.communicate(timeout=within)
    assert process.returncode == 0, log
    assert "Traceback" not in log, log
    return log


def test_services_parameters_and_diagnostics_answer_while_a_model_keeps_pythons_lock(operator, start, tmp_path):
    process = start("computes-go")
    operator.connect()
    for _ in range(6):
        assert operator.state == "configuring" and operator.parameter("model") == "computes-go"
    wait_until(lambda: any(re.fullmatch(r"loading computes-go, [2-9] s|loading computes-go, \d\d+ s", line.message)
                           for line in list(operator.lines)))  # fmt: skip
    assert operator.state == "configuring"
    (tmp_path / "go").touch()
    wait_until(lambda: operator.state == "active")
    process.send_signal(signal.SIGINT)
    ended_well(process)


@pytest.mark.parametrize(
    "numbers", [(signal.SIGINT,), (signal.SIGTERM, signal.SIGINT, signal.SIGINT)], ids=["one", "three"]
)
def test_signals_while_a_model_loads(operator, start, numbers):
    process = start("sleeps-never")
    wait_until(lambda: operator.lines and operator.lines[-1].message.startswith("loading"))
    for number in numbers:
        process.send_signal(number)
        time.sleep(0.05)
    log = ended_well(process)  # it would load for ever
    assert "given up after" in log and "autostart failed" not in log


def test_two_signals_and_a_shutdown_before_them(operator, start):
    clue = ClueClient(node=operator.client)
    process = start("sleeps-.", "-p", "max_image_age_s:=600.0", "-p", "answer_timeout_s:=600.0")
    wait_until(lambda: clue.available)
    camera = operator.client.create_publisher(Image, "image", 1)
    picture, said = rgb_to_image(np.full((48, 64, 3), 90, np.uint8), Header()), []
    operator.client.create_timer(0.1, lambda: camera.publish(picture))
    operator.client.create_subscription(String, "utterance", said.append, 10)
    wait_until(lambda: camera.get_subscription_count() > 0 and operator.client.count_publishers("utterance") > 0)
    goal = wait_until(
        lambda: (lambda goal: goal if goal.accepted else None)(Goal(clue, Ground.Goal(expression="the mug")))
    )
    wait_until(lambda: said)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    status, result = goal.finish()
    assert (status, result.error_code) == (ABORTED, Ground.Result.NOT_ACTIVE)
    ended_well(process)
    clue.close()
    operator.lines.clear()
    process = start("sleeps-.")
    wait_until(lambda: operator.lines and operator.lines[-1].message == "loaded")
    operator.connect()
    wait_until(lambda: operator.state == "active")
    answer = operator.change("shutdown")
    wait_until(answer.done)
    assert answer.result().success and operator.state == "finalized"
    process.send_signal(signal.SIGINT)
    ended_well(process)


class Slow:
    """A factory that waits for `go`, or raises."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.began = 0
        self.made = []
        self.error = None

    def __call__(self, settings):
        self.began += 1
        assert self.go.wait(600.0)
        if self.error is not None:
            raise self.error
        self.made.append(ScriptedGrounder())
        return self.made[-1]


@pytest.fixture
def slow(make_bench):
    """(factory, bench, operator) of a node that was asked to configure and waits for its model."""
    factory = Slow()
    bench = make_bench(activate=False, factory=factory, model="/models/slow")
    operator = Operator(bench.client).connect()
    configured = operator.change("configure")
    wait_until(lambda: factory.began == 1)
    yield factory, bench, operator, configured
    factory.go.set()


def test_configure_is_answered_at_its_end_and_other_transitions_meanwhile(slow):
    factory, bench, operator, configured = slow
    assert operator.state == "configuring"
    for label, number in (
        ("configure", 0), ("activate", 0), ("deactivate", 0), ("transition_success", 0), ("", 3),
        ("", Transition.TRANSITION_ON_CONFIGURE_SUCCESS), ("nonsense", 0),
    ):  # fmt: skip
        refused = operator.change(label, number)
        wait_until(refused.done)
        assert not refused.result().success and operator.state == "configuring", label
    assert operator.available == [("cleanup", "configuring", "unconfigured"), ("shutdown", "configuring", "finalized")]
    assert not configured.done()
    factory.go.set()
    wait_until(configured.done)
    assert configured.result().success and operator.state == "inactive"
    assert ("activate", "inactive", "active") not in operator.available  # rcl names the state between
    assert "activate" in [label for label, _, _ in operator.available]
    activated = operator.change(number=Transition.TRANSITION_ACTIVATE)
    wait_until(activated.done)
    assert activated.result().success
    bench.connect()
    assert bench.ground("the mug")[0] == SUCCEEDED


def test_cleanup_gives_loading_up_and_the_next_configure_waits_for_what_still_loads(slow):
    factory, bench, operator, configured = slow
    cleaned = operator.change("cleanup")
    wait_until(lambda: configured.done() and cleaned.done())
    assert not configured.result().success and cleaned.result().success and operator.state == "unconfigured"
    again = operator.change("configure")
    wait_until(lambda: operator.state == "configuring")
    assert factory.began == 1, "two models at once need twice the memory"
    factory.go.set()
    wait_until(again.done)
    assert again.result().success and operator.state == "inactive" and factory.began == 2
    assert [grounder.closed for grounder in factory.made] == [True, False]


@pytest.mark.parametrize("number", [0, Transition.TRANSITION_UNCONFIGURED_SHUTDOWN])
def test_shutdown_gives_loading_up(slow, number):
    factory, bench, operator, configured = slow
    shut = operator.change("" if number else "shutdown", number)
    wait_until(lambda: configured.done() and shut.done())
    assert not configured.result().success and shut.result().success and operator.state == "finalized"
    factory.go.set()
    wait_until(lambda: factory.made and factory.made[0].closed, what="what is loaded late is freed")


def test_a_model_that_does_not_load_fails_configure_from_the_background(slow, capfd):
    factory, bench, operator, configured = slow
    factory.error = ModelLoadError("/models/slow/model.safetensors is cut short")
    factory.go.set()
    wait_until(configured.done)
    assert not configured.result().success and operator.state == "unconfigured"
    assert "/models/slow/model.safetensors is cut short" in capfd.readouterr().err
    factory.error = None
    again = operator.change("configure")
    wait_until(again.done)
    assert again.result().success
