"""Pointing over real DDS: the topic `point` in pixels, in metres of the optical frame and in a frame that only tf2 knows; and
questions of numbers."""

from __future__ import annotations

import sys

import pytest
from bench import FRAME, SUCCEEDED, wait_until
from geometry_msgs.msg import PointStamped, Quaternion, Transform, TransformStamped, Vector3
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header
from test_frames import LATCHED, K, stand_in

from clue_ros.testing.fake_grounder import Say
from clue_ros.types import Box

LEFT, RIGHT = Box(4, 10, 20, 40), Box(40, 10, 60, 40)
ASKS = {"the mug": [Say.ask("Which mug?", candidates=(RIGHT, LEFT)), Say.found(LEFT)], "this one": Say.found(RIGHT)}


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
    goal = bench.goal("the mug", answer_timeout=20.0)
    asked = len(bench.utterances)
    wait_until(lambda: "Which mug?" in bench.utterances[asked - 1:], what="question")
    publisher(bench).publish(message)
    status, _ = goal.finish()
    assert status == SUCCEEDED
    return bench.grounder.calls[-1][1][-1].answer.point


def test_pixels_answer_the_open_question_and_points_outside_do_not(make_bench, capfd):
    bench = make_bench(ASKS)
    goal = bench.goal("the mug", answer_timeout=20.0)
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
    wait_until(lambda: bench.node._conversation._parts.camera._info is not None, what="camera_info")
    assert answered(bench, point(0.1, -0.05, 1.0)) == pytest.approx((41.5, 18.5))
    # In a map whose axes are x forward, y left, z up, at the camera itself.
    bench.client.create_publisher(TransformStamped, "/tf_stand_in", LATCHED).publish(
        TransformStamped(
            header=Header(frame_id=FRAME), child_frame_id="map",
            transform=Transform(translation=Vector3(), rotation=Quaternion(x=0.5, y=-0.5, z=0.5, w=0.5)),
        )  # fmt: skip
    )
    assert answered(bench, point(2.0, -0.2, 0.1, "map")) == pytest.approx((41.5, 18.5))


def test_a_place_pointed_at_belongs_to_the_words_that_need_one(make_bench):
    bench = make_bench(ASKS, point_window_s=30.0)
    wait_until(lambda: bench.node._conversation._parts.camera.frame_id, what="the first image")
    sender = publisher(bench)
    sender.publish(point(50, 20))
    wait_until(lambda: bench.node._conversation._pointed is not None, what="the gesture")
    assert bench.ground("this one")[0] == SUCCEEDED
    assert bench.grounder.calls[-1][1][0].answer.point == (50.0, 20.0)
    assert bench.ground("this one")[0] == SUCCEEDED
    assert bench.grounder.calls[-1][1] == ()  # a gesture counts once


def test_a_question_of_numbers_and_its_answer(make_bench):
    bench = make_bench(ASKS, question_policy="numbers")
    goal = bench.goal("the mug", answer_timeout=20.0)
    wait_until(lambda: "Do you mean 1 or 2?" in bench.utterances, what="question")
    bench.say("the second")
    status, result = goal.finish()
    assert status == SUCCEEDED and (result.target.box.x0, result.target.box.x1) == (RIGHT.x0, RIGHT.x1)
