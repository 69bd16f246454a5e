"""The node with its model on a server: a dialogue outlives the server, and /diagnostics says how the line is."""

from __future__ import annotations

import pytest
from bench import ABORTED, SUCCEEDED, Bench, wait_until
from domains import isolated

from clue_ros.fleet.local import LocalServer
from clue_ros.ros.running.errors import CODE_NAMES
from clue_ros.ros.running.loading import load_grounder
from clue_ros.testing.fake_grounder import Say, ScriptedGrounder

SCRIPT = {"the mug": [Say.ask("Which mug?"), Say.found()], "something slow": Say.found(delay_s=600.0)}


def server_of(grounder=None, port=0):
    server = LocalServer(grounder or ScriptedGrounder(SCRIPT), port=port)
    server.start()
    return server


@pytest.fixture(scope="module")
def robot():
    """(bench, its servers: the last one runs)"""
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    servers = [server_of()]
    with isolated():
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        bench = Bench(factory=load_grounder, model=f"{servers[0].url}?patience=100", look_ahead_rate=30.0)
        yield bench, servers
        servers[-1].stop()
        bench.close()
        rclpy.try_shutdown()


def model_line(bench):
    return bench.node._diagnostics._model()


def values_of(line):
    return {pair.key: pair.value for pair in line.values}


def test_goals_are_decided_there_and_the_camera_is_seen_ahead(robot):
    bench, servers = robot
    wait_until(lambda: servers[-1].keeper.grounder.looks)
    status, result = bench.ground("the cup")
    assert (status, result.error_code) == (SUCCEEDED, 0)
    line = model_line(bench)
    assert line.level == b"\x00" and values_of(line)["server"] == servers[-1].url
    assert float(values_of(line)["latency_s"]) > 0 and values_of(line)["server_queue"].isdecimal()


def test_a_cancel_reaches_the_server(robot):
    bench, servers = robot
    grounder = servers[-1].keeper.grounder
    goal = bench.goal("something slow")
    wait_until(lambda: grounder.calls and grounder.calls[-1][0] == "something slow")
    goal.cancel()
    assert CODE_NAMES[goal.finish()[1].error_code] == "CANCELED"
    assert grounder.stopped.wait(120.0)


def test_a_dialogue_outlives_its_server(robot):
    bench, servers = robot
    goal = bench.goal("the mug")
    wait_until(lambda: goal.reached(3))
    servers[-1].stop()
    assert bench.answer(text="the left one").accepted
    wait_until(lambda: model_line(bench).level == b"\x02")
    assert "clue serve" in model_line(bench).message and not goal.done
    servers.append(server_of(port=servers[-1].port))
    status, result = goal.finish()
    assert (status, result.error_code) == (SUCCEEDED, 0)
    assert model_line(bench).level == b"\x00" and int(values_of(model_line(bench))["failures"]) > 0


def test_a_goal_that_waits_in_vain_ends_with_a_code_of_its_own(robot):
    bench, servers = robot
    servers[-1].stop()
    status, result = bench.ground("the cup", timeout=0.5)
    assert (status, CODE_NAMES[result.error_code]) == (ABORTED, "MODEL_UNAVAILABLE")
    assert "timeout" in result.error_msg
    servers.append(server_of(port=servers[-1].port))
    wait_until(lambda: bench.ground("the cup")[1].error_code == 0)
