"""The `ground` action over DDS: every way a goal can end."""

from __future__ import annotations

import time

import numpy as np
import pytest
from bench import ABORTED, CANCELED, FRAME, SUCCEEDED, TIMEOUT, depth_image, wait_until
from rclpy.duration import Duration
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from test_answers import Held

from clue_ros.action import Ground
from clue_ros.msg import Box as BoxMsg
from clue_ros.ros.seeing import whereabouts
from clue_ros.ros.seeing.camera import DEPTHS_KEPT
from clue_ros.ros.wire.conversions import rgb_to_image
from clue_ros.testing.fake_grounder import Say
from clue_ros.types import Box

Code, State = Ground.Result, Ground.Feedback
MUGS = [Say.ask("Which mug, the red or the blue one?"), Say.found(Box(10, 20, 30, 40))]


def see(bench, metres):
    """Depth and a calibration for the still camera's picture, until a target has a position."""
    bench.depth = depth_image(np.full((48, 64), metres))
    k = [100.0, 0.0, 31.5, 0.0, 100.0, 23.5, 0.0, 0.0, 1.0]
    bench.info = CameraInfo(header=Header(frame_id=FRAME), width=64, height=48, k=k)
    wait_until(lambda: bench.ground("the cup")[1].target.has_position)


def follow(bench) -> list:
    """The states that the feedback tells from now on, also after the result: the two come on ways of their own."""
    states = []
    topic, kind = "ground/_action/feedback", Ground.Impl.FeedbackMessage
    bench.client.create_subscription(kind, topic, lambda message: states.append(message.feedback.state), 50)
    wait_until(lambda: bench.node.count_subscribers(topic) >= 2)
    return states


def someone_steps_in(bench, metres):
    """Another picture with its own depth, and then so many of them that no depth image of before is kept."""
    picture, depth = (
        rgb_to_image(np.full((48, 64, 3), 30, np.uint8), Header(frame_id=FRAME)),
        depth_image(np.full((48, 64), metres)),
    )

    def change():
        bench.image, bench.depth = picture, depth

    bench.spinner.call(change)
    bench.sees(DEPTHS_KEPT + 2)
    stamp = bench.image.header.stamp
    wait_until(lambda: all(kept.message.header.stamp == stamp for kept in list(bench.eye._depths)))


def test_success_carries_the_header_and_the_box(make_bench):
    bench = make_bench({"the mug": Say.found(Box(10, 20, 30, 40), confidence=0.75, probability=0.2)})
    states = follow(bench)
    status, result = bench.ground("the mug")
    assert (status, result.error_code, result.error_msg) == (SUCCEEDED, Code.NONE, "")
    box = result.target.box
    assert (box.x0, box.y0, box.x1, box.y1) == (10, 20, 30, 40)
    assert result.target.header.frame_id == FRAME and result.target.header.stamp.sec > 0
    assert result.target.confidence == pytest.approx(0.75)
    assert not result.was_ambiguous and result.ambiguity_probability == pytest.approx(0.2)
    assert [turn.speaker for turn in result.turns] == ["person", "robot"]
    assert result.turns[0].text == "the mug"
    wait_until(lambda: {State.DETECTING_AMBIGUITY, State.PROJECTING} <= set(states))
    wait_until(lambda: bench.targets and bench.ambiguities)
    assert bench.targets[0] == result.target
    assert bench.ambiguities[0].map_height == 16 and len(bench.ambiguities[0].map) == 256
    assert bench.ambiguities[0].header == result.target.header


def test_the_targets_pixels_come_when_the_parameter_asks_for_them(make_bench):
    bench = make_bench({"the mug": Say.found(Box(10, 20, 30, 40))})
    assert bench.ground("the mug")[1].target.mask.height == 0
    assert bench.node.set_parameters([Parameter("target_mask", value=True)])[0].successful
    target = bench.ground("the mug")[1].target
    mask = np.frombuffer(target.mask.data, np.uint8).reshape(target.mask.height, target.mask.step)
    assert target.mask.encoding == "mono8" and target.mask.header == target.header and mask.shape == (48, 64)
    assert (mask[20:40, 10:30] == 255).all() and mask.sum() == 255 * 20 * 20


def test_image_in_the_goal_is_used_instead_of_the_camera(make_bench):
    bench = make_bench(camera=False)
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    status, result = bench.ground("the mug", image=rgb_to_image(pixels, Header(frame_id="other")))
    assert status == SUCCEEDED and result.target.header.frame_id == "other"
    assert np.array_equal(bench.grounder.images[0], pixels)


