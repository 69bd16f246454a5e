"""Faults of those who talk to the node: a flood of speech, fifty clients at once, a storm of cancels."""

from __future__ import annotations

import random
import time
from typing import Iterator, List

import numpy as np

from clue_ros.ros.lab.faults.client import Client, Goal, tally, wait_for
from clue_ros.ros.lab.faults.robot import NAMESPACE, RESULT_S, Robot
from clue_ros.ros.lab.faults.rows import Check
from clue_ros.ros.running.spinning import Spinner

WORDS = 1000  # utterances of the flood
NONSENSE = ("blah blah", "the red mug", "uh", "the left one", "yes", "no", "12345", "what?", "robot robot robot")
CLIENTS = 50
EVERYBODY_S = 30.0
STORM = 200
CANCEL_S = 0.1 + 0.05  # and one token of the model on two cores
FINAL = ("NONE", "NOT_FOUND", "CANCELED", "PREEMPTED", "AMBIGUOUS", "UNKNOWN_WORDS")


def speech_flood(robot: Robot) -> Iterator[Check]:
    robot.show(robot.clear)
    count, before = max(100, int(WORDS * robot.effort)), robot.rss_mb()
    begun = time.monotonic()
    goal = None
    for index in range(count):
        robot.client.say(NONSENSE[index % len(NONSENSE)])
        if index == count // 2:
            goal = robot.clear_goal()
        time.sleep(0.001)
    took = time.monotonic() - begun
    goal.wait(RESULT_S)
    yield Check(
        f"{count} utterances in {took:.1f} s; a goal in the middle",
        f"found ≤ {robot.limit(3.0):g} s",
        f"{goal.code} after {goal.seconds:.2f} s",
        robot.found_it(goal) and goal.seconds <= robot.limit(3.0),
    )
    goal = robot.ask()
    for index in range(count // 5):
        robot.client.say(NONSENSE[index % len(NONSENSE)])
    goal.wait(RESULT_S)
    yield Check(
        f"{count // 5} utterances at once while a question is open",
        f"a result ≤ {robot.limit(5.0):g} s",
        f"{goal.code} after {goal.seconds:.2f} s",
        goal.code in (*FINAL, "ABANDONED") and goal.seconds <= robot.limit(5.0),
    )
    grown = robot.rss_mb() - before
    yield Check("both", "memory + ≤ 20 MB", f"{grown:+.1f} MB", grown <= 20.0)
    robot.client.say("never mind")  # whatever the last words began


def fifty_clients(robot: Robot) -> Iterator[Check]:
    robot.show(robot.clear)
    count = max(20, int(CLIENTS * robot.effort))
    clients = [Client(NAMESPACE, f"client_{index}") for index in range(count)]
    spinner = Spinner(*clients)
    try:
        wait_for(lambda: all(client.connected for client in clients), 60.0, f"{count} connected clients")
        goals = [client.goal(robot.clear.expression) for client in clients]
        readings = [client.detect(robot.clear.expression) for client in clients]
        begun = time.monotonic()
        limit = robot.limit(EVERYBODY_S)
        wait_for(lambda: all(goal.done for goal in goals), limit, "all goals' results")
        last = max(goal.finished for goal in goals) - begun
        codes = {goal.code for goal in goals}
        yield Check(
            f"{count} clients send a goal each at once",
            f"each gets a result ≤ {limit:g} s; ≥ 1 found, the others PREEMPTED",
            f"{tally(goals)}; the last after {last:.2f} s",
            "NONE" in codes and codes <= {"NONE", "PREEMPTED"},
        )
        wait_for(lambda: all(reading.done() for reading in readings), limit, "all readings")
        last = time.monotonic() - begun
        good = sum(reading.result().ok for reading in readings)
        yield Check(
            f"the {count} ask detect_ambiguity as well",
            f"each answered ≤ {limit:g} s",
            f"{good} answered; the last after {last:.2f} s",
            good == count,
        )
    finally:
        spinner.close()
        for client in clients:
            client.close()


def cancel_storm(robot: Robot) -> Iterator[Check]:
    robot.show(robot.clear)
    rng = random.Random(0)
    count = max(30, int(STORM * robot.effort))
    goals: List[Goal] = []
    seconds: List[float] = []
    calls: List[float] = []  # of a service that does nothing, for what the machine itself takes
    for index in range(count):
        begun = time.monotonic()
        robot.client.state()
        calls.append(time.monotonic() - begun)
        expression = (robot.clear if index % 2 else robot.unclear).expression
        goal = robot.client.goal(expression)
        time.sleep(rng.uniform(0.0, 0.08))
        at = goal.cancel()
        if rng.random() < 0.3:
            goal.cancel()  # twice: an impatient operator
        goal.wait(RESULT_S)
        goals.append(goal)
        if goal.code == "CANCELED":
            seconds.append(goal.finished - at)
    codes = {goal.code for goal in goals}
    yield Check(
        f"{count} goals, each cancelled 0 to 80 ms after it was sent, some twice",
        "each gets a result; no code but CANCELED or its own end",
        tally(goals),
        codes <= {"CANCELED", "NONE", "NOT_FOUND"},
    )
    typical, worst = 1e3 * np.percentile(seconds, (50, 99))
    call = 1e3 * np.percentile(calls, 99)
    yield Check(
        "the same",
        f"cancel to result, p99 ≤ {CANCEL_S * 1e3:.0f} ms + an empty service call (p99 {call:.0f} ms)",
        f"p50 {typical:.0f} ms, p99 {worst:.0f} ms",
        worst <= CANCEL_S * 1e3 + call,
    )
    goals = [robot.client.goal(robot.unclear.expression) for _ in range(count // 2)]
    robot.client.cancel_all()
    for goal in goals:
        goal.cancel()
    begun = time.monotonic()
    wait_for(lambda: all(goal.done for goal in goals), RESULT_S, "all results")
    took, limit = time.monotonic() - begun, robot.limit(5.0)
    yield Check(
        f'{count // 2} goals at once, all cancelled at once, and "cancel everything"',
        f"each gets a result ≤ {limit:g} s",
        f"{tally(goals)}; {took:.2f} s",
        {goal.code for goal in goals} <= set(FINAL) and took <= limit,
    )
