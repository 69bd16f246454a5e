"""Positions in the frame that a robot plans in: through tf2, at the image's stamp, and what happens without it.

tf2_ros is not among the wheels: where it is absent, a stand-in with the part of its API that the node uses takes its
place. Its transforms come over DDS on /tf_stand_in (geometry_msgs/TransformStamped).
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import numpy as np
import pytest
from bench import FRAME, SUCCEEDED, depth_image, wait_until
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from clue_ros.msg import Box as BoxMsg
from clue_ros.ros.serving.outputs import Outputs
from clue_ros.ros.wire import frames
from clue_ros.ros.wire.conversions import rgb_to_image
from clue_ros.ros.wire.frames import UPRIGHT, Frames, Located, quaternion_product, rotated, transformed
from clue_ros.testing.fake_grounder import Say
from clue_ros.types import Box

SAYS = {"the mug": Say.found(Box(32, 24, 64, 48))}
K = [100.0, 0.0, 31.5, 0.0, 100.0, 23.5, 0.0, 0.0, 1.0]
OPTICAL = (0.128, 0.096, 0.8)  # of that box at 0.8 m
LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
HALF = 0.5**0.5


def stand_in() -> ModuleType:
    """tf2_ros as far as the node uses it: Buffer, TransformListener, TransformException; one latched transform a frame
    pair, which is good from its stamp on, as a static one is."""
    module = ModuleType("tf2_ros")

    class TransformException(Exception):
        pass

    class Buffer:
        def __init__(self):
            self.known, self.asked = {}, []

        def lookup_transform(self, target_frame, source_frame, time):
            self.asked.append((target_frame, source_frame, time))
            found = self.known.get((target_frame, source_frame))
            if found is None:
                raise TransformException(f'"{target_frame}" passed to lookupTransform argument does not exist.')
            if time.nanoseconds and time < Time.from_msg(found.header.stamp, clock_type=time.clock_type):
                raise TransformException("Lookup would require extrapolation into the past.")
            return found

    class TransformListener:
        def __init__(self, buffer, node):
            self.node = node

            def keep(message):
                buffer.known[(message.header.frame_id, message.child_frame_id)] = message

            self.subscription = node.create_subscription(TransformStamped, "/tf_stand_in", keep, LATCHED)

        def unregister(self):
            self.node.destroy_subscription(self.subscription)

    module.TransformException, module.Buffer, module.TransformListener = TransformException, Buffer, TransformListener
    return module


@pytest.fixture
def tf2(monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2_ros", stand_in())


def see(bench):
    """Depth at 0.8 m and a calibration for the camera's frames."""
    bench.depth = depth_image(np.full((48, 64), 0.8))
    bench.info = CameraInfo(header=Header(frame_id=FRAME), width=64, height=48, k=K)
    wait_until(lambda: bench.ground("the mug")[1].target.has_position)


def camera_looks_forward(bench):
    """base_link: x forward, y left, z up; the camera stands 1 m above it."""
    rotation = Quaternion(x=-0.5, y=0.5, z=-0.5, w=0.5)
    publisher = bench.client.create_publisher(TransformStamped, "/tf_stand_in", LATCHED)
    publisher.publish(
        TransformStamped(
            header=Header(frame_id="base_link"),
            child_frame_id=FRAME,
            transform=Transform(translation=Vector3(z=1.0), rotation=rotation),
        )  # fmt: skip
    )


