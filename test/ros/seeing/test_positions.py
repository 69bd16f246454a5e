"""Positions over DDS: whatever a driver says of its camera, what comes out is right or is not there, with the
reason."""

from __future__ import annotations

import re
import sys

import cv2
import numpy as np
import pytest
from bench import FRAME, SUCCEEDED, depth_image, wait_until
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image, RegionOfInterest
from std_msgs.msg import Header
from test_cameras import start
from test_diagnostics import OK, WARN, watch
from test_frames import LATCHED, stand_in
from test_pointing import point

from clue_ros.ros.wire.conversions import array_to_image, rgb_to_image
from clue_ros.ros.wire.intrinsics import base_topic, info_beside, rectified
from clue_ros.testing.fake_grounder import Say
from clue_ros.types import Box

BOX = Box(80, 80, 120, 120)  # its middle is between the pixels 99 and 100
SAYS = {"the mug": Say.found(BOX), "it": [Say.ask("Which mug?"), Say.found(BOX)]}
USB_D = [-0.35, 0.11, 0.0012, -0.0009, 0.0]
USB_K, USB_P = (568.0, 566.0, 322.0, 241.0), (443.0, 479.0, 331.0, 233.0)


def by_opencv(place):
    """The pixel of the raw picture, counted from the middle of the first."""
    k = np.array(k_of(*USB_K)).reshape(3, 3)
    return cv2.projectPoints(np.array([place]), np.zeros(3), np.zeros(3), k, np.array(USB_D))[0].ravel()


def k_of(fx, fy, cx, cy):
    return [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0]


def p_of(fx, fy, cx, cy):
    return [fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0]


def info(
    width=640,
    height=480,
    k=(600.0, 600.0, 320.0, 240.0),
    p=None,
    binning=(0, 0),
    roi=(0, 0, 0, 0),
    frame=FRAME,
    **fields,
):
    x, y, w, h = roi
    return CameraInfo(
        header=Header(frame_id=frame), width=width, height=height, k=k_of(*k), p=p_of(*(p or k)), binning_x=binning[0],
        binning_y=binning[1], roi=RegionOfInterest(x_offset=x, y_offset=y, width=w, height=h), **fields,
    )  # fmt: skip


def usb(**fields):
    return info(k=USB_K, p=USB_P, d=USB_D, distortion_model="plumb_bob", **fields)


def camera(make_bench, size=(640, 480), depth_frame=FRAME, **more):
    bench = make_bench(SAYS, camera=False, look_ahead=False, still=True, **more)
    bench.depth = array_to_image(np.full(size[::-1], 1000, np.uint16), "16UC1", Header(frame_id=depth_frame))
    bench.start_camera(rgb_to_image(np.full((*size[::-1], 3), 127, np.uint8), Header(frame_id=FRAME)))
    wait_until(lambda: eyes(bench).frames, what="an image")
    return bench


def eyes(bench):
    return bench.eye


def show(bench, message):
    bench.info = message
    wait_until(lambda: eyes(bench).optics.info is not None and eyes(bench).optics.info.k.tolist() == list(message.k)
               and eyes(bench).optics.info.roi == message.roi and eyes(bench).optics.info.p.tolist() == list(message.p)
               and eyes(bench).optics.info.width == message.width, what="camera_info")  # fmt: skip


def placed(bench):
    """The target, once depth has come."""
    target = wait_until(lambda: (lambda t: t if t.has_position else None)(bench.ground("the mug")[1].target))
    assert target.position_reason == ""
    return target


def place(bench):
    """Its position."""
    target = placed(bench)
    return target.position.point.x, target.position.point.y, target.position.point.z


def reason(bench, words):
    """The reason, once it is the one that matches."""

    def there():
        status, result = bench.ground("the mug")
        assert status == SUCCEEDED
        target = result.target
        assert target.has_position is not bool(target.position_reason)
        return target.position_reason if re.search(words, target.position_reason) else None

    text = wait_until(there, what=words)
    wait_until(lambda: bench.targets and bench.targets[-1].position_reason, what="the topic target")
    return text