def test_position_from_depth(make_bench):
    bench = make_bench({"the mug": Say.found(Box(32, 24, 64, 48))})
    bench.depth = depth_image(np.full((48, 64), 0.8))
    k = [100.0, 0.0, 31.5, 0.0, 100.0, 23.5, 0.0, 0.0, 1.0]
    bench.info = CameraInfo(header=Header(frame_id=FRAME), width=64, height=48, k=k)
    target = wait_until(lambda: (lambda t: t.has_position and t)(bench.ground("the mug")[1].target))
    point = target.position.point
    assert (point.x, point.y, point.z) == pytest.approx((0.16 * 0.8, 0.12 * 0.8, 0.8), abs=1e-4)
    assert target.position.header == target.header


def test_a_clarified_target_has_the_depth_of_the_questions_image(make_bench):
    """A person takes seconds to answer; a camera has sent a hundred depth images by then."""
    bench = make_bench({"the mug": MUGS}, still=True)
    see(bench, 0.8)
    goal = bench.goal("the mug")
    bench.hear("Which mug, the red or the blue one?")
    someone_steps_in(bench, 1.6)
    bench.say("the red one")
    target = goal.finish()[1].target
    assert target.has_position and target.position.point.z == pytest.approx(0.8, abs=1e-4)


def test_a_slow_model_does_not_lose_the_depth_of_its_image(make_bench):
    """The depth images that are kept last 0.3 s at 30 Hz; a large model, or a busy machine, takes longer."""
    bench = make_bench(grounder=Held({"the mug": Say.found(Box(10, 20, 30, 40))}, 0), still=True)
    bench.grounder.let_go.set()
    see(bench, 0.8)
    bench.grounder.let_go.clear()
    bench.grounder.working.clear()
    goal = bench.goal("the mug")
    assert bench.grounder.working.wait(TIMEOUT)
    someone_steps_in(bench, 1.6)
    bench.grounder.let_go.set()
    target = goal.finish()[1].target
    assert target.has_position and target.position.point.z == pytest.approx(0.8, abs=1e-4)


def test_depth_that_comes_after_the_decision_is_waited_for(make_bench, monkeypatch):
    """Drivers align depth to colour after the colour image is out; a model that saw the image ahead is quicker."""
    bench = make_bench({"the mug": Say.found(Box(10, 20, 30, 40))})
    see(bench, 0.8)
    shown, bench.image, bench.depth = bench.image, None, None  # from now on only what this test sends
    bench.spinner.call(lambda: None)  # what was on its way is out
    monkeypatch.setattr(whereabouts, "FLOWS_S", 600.0)

    def send(publisher, message) -> None:
        message.header.stamp = stamp
        publisher.publish(message)

    camera = bench.eye
    far, early = depth_image(np.full((48, 64), 1.6)), bench.client.get_clock().now() - Duration(seconds=30)
    stamp = early.to_msg()  # of no image that is asked about
    for comes in (True, False):
        monkeypatch.setattr(whereabouts, "DEPTH_PATIENCE_S", 600.0 if comes else 0.3)
        stamp = early.to_msg()
        send(bench.depth_publisher, far)  # depth images do come
        wait_until(lambda: any(d.message.header.stamp == stamp for d in camera._depths))
        # Older depth images are of other pictures for certain: longer ago than max_depth_offset_s.
        time.sleep(3 * bench.node.get_parameter("max_depth_offset_s").value)
        stamp = bench.client.get_clock().now().to_msg()
        send(bench.image_publisher, shown)
        wait_until(lambda: camera._frame.message.header.stamp == stamp)
        goal = bench.goal("the mug")
        wait_until(lambda: goal.reached(State.PROJECTING))
        if comes:
            send(bench.depth_publisher, far)
        status, result = goal.finish()
        assert status == SUCCEEDED and result.target.has_position is comes
        assert not comes or result.target.position.point.z == pytest.approx(1.6, abs=1e-4)


def test_an_undated_picture_in_the_goal_has_no_depth(make_bench):
    """Of another place or time, for all that is known: the camera's depth says nothing about it."""
    bench = make_bench({"the mug": Say.found(Box(10, 20, 30, 40))}, still=True)
    see(bench, 0.8)
    pixels = np.full((48, 64, 3), 7, np.uint8)
    assert not bench.ground("the mug", image=rgb_to_image(pixels, Header(frame_id=FRAME)))[1].target.has_position
    dated = Header(frame_id=FRAME, stamp=bench.image.header.stamp)
    assert bench.ground("the mug", image=rgb_to_image(pixels, dated))[1].target.has_position