def test_the_position_is_in_the_target_frame(make_bench, tf2):
    bench = make_bench(SAYS, still=True, target_frame="base_link")
    see(bench)
    camera_looks_forward(bench)

    def there():
        status, result = bench.ground("the mug")
        assert status == SUCCEEDED
        return result.target if result.target.position.header.frame_id == "base_link" else None

    target = wait_until(there)
    point = target.position.point
    assert (point.x, point.y, point.z) == pytest.approx((0.8, -OPTICAL[0], 1 - OPTICAL[1]), abs=1e-4)
    assert target.position.header.stamp == target.header.stamp and target.header.frame_id == FRAME
    assert (target.size.x, target.size.y) == pytest.approx((0.32 * 0.8, 0.24 * 0.8), abs=1e-4)
    buffer = bench.part(Frames)._buffer
    asked = buffer.asked[-1]
    assert asked[:2] == ("base_link", FRAME)
    assert asked[2].nanoseconds == Time.from_msg(target.header.stamp).nanoseconds, "not now, not the latest"


def test_the_transform_is_the_one_of_the_image_although_tf2_forgets(make_bench, tf2):
    """tf2 keeps ten seconds; a person may take twenty to answer, and a correction comes later still."""
    bench = make_bench(
        {"the mug": [Say.ask("Which mug?"), Say.found(Box(32, 24, 64, 48))]}, still=True, target_frame="base_link"
    )
    bench.depth = depth_image(np.full((48, 64), 0.8))
    bench.info = CameraInfo(header=Header(frame_id=FRAME), width=64, height=48, k=K)
    camera_looks_forward(bench)
    known = bench.part(Frames)._buffer.known
    wait_until(lambda: known)
    wait_until(lambda: bench.ground("the cup")[1].target.has_position)
    goal = bench.goal("the mug")
    bench.hear("Which mug?")
    known.clear()
    bench.say("the red one")
    target = goal.finish()[1].target
    assert target.position.header.frame_id == "base_link"
    assert target.position.point.x == pytest.approx(0.8, abs=1e-4)


def test_without_the_transform_it_stays_in_the_optical_frame(make_bench, tf2, capfd):
    bench = make_bench(SAYS, still=True, target_frame="nowhere")
    see(bench)
    status, result = bench.ground("the mug")
    assert status == SUCCEEDED and result.target.position.header.frame_id == FRAME
    point = result.target.position.point
    assert (point.x, point.y, point.z) == pytest.approx(OPTICAL, abs=1e-4)
    wait_until(lambda: "no transform to 'nowhere'" in capfd.readouterr().err)


def test_a_negative_stamp_has_no_transform_and_no_traceback(make_bench, tf2, capfd):
    bench = make_bench(SAYS, still=True, target_frame="base_link")
    see(bench)
    camera_looks_forward(bench)
    header = Header(frame_id=FRAME)
    header.stamp.sec = -5
    picture = rgb_to_image(np.full((48, 64, 3), 90, np.uint8), header)
    status, result = bench.ground("the mug", image=picture)
    assert (status, result.target.header.stamp.sec) == (SUCCEEDED, -5)
    seeking = bench.node_spinner.call(lambda: bench.part(Frames).seek(header))
    wait_until(seeking.done)
    assert seeking.result() == (None, "the stamp is negative (-5 s): cure the camera's driver")
    assert "Traceback" not in capfd.readouterr().err


def test_without_tf2(make_bench, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "tf2_ros", None)  # importing it fails
    bench = make_bench(SAYS, still=True, target_frame="base_link")
    assert "tf2_ros cannot be imported" in capfd.readouterr().err
    see(bench)
    assert bench.ground("the mug")[1].target.position.header.frame_id == FRAME


def test_a_goal_can_be_canceled_while_it_waits_for_the_transform(make_bench, tf2, monkeypatch):
    bench = make_bench(SAYS, still=True, target_frame="nowhere")
    see(bench)
    monkeypatch.setattr(frames, "PATIENCE_S", 600.0)
    goal = bench.goal("the mug")
    wait_until(lambda: bench.part(Frames)._timers)
    goal.cancel()
    assert goal.finish()[0] != SUCCEEDED