def test_what_drivers_say_of_rectified_pictures(make_bench):
    """The cases of the issue; expected by image_geometry's published formulas."""
    bench = camera(make_bench)
    for message, expected in (
        (info(), (-0.3675, -0.234167, 1.0)),
        (info(p=(480.0, 480.0, 335.0, 228.0)), (-0.490625, -0.267708, 1.0)),
        (info(1280, 960, k=(1200.0, 1200.0, 640.0, 480.0), binning=(2, 2)), (-0.3675, -0.234167, 1.0)),
        (info(1280, 960, k=(1200.0, 1200.0, 640.0, 480.0), roi=(320, 240, 640, 480)), (-0.18375, -0.117083, 1.0)),
        (info(2560, 1920, k=(2400.0, 2400.0, 1280.0, 960.0), binning=(2, 2), roi=(640, 480, 1280, 960)),
         (-0.18375, -0.117083, 1.0)),
    ):  # fmt: skip
        show(bench, message)
        assert place(bench) == pytest.approx(expected, abs=1e-4)


def test_the_size_is_of_the_thing_and_not_of_its_table(make_bench):
    """A flat front of 30x36 pixels at 0.7 m stands in its box on a table, which goes from 0.70 to 0.95 m there."""
    bench = camera(make_bench)
    show(bench, info())
    rows = (np.arange(480) + 0.5 - 80) / 40  # 0 at the top of the box, 1 at its foot
    table = 1 / np.maximum(0.2, 1 / 0.95 + (1 / 0.70 - 1 / 0.95) * rows)  # a plane is linear in 1/z
    depth = np.repeat(table[:, None], 640, axis=1)
    depth[84:120, 85:115] = 0.7
    bench.depth = array_to_image((1000 * depth).round().astype(np.uint16), "16UC1", Header(frame_id=FRAME))

    def small():
        size = bench.ground("the mug")[1].target.size
        return (size.x, size.y, size.z) if 0 < size.x < 0.04 else None

    expected = (30 * 0.7 / 600, 36 * 0.7 / 600, 0.0)
    assert wait_until(small, what="the size of the thing alone") == pytest.approx(expected, abs=0.002)


@pytest.mark.parametrize("topic, parameters, raw", [
    ("/cam/image_rect", {}, False), ("/cam/image_raw", {}, True), ("/cam/picture", {}, True),
    ("/cam/image_raw", {"rectified": "yes"}, False), ("/cam/image_rect", {"rectified": False}, True),
])  # fmt: skip
def test_rectified_or_raw(make_bench, topic, parameters, raw):
    bench = camera(make_bench, remap={"image": topic}, **parameters)
    newest = watch(bench)
    show(bench, usb())
    x, y, z = place(bench)
    if raw:  # OpenCV bends the answer back to the pixel in the box's middle, and says what is pointed at
        # The place is the mean of the box's points; the lens bends them, so its pixel is near the middle, not in it.
        assert by_opencv((x, y, z)) == pytest.approx((99.5, 99.5), abs=0.25) and z == 1.0
        seen = by_opencv((0.3, -0.2, 1.0))
    else:
        assert (x, y, z) == pytest.approx(((99.5 - 331) / 443, (99.5 - 233) / 479, 1.0), abs=1e-4)
        seen = (443 * 0.3 + 331, 479 * -0.2 + 233)
    wait_until(lambda: newest("camera_info")[0] == OK)
    said = newest("camera_info")[2]["rectified"]
    assert said.startswith("no" if raw else "yes")
    assert ("parameter" if parameters else topic.rpartition("/")[2] if "_" in topic else "does not tell") in said
    goal = bench.goal("it")
    bench.hear("Which mug?")
    wait_until(lambda: bench.conversation.current.open_question, what="question")
    sender = bench.client.create_publisher(type(point(0, 0)), "point", 10)
    wait_until(lambda: sender.get_subscription_count() > 0)
    sender.publish(point(0.3, -0.2, 1.0))
    assert goal.finish()[0] == SUCCEEDED
    assert bench.grounder.calls[-1][1][-1].answer.point == pytest.approx(seen, abs=0.01)


