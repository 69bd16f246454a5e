"""clue_ros.ros.client over DDS, with our node."""

from __future__ import annotations

import asyncio
import functools
import os
import re
import signal
import threading

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from bench import PATIENT, TIMEOUT, wait_until
from conftest import REPOSITORY
from rclpy.clock import Clock, ClockType
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import String

from clue_ros.action import Ground
from clue_ros.msg import Correction, Target
from clue_ros.ros.client import (
    CallFailed,
    ClientCode,
    ClueClient,
    GroundFailed,
    GroundOutcome,
    Held,
    NotSpunError,
    Watch,
    WouldBlockError,
    click,
)  # fmt: skip
from clue_ros.ros.client import goal as goal_module
from clue_ros.ros.node import autostart
from clue_ros.ros.running.spinning import Spinner
from clue_ros.ros.scripted_ground import ScriptedGround
from clue_ros.types import Answer

Code = Ground.Result
RED, BLUE = (100, 200, 180, 280), (400, 200, 480, 280)


@pytest.fixture
def server(domain):
    node = ScriptedGround(
        namespace="clue", parameter_overrides=[Parameter(name, value=value) for name, value in PATIENT.items()]
    )
    spinner = Spinner(node)
    node.call = spinner.call
    assert spinner.call(functools.partial(autostart, node))
    yield node
    spinner.call(node.stop_dialogues)
    spinner.close()
    node.destroy_node()


@pytest.fixture
def clue(server):
    with ClueClient(namespace="/clue", server_timeout=TIMEOUT, acceptance_timeout=TIMEOUT) as client:
        assert client.wait_until_ready(TIMEOUT).ok
        yield client


def box(target):
    return (target.box.x0, target.box.y0, target.box.x1, target.box.y1)


def test_a_target_and_every_error_code_of_the_node(clue):
    outcome = clue.ground("the red mug", timeout=60.0)
    assert outcome and outcome.ok and outcome.status == GoalStatus.STATUS_SUCCEEDED and outcome.error_name == "NONE"
    assert box(outcome.target) == RED and outcome.require() is outcome.target and outcome.error_msg == ""
    assert outcome.target.dialogue == outcome.dialogue and outcome.turns[0].text == "the red mug"
    assert outcome.chosen_candidate is None
    for name in ("NOT_FOUND", "MODEL_ERROR", "PREEMPTED", "TIMEOUT"):
        outcome = clue.ground("the error " + name.lower().replace("_", " "))
        assert (outcome.ok, outcome.error_name, outcome.target) == (False, name, None) and outcome.error_msg
        with pytest.raises(GroundFailed, match=name):
            outcome.require()
    given = clue.ground(
        "the red mug", candidates=[BLUE, RED], policy="best_guess", image=np.full((480, 640, 3), 9, np.uint8)
    )
    assert given.chosen_candidate == 1 and given.candidates


def test_questions_go_to_a_function_a_coroutine_or_nobody(clue, server):
    asked = []

    def person(question):
        asked.append((question, threading.current_thread() is threading.main_thread()))
        return ["pardon?", Answer(text="the blue one")][len(asked) - 1]

    outcome = clue.ground("hand me the mug", on_question=person)
    assert box(outcome.require()) == BLUE and asked == [("Which mug, the red or the blue one?", False)] * 2

    async def operator(question):
        return "the red one"

    assert box(clue.ground("the mug", on_question=operator).require()) == RED
    goal = clue.send("the mug", on_question=lambda question: None)
    wait_until(lambda: goal.question)
    assert clue.answer("the blue one").ok and box(clue.finish(goal).require()) == BLUE


def test_an_answer_that_is_not_taken_is_told_and_the_question_stays(clue):
    goal = clue.send("the mug", on_question=lambda question: click(10_000, 10))
    wait_until(lambda: goal.rejected_answers)
    assert goal.question and clue.answer("the red one").ok
    outcome = clue.finish(goal)
    assert outcome.ok and "outside" in outcome.rejected_answers[0]
    refused = clue.answer("the red one, please")
    assert not refused.ok and refused.error_msg
    with pytest.raises(CallFailed):
        refused.require()


def test_what_a_callback_raises_comes_out_and_the_goal_is_canceled(clue, server):
    def broken(question):
        raise KeyError("who is there?")

    with pytest.raises(KeyError, match="who is there"):
        clue.ground("the mug", on_question=broken)
    with pytest.raises(TypeError, match="an answer is text"):
        clue.ground("the mug", on_question=lambda question: 7)
    wait_until(lambda: not server.call(lambda: server.busy))
    for options, kind in (
        ({"policy": "guess"}, ValueError), ({"timeout": 0.0}, ValueError), ({"image": np.zeros((3, 3))}, TypeError),
        ({"pointing": "there"}, TypeError), ({"answer_timeout": -1.0}, ValueError), ({"max_questons": 2}, TypeError),
    ):  # fmt: skip
        with pytest.raises(kind):
            clue.ground("the mug", **options)
    with pytest.raises(ValueError, match="says everything itself"):
        clue.ground(Ground.Goal(expression="the mug"), camera="front")