def test_markers_only_while_somebody_subscribes(make_bench, monkeypatch):
    from clue_ros.ros.serving import outputs

    made = []
    real = outputs.target_to_markers
    monkeypatch.setattr(outputs, "target_to_markers", lambda *a: made.append(a) or real(*a))
    bench = make_bench(SAYS, still=True)
    see(bench)
    assert bench.ground("the mug")[0] == SUCCEEDED and not made
    got = []
    bench.client.create_subscription(MarkerArray, "markers", got.append, 10)
    publisher = bench.part(Outputs)._markers
    wait_until(lambda: publisher.get_subscription_count() > 0)
    wait_until(lambda: bench.client.count_publishers("markers") > 0)
    assert bench.ground("the mug")[0] == SUCCEEDED
    body = wait_until(lambda: got)[0].markers[1]
    assert body.header.frame_id == FRAME and body.header.stamp.sec > 0 and len(made) == len(got) == 1
    assert (body.pose.position.x, body.pose.position.z) == pytest.approx((OPTICAL[0], 0.8), abs=1e-4)


def test_the_chosen_candidate_comes_back_as_its_number(make_bench):
    bench = make_bench({"the mug": Say.found(Box(11, 12, 13, 14))})
    boxes = [BoxMsg(x0=1.0, y0=2.0, x1=3.0, y1=4.0), BoxMsg(x0=11.0, y0=12.0, x1=13.0, y1=14.0)]
    _, result = bench.ground("the mug", candidates=boxes)
    assert result.chosen_candidate == 1 and boxes[1] == result.target.box
    assert list(result.candidates) and bench.ground("the mug")[1].chosen_candidate == -1
    _, refused = bench.ground("", candidates=boxes)
    assert refused.error_code and refused.chosen_candidate == -1


def test_rotations():
    quarter = (0.0, 0.0, HALF, HALF)  # a quarter turn about z
    assert rotated(quarter, (1.0, 0.0, 2.0)) == pytest.approx((0.0, 1.0, 2.0), abs=1e-12)
    assert rotated((0.0, 0.0, 3.0, 3.0), (1.0, 0.0, 2.0)) == pytest.approx((0.0, 1.0, 2.0)), "not normalised"
    assert quaternion_product(quarter, quarter) == pytest.approx((0.0, 0.0, 1.0, 0.0), abs=1e-12)
    tilt = (HALF, 0.0, 0.0, HALF)
    both = quaternion_product(quarter, tilt)
    assert rotated(both, (0.3, 0.4, 0.5)) == pytest.approx(rotated(quarter, rotated(tilt, (0.3, 0.4, 0.5))))
    move = Transform(translation=Vector3(x=1.0, y=2.0, z=3.0), rotation=Quaternion(z=HALF, w=HALF))
    seen = transformed(Located("eye", (1.0, 0.0, 0.0), UPRIGHT, (1.0, 2.0, 3.0)), "base", move)
    assert seen.frame_id == "base" and seen.size == (1.0, 2.0, 3.0)
    assert seen.position == pytest.approx((1.0, 3.0, 3.0)) and seen.orientation == pytest.approx(quarter)


@pytest.mark.skipif(importlib.util.find_spec("tf2_ros") is None, reason="tf2_ros is not installed")
def test_real_tf2(make_bench):
    from tf2_ros import StaticTransformBroadcaster

    bench = make_bench(SAYS, still=True, target_frame="base_link")
    see(bench)
    StaticTransformBroadcaster(bench.client).sendTransform(
        TransformStamped(
            header=Header(frame_id="base_link"),
            child_frame_id=FRAME,
            transform=Transform(translation=Vector3(z=1.0), rotation=Quaternion(x=-0.5, y=0.5, z=-0.5, w=0.5)),
        )  # fmt: skip
    )
    wait_until(lambda: bench.ground("the mug")[1].target.position.header.frame_id == "base_link")
    point = bench.ground("the mug")[1].target.position.point
    assert (point.x, point.y, point.z) == pytest.approx((0.8, -OPTICAL[0], 1 - OPTICAL[1]), abs=1e-4)