def test_every_lost_position_has_its_reason(make_bench, capfd):
    bench = camera(make_bench)
    newest = watch(bench)
    good, depth = info(), bench.depth
    assert "camera_info" in reason(bench, "nobody publishes /camera_info|no camera_info arrived")
    show(bench, good)
    assert place(bench)

    def flows():
        """A rate is known from the second report on."""
        level, _, values = newest("depth")
        well = level == OK and values["registered"] == "yes"
        return values if well and float(values["rate_hz"]) > 1 and float(values["age_s"]) < 1 else None

    assert wait_until(flows)["topic"] == "/depth"
    assert newest("camera_info")[:2] == (OK, "calibrated")
    capfd.readouterr()
    for message, words in (
        (info(k=(0.0, 0.0, 0.0, 0.0)), "no focal length"),
        (info(k=(float("nan"), 600.0, 320.0, 240.0)), "focal lengths nan"),
        (info(k=(-600.0, 600.0, 320.0, 240.0)), "focal lengths -600"),
        (info(640, 360), ("640x480, camera_info is for 640x360")),
        (info(1280, 960, roi=(0, 0, 320, 240)), "region of interest"),
        (info(frame="other_eye"), "of frame 'other_eye'"),
    ):
        bench.info = message
        assert reason(bench, words)
    wait_until(lambda: newest("camera_info")[0] == WARN and re.search(words, newest("camera_info")[1]), what=words)
    bench.info = good
    wait_until(lambda: place(bench))
    for pixels, encoding, words in (
        (np.full((480, 640, 3), 9, np.uint8), "rgb8", "depth encoding 'rgb8'"),
        (np.zeros((480, 640), np.uint16), "16UC1", "too few valid pixels in the box"),
        (np.full((360, 640), 1000, np.uint16), "16UC1", "depth is 640x360, the image 640x480"),
    ):  # fmt: skip
        bench.depth = array_to_image(pixels, encoding, Header(frame_id=FRAME))
        assert reason(bench, words)
    bench.depth, shown = None, bench.image
    bench.image = rgb_to_image(np.full((480, 640, 3), 127, np.uint8), shown.header)  # of another time
    reason(
        bench, r"no depth image on /depth within 0.1 s of the image, the nearest is [0-9.]+ s off|came [0-9.]+ s ago"
    )
    reason(bench, r"newest depth image on /depth came [0-9.]+ s ago")
    wait_until(lambda: newest("depth")[0] == WARN and "s ago" in newest("depth")[1])
    bench.depth = depth
    wait_until(lambda: place(bench))
    undated = rgb_to_image(np.full((480, 640, 3), 7, np.uint8), Header(frame_id=FRAME))
    assert "has no stamp" in bench.ground("the mug", image=undated)[1].target.position_reason
    log = capfd.readouterr().err
    assert log.count("no position: camera_info on /camera_info is of frame") == 1, "once, however many goals"
    assert log.count("depth encoding 'rgb8'") == 1 and "targets have positions again" in log


def test_without_depth(make_bench):
    bench = make_bench(SAYS, camera=False, cameras=["front"], look_ahead=False)
    start(bench, "front", 40)
    assert "remap `front/depth`" in reason(bench, "nobody publishes /front/depth")
    bench.client.create_publisher(Image, "front/depth", 1)
    reason(bench, "no depth image arrived on /front/depth yet, though it has 1 publisher")