def test_candidates_are_honoured(make_bench):
    bench = make_bench({"the mug": Say.found(Box(1, 2, 4, 4))})
    one, other = BoxMsg(x0=1.0, y0=2.0, x1=3.0, y1=4.0), BoxMsg(x0=50.0, y0=2.0, x1=70.0, y1=24.0)
    _, result = bench.ground("the mug", candidates=[other, one])
    assert result.target.box == one
    assert bench.ground("the mug", candidates=[other])[1].error_code == Code.NOT_FOUND


def test_question_answered_by_speech(make_bench):
    bench = make_bench({"the mug": MUGS})
    states = follow(bench)
    goal = bench.goal("the mug")
    bench.hear("Which mug, the red or the blue one?")
    wait_until(lambda: goal.reached(State.WAITING_FOR_ANSWER))
    bench.say("the red one")
    status, result = goal.finish()
    assert status == SUCCEEDED and result.was_ambiguous and result.ambiguity_probability == pytest.approx(0.9)
    assert [turn.text for turn in result.turns][:3] == ["the mug", "Which mug, the red or the blue one?", "the red one"]
    expression, turns, _ = bench.grounder.calls[-1]
    assert expression == "the mug" and turns[0].answer.text == "the red one"
    assert len(bench.grounder.images) == 1, "one image a dialogue is encoded once"
    waiting = [feedback for feedback in goal.feedback if feedback.state == State.WAITING_FOR_ANSWER]
    assert waiting[0].question == "Which mug, the red or the blue one?" and waiting[0].questions_asked == 1
    wait_until(lambda: {State.ASKING, State.GROUNDING} <= set(states))


def test_cancel_while_waiting_for_the_answer(make_bench):
    bench = make_bench({"the mug": MUGS})
    goal = bench.goal("the mug")
    bench.hear("Which mug, the red or the blue one?")
    goal.cancel()
    status, result = goal.finish()  # it would wait for ten minutes
    assert (status, result.error_code) == (CANCELED, Code.CANCELED)
    assert bench.ground("the cup")[0] == SUCCEEDED


def test_cancel_while_the_model_works_reaches_the_token_loop(make_bench):
    bench = make_bench({"the mug": Say.found(delay_s=600.0)})
    goal = bench.goal("the mug")
    assert bench.grounder.working.wait(TIMEOUT)
    goal.cancel()
    status, result = goal.finish()
    assert (status, result.error_code) == (CANCELED, Code.CANCELED)
    assert bench.grounder.stopped.wait(TIMEOUT)


def test_cancel_while_waiting_for_a_frame(make_bench):
    bench = make_bench(camera=False, wait_for_image_s=600.0)
    goal = bench.goal("the mug")
    wait_until(lambda: goal.reached(State.WAITING_FOR_IMAGE))
    goal.cancel()
    assert goal.finish()[0] == CANCELED


@pytest.mark.parametrize("delay", [0.0, 600.0], ids=["waiting for the answer", "while the model works"])
def test_goal_timeout(make_bench, delay):
    bench = make_bench({"the mug": Say.ask(delay_s=delay)})
    begun = time.monotonic()
    status, result = bench.ground("the mug", timeout=0.4)
    assert time.monotonic() - begun > 0.3
    assert (status, result.error_code) == (ABORTED, Code.TIMEOUT)


def test_answer_timeout(make_bench):
    bench = make_bench({"the mug": MUGS})
    status, result = bench.ground("the mug", answer_timeout=0.3)
    assert (status, result.error_code) == (ABORTED, Code.ANSWER_TIMEOUT)
    assert "answer_timeout" in result.error_msg


def test_no_camera(make_bench):
    bench = make_bench(camera=False, wait_for_image_s=0.2)
    status, result = bench.ground("the mug")
    assert (status, result.error_code) == (ABORTED, Code.NO_IMAGE)
    assert "/image" in result.error_msg


def test_a_stale_frame_is_refused(make_bench):
    bench = make_bench(wait_for_image_s=0.2)
    assert bench.ground("the mug")[0] == SUCCEEDED
    bench.image = None  # the camera stops
    bench.node.set_parameters([Parameter("max_image_age_s", value=0.5)])
    wait_until(lambda: bench.eye.age_s() > 0.5)
    _, result = bench.ground("the mug")
    assert result.error_code == Code.NO_IMAGE and "old" in result.error_msg


@pytest.mark.parametrize("expression", ["", "  \n", "mug " * 2500], ids=["empty", "blank", "10,000 characters"])
def test_invalid_expression(make_bench, expression):
    bench = make_bench()
    status, result = bench.ground(expression)
    assert (status, result.error_code) == (ABORTED, Code.INVALID_EXPRESSION)
    assert not bench.grounder.calls


