"""Depth over the transport compressedDepth: the same positions as raw depth gives, or none and the reason."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from bench import FRAME, depth_image, wait_until
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from test_positions import SAYS, eyes, info, place, reason

from clue_ros.ros.wire.conversions import array_to_image, rgb_to_image

sys.path.append(str(Path(__file__).resolve().parents[2] / "core" / "images"))
from test_compressed_depth import A, B, png, quantised, rvl  # noqa: E402 - packed by hand, as codec.cpp documents it

PACKED = "/cam/depth/image_rect/compressedDepth"


def wall_and_box():
    """640x480 in metres: a wall, and a thing in front of it where the bench's box is."""
    metres = np.full((480, 640), 1.5)
    metres[80:120, 80:120] = 0.8
    return metres


@pytest.fixture
def bench(make_bench, request):
    transport = getattr(request, "param", "both")
    bench = make_bench(
        SAYS, camera=False, look_ahead=False, remap={"depth": "/cam/depth/image_rect"}, image_transport=transport
    )
    bench.drop(bench.depth_publisher)
    bench.info = info(k=(600.0, 600.0, 319.5, 239.5))
    bench.start_camera(rgb_to_image(np.full((480, 640, 3), 127, np.uint8), Header(frame_id=FRAME)))
    return bench


def send(bench, message, topic):
    """From now on, 30 a second, stamped."""
    publisher = bench.client.create_publisher(type(message), topic, qos_profile_sensor_data)

    def publish():
        message.header = Header(frame_id=FRAME, stamp=bench.client.get_clock().now().to_msg())
        publisher.publish(message)

    return publisher, bench.client.create_timer(0.03, publish)


def stop(bench, sent):
    publisher, timer = sent
    bench.drop(publisher, timer)


def packed(form):
    metres = wall_and_box()
    raw = quantised(metres) if form.startswith("32") else (metres * 1000).astype(np.uint16)
    data = struct.pack("<iff", 0, A, B) + (rvl(raw) if "rvl" in form else png(raw))
    return CompressedImage(format=form, data=data)


@pytest.mark.parametrize("form", ["16UC1; compressedDepth", "16UC1; compressedDepth rvl", "32FC1; compressedDepth png"])
def test_the_position_is_that_of_raw_depth(bench, form):
    sent = send(bench, packed(form), PACKED)
    got = place(bench)
    stop(bench, sent)
    send(bench, depth_image(wall_and_box()), "/cam/depth/image_rect")
    wait_until(lambda: isinstance(eyes(bench)._depths[-1].message, Image), what="raw depth")
    # 32FC1 is quantised: a step is depth^2 / A
    assert got == pytest.approx(place(bench), abs=0.8**2 / A + 1e-4 if form.startswith("32") else 1e-6)
    assert got == pytest.approx(((99.5 - 319.5) / 600 * 0.8, (99.5 - 239.5) / 600 * 0.8, 0.8), abs=1e-3)


def test_what_is_broken_is_a_reason(bench):
    for message, words in (
        (
            CompressedImage(format="16UC1; compressedDepth png", data=bytes(5)),
            ("depth image: .* ends in its header of 12"),
        ),
        (
            CompressedImage(format="32FC1; compressedDepth png", data=bytes(12) + png(np.ones((480, 640), np.uint16))),
            "its header is damaged",
        ),
        (CompressedImage(format="16UC1; compressedDepth zstd", data=bytes(99)), "use 16UC1 or 32FC1, and png or rvl"),
    ):
        sent = send(bench, message, PACKED)
        assert "/cam/depth/image_rect" in reason(bench, words)
        stop(bench, sent)
    send(bench, packed("16UC1; compressedDepth png"), PACKED)
    place(bench)


def test_a_driver_that_sends_both_is_not_asked_to_compress(bench):
    raw = array_to_image(np.full((480, 640), 1000, np.uint16), "16UC1", Header(frame_id=FRAME))
    publisher, _ = send(bench, packed("16UC1; compressedDepth"), PACKED)
    wait_until(lambda: publisher.get_subscription_count() == 1, what="compressed depth alone is taken")
    sent = send(bench, raw, "/cam/depth/image_rect")
    wait_until(lambda: publisher.get_subscription_count() == 0, what="with raw depth there it is not")
    wait_until(lambda: place(bench)[2] == pytest.approx(1.0), what="a position by raw depth")
    stop(bench, sent)
    wait_until(lambda: publisher.get_subscription_count() == 1, what="and is again")


@pytest.mark.parametrize("bench", ["compressed"], indirect=True)
def test_compressed_alone_is_asked_for_but_raw_depth_is_better_than_none(bench):
    """image_transport: compressed; then the bench's raw images are not seen, only what is compressed."""
    camera = eyes(bench)
    raw, _ = send(bench, depth_image(wall_and_box()), "/cam/depth/image_rect")
    wait_until(lambda: raw.get_subscription_count() == 1 and camera._depths)
    send(bench, packed("16UC1; compressedDepth"), PACKED)
    wait_until(lambda: raw.get_subscription_count() == 0 and isinstance(camera._depths[-1].message, CompressedImage))


@pytest.mark.parametrize("bench", ["raw"], indirect=True)
def test_raw_alone(bench):
    publisher, _ = send(bench, packed("16UC1; compressedDepth"), PACKED)
    reason(bench, "nobody publishes /cam/depth/image_rect: start the camera's depth, or remap `depth`")
    assert publisher.get_subscription_count() == 0