def once_busy(server, act):
    """Does it from another thread, once the node works."""

    def wait():
        wait_until(lambda: server.call(lambda: server.busy))
        act()

    threading.Thread(target=wait).start()


def test_cancel_from_another_thread_by_an_event_and_by_ctrl_c(clue, server, monkeypatch):
    once_busy(server, clue.cancel)
    assert clue.ground("something slow").error_name == "CANCELED"
    token = threading.Event()
    once_busy(server, token.set)
    outcome = clue.ground("something slow", cancel=token)
    assert (outcome.error_name, outcome.status) == ("CANCELED", GoalStatus.STATUS_CANCELED)
    once_busy(server, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        clue.ground("something slow")
    assert not server.call(lambda: server.busy), "the node is free again"
    assert clue.ground("the red mug").ok
    monkeypatch.setattr(goal_module, "LATE_S", 600.0)  # it is the node's own that comes
    assert clue.ground("something slow", timeout=2.0).error_name == "TIMEOUT"


def test_several_goals_at_once_each_with_its_own_end(clue):
    first = clue.send("something slow")
    wait_until(lambda: first.accepted)
    second = clue.send("the red mug")
    assert clue.finish(second).ok and clue.finish(first).error_name == "PREEMPTED"
    assert first.dialogue != second.dialogue and first.outcome.dialogue == first.dialogue


def test_an_inactive_node_and_one_that_is_deactivated_in_the_middle(clue, server):
    goal = clue.send("something slow")
    wait_until(lambda: goal.accepted)
    server.call(server.trigger_deactivate)
    assert clue.finish(goal).error_name == "NOT_ACTIVE" and clue.state().value == "inactive"
    outcome = clue.ground("the red mug")
    assert outcome.error_code == ClientCode.REJECTED and "not active" in outcome.error_msg
    wait_until(lambda: "inactive" in (not_yet := clue.wait_until_ready(0.5)).error_msg and not not_yet.ok)
    server.call(server.trigger_activate)
    assert clue.wait_until_ready(TIMEOUT).ok and clue.ground("the red mug").ok


def test_the_other_services(clue):
    picture = np.full((480, 640, 3), 9, np.uint8)
    reading = clue.detect("the mug", picture)
    assert reading.ok and reading.value.is_ambiguous and reading.require() is reading.value
    empty = clue.detect("")
    assert (empty.ok, empty.value, empty.error_name) == (False, None, "INVALID_EXPRESSION") and empty.error_msg
    assert not clue.chat("").ok and clue.state().value == "active"


def test_a_watch_knows_whether_a_target_still_holds(clue, server):
    voice = clue.node.create_publisher(String, "speech", 10)
    wait_until(lambda: voice.get_subscription_count() > 0)
    heard = []
    outcome = clue.ground("the mug", on_question=lambda question: "the blue one", on_correction=heard.append)
    with clue.watch(outcome) as watch, clue.corrections() as everything:
        assert watch.holds and box(watch.target) == BLUE and watch.next(0.05) is None
        wait_until(lambda: not server.call(lambda: server.busy))
        assert clue.answer("no, the red one").ok
        assert [watch.next(TIMEOUT).state for _ in range(2)] == [Correction.REOPENED, Correction.CORRECTED]
        assert watch.holds and box(watch.target) == RED and watch.dialogue != outcome.dialogue
        late = clue.watch(outcome)  # made after it was said
        assert box(late.target) == RED and late.dialogue == watch.dialogue
        wait_until(lambda: not server.call(lambda: server.busy))
        voice.publish(String(data="never mind"))
        assert [message.state for message in watch] == [Correction.WITHDRAWN], "then nothing more can come"
        assert (watch.holds, watch.target, watch.state) == (False, None, Held.WITHDRAWN)
        wait_until(lambda: late.state is Held.WITHDRAWN)
        assert [everything.next(TIMEOUT).state for _ in range(3)] == [message.state for message in heard]
    assert everything.next(0.0) is None
    with pytest.raises(GroundFailed):
        clue.watch(clue.ground("error not found"))


@pytest.mark.parametrize("page", ("README.md", "docs/pick-pipeline.md"))
def test_the_first_lines_of_the_docs_run(server, page, capsys):
    blocks = re.findall(r"```python\n(.*?)```", (REPOSITORY / page).read_text(encoding="utf-8"), flags=re.S)
    block = next(block for block in blocks if "ClueClient(" in block)
    picked = []
    exec(block, {"input": lambda question: "the blue one", "pick": picked.append})
    assert picked or "x=" in capsys.readouterr().out


def test_whose_target_counts():
    """What is held before (empty: what came before it), a correction's state, dialogue and corrects, and what becomes
    of it. The same rows are in test/package/test_cpp_example.py."""
    target, watch = Target(expression="new"), Watch("")
    assert not watch.hear(Correction(state=Correction.WITHDRAWN)), "nothing is held yet"
    for holds, state, dialogue, corrects, wanted in (
        ("a", Correction.REOPENED, "b", "x", None), ("", Correction.REOPENED, "b", "a", Held.REOPENED),
        ("", Correction.REOPENED, "c", "a", None), ("", Correction.CORRECTED, "b", "a", Held.HOLDS),
        ("", Correction.REOPENED, "c", "b", Held.REOPENED), ("", Correction.FAILED, "c", "b", Held.FAILED),
        ("d", Correction.WITHDRAWN, "e", "d", Held.WITHDRAWN), ("f", Correction.CORRECTED, "g", "f", Held.HOLDS),
        ("", Correction.FAILED, "h", "g", Held.FAILED),
    ):  # fmt: skip
        watch = Watch(holds) if holds else watch
        before = (watch.state, watch.dialogue)
        heard = watch.hear(Correction(state=state, dialogue=dialogue, corrects=corrects, target=target))
        assert heard is (wanted is not None)
        assert (watch.state, watch.dialogue) == (before if wanted is None else (wanted, dialogue))
        assert watch.target is (target if watch.state is Held.HOLDS and heard else None)


# Inside a program that spins already.


@pytest.mark.parametrize("threads", (1, 3))
def test_in_somebody_elses_node_its_callbacks_await(server, threads, monkeypatch):
    monkeypatch.setattr(goal_module, "LATE_S", 600.0)
    node = Node("mine", parameter_overrides=[Parameter("use_sim_time", value=True)])
    executor = SingleThreadedExecutor() if threads == 1 else MultiThreadedExecutor(threads)
    executor.add_node(node)
    clue, seen = ClueClient("/clue", node=node, server_timeout=TIMEOUT, acceptance_timeout=TIMEOUT), []

    async def play():
        timer.cancel()
        assert (await clue.wait_until_ready_async(TIMEOUT)).ok

        async def person(question):
            assert (await clue.state_async()).value == "active"  # the executor is free for it
            return "the blue one"

        seen.append(await clue.ground_async("the mug", on_question=person))
        seen.append(await clue.ground_async("something slow", timeout=2.0))
        if threads == 1:
            with pytest.raises(WouldBlockError, match="ground_async|_async"):
                clue.ground("the red mug")
        else:
            seen.append(clue.ground("the red mug"))
        return seen

    tasks = []
    timer = node.create_timer(
        0.01, lambda: tasks.append(executor.create_task(play)) or timer.cancel(),
        clock=Clock(clock_type=ClockType.STEADY_TIME),
    )  # fmt: skip
    thread = threading.Thread(target=executor.spin, daemon=True)
    with pytest.raises(NotSpunError):
        ClueClient("/clue", node=Node("alone")).ground("the red mug")
    thread.start()
    wait_until(lambda: tasks and tasks[0].done())
    tasks[0].result()
    assert box(seen[0].require()) == BLUE and seen[1].error_name == "TIMEOUT"
    assert len(seen) == 2 or box(seen[2].require()) == RED
    assert clue.ground("the red mug").ok, "from a thread that spins nothing"
    clue.close()
    executor.shutdown()
    thread.join(TIMEOUT)
    node.destroy_node()


def test_asyncio_awaits_it_and_a_cancelled_task_cancels_the_goal(clue, server):
    async def person(question):
        await asyncio.sleep(0.01)  # of this loop
        return "the blue one"

    async def program():
        both = await asyncio.gather(
            clue.ground_async("the mug", on_question=person), clue.state_async(), asyncio.sleep(0.01)
        )
        slow = asyncio.ensure_future(clue.ground_async("something slow"))
        await asyncio.to_thread(wait_until, lambda: server.call(lambda: server.busy))
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        return both

    outcome, state, _ = asyncio.run(program())
    assert box(outcome.require()) == BLUE and state.value == "active"
    wait_until(lambda: not server.call(lambda: server.busy))


# With servers that go wrong.


def test_an_outcome_is_ok_with_both_or_not_at_all():
    for status, code in ((0, 0), (5, 0), (6, 0), (4, 7005), (4, ClientCode.NO_SERVER)):
        assert not GroundOutcome("a mug", "", status, code)
    assert GroundOutcome("a mug", "", 4, 0)
    assert all(7100 < code < 7200 for code in ClientCode)