BROKEN = {
    "0x0 with data": (Image(encoding="rgb8", data=[1, 2, 3]), Code.INVALID_IMAGE, "0x0"),
    "cut short": (Image(encoding="rgb8", height=2, width=2, step=6, data=[0] * 11), Code.INVALID_IMAGE, "cut short"),
    "no data": (Image(encoding="rgb8", height=2, width=2, step=6), Code.INVALID_IMAGE, "cut short"),
    "encoding": (Image(encoding="rgb9", height=2, width=2, step=6, data=[0] * 12), Code.UNSUPPORTED_ENCODING, "rgb9"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_image_in_the_goal(make_bench, case):
    image, code, text = BROKEN[case]
    bench = make_bench()
    status, result = bench.ground("the mug", image=image)
    assert (status, result.error_code) == (ABORTED, code)
    assert text in result.error_msg


def test_a_camera_that_sends_0x0_frames(make_bench):
    bench = make_bench(camera=False)
    bench.start_camera(Image(encoding="rgb8", header=Header(frame_id=FRAME)))
    assert bench.ground("the mug")[1].error_code == Code.INVALID_IMAGE


@pytest.mark.parametrize(
    "say, code, text",
    [
        (Say.not_found(), Code.NOT_FOUND, "in view"),
        (Say.unknown("zyzzyva", "gizmo"), Code.UNKNOWN_WORDS, "zyzzyva, gizmo"),
        (Say.failure(ValueError("boom")), Code.MODEL_ERROR, "boom"),
        (Say.failure(MemoryError("no more")), Code.OUT_OF_MEMORY, "memory"),
        (Say.failure(RuntimeError("CUDA out of memory. Tried to allocate")), Code.OUT_OF_MEMORY, "CUDA"),
    ],
    ids=["not found", "unknown words", "model error", "memory", "cuda memory"],
)
def test_what_the_model_may_answer(make_bench, say, code, text):
    bench = make_bench({"the mug": say})
    status, result = bench.ground("the mug")
    assert (status, result.error_code) == (ABORTED, code)
    assert text in result.error_msg
    assert bench.ground("the cup")[0] == SUCCEEDED, "the node stays up"


def test_policies(make_bench):
    bench = make_bench({"the mug": [Say.ask(), Say.ask()]})
    status, result = bench.ground("the mug", ambiguity_policy=Ground.Goal.FAIL)
    assert (status, result.error_code) == (ABORTED, Code.AMBIGUOUS) and result.was_ambiguous
    status, result = bench.ground("the mug", ambiguity_policy=Ground.Goal.BEST_GUESS)
    assert status == SUCCEEDED and result.was_ambiguous
    assert not bench.utterances or "Which" not in bench.utterances[0]
    status, result = bench.ground("the mug", ambiguity_policy=9)
    assert (status, result.error_code) == (ABORTED, Code.UNKNOWN) and "ambiguity_policy" in result.error_msg


def test_the_budget_of_questions(make_bench):
    bench = make_bench({"the mug": Say.ask("Which?")})
    goal = bench.goal("the mug", max_questions=1)
    bench.hear("Which?")
    bench.say("that one")
    status, result = goal.finish()
    assert (status, result.error_code) == (ABORTED, Code.AMBIGUOUS)
    assert bench.utterances.count("Which?") == 1


def test_a_newer_goal_preempts(make_bench):
    bench = make_bench({"the mug": MUGS, "the plate": Say.found(delay_s=600.0)})
    first = bench.goal("the mug")
    bench.hear("Which mug, the red or the blue one?")
    second = bench.goal("the plate")
    status, result = first.finish()
    assert (status, result.error_code) == (ABORTED, Code.PREEMPTED)
    third = bench.goal("the cup")  # while the model works on the second
    assert third.finish()[0] == SUCCEEDED
    status, result = second.finish()
    assert (status, result.error_code) == (ABORTED, Code.PREEMPTED)


def test_never_mind(make_bench):
    bench = make_bench({"the mug": MUGS})
    goal = bench.goal("the mug")
    bench.hear("Which mug, the red or the blue one?")
    bench.say("never mind")
    status, result = goal.finish()
    assert (status, result.error_code) == (ABORTED, Code.ABANDONED)


def test_advice_about_new_words_is_given_only_where_they_were_the_reason(make_bench):
    new = 'The word "steel" is new to me. Do you mean the mug?'
    bench = make_bench({"the steel mug": Say.ask(new, unknown_words=("steel",)), "gizmo": Say.unknown("gizmo")})
    goal = bench.goal("the steel mug")
    bench.hear(new)
    bench.say("never mind")
    result = goal.finish()[1]
    assert result.error_code == Code.ABANDONED and "steel" not in result.error_msg
    result = bench.goal("gizmo").finish()[1]
    assert result.error_code == Code.UNKNOWN_WORDS and result.error_msg.endswith("instead of: gizmo")
