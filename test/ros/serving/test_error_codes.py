"""Every error code of the action, reached over DDS by what causes it on a robot: one way each, in one node.

The codes come from the interface itself, so a new one fails here until somebody says how it is reached.
"""

from __future__ import annotations

import pytest
from bench import ABORTED, CANCELED, SUCCEEDED, Bench, wait_until
from domains import isolated
from sensor_msgs.msg import Image

from clue_ros.action import Ground
from clue_ros.ros.running.errors import CODE_NAMES
from clue_ros.ros.wire.messages import seconds_to_duration
from clue_ros.testing.fake_grounder import Say
from clue_ros.types import ModelUnavailableError

Goal, State = Ground.Goal, Ground.Feedback
SCRIPT = {
    "the mug": Say.ask("Which mug?"), "the ghost": Say.not_found(), "the zyzzyva": Say.unknown("zyzzyva"),
    "something slow": Say.found(delay_s=600.0), "a bug": Say.failure(ValueError("boom")),
    "far away": Say.failure(ModelUnavailableError("no answer from http://gpu:8780")),
    "a large image": Say.failure(RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")),
}  # fmt: skip
CUT_SHORT = {"height": 2, "width": 2, "step": 6, "data": [0] * 11}


def ends(expression: str, **fields):
    """A goal that ends by itself."""
    return lambda bench: bench.ground(expression, **fields)


def canceled(bench: Bench):
    goal = bench.goal("something slow")
    goal.cancel()
    return goal.finish()


def preempted(bench: Bench):
    goal = bench.goal("something slow")
    assert bench.ground("the cup")[0] == SUCCEEDED
    return goal.finish()


def abandoned(bench: Bench):
    goal = bench.goal("the mug")
    wait_until(lambda: goal.reached(State.WAITING_FOR_ANSWER))
    assert bench.answer(text="never mind").accepted
    return goal.finish()


def not_active(bench: Bench):
    goal = bench.goal("something slow")
    bench.lifecycle("deactivate")
    try:
        return goal.finish()
    finally:
        bench.lifecycle("activate")


# code: (the way, words of error_msg)
WAYS = {
    "NONE": (ends("the cup"), ""),
    "UNKNOWN": (ends("the cup", ambiguity_policy=9), "ambiguity_policy"),
    "INVALID_EXPRESSION": (ends(" \n"), "empty"),
    "INVALID_IMAGE": (ends("the cup", image=Image(encoding="rgb8", **CUT_SHORT)), "cut short"),
    "UNSUPPORTED_ENCODING": (ends("the cup", image=Image(encoding="rgb9", **CUT_SHORT)), "rgb9"),
    "NO_IMAGE": (ends("the cup", max_image_age=seconds_to_duration(1e-6)), "old"),
    "NOT_FOUND": (ends("the ghost"), "in view"),
    "UNKNOWN_WORDS": (ends("the zyzzyva"), "zyzzyva"),
    "AMBIGUOUS": (ends("the mug", ambiguity_policy=Goal.FAIL), "max_questions"),
    "ANSWER_TIMEOUT": (ends("the mug", answer_timeout=0.1), "answer_timeout"),
    "TIMEOUT": (ends("something slow", timeout=0.1), "timeout"),
    "CANCELED": (canceled, "client"),
    "PREEMPTED": (preempted, "newer goal"),
    "ABANDONED": (abandoned, "never mind"),
    "NOT_ACTIVE": (not_active, "activate it"),
    "MODEL_ERROR": (ends("a bug"), "boom"),
    "OUT_OF_MEMORY": (ends("a large image"), "out of memory"),
    "UNKNOWN_CAMERA": (ends("the cup", camera="nose"), "nose"),
    "MODEL_UNAVAILABLE": (ends("far away"), "http://gpu:8780"),
}
# What the service detect_ambiguity can end with, of the same codes.
DETECT_WAYS = {
    "NONE": {"expression": "the cup"}, "INVALID_EXPRESSION": {"expression": ""},
    "INVALID_IMAGE": {"expression": "the cup", "image": Image(encoding="rgb8", **CUT_SHORT)},
    "UNSUPPORTED_ENCODING": {"expression": "the cup", "image": Image(encoding="rgb9", **CUT_SHORT)},
    "MODEL_ERROR": {"expression": "a bug"}, "OUT_OF_MEMORY": {"expression": "a large image"},
    "UNKNOWN_CAMERA": {"expression": "the cup", "camera": "nose"},
    "MODEL_UNAVAILABLE": {"expression": "far away"},
}  # fmt: skip


@pytest.fixture(scope="module")
def bench():
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    with isolated():
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        bench = Bench(SCRIPT, wait_for_image_s=0.2)
        yield bench
        bench.close()
        rclpy.try_shutdown()


@pytest.mark.parametrize("code", sorted(CODE_NAMES), ids=CODE_NAMES.get)
def test_every_code_is_reached_and_the_node_works_on(bench, code):
    way, words = WAYS[CODE_NAMES[code]]  # a KeyError here: say above how the new code is reached
    status, result = way(bench)
    assert CODE_NAMES[result.error_code] == CODE_NAMES[code]
    assert status == {"NONE": SUCCEEDED, "CANCELED": CANCELED}.get(CODE_NAMES[code], ABORTED)
    assert words in result.error_msg and bool(result.error_msg) == (code != 0)
    assert bench.ground("the cup")[1].error_code == 0


@pytest.mark.parametrize("name", sorted(DETECT_WAYS))
def test_codes_of_the_service(bench, name):
    response = bench.detect(**DETECT_WAYS[name])
    assert (CODE_NAMES[response.error_code], response.success) == (name, name == "NONE")
    assert bool(response.error_msg) != response.success
