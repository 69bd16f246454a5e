"""Several cameras: their topics, the goal that names one, and names that do not exist."""

from __future__ import annotations

import numpy as np
from bench import ABORTED, SUCCEEDED, depth_image, wait_until
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from clue_ros.action import Ground
from clue_ros.ros.wire.conversions import rgb_to_image
from clue_ros.testing.fake_grounder import Say
from clue_ros.types import Box

Code = Ground.Result
BOX = Box(10, 10, 30, 30)


def start(bench, name: str, grey: int, metres: float = 0.0) -> None:
    """A camera of that name, whose pictures are all of one grey; with depth if `metres` is given."""
    image = rgb_to_image(np.full((48, 64, 3), grey, np.uint8), Header(frame_id=f"{name}_frame"))
    messages = {"image": image}
    if metres:
        k = [50.0, 0.0, 32.0, 0.0, 50.0, 24.0, 0.0, 0.0, 1.0]
        messages["depth"] = depth_image(np.full((48, 64), metres))
        messages["depth"].header.frame_id = f"{name}_frame"
        messages["camera_info"] = CameraInfo(width=64, height=48, k=k)
    publishers = {
        topic: bench.client.create_publisher(type(message), f"{name}/{topic}", qos_profile_sensor_data)
        for topic, message in messages.items()
    }

    stamp = bench.client.get_clock().now().to_msg()  # one for all: depth that is lost comes again
    for message in messages.values():
        message.header.stamp = stamp

    def publish() -> None:
        for topic, message in messages.items():
            publishers[topic].publish(message)

    bench.client.create_timer(0.03, publish)
    camera = bench.eyes.named(name)
    wait_until(lambda: camera.frames > 0, what=f"a frame of {name}")
    if metres:
        wait_until(lambda: camera.optics.info is not None and camera._depths, what=f"depth of {name}")


def test_the_goal_names_the_camera(make_bench):
    bench = make_bench({"the mug": Say.found(BOX)}, camera=False, cameras=["front", "wrist"], look_ahead=False)
    start(bench, "front", 40)
    start(bench, "wrist", 200, metres=0.5)
    seen = {}
    for camera in ("", "front", "wrist", "front"):
        status, result = bench.ground("the mug", camera=camera)
        assert status == SUCCEEDED, result.error_msg
        seen[camera] = result.target.header.frame_id, int(bench.grounder.images[-1][0, 0, 0])
        assert result.target.has_position == (camera == "wrist")
    assert seen == {"": ("front_frame", 40), "front": ("front_frame", 40), "wrist": ("wrist_frame", 200)}
    assert bench.detect("the mug", camera="wrist").ambiguity.header.frame_id == "wrist_frame"
    assert bench.detect("the mug").ambiguity.header.frame_id == "front_frame"
    bench.say("the mug")
    wait_until(lambda: len(bench.targets) == 5)
    assert bench.targets[-1].header.frame_id == "front_frame", "spoken words look through the first"


def test_an_unknown_camera_is_an_error_that_lists_the_known(make_bench):
    bench = make_bench(camera=False, cameras=["front", "wrist"])
    status, result = bench.ground("the mug", camera="rear")
    assert (status, result.error_code) == (ABORTED, Code.UNKNOWN_CAMERA)
    assert "'rear'" in result.error_msg and "front, wrist" in result.error_msg
    assert bench.detect("the mug", camera="rear").error_code == Code.UNKNOWN_CAMERA
    assert not bench.grounder.calls


def test_a_node_with_one_camera_knows_no_names(make_bench):
    bench = make_bench()
    assert bench.ground("the mug")[0] == SUCCEEDED
    result = bench.ground("the mug", camera="front")[1]
    assert result.error_code == Code.UNKNOWN_CAMERA and "parameter cameras" in result.error_msg


def test_a_camera_that_stopped_is_named_and_the_other_works(make_bench):
    bench = make_bench(camera=False, cameras=["front", "wrist"], wait_for_image_s=0.1)
    start(bench, "wrist", 200)
    assert "/front/image" in bench.ground("the mug")[1].error_msg
    assert bench.ground("the mug", camera="wrist")[0] == SUCCEEDED


def test_topics_and_names(make_bench):
    bench = make_bench(camera=False, activate=False, cameras=["front", "wrist"])
    for names in (["front", "front"], ["a/b"], ["1st"], ["front camera"]):
        refused = bench.node.set_parameters([Parameter("cameras", value=names)])[0]
        assert not refused.successful and "different names" in refused.reason
    bench.lifecycle("configure")
    taken = dict(bench.node.get_subscriber_names_and_types_by_node("clue", "/"))
    kinds = {"image": Image, "image/compressed": CompressedImage, "depth": Image, "camera_info": CameraInfo}
    for name in ("front", "wrist"):
        for topic, kind in kinds.items():
            assert taken[f"/{name}/{topic}"] == [f"sensor_msgs/msg/{kind.__name__}"]
    assert "/image" not in taken
    bench.lifecycle("cleanup")
    bench.node.set_parameters([Parameter("cameras", value=[""])])
    bench.lifecycle("configure")
    wait_until(lambda: "/image" in dict(bench.node.get_subscriber_names_and_types_by_node("clue", "/")))
