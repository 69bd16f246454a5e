"""Cameras of 12 bits over DDS: what the model sees, and that the log names the parameter."""

from __future__ import annotations

import cv2
import numpy as np
from bench import FRAME, SUCCEEDED, wait_until
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from clue_ros.ros.wire.conversions import array_to_image
from clue_ros.testing.fake_grounder import Say
from clue_ros.types import Box

SAYS = {"the mug": Say.found(Box(10, 10, 30, 30))}


def grey_of_12_bits(level: int) -> np.ndarray:
    """uint16[48, 64] as a camera of 12 bits has what is `level` of 255 bright; one corner is white."""
    samples = np.full((48, 64), level * 16 + 7, np.uint16)
    samples[:4, :4] = 4095
    return samples


def test_the_model_sees_the_bits_that_are_used(make_bench):
    bench = make_bench(SAYS, camera=False, look_ahead=False, sample_bits=12)
    bench.start_camera(array_to_image(grey_of_12_bits(130), "mono16", Header(frame_id=FRAME)))
    assert bench.ground("the mug")[0] == SUCCEEDED
    assert bench.grounder.images[-1][24, 32].tolist() == [130] * 3 and bench.grounder.images[-1].max() == 255


def test_also_a_goal_s_own_image_and_compressed_ones(make_bench):
    bench = make_bench(SAYS, camera=False, look_ahead=False, sample_bits=12)
    own = array_to_image(grey_of_12_bits(90), "mono16", Header(frame_id=FRAME))
    assert bench.ground("the mug", image=own)[0] == SUCCEEDED
    assert bench.grounder.images[-1][24, 32, 0] == 90
    publisher = bench.client.create_publisher(CompressedImage, "image/compressed", qos_profile_sensor_data)
    data = cv2.imencode(".png", grey_of_12_bits(60))[1].tobytes()

    def publish():
        header = Header(frame_id=FRAME, stamp=bench.client.get_clock().now().to_msg())
        publisher.publish(CompressedImage(header=header, format="mono16; png compressed ", data=data))

    bench.client.create_timer(0.03, publish)
    assert bench.ground("the mug")[0] == SUCCEEDED
    assert bench.grounder.images[-1][24, 32, 0] == 60


def test_the_log_names_the_parameter_once(make_bench, capfd):
    bench = make_bench(SAYS, camera=False, look_ahead_rate=30.0)
    bench.start_camera(array_to_image(grey_of_12_bits(130), "mono16", Header(frame_id=FRAME)))
    log = ""

    def told():
        nonlocal log
        log += capfd.readouterr().err
        return "set sample_bits" in log

    wait_until(told, what="the advice")
    for _ in range(3):
        bench.ground("the mug")
    told()
    assert log.count("set sample_bits") == 1 and "exceeds 4095" in log


def test_values_without_a_meaning_are_refused(make_bench):
    bench = make_bench(SAYS, camera=False, activate=False)
    for value, taken in ((7, False), (17, False), (-1, False), (0, True), (8, True), (10, True), (16, True)):
        result = bench.node.set_parameters([Parameter("sample_bits", value=value)])[0]
        assert result.successful == taken, value
        assert taken or "sample_bits" in result.reason
