"""Pointing over real DDS: the topic `point` in pixels, in metres of the optical frame and in a frame that only tf2
knows; scribbles and marks through `answer`, a gesture with a goal, questions of numbers, and the belief that goes out
with them.
"""

from __future__ import annotations

import sys

import pytest
from bench import ABORTED, FRAME, SUCCEEDED, wait_until
from geometry_msgs.msg import Point32, PointStamped, Quaternion, Transform, TransformStamped, Vector3
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header
from test_cameras import start
from test_frames import LATCHED, K, stand_in

from clue_ros.action import Ground
from clue_ros.msg import Box as BoxMsg
from clue_ros.msg import Pointing
from clue_ros.ros.wire.messages import msg_to_box
from clue_ros.srv import Answer
from clue_ros.testing.fake_grounder import Say
from clue_ros.types import Box

LEFT, RIGHT = Box(4, 10, 20, 40), Box(40, 10, 60, 40)
ASKS = {"the mug": [Say.ask("Which mug?", candidates=(RIGHT, LEFT)), Say.found(LEFT)], "this one": Say.found(RIGHT)}
SCRIBBLE, MARK = Answer.Request.SCRIBBLE, Answer.Request.MARK


def stroke(*places):
    return [Point32(x=float(x), y=float(y)) for x, y in places]


def publisher(bench):
    made = bench.client.create_publisher(PointStamped, "point", 10)
    wait_until(lambda: made.get_subscription_count() > 0, what="point subscription")
    return made


def point(x, y, z=0.0, frame=FRAME):
    message = PointStamped(header=Header(frame_id=frame))
    message.point.x, message.point.y, message.point.z = float(x), float(y), float(z)
    return message


def answered(bench, message):
    """Where a published point lands as the answer to an open question, in pixels."""
    goal = bench.goal("the mug")
    wait_until(lambda: goal.reached(Ground.Feedback.WAITING_FOR_ANSWER), what="question")
    publisher(bench).publish(message)
    status, _ = goal.finish()
    assert status == SUCCEEDED
    return bench.grounder.calls[-1][1][-1].answer.point


def test_pixels_answer_the_open_question_and_points_outside_do_not(make_bench, capfd):
    bench = make_bench(ASKS)
    goal = bench.goal("the mug")
    wait_until(lambda: "Which mug?" in bench.utterances, what="question")
    sender = publisher(bench)
    sender.publish(point(-3, 12))
    wait_until(lambda: "outside the 64x48 image" in capfd.readouterr().err, what="log line")
    sender.publish(point(12, 24))
    assert goal.finish()[0] == SUCCEEDED
    assert bench.grounder.calls[-1][1][-1].answer.point == (12.0, 24.0)