def test_with_depth_switched_off(make_bench):
    bench = make_bench(SAYS, use_depth=False)
    newest = watch(bench)
    reason(bench, "use_depth is false")
    wait_until(lambda: newest("depth")[:2] == newest("camera_info")[:2] == (OK, "use_depth is false: no positions"))


def test_a_region_without_its_own_depth_is_not_taken_for_it(make_bench):
    """Depth of the whole picture has the shape of its region, too."""
    bench = camera(make_bench, size=(320, 240))
    show(bench, info(roi=(160, 120, 320, 240)))
    assert place(bench) == pytest.approx(((99.5 + 160 - 320) / 600, (99.5 + 120 - 240) / 600, 1.0), abs=1e-4)
    bench.depth = array_to_image(np.full((480, 640), 1000, np.uint16), "16UC1", Header(frame_id=FRAME))
    reason(bench, "depth is 640x480, the image 320x240 .a region of interest.")


WALL = 1.0  # metres in front of the colour camera, and a card at 0.8 m that a box shows
SHIFT = 0.06  # metres: the depth camera is so far to the left of the colour camera


def seen_by_depth_camera():
    """640x480 in metres: a wall, and a card of 0.1 m about (0, 0, 0.8) of the colour frame, computed for the depth
    camera."""
    v, u = np.mgrid[0:480, 0:640]
    x = (u - 319.5) / 380 * 0.8 - SHIFT  # in the colour frame, if it is the card
    y = (v - 239.5) / 380 * 0.8
    return np.where((np.abs(x) < 0.05) & (np.abs(y) < 0.05), 0.8, WALL)


def unregistered(make_bench, depth_frame="camera_depth_optical_frame", middle=0.0):
    """A colour camera, and a depth camera beside it with another lens; topics as two drivers have them."""
    half, across = 0.05 / 0.8 * 600, middle / 0.8 * 600
    box = Box(320 + across - half, 240 - half, 320 + across + half, 240 + half)
    bench = make_bench(
        {"the mug": Say.found(box)},
        camera=False,
        look_ahead=False,
        still=True,
        remap={
            "image": "/color/image_raw",
            "camera_info": "/color/camera_info",
            "depth": "/stereo/depth/image_rect_raw",
        },
    )
    bench.depth = depth_image(seen_by_depth_camera())
    bench.depth.header.frame_id = depth_frame
    bench.info = info(k=(600.0, 600.0, 319.5, 239.5))
    publisher = bench.client.create_publisher(CameraInfo, "/stereo/depth/camera_info", qos_profile_sensor_data)
    own = info(k=(380.0, 380.0, 319.5, 239.5), frame=depth_frame)
    bench.start_camera(rgb_to_image(np.full((480, 640, 3), 127, np.uint8), Header(frame_id=FRAME)))
    return bench, lambda: bench.client.create_timer(0.05, lambda: publisher.publish(own))


def tell_transform(bench):
    bench.client.create_publisher(TransformStamped, "/tf_stand_in", LATCHED).publish(
        TransformStamped(
            header=Header(frame_id=FRAME),
            child_frame_id="camera_depth_optical_frame",
            transform=Transform(translation=Vector3(x=-SHIFT), rotation=Quaternion(w=1.0)),
        )  # fmt: skip
    )


