"""Several clients at once, over DDS: nobody waits longer than fair, nothing is mixed up, a cancel frees its place."""

from __future__ import annotations

import time

import numpy as np
import pytest
from bench import ABORTED, CANCELED, SUCCEEDED, TIMEOUT, wait_until
from std_msgs.msg import Header

from clue_ros.action import Ground
from clue_ros.ros.wire.conversions import rgb_to_image
from clue_ros.srv import DetectAmbiguity
from clue_ros.testing.fake_grounder import Say, ScriptedGrounder
from clue_ros.types import OutOfMemoryError

Code = Ground.Result


class Recorder(ScriptedGrounder):
    """Notes which expressions were worked on, in order, and that never two at once."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.order, self.inside = [], 0

    def ground(self, image, expression, *args, **kwargs):
        return self._alone(super().ground, image, expression, *args, **kwargs)

    def detect_ambiguity(self, image, expression, *args, **kwargs):
        return self._alone(super().detect_ambiguity, image, expression, *args, **kwargs)

    def _alone(self, work, image, expression, *args, **kwargs):
        assert self.inside == 0, "two jobs at once"
        self.inside += 1
        self.order.append(expression)
        try:
            return work(image, expression, *args, **kwargs)
        finally:
            self.inside -= 1


def flood(bench, count, frame="", word="flood"):
    """`count` detection requests, much faster than they can be served, with images of their own; their futures."""
    image = rgb_to_image(np.full((8, 8, 3), 50, np.uint8), Header(frame_id=frame))
    futures = []
    for number in range(count):
        request = DetectAmbiguity.Request(expression=f"{word} {number}", image=image)
        futures.append(bench.detect_client.call_async(request))
        time.sleep(0.01)  # a service's DDS queue holds ten
    return futures


def make(make_bench, script=None, delay_s=0.15):
    return make_bench(grounder=Recorder(script or {}, delay_s=delay_s), look_ahead=False)


def test_a_flood_of_requests_delays_a_goal_by_one_job(make_bench):
    bench = make(make_bench)
    futures = flood(bench, 12)
    wait_until(lambda: len(bench.grounder.order) >= 3)
    before = len(bench.grounder.order)
    assert bench.ground("the goal")[0] == SUCCEEDED
    # The one that ran when the goal came, one more if that had just ended, and none besides.
    assert bench.grounder.order.index("the goal") <= before + 1
    wait_until(lambda: all(future.done() for future in futures))
    assert all(future.result().success for future in futures)
    words = [word for word in bench.grounder.order if word.startswith("flood")]
    assert words == [f"flood {number}" for number in range(12)], "first come, first served"


def test_every_step_of_a_dialogue_gets_its_turn_in_a_flood(make_bench):
    bench = make(make_bench, {"the mug": [Say.ask("Which?"), Say.ask("Which one?"), Say.found()]}, delay_s=0.1)
    futures = flood(bench, 30)
    goal = bench.goal("the mug")
    for question in ("Which?", "Which one?"):
        bench.hear(question)
        before = len(bench.grounder.order)
        bench.say("the red one")
        wait_until(lambda n=before: "the mug" in bench.grounder.order[n:])
        assert bench.grounder.order[before:].index("the mug") <= 2
    assert goal.finish()[0] == SUCCEEDED
    assert not all(future.done() for future in futures), "the flood was longer than the dialogue"


def test_cameras_take_turns(make_bench):
    bench = make(make_bench)
    flood(bench, 15, "camera_a", "a")
    wait_until(lambda: len(bench.grounder.order) >= 2)
    before = len(bench.grounder.order)
    (other,) = flood(bench, 1, "camera_b", "b")
    wait_until(other.done)
    assert other.result().success and bench.grounder.order.index("b 0") <= before + 1


def test_a_request_is_served_at_once_while_a_dialogue_waits(make_bench):
    bench = make(make_bench, {"the mug": [Say.ask("Which?"), Say.found()]}, delay_s=0.02)
    goal = bench.goal("the mug")
    bench.hear("Which?")
    assert bench.detect("the cup").success
    assert not goal.done, "it was not kept until somebody answers"
    bench.say("red")
    assert goal.finish()[0] == SUCCEEDED


def test_a_goal_canceled_in_the_queue_ends_at_once(make_bench):
    bench = make(make_bench, {"flood 0": Say.found(delay_s=10.0)})
    flood(bench, 1)
    assert bench.grounder.working.wait(TIMEOUT)
    goal = bench.goal("the mug")
    goal.cancel()
    status, result = goal.finish()
    assert (status, result.error_code) == (CANCELED, Code.CANCELED) and bench.grounder.inside == 1
    assert bench.grounder.order == ["flood 0"], "it never reached the model"


def test_deactivation_answers_every_request(make_bench):
    bench = make(make_bench, delay_s=0.5)
    futures = flood(bench, 8)
    assert bench.grounder.working.wait(TIMEOUT)
    time.sleep(0.2)
    bench.lifecycle("deactivate")
    wait_until(lambda: all(future.done() for future in futures))
    assert any(future.result().error_code == Code.NOT_ACTIVE for future in futures)
    assert len(bench.grounder.order) <= 2


def test_out_of_memory_is_said_and_the_node_stays_up(make_bench):
    bench = make_bench({"the mug": Say.failure(OutOfMemoryError("no memory left: use int4"))})
    status, result = bench.ground("the mug")
    assert (status, result.error_code, result.error_msg) == (ABORTED, Code.OUT_OF_MEMORY, "no memory left: use int4")
    assert bench.detect("the mug").error_code == Code.OUT_OF_MEMORY
    assert bench.ground("the cup")[0] == SUCCEEDED


@pytest.mark.parametrize("policy, limit, asked", [(Ground.Goal.ASK, 0.0, 0), (Ground.Goal.ASK_UNTIL_CONFIDENT, 0.7, 2)])
def test_ask_until_confident(make_bench, policy, limit, asked):
    unsure = Say.found(confidence=0.3, question="Is it the red one?")
    bench = make_bench({"the mug": unsure}, min_confidence=0.7, max_questions=2)
    goal = bench.goal("the mug", ambiguity_policy=policy)
    for count in range(asked):
        wait_until(lambda n=count: bench.utterances.count("Is it the red one?") == n + 1)
        bench.say("yes")
    status, result = goal.finish()
    assert status == SUCCEEDED and result.target.confidence == pytest.approx(0.3), "the best box, and how sure it is"
    assert bench.utterances.count("Is it the red one?") == asked
    assert bench.grounder.limits == [pytest.approx(limit)] * asked + [0.0]
