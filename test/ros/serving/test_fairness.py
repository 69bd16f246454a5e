"""Several clients at once, over DDS: nobody waits longer than fair, nothing is mixed up, a cancel frees its place.

The model does one job for each `let`, so that it is certain who waits when it takes the next one.
"""

from __future__ import annotations

import threading

import numpy as np
import pytest
from bench import ABORTED, CANCELED, SUCCEEDED, wait_until
from std_msgs.msg import Header

from clue_ros.action import Ground
from clue_ros.ros.wire.conversions import rgb_to_image
from clue_ros.srv import DetectAmbiguity
from clue_ros.testing.fake_grounder import Say, ScriptedGrounder
from clue_ros.types import Cancelled, OutOfMemoryError

Code = Ground.Result


class Recorder(ScriptedGrounder):
    """Notes which expressions were worked on, in order, and that never two at once; each waits until it is let."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.order, self.inside, self._let = [], 0, threading.Semaphore(0)

    def let(self, jobs=1000):
        self._let.release(jobs)

    def ground(self, image, expression, *args, **kwargs):
        return self._alone(super().ground, image, expression, *args, **kwargs)

    def detect_ambiguity(self, image, expression, *args, **kwargs):
        return self._alone(super().detect_ambiguity, image, expression, *args, **kwargs)

    def _alone(self, work, image, expression, *args, should_stop, **kwargs):
        assert self.inside == 0, "two jobs at once"
        self.inside += 1
        self.order.append(expression)
        try:
            while not self._let.acquire(timeout=0.01):
                if should_stop():
                    raise Cancelled("stopped")
            return work(image, expression, *args, should_stop=should_stop, **kwargs)
        finally:
            self.inside -= 1


def waiting(bench, jobs):
    """Waits until so many jobs run or wait at the model."""
    wait_until(lambda: bench.node._inference.waiting == jobs, what=f"{jobs} jobs")


def flood(bench, count, frame="", word="flood"):
    """`count` detection requests, eight at most, that wait at the model, with images of their own; their futures."""
    image = rgb_to_image(np.full((8, 8, 3), 50, np.uint8), Header(frame_id=frame))
    futures, before = [], bench.node._inference.waiting
    for number in range(count):
        request = DetectAmbiguity.Request(expression=f"{word} {number}", image=image)
        futures.append(bench.detect_client.call_async(request))
        waiting(bench, before + number + 1)  # the DDS queues of a service hold ten
    return futures


def make(make_bench, script=None):
    return make_bench(grounder=Recorder(script or {}), look_ahead=False)


def test_a_flood_of_requests_delays_a_goal_by_one_job(make_bench):
    bench = make(make_bench)
    futures = flood(bench, 8)
    goal = bench.goal("the goal")
    waiting(bench, 9)
    bench.grounder.let()
    assert goal.finish()[0] == SUCCEEDED
    assert bench.grounder.order.index("the goal") == 1, "after the one that ran when it came"
    wait_until(lambda: all(future.done() for future in futures))
    assert all(future.result().success for future in futures)
    words = [word for word in bench.grounder.order if word.startswith("flood")]
    assert words == [f"flood {number}" for number in range(8)], "first come, first served"


def test_every_step_of_a_dialogue_gets_its_turn_in_a_flood(make_bench):
    bench = make(make_bench, {"the mug": [Say.ask("Which?"), Say.ask("Which one?"), Say.found()]})
    futures = flood(bench, 8)
    goal = bench.goal("the mug")
    for number, question in enumerate(("Which?", "Which one?", ""), start=1):
        waiting(bench, 10 - number)  # the request that runs, those behind it, and the dialogue's step
        bench.grounder.let(2)
        if question:
            bench.hear(question)
            bench.say("the red one")
    assert goal.finish()[0] == SUCCEEDED
    assert bench.grounder.order[:6] == ["flood 0", "the mug", "flood 1", "the mug", "flood 2", "the mug"]
    assert not futures[-1].done(), "the flood was longer than the dialogue"
    bench.grounder.let()
    wait_until(lambda: all(future.done() for future in futures))


def test_cameras_take_turns(make_bench):
    bench = make(make_bench)
    futures = flood(bench, 7, "camera_a", "a") + flood(bench, 1, "camera_b", "b")
    bench.grounder.let()
    wait_until(lambda: all(future.done() for future in futures))
    assert futures[-1].result().success and bench.grounder.order.index("b 0") <= 2


def test_a_request_is_served_at_once_while_a_dialogue_waits(make_bench):
    bench = make(make_bench, {"the mug": [Say.ask("Which?"), Say.found()]})
    bench.grounder.let()
    goal = bench.goal("the mug")
    bench.hear("Which?")
    assert bench.detect("the cup").success
    assert not goal.done, "it was not kept until somebody answers"
    bench.say("red")
    assert goal.finish()[0] == SUCCEEDED


def test_a_goal_canceled_in_the_queue_ends_at_once(make_bench):
    bench = make(make_bench)
    (running,) = flood(bench, 1)
    wait_until(lambda: bench.grounder.inside)
    goal = bench.goal("the mug")
    goal.cancel()
    status, result = goal.finish()
    assert (status, result.error_code) == (CANCELED, Code.CANCELED) and bench.grounder.inside == 1
    assert bench.grounder.order == ["flood 0"] and not running.done(), "it never reached the model"
    bench.grounder.let()
    wait_until(running.done)


def test_deactivation_answers_every_request(make_bench):
    bench = make(make_bench)
    futures = flood(bench, 8)
    bench.lifecycle("deactivate")
    wait_until(lambda: all(future.done() for future in futures))
    assert [future.result().error_code for future in futures] == [Code.NOT_ACTIVE] * 8
    assert bench.grounder.order == ["flood 0"]


def test_out_of_memory_is_said_and_the_node_stays_up(make_bench):
    bench = make_bench({"the mug": Say.failure(OutOfMemoryError("no memory left: use int4"))})
    status, result = bench.ground("the mug")
    assert (status, result.error_code, result.error_msg) == (ABORTED, Code.OUT_OF_MEMORY, "no memory left: use int4")
    assert bench.detect("the mug").error_code == Code.OUT_OF_MEMORY
    assert bench.ground("the cup")[0] == SUCCEEDED


@pytest.mark.parametrize(
    "policy, given, limit, asked",
    [
        (Ground.Goal.ASK, 0.7, 0.0, 0),
        (Ground.Goal.ASK_UNTIL_CONFIDENT, 0.7, pytest.approx(0.7), 2),
        (Ground.Goal.ASK_UNTIL_CONFIDENT, 0.0, None, 2),  # the model's own, 0.5
    ],
)
def test_ask_until_confident(make_bench, policy, given, limit, asked):
    unsure = Say.found(confidence=0.3, question="Is it the red one?")
    bench = make_bench({"the mug": unsure}, min_confidence=given, max_questions=2)
    goal = bench.goal("the mug", ambiguity_policy=policy)
    for count in range(asked):
        wait_until(lambda n=count: bench.utterances.count("Is it the red one?") == n + 1)
        bench.say("yes")
    status, result = goal.finish()
    assert status == SUCCEEDED and result.target.confidence == pytest.approx(0.3), "the best box, and how sure it is"
    assert bench.utterances.count("Is it the red one?") == asked
    assert bench.grounder.limits == [limit] * asked + [0.0]