def test_depth_of_another_frame_is_registered_or_left_out(make_bench, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2_ros", stand_in())
    bench, tell_info = unregistered(make_bench)
    newest = watch(bench)
    text = reason(bench, "no camera_info of the depth camera arrived on /stereo/depth/camera_info")
    assert "camera_depth_optical_frame" in text and FRAME in text and "aligned" in text
    wait_until(lambda: newest("depth")[0] == WARN and newest("depth")[2].get("registered") == "no")
    tell_info()
    reason(bench, "tf2 has no transform")
    tell_transform(bench)
    assert place(bench) == pytest.approx((0.0, 0.0, 0.8), abs=0.002), "without registration: 32 mm aside"
    size = placed(bench).size
    assert (size.x, size.y) == pytest.approx((0.1, 0.1), abs=0.006) and size.z < 0.02
    wait_until(lambda: newest("depth")[0] == OK and "tf2" in newest("depth")[2]["registered"])


@pytest.mark.parametrize("depth_frame, image_frame", [("", FRAME), ("camera_depth_optical_frame", "")])
def test_a_picture_without_a_frame_is_of_its_camera_info_s(make_bench, monkeypatch, depth_frame, image_frame):
    monkeypatch.setitem(sys.modules, "tf2_ros", stand_in())
    bench, tell_info = unregistered(make_bench)
    bench.depth.header.frame_id, bench.image.header.frame_id = depth_frame, image_frame
    wait_until(
        lambda: eyes(bench).frames and eyes(bench)._frame.message.header.frame_id == image_frame, what="such images"
    )
    tell_info()
    reason(bench, "depth is of frame 'camera_depth_optical_frame', the image of 'camera.*tf2 has no transform")
    tell_transform(bench)
    assert place(bench) == pytest.approx((0.0, 0.0, 0.8), abs=0.002), "taken for one frame: 60 mm aside"


def test_depth_without_any_frame_and_with_another_lens_is_left_out(make_bench):
    bench, tell_info = unregistered(make_bench, "")
    tell_info()
    reason(bench, "depth names no frame.*its camera_info differs")


def test_depth_of_another_frame_without_tf2(make_bench, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2_ros", None)
    bench, tell_info = unregistered(make_bench)
    tell_info()
    reason(bench, "tf2_ros cannot be imported")


def test_depth_of_the_same_frame_with_another_lens_is_brought_over(make_bench):
    """The frames agree, their own camera_infos do not: one of them is right, and that is the one about the depth's
    pixels."""
    bench, tell_info = unregistered(make_bench, FRAME, middle=0.05)
    newest = watch(bench)
    v, u = np.mgrid[0:480, 0:640]
    inside = (np.abs((u - 319.5) / 380 * 0.8 - 0.05) < 0.05) & (np.abs((v - 239.5) / 380 * 0.8) < 0.05)
    bench.depth = depth_image(np.where(inside, 0.8, WALL))
    tell_info()
    # As if nothing were known of the depth camera, the left half of the card would lie in the box.
    wait_until(lambda: place(bench)[0] == pytest.approx(0.05, abs=0.003), what="the card's middle")
    wait_until(lambda: newest("depth")[2].get("registered") == "by its own camera_info")


def test_names_of_topics():
    for topic, value in (
        ("/camera/image_rect", True),
        ("/camera/image_rect_color/compressed", True),
        ("/zed/zed_node/rgb/color/rect/image", True),
        ("/left/image_rect/compressedDepth", True),
        ("/camera/depth/image_rect_raw", True),
        ("/a/image_rectified", True),
        ("/camera/camera/color/image_raw", False),
        ("/camera/image_raw/compressed", False),
        ("/rgb/color/raw/image", False),
        ("/camera/image_undistorted", True),
        ("/camera/undistort/image", True),
        ("/fisheye/unwarped_image", True),
        ("/camera/image_unrectified", False),
        ("/camera/image_distorted", False),
        ("/clue/image", None),
        ("/image", None),
        ("/correct/camera/image", None),
        ("/rect_robot/arm/camera/image_raw", False),
        ("/rect/robot/arm/camera/image", None),
    ):
        assert rectified("auto", topic).value is value, topic
        assert rectified("yes", topic).value is True and rectified("no", topic).value is False
    assert info_beside("/camera/color/image_raw/compressed") == "/camera/color/camera_info"
    assert (
        info_beside("/camera/depth/image_rect_raw") == "/camera/depth/camera_info"
        and info_beside("/image") == "/camera_info"
    )
    assert base_topic("/a/image/compressedDepth") == "/a/image" and base_topic("/compressed") == "/compressed"
