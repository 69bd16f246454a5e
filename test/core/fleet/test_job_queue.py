"""Who is served next: the queue alone, without a node."""

from __future__ import annotations

import threading

import pytest

from clue_ros.fleet.job_queue import JobQueue, Lane


def drain(queue, count):
    return [queue.take() for _ in range(count)]


def test_one_source_keeps_its_order():
    queue = JobQueue()
    for number in range(5):
        queue.put(number, Lane.REQUEST, "camera")
    assert drain(queue, 5) == [0, 1, 2, 3, 4]


def test_sources_take_turns():
    queue = JobQueue()
    for number in range(3):
        queue.put(f"a{number}", Lane.REQUEST, "a")
    queue.put("b0", Lane.REQUEST, "b")
    queue.put("c0", Lane.REQUEST, "c")
    assert drain(queue, 5) == ["a0", "b0", "c0", "a1", "a2"]


def test_who_comes_while_a_flood_is_served_is_next():
    queue = JobQueue()
    for number in range(100):
        queue.put(f"flood{number}", Lane.REQUEST, "a")
    drain(queue, 1)  # runs
    queue.put("other camera", Lane.REQUEST, "b")
    assert queue.take() == "other camera"
    queue.put("goal", Lane.DIALOGUE)
    queue.put("other camera again", Lane.REQUEST, "b")
    assert drain(queue, 3) == ["goal", "flood1", "other camera again"]


@pytest.mark.parametrize("cameras", [1, 2, 7])
def test_a_dialogue_waits_for_one_request_at_most(cameras):
    queue = JobQueue()
    for number in range(100):
        queue.put(f"flood{number}", Lane.REQUEST, f"camera{number % cameras}")
    for step in range(10):
        queue.put(f"step{step}", Lane.DIALOGUE)
        assert f"step{step}" in drain(queue, 2)


def test_dialogues_cannot_starve_requests():
    queue = JobQueue()
    queue.put("reading", Lane.REQUEST, "camera")
    for step in range(10):
        queue.put(f"step{step}", Lane.DIALOGUE)
    assert "reading" in drain(queue, 2)


def test_ever_new_sources_cannot_starve_an_old_one():
    queue = JobQueue()
    queue.put("old", Lane.REQUEST, "old")
    served = []
    for number in range(20):
        queue.put(number, Lane.REQUEST, f"new{number}")
        queue.put(-number - 1, Lane.REQUEST, f"newer{number}")
        served.append(queue.take())
    assert "old" in served[:2]


def test_looks_come_last_and_one_at_a_time():
    queue = JobQueue()
    assert queue.put("look", Lane.LOOK) and not queue.put("second look", Lane.LOOK)
    queue.put("reading", Lane.REQUEST, "camera")
    assert drain(queue, 2) == ["reading", "look"]
    assert queue.put("look", Lane.LOOK)
    assert queue.remove("look") and not queue.remove("look")


def test_removed_jobs_never_come_and_cost_no_turn():
    queue = JobQueue()
    for number in range(3):
        queue.put(f"flood{number}", Lane.REQUEST, "a")
    drain(queue, 1)
    queue.put("superseded goal", Lane.DIALOGUE)
    assert queue.remove("superseded goal")
    queue.put("goal", Lane.DIALOGUE)
    assert queue.take() == "goal"
    assert queue.remove("flood2") and not queue.remove("goal")
    assert queue.take() == "flood1"
    queue.close()
    assert queue.take() is None and not queue.put("late", Lane.REQUEST)


def test_take_waits_for_work_and_ends_with_close():
    queue, taken = JobQueue(), []
    worker = threading.Thread(target=lambda: taken.extend(iter(queue.take, None)))
    worker.start()
    for number in range(200):
        queue.put(number, Lane.REQUEST, number % 3)
    queue.put("last", Lane.LOOK)
    while len(taken) < 201:
        worker.join(0.01)
    queue.close()
    worker.join(60.0)
    assert not worker.is_alive() and sorted(taken[:-1]) == list(range(200)) and taken[-1] == "last"
