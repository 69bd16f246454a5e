"""clue_ros.ros.client and what may be lost: an action server of rclpy's own that goes wrong in all its ways, over
DDS.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading

import pytest
from action_msgs.msg import GoalStatus
from bench import TIMEOUT, wait_until
from rclpy.action import ActionClient, ActionServer, CancelResponse, GoalResponse
from rclpy.node import Node
from rclpy.task import Future
from short_lease import short_lease

from clue_ros.action import Ground
from clue_ros.msg import Target
from clue_ros.ros.client import ClueClient
from clue_ros.ros.running.spinning import Spinner

Code = Ground.Result


class Foreign:
    """Somebody's action server, with rclpy's own machinery. `accept`, `execute` and `cancel` may be exchanged."""

    def __init__(self, result_timeout=10, name="ground"):
        self.node = Node("foreign", use_global_arguments=False)
        self.accept = self.cancel = True
        self.execute = self.succeed
        self.goals, self.canceled = [], []
        self.server = ActionServer(
            self.node, Ground, name, self._execute, goal_callback=self._on_goal, cancel_callback=self._on_cancel,
            result_timeout=result_timeout,
        )  # fmt: skip
        self.spinner = Spinner(self.node)

    def succeed(self, handle):
        handle.succeed()
        return Code(error_code=Code.NONE, error_msg="", target=Target(expression=handle.request.expression))

    async def slowly(self, handle):
        await self.sleep(0.3)
        return self.succeed(handle)

    async def until_canceled(self, handle):
        while not handle.is_cancel_requested:
            await self.sleep()
        handle.canceled()
        return Code(error_code=Code.CANCELED, error_msg="canceled")

    async def sleep(self, seconds=0.01):
        future = Future(executor=self.spinner.executor)

        def over():
            self.node.destroy_timer(timer)
            future.set_result(None)

        timer = self.node.create_timer(seconds, over)
        await future

    async def _execute(self, handle):
        self.goals.append(handle)
        result = self.execute(handle)
        return await result if asyncio.iscoroutine(result) else result

    def _on_goal(self, goal):
        return GoalResponse.ACCEPT if self.accept else GoalResponse.REJECT

    def _on_cancel(self, handle):
        self.canceled.append(bytes(handle.goal_id.uuid).hex())
        return CancelResponse.ACCEPT if self.cancel else CancelResponse.REJECT

    def close(self):
        self.spinner.close()
        if self.server is not None:
            self.server.destroy()
        self.node.destroy_node()


@pytest.fixture
def foreign(domain):
    made = []

    def make(**options):
        made.append(Foreign(**options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def client(domain):
    with ClueClient(server_timeout=TIMEOUT, acceptance_timeout=TIMEOUT) as made:
        yield made


# With our node.


def test_a_result_that_came_too_late_is_no_success_for_anybody(foreign, client):
    """The fault itself, with a client of rclpy that looks at error_code alone; and ours, which asks at once."""
    server = foreign(result_timeout=0)
    server.execute = server.slowly
    assert client.ground("a mug").ok, "asked for before it was over"
    naive = ActionClient(client.node, Ground, "ground")
    wait_until(naive.server_is_ready)
    future = client._own._spinner.call(lambda: naive.send_goal_async(Ground.Goal(expression="a mug")))
    handle = wait_until(future.done) and future.result()
    wait_until(lambda: len(server.goals) == 2 and not server.goals[1].is_active)
    wait_until(lambda: not server.server._goal_handles, what="the server has forgotten both")
    late = handle.get_result_async()
    response = wait_until(late.done) and late.result()
    assert response.status == GoalStatus.STATUS_UNKNOWN
    assert response.result.error_code == Code.UNKNOWN and "does not know this goal" in response.result.error_msg
    naive.destroy()


def test_a_server_that_forgets_a_goal_and_one_that_gives_no_reason(foreign, client, monkeypatch):
    from clue_ros.ros.client import goal as module

    server = foreign(result_timeout=0)
    asked = module.Goal._ask_for_result

    def late(goal):  # as where the acceptance was long under way
        wait_until(lambda: server.goals and not server.goals[-1].is_active)
        wait_until(lambda: not server.server._goal_handles)
        asked(goal)

    monkeypatch.setattr(module.Goal, "_ask_for_result", late)
    outcome = client.ground("a mug")
    assert (outcome.ok, outcome.error_name, outcome.status) == (
        False,
        "RESULT_LOST",
        0,
    ) and "again" in outcome.error_msg
    assert outcome.target is None and outcome.result.target.expression == ""
    monkeypatch.undo()

    def rude(handle):
        handle.abort()
        return Code(error_code=Code.NONE, error_msg="")

    server.execute = rude
    assert client.ground("a mug").error_name in ("NO_REASON", "RESULT_LOST")  # result_timeout is 0
    server.execute = lambda handle: (handle.succeed(), Code(error_code=Code.NOT_FOUND, error_msg=""))[1]
    outcome = client.ground("a mug")
    assert not outcome.ok and outcome.target is None and outcome.error_msg


def test_nobody_there_a_refusal_and_no_acceptance(foreign, client):
    with ClueClient(server_timeout=0.4, action="nowhere") as alone:
        outcome = alone.ground("a mug")
        assert outcome.error_name == "NO_SERVER" and "/nowhere" in outcome.error_msg
        assert alone.answer("yes").error_name == "NO_SERVER" and not alone.wait_until_ready(0.1).ok
    with ClueClient(server_timeout=3600.0, action="nowhere") as alone:
        assert alone.ground("a mug", timeout=0.1).error_name == "NO_SERVER", "the shorter of the two limits counts"
    server = foreign(name="elsewhere")
    with ClueClient(action="elsewhere", server_timeout=TIMEOUT, acceptance_timeout=TIMEOUT) as clue:
        server.accept = False
        assert clue.ground("a mug").error_name == "REJECTED"
    with ClueClient(action="elsewhere", server_timeout=TIMEOUT, acceptance_timeout=0.5) as clue:
        server.accept, server.execute = True, server.until_canceled
        begun, blocked = threading.Event(), threading.Event()
        server.spinner.executor.create_task(lambda: begun.set() or blocked.wait(TIMEOUT))  # it loads a model, or so
        assert begun.wait(TIMEOUT)
        outcome = clue.ground("a mug")
        assert outcome.error_name == "NO_ACCEPTANCE" and outcome.target is None
        blocked.set()
        wait_until(lambda: server.canceled == [outcome.dialogue], what="a goal that nobody waits for is canceled")
        wait_until(lambda: not server.goals[-1].is_active)


def test_a_server_that_is_stuck_or_cannot_be_canceled(foreign, client, monkeypatch):
    from clue_ros.ros.client import goal as module

    monkeypatch.setattr(module, "CANCEL_S", 0.5)
    server = foreign()
    server.execute, server.cancel = server.until_canceled, False
    outcome = client.ground("a mug", timeout=2.0)
    assert outcome.error_name == "NO_RESULT"
    wait_until(lambda: server.canceled == [outcome.dialogue])
    goal = client.send("a mug")
    wait_until(lambda: goal.accepted)
    goal.cancel()
    assert client.finish(goal).error_name == "NO_RESULT"


def test_a_result_whose_reply_was_lost_is_asked_for_again(foreign, client, monkeypatch):
    from clue_ros.ros.client import goal as module

    monkeypatch.setattr(module, "AGAIN_S", 0.2)
    foreign()
    real, lost = module.ask, []

    def lossy(wire, request, heard):
        if wire is client._wires.client("get_result") and not lost:
            lost.append(request)
            return real(wire, request, lambda response: None)
        return real(wire, request, heard)

    monkeypatch.setattr(module, "ask", lossy)
    assert client.ground("a mug", timeout=60.0).ok and lost


def test_a_server_that_goes_in_order_and_another_that_comes(foreign, client):
    server = foreign()
    server.execute = server.until_canceled
    goal = client.send("a mug")
    wait_until(lambda: goal.accepted and server.goals)
    server.spinner.call(server.server.destroy)
    server.server = None
    foreign()
    outcome = client.finish(goal)
    assert outcome.error_name == "SERVER_GONE"
    assert client.ground("a mug").ok


def test_a_server_that_is_killed_ends_the_goal_as_soon_as_dds_knows(domain, tmp_path):
    """DDS knows it after the lease, 20 s by default; here the server has one of 3 s."""
    process = subprocess.Popen(
        [sys.executable, "-m", "clue_ros.ros.scripted_ground", "--ros-args", "-r", "__ns:=/clue"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **short_lease(tmp_path)}, cwd=tmp_path,
    )  # fmt: skip
    try:
        with ClueClient("/clue") as clue:
            assert clue.wait_until_ready(TIMEOUT).ok
            goal = clue.send("something slow")
            wait_until(lambda: goal.accepted)
            process.kill()
            outcome = clue.finish(goal)
            assert outcome.error_name == "SERVER_GONE" and "start it" in outcome.error_msg
    finally:
        process.kill()
        process.wait()


PROGRAM = """
import rclpy
from clue_ros.ros.client import ClueClient
rclpy.init()
with ClueClient() as clue:
    goal = clue.send("a mug")
    while goal.accepted is None:
        pass
    try:
        print("accepted", flush=True)
        print(clue.finish(goal).error_name, flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.parametrize("number, said", ((signal.SIGINT, "interrupted"), (signal.SIGTERM, "CANCELED")))
def test_a_signal_cancels_the_goal_also_after_rclpys_own_handler(foreign, number, said, tmp_path):
    """rclpy.init()'s handlers shut every context down before Python hears of the signal."""
    server = foreign()
    server.execute = server.until_canceled
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE, text=True, cwd=tmp_path,
    )  # fmt: skip
    try:
        assert program.stdout.readline() == "accepted\n"
        program.send_signal(number)
        wait_until(lambda: server.canceled)
        assert program.communicate(timeout=300.0)[0] == said + "\n"
        wait_until(lambda: not server.goals[0].is_active)
    finally:
        program.kill()
        program.wait()


def test_closing_cancels_what_is_open(foreign):
    server = foreign()
    server.execute = server.until_canceled
    clue = ClueClient()
    goal = clue.send("a mug")
    wait_until(lambda: goal.accepted)
    clue.close()
    assert goal.outcome.error_name == "CANCELED" and not server.goals[0].is_active
    with pytest.raises(Exception, match="closed"):
        clue.ground("a mug")
    clue.close()  # twice does no harm
