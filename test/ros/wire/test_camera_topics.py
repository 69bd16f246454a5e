"""Which topics a camera is: by the remaps, and what is not remapped follows the images as image_transport has it."""

from __future__ import annotations

import numpy as np
import pytest
from bench import SUCCEEDED, depth_image, wait_until
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header
from test_focus import Relevant
from test_positions import SAYS, info

from clue_ros.ros.focus import Focus
from clue_ros.ros.wire.camera_topics import camera_topics, info_topic
from clue_ros.ros.wire.conversions import rgb_to_image


@pytest.fixture
def node(domain):
    made = []

    def make(*remaps, name="eyes", namespace="/clue"):
        words = [word for rule in remaps for word in ("-r", rule)]
        made.append(Node(name, namespace=namespace, cli_args=["--ros-args", *words] if words else None))
        return made[-1]

    yield make
    for one in made:
        one.destroy_node()


# (remaps, camera's name) -> image, camera_info, depth, depth_camera_info. camera_info by the rule of
# image_transport::getCameraInfoTopic: the last token of the image topic becomes camera_info.
CASES = [
    ((), "", ("/clue/image", "/clue/camera_info", "/clue/depth", "/clue/depth_camera_info")),
    (
        (),
        "front",
        ("/clue/front/image", "/clue/front/camera_info", "/clue/front/depth", "/clue/front/depth_camera_info"),
    ),
    (
        ("image:=/camera/color/image_raw",),
        "",
        ("/camera/color/image_raw", "/camera/color/camera_info", "/clue/depth", "/clue/depth_camera_info"),
    ),
    (
        ("image:=cam/image_raw",),
        "",
        ("/clue/cam/image_raw", "/clue/cam/camera_info", "/clue/depth", "/clue/depth_camera_info"),
    ),
    (("image:=/image",), "", ("/image", "/camera_info", "/clue/depth", "/clue/depth_camera_info")),
    (
        ("image:=/camera/color/image_raw/compressed",),
        "",
        ("/camera/color/image_raw", "/camera/color/camera_info", "/clue/depth", "/clue/depth_camera_info"),
    ),
    (
        ("image:=/camera/color/image_raw", "camera_info:=/calibration"),
        "",
        ("/camera/color/image_raw", "/calibration", "/clue/depth", "/clue/depth_camera_info"),
    ),
    (("camera_info:=/calibration",), "", ("/clue/image", "/calibration", "/clue/depth", "/clue/depth_camera_info")),
    (
        ("front/image:=/f/image_rect", "wrist/image:=/w/image_rect"),
        "wrist",
        ("/w/image_rect", "/w/camera_info", "/clue/wrist/depth", "/clue/wrist/depth_camera_info"),
    ),
    (
        ("image:=/c/color/image_raw", "depth:=/c/depth/image_rect_raw/compressedDepth"),
        "",
        ("/c/color/image_raw", "/c/color/camera_info", "/c/depth/image_rect_raw", "/c/depth/camera_info"),
    ),
    (
        ("image:=/c/image_raw", "depth:=/c/depth"),
        "",  # beside the depth images lies the image's own camera_info
        ("/c/image_raw", "/c/camera_info", "/c/depth", "/clue/depth_camera_info"),
    ),
]


@pytest.mark.parametrize(
    "remaps, name, expected", CASES, ids=[f"{' '.join(c[0]) or 'none'} {c[1]}".strip() for c in CASES]
)
def test_names(node, remaps, name, expected):
    assert tuple(camera_topics(node(*remaps), name))[:4] == expected


def test_our_own_cameras_publish_camera_info_beside_their_images(node):
    camera = node("image:=/camera/color/image_raw")
    publisher = camera.create_publisher(CameraInfo, info_topic(camera), 1)
    assert publisher.topic_name == "/camera/color/camera_info"


def test_a_remap_of_the_image_alone_gives_positions(make_bench):
    """The bench publishes camera_info where a driver would: beside its images."""
    bench = make_bench(SAYS, camera=False, look_ahead=False, still=True, remap={"image": "/camera/color/image_raw"})
    bench.info, bench.depth = info(k=(600.0, 600.0, 319.5, 239.5)), depth_image(np.full((480, 640), 1.0))
    assert bench.info_publisher.topic_name == "/camera/color/camera_info"
    bench.start_camera(rgb_to_image(np.full((480, 640, 3), 127, np.uint8), Header(frame_id=bench.info.header.frame_id)))
    camera = bench.eyes.first
    wait_until(lambda: camera.optics.info is not None and camera._depths, what="camera_info and depth")
    status, result = bench.ground("the mug")
    assert status == SUCCEEDED and result.target.has_position, result.target.position_reason
    point = result.target.position.point
    assert (point.x, point.y, point.z) == pytest.approx(((99.5 - 319.5) / 600, (99.5 - 239.5) / 600, 1.0), abs=1e-4)


def test_focus_takes_the_camera_info_beside_its_images(domain):
    focus = Focus(lambda settings: Relevant(), cli_args=["--ros-args", "-r", "image:=/camera/color/image_raw"])
    topics = {subscription.topic_name for subscription in focus.subscriptions}
    focus.close()
    focus.destroy_node()
    assert {"/camera/color/image_raw", "/camera/color/camera_info"} <= topics