def test_metres_are_projected_also_from_another_frame(make_bench, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2_ros", stand_in())
    bench = make_bench(ASKS)
    bench.info = CameraInfo(header=Header(frame_id=FRAME), width=64, height=48, k=K)
    wait_until(lambda: bench.eye.optics.info is not None, what="camera_info")
    assert answered(bench, point(0.1, -0.05, 1.0)) == pytest.approx((41.5, 18.5))
    # In a map whose axes are x forward, y left, z up, at the camera itself.
    bench.client.create_publisher(TransformStamped, "/tf_stand_in", LATCHED).publish(
        TransformStamped(
            header=Header(frame_id=FRAME),
            child_frame_id="map",
            transform=Transform(translation=Vector3(), rotation=Quaternion(x=0.5, y=-0.5, z=0.5, w=0.5)),
        )  # fmt: skip
    )
    assert answered(bench, point(2.0, -0.2, 0.1, "map")) == pytest.approx((41.5, 18.5))


def test_a_place_pointed_at_belongs_to_the_words_that_need_one(make_bench):
    bench = make_bench(ASKS, point_window_s=30.0)
    wait_until(lambda: bench.eye.frame_id, what="the first image")
    sender = publisher(bench)
    sender.publish(point(50, 20))
    wait_until(lambda: bench.conversation.pointed is not None, what="the gesture")
    assert bench.ground("this one")[0] == SUCCEEDED
    assert bench.grounder.calls[-1][1][0].answer.point == (50.0, 20.0)
    assert bench.ground("this one")[0] == SUCCEEDED
    assert bench.grounder.calls[-1][1] == ()  # a gesture counts once


def test_a_question_of_numbers_and_its_answer(make_bench):
    bench = make_bench(ASKS, question_policy="numbers")
    goal = bench.goal("the mug")
    wait_until(lambda: "Do you mean 1 or 2?" in bench.utterances, what="question")
    bench.say("the second")
    status, result = goal.finish()
    assert status == SUCCEEDED and (result.target.box.x0, result.target.box.x1) == (RIGHT.x0, RIGHT.x1)


def test_a_scribble_and_a_mark_answer_through_the_service(make_bench):
    bench = make_bench(ASKS, question_policy="numbers")
    goal = bench.goal("the mug")
    bench.hear("Do you mean 1 or 2?")
    for wrong, why in (
        ({"kind": MARK, "mark": 3}, "none of the 2 numbers"), ({"kind": MARK}, "none of the 2 numbers"),
        ({"kind": SCRIBBLE, "points": stroke((1, 1), (2, 2))}, "3 to 1000 points"),
        ({"kind": SCRIBBLE, "points": stroke((1, 1), (2, 2), (float("nan"), 2))}, "finite"),
        ({"kind": SCRIBBLE, "points": stroke((90, 1), (95, 2), (92, 9))}, "outside the 64x48 image"),
        ({"kind": 9}, "kind 9"),
    ):  # fmt: skip
        refused = bench.answer(**wrong)
        assert not refused.accepted and why in refused.message, (wrong, refused.message)
    assert bench.answer(kind=MARK, mark=2).accepted
    status, result = goal.finish()
    assert status == SUCCEEDED and msg_to_box(result.target.box) == RIGHT
    goal = bench.goal("the mug")
    wait_until(lambda: bench.utterances.count("Do you mean 1 or 2?") == 2, what="question")
    assert bench.answer(kind=SCRIBBLE, points=stroke((42, 12), (58, 38), (44, 30))).accepted
    status, result = goal.finish()
    assert status == SUCCEEDED
    said = bench.grounder.calls[-1][1][-1].answer
    assert said.box == (42, 12, 58, 38) and said.point == (50, 25)
    assert result.turns[-2].text == "(scribble 42 12 58 38)"


def test_a_mark_needs_a_question_of_numbers(make_bench):
    bench = make_bench(ASKS)
    goal = bench.goal("the mug")
    bench.hear("Which mug?")
    refused = bench.answer(kind=MARK, mark=1)
    assert not refused.accepted and "question_policy numbers" in refused.message
    goal.cancel()
    goal.finish()


@pytest.mark.parametrize("pointing, point, box", [
    (Pointing(kind=Pointing.POINT, x=50.0, y=20.0), (50, 20), None),
    (Pointing(kind=Pointing.BOX, box=BoxMsg(x0=40.0, y0=10.0, x1=60.0, y1=40.0)), None, RIGHT),
    (Pointing(kind=Pointing.SCRIBBLE, points=stroke((42, 12), (58, 38), (44, 30))), (50, 25), (42, 12, 58, 38)),
])  # fmt: skip
def test_a_goal_brings_its_gesture(make_bench, pointing, point, box):
    bench = make_bench(ASKS)
    status, result = bench.ground("this one", pointing=pointing)
    assert status == SUCCEEDED and msg_to_box(result.target.box) == RIGHT
    given = bench.grounder.calls[-1][1][0].answer
    assert (given.point, given.box) == (point, box)


def test_a_gesture_that_means_nothing_is_told(make_bench):
    bench = make_bench(ASKS)
    for pointing, why in (
        (Pointing(kind=Pointing.POINT, x=65.0, y=20.0), "outside the 64x48 image"),
        (Pointing(kind=Pointing.POINT, x=float("nan")), "finite"),
        (Pointing(kind=Pointing.BOX), "empty"), (Pointing(kind=Pointing.SCRIBBLE), "3 to 1000 points"),
        (Pointing(kind=7), "kind 7"),
    ):  # fmt: skip
        status, result = bench.ground("this one", pointing=pointing)
        assert status == ABORTED and result.error_code == Ground.Result.UNKNOWN and why in result.error_msg


def test_the_belief_goes_out_with_the_ambiguity(make_bench):
    ask = Say.ask("Which mug?", candidates=(RIGHT, LEFT), belief=(0.75, 0.25))
    bench = make_bench({"the mug": [ask, Say.found(LEFT)], "the can": Say.found(LEFT)})
    goal = bench.goal("the mug")
    wait_until(lambda: bench.ambiguities, what="ambiguity")
    reading = bench.ambiguities[0]
    assert [msg_to_box(box) for box in reading.candidates] == [RIGHT, LEFT] and list(reading.belief) == [0.75, 0.25]
    goal.cancel()
    goal.finish()
    bench.ground("the can")
    wait_until(lambda: bench.ambiguities[-1].expression == "the can", what="ambiguity")
    assert not bench.ambiguities[-1].candidates and not bench.ambiguities[-1].belief


def test_a_point_corrects_the_target_in_the_image_of_its_own_camera(make_bench):
    bench = make_bench(ASKS, camera=False, cameras=["front", "wrist"])
    start(bench, "front", 40)
    start(bench, "wrist", 200)
    goal = bench.goal("the mug", camera="wrist")
    bench.hear("Which mug?")
    assert bench.answer(text="the left one").accepted
    assert goal.finish()[0] == SUCCEEDED
    sender = publisher(bench)
    sender.publish(point(45, 20, frame="front_frame"))  # another image
    sender.publish(point(50, 25, frame="wrist_frame"))
    wait_until(lambda: bench.corrections, what="correction")
    assert bench.corrections[0].corrects == goal.id
    wait_until(lambda: bench.grounder.calls[-1][1][-1].answer.point == (50.0, 25.0), what="the click")
