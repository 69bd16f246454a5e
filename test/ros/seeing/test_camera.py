"""Frames as robots send them: encodings that cannot be read, zero stamps, clocks that are ahead or simulated."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from bench import ABORTED, FRAME, SUCCEEDED, wait_until
from builtin_interfaces.msg import Time
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from clue_ros.action import Ground
from clue_ros.ros.wire.conversions import rgb_to_image

Code = Ground.Result
GOOD = np.full((8, 8, 3), 90, np.uint8)


class Driver:
    """A camera that sends what it is told, with the stamp that it is told."""

    def __init__(self, bench, kind=Image, topic="image") -> None:
        self._publisher = bench.client.create_publisher(kind, topic, qos_profile_sensor_data)
        self._camera = bench.eye
        wait_until(lambda: self._publisher.get_subscription_count() > 0 and bench.node.count_publishers(topic) > 0)

    def send(self, message, times: int = 1) -> None:
        """Returns when the node has them all."""
        for _ in range(times):
            count = self._camera.frames
            self._publisher.publish(message)
            wait_until(lambda: self._camera.frames > count, what="the frame in the node")


def image(seconds: float = 0.0) -> Image:
    stamp = Time(sec=int(seconds), nanosec=int(seconds % 1 * 1e9))
    return rgb_to_image(GOOD, Header(frame_id=FRAME, stamp=stamp))


@pytest.mark.parametrize("look_ahead", [True, False])
def test_an_unsupported_encoding_names_itself_once(make_bench, capfd, look_ahead):
    bench = make_bench(camera=False, look_ahead=look_ahead)
    driver = Driver(bench)
    for encoding in ("rgb9", "theora", "rgb9"):
        driver.send(Image(encoding=encoding, height=2, width=2, step=6, data=[0] * 12), 20)
    status, result = bench.ground("the mug")
    assert (status, result.error_code) == (ABORTED, Code.UNSUPPORTED_ENCODING) and "rgb9" in result.error_msg
    driver.send(image())
    assert bench.ground("the mug")[0] == SUCCEEDED, "a good encoding works at once"
    log = capfd.readouterr().err
    assert log.count("'rgb9' is not supported") == 1 and log.count("'theora' is not supported") == 1
    assert "/image" in log


def test_a_driver_that_sends_both_raw_and_compressed_is_one_camera(make_bench):
    """image_transport does as soon as somebody takes both, and the compressed one comes later."""
    bench = make_bench(camera=False, look_ahead=False)
    raw, packed = (
        Driver(bench),
        bench.client.create_publisher(CompressedImage, "image/compressed", qos_profile_sensor_data),
    )
    camera = bench.eye
    wait_until(lambda: packed.get_subscription_count() > 0 and bench.node.count_publishers("image/compressed") > 0)
    white = cv2.imencode(".png", np.full((8, 8, 3), 255, np.uint8))[1].tobytes()

    def send_packed(stamp) -> None:
        packed.publish(CompressedImage(header=Header(frame_id=FRAME, stamp=stamp), format="png", data=white))

    def seen() -> int:
        assert bench.ground("the mug")[0] == SUCCEEDED
        return int(bench.grounder.images[-1][0, 0, 0])

    def now() -> Time:
        return bench.client.get_clock().now().to_msg()

    frame = image()
    frame.header.stamp = now()
    raw.send(frame)
    send_packed(frame.header.stamp)
    time.sleep(0.3)
    assert camera.frames == 1 and seen() == 90
    send_packed(now())  # its raw one was lost
    wait_until(lambda: camera.frames == 2)
    assert seen() == 255
    odd = Image(header=Header(frame_id=FRAME, stamp=now()), encoding="rgb9", height=2, width=2, step=6, data=[0] * 12)
    raw.send(odd)
    send_packed(odd.header.stamp)  # can be read, the raw one cannot
    wait_until(lambda: camera.frames == 4)
    assert seen() == 255


def test_undecodable_images_are_named_once_and_a_good_one_works(make_bench, capfd):
    bench = make_bench(camera=False, image_transport="compressed")
    driver = Driver(bench, CompressedImage, "image/compressed")
    log = ""
    for kind in ("jpeg", "h264"):
        said, end = "", time.monotonic() + 120.0
        while "said once" not in said and time.monotonic() < end:
            driver.send(CompressedImage(format=kind, data=b"\xff\xd8 nothing"))
            time.sleep(0.5)  # the look ahead reads a frame at 10 Hz, and what is written while capfd reads is lost
            said += capfd.readouterr().err
        log += said
    for kind in ("jpeg", "h264"):
        driver.send(CompressedImage(format=kind, data=b"\xff\xd8 nothing"))
        result = bench.ground("the mug")[1]
        assert result.error_code == (Code.INVALID_IMAGE if kind == "jpeg" else Code.UNSUPPORTED_ENCODING)
    png = cv2.imencode(".png", GOOD)[1].tobytes()
    driver.send(CompressedImage(header=Header(frame_id=FRAME), format="png", data=png))
    assert bench.ground("the mug")[0] == SUCCEEDED
    assert (log + capfd.readouterr().err).count("said once for") == 2


def now(bench) -> float:
    return bench.client.get_clock().now().nanoseconds * 1e-9


@pytest.mark.parametrize("offset", [None, 0.0, 100.0], ids=["zero", "now", "ahead"])
def test_a_frame_gets_old_whatever_its_stamp(make_bench, offset):
    """A stamp of zero counts from arrival, and one of a clock that is ahead as well."""
    bench = make_bench(camera=False, wait_for_image_s=0.05, max_image_age_s=60.0, look_ahead=False)
    driver = Driver(bench)
    driver.send(image(0.0 if offset is None else now(bench) + offset))
    assert bench.ground("the mug")[0] == SUCCEEDED
    camera = bench.eye
    bench.node.set_parameters([Parameter("max_image_age_s", value=0.2)])
    wait_until(lambda: camera.age_s() > 0.2)
    result = bench.ground("the mug")[1]
    assert result.error_code == Code.NO_IMAGE and "old" in result.error_msg


def test_a_frame_of_a_clock_that_is_behind_is_refused_with_the_cause(make_bench):
    bench = make_bench(camera=False, wait_for_image_s=0.05, max_image_age_s=1.0)
    Driver(bench).send(image(now(bench) - 100))
    result = bench.ground("the mug")[1]
    assert result.error_code == Code.NO_IMAGE and "use_sim_time" in result.error_msg


def test_simulated_time(make_bench):
    """Standing still it keeps a frame fresh, going on it ages it, and what came before a jump back is gone."""
    bench = make_bench(camera=False, wait_for_image_s=0.05, max_image_age_s=0.3, look_ahead=False)
    bench.node.set_parameters([Parameter("use_sim_time", value=True)])
    clock = bench.client.create_publisher(Clock, "/clock", 10)
    wait_until(lambda: clock.get_subscription_count() > 0)
    driver, camera = Driver(bench), bench.eye

    def tick(seconds: float) -> None:
        clock.publish(Clock(clock=Time(sec=int(seconds))))
        wait_until(lambda: camera._now() == seconds, what=f"simulated second {seconds}")

    for stamp in (100.0, 0.0):
        tick(100.0)
        driver.send(image(stamp))
        arrived = camera._frame.received
        wait_until(lambda: time.monotonic() - arrived > 0.4)  # of real time: more than max_image_age_s
        assert bench.ground("the mug")[0] == SUCCEEDED
        tick(102.0)
        assert bench.ground("the mug")[1].error_code == Code.NO_IMAGE
    driver.send(image(102.0))
    assert bench.ground("the mug")[0] == SUCCEEDED
    tick(5.0)  # the bag begins again
    result = bench.ground("the mug")[1]
    assert result.error_code == Code.NO_IMAGE and "jumped back" in result.error_msg
    driver.send(image(5.0))
    assert bench.ground("the mug")[0] == SUCCEEDED
