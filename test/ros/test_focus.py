"""The `focus` node over DDS: what passes, what is covered, the corrected camera_info, when the model looks again."""

from __future__ import annotations

import signal
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from bench import wait_until
from domains import isolated
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header, String

from clue_ros.images.messages import image_to_samples
from clue_ros.lens.calibration import camera_model
from clue_ros.ros.focus import Focus, Heat, cropped_info, moved
from clue_ros.ros.lab import focus_latency
from clue_ros.ros.running import spinning
from clue_ros.ros.running.spinning import Spinner
from clue_ros.ros.seeing.sight import thumbnail
from clue_ros.ros.tabletop_camera import camera_info
from clue_ros.ros.wire.conversions import array_to_image, rgb_to_image
from clue_ros.ros.wire.intrinsics import calibration_of
from clue_ros.seams import Capability
from clue_ros.types import Box


class Relevant:
    """Finds a box relevant, whatever is said, except for "nothing"."""

    capabilities = {Capability.RELEVANCE}

    def __init__(self) -> None:
        self.asked, self.closed = [], False

    def relevance(self, rgb: np.ndarray, instruction: str) -> np.ndarray:
        self.asked.append(instruction)
        heat = np.zeros(rgb.shape[:2], np.float32)
        if instruction != "nothing":
            heat[20:60, 40:100] = 1
        return heat

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 90, (120, 160, 3), np.uint8)


@pytest.fixture
def rig(domain):
    grounder = Relevant()
    node, client = Focus(lambda settings: grounder), Node("focus_client")
    node.start()
    got, infos = [], []
    client.create_subscription(Image, "image_focused", got.append, qos_profile_sensor_data)
    client.create_subscription(CameraInfo, "camera_info_focused", infos.append, qos_profile_sensor_data)
    images = client.create_publisher(Image, "image", qos_profile_sensor_data)
    info = client.create_publisher(CameraInfo, "camera_info", qos_profile_sensor_data)
    words = client.create_publisher(String, "focus_on", 10)
    spinners = [Spinner(node), Spinner(client)]
    wait_until(lambda: all(p.get_subscription_count() for p in (images, info, words)), what="subscriptions")
    wait_until(lambda: client.count_publishers("image_focused") > 0, what="publisher")

    # The first ones may go by while DDS matches the ends.
    nothing = rgb_to_image(np.zeros((2, 2, 3), np.uint8), Header())
    wait_until(lambda: images.publish(nothing) or time.sleep(0.05) or got, what="frames at both ends")

    def send(pixels: np.ndarray, encoding: str, stamp: int) -> Image:
        """The focused frame of one frame."""
        header = Header(frame_id="eye")
        header.stamp.sec = stamp
        images.publish(array_to_image(pixels, encoding, header))
        wait_until(lambda: any(m.header.stamp.sec == stamp for m in got), what=f"frame {stamp}")
        return next(m for m in got if m.header.stamp.sec == stamp)

    yield SimpleNamespace(
        node=node, grounder=grounder, send=send, say=lambda t: words.publish(String(data=t)), info=info, infos=infos
    )
    node.close()
    for spinner in spinners:
        spinner.close()
    node.destroy_node()
    client.destroy_node()
    assert grounder.closed


def test_frames_keep_header_and_encoding_and_lose_what_does_not_matter(rig, picture):
    plain = rig.send(picture, "bgr8", 1)
    assert bytes(plain.data) == picture.tobytes() and plain.encoding == "bgr8" and not rig.grounder.asked
    rig.say("the mug")
    wait_until(lambda: rig.node._instruction == "the mug", what="instruction")
    rig.send(picture, "bgr8", 2)
    wait_until(lambda: rig.node.looks == 1, what="first look")
    for number, (encoding, pixels) in enumerate(
        (("bgr8", picture), ("rgba8", np.dstack([picture, picture[..., :1]])), ("mono8", picture[..., 0]))
    ):
        shown = rig.send(pixels, encoding, 10 + number)
        assert (shown.encoding, shown.header.frame_id, shown.height, shown.width) == (encoding, "eye", 120, 160)
        values = image_to_samples(shown, 1 if pixels.ndim == 2 else pixels.shape[2], np.uint8)
        assert (values[20:60, 40:100] == pixels[20:60, 40:100]).all()
        far = values[80:, :30]
        assert (far[..., :3] == 127).all() if far.ndim == 3 else (far == 127).all()
    assert rig.grounder.asked == ["the mug"]  # the scene was the same
    assert 0.0 < min(rig.node.added_s) < 1.0


def test_a_crop_comes_with_a_camera_info_that_is_right_for_it(rig, picture):
    info = camera_info((200.0, 210.0, 80.5, 60.5), 160, 120, Header(frame_id="eye"))
    rig.info.publish(info)
    wait_until(lambda: rig.node._info is not None, what="camera_info")
    assert rig.node.set_parameters([Parameter("crop", value=True), Parameter("margin", value=0.0)])[0].successful
    rig.say("the mug")
    wait_until(lambda: rig.node._instruction == "the mug", what="instruction")
    rig.send(picture, "rgb8", 1)
    wait_until(lambda: rig.node.looks == 1, what="first look")
    shown = rig.send(picture, "rgb8", 2)
    x0, y0 = 36, 16  # the growth of 2.5 % of the width around (40, 20)
    assert (shown.width, shown.height) == (68, 48)
    assert (image_to_samples(shown, 3, np.uint8)[4:44, 4:64] == picture[20:60, 40:100]).all()
    wait_until(lambda: any(i.header.stamp.sec == 2 for i in rig.infos), what="camera_info 2")
    own = next(i for i in rig.infos if i.header.stamp.sec == 2)
    assert (own.width, own.height, own.k[2], own.k[5]) == (68, 48, info.k[2] - x0, info.k[5] - y0)
    assert own.p[2] == info.p[2] - x0 and own.k[0] == info.k[0]
    whole = next(i for i in rig.infos if i.header.stamp.sec == 1)
    assert (whole.width, whole.k[2]) == (160, info.k[2])


@pytest.mark.parametrize("mode", [focus_latency.PASSES, "overlay", "crop"])
def test_what_it_adds_to_a_frame_is_measured_on_the_node_itself(domain, mode):
    row = focus_latency.measure(64, 48, mode, frames=5)
    assert len(row["seconds"]) == 5 and min(row["seconds"]) > 0
    assert f"64x48 {mode}" in focus_latency.report([row], load=0.0)


def test_the_model_looks_again_when_words_or_scene_change(rig, picture):
    assert not rig.node.set_parameters([Parameter("mode", value="sepia")])[0].successful
    rig.node.set_parameters([Parameter("rate", value=30.0)])
    rig.say("the mug")
    wait_until(lambda: rig.node._instruction == "the mug", what="instruction")
    stamps = iter(range(1, 1000))

    def live(shown, looks, what):
        """A camera goes on sending: a frame that comes while the model looks, or too soon after, asks for nothing."""
        wait_until(lambda: rig.send(shown, "rgb8", next(stamps)) is not None and rig.node.looks == looks, what=what)

    live(picture, 1, "first look")
    changed = picture.copy()
    changed[60:100, 80:140] = 250
    live(changed, 2, "second look")
    rig.say("nothing")
    wait_until(lambda: rig.node._instruction == "nothing", what="instruction")
    live(changed, 3, "third look")
    assert bytes(rig.send(changed, "rgb8", next(stamps)).data) == changed.tobytes()  # nothing matters: as it is


def test_the_heatmap_follows_the_cameras_motion():
    scene = np.random.default_rng(1).integers(0, 255, (15, 20, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    before, after = scene[40:160, 40:200], scene[44:164, 50:210]  # the camera went right and down
    heat = np.zeros((120, 160), np.float32)
    heat[50:70, 60:90] = 1
    shifted = moved(Heat(heat, thumbnail(before), ""), thumbnail(after)) > 0.5
    rows, columns = np.flatnonzero(shifted.any(1)), np.flatnonzero(shifted.any(0))
    assert abs(columns[0] - 50) <= 2 and abs(rows[0] - 46) <= 2
    other = thumbnail(np.random.default_rng(2).integers(0, 255, (120, 160, 3), np.uint8))
    assert moved(Heat(heat, thumbnail(before), ""), other) is heat


@pytest.mark.parametrize(
    "factory, text",
    [(lambda settings: SimpleNamespace(capabilities=set(), close=lambda: None), "clue train mask"),
     (lambda settings: open("/no/such/file"), "/no/such/file")],
)  # fmt: skip
def test_a_model_without_a_mask_head_or_none_at_all_ends_the_program_with_the_reason(capfd, factory, text):
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with isolated():
        assert spinning.run("focus", lambda: Focus(factory), ["focus"]) == 2
    for number, handler in before.items():
        signal.signal(number, handler)
    err = capfd.readouterr().err
    assert "focus: " in err and text in err and "Traceback" not in err


def test_frames_pass_through_while_the_model_loads(domain, picture):
    go, grounder = threading.Event(), Relevant()
    node, client, got = Focus(lambda settings: go.wait(600.0) and grounder), Node("focus_client"), []
    node.start()
    client.create_subscription(Image, "image_focused", got.append, qos_profile_sensor_data)
    images = client.create_publisher(Image, "image", qos_profile_sensor_data)
    client.create_timer(0.05, lambda: images.publish(rgb_to_image(picture, Header())))
    words = client.create_publisher(String, "focus_on", 10)
    spinners = [Spinner(node), Spinner(client)]
    try:
        wait_until(lambda: words.get_subscription_count() > 0)
        words.publish(String(data="the cup"))
        wait_until(lambda: got)
        assert node.loads_still and bytes(got[-1].data) == picture.tobytes()
        go.set()
        wait_until(lambda: bytes(got[-1].data) != picture.tobytes(), what="the focus")
        assert not node.loads_still and node.failure is None
    finally:
        go.set()
        for spinner in spinners:
            spinner.close()
        node.close()
        node.destroy_node()
        client.destroy_node()
    assert grounder.closed


def test_the_camera_of_a_crop_of_a_region_sees_the_same_rays():
    k = [1200.0, 0.0, 640.0, 0.0, 1210.0, 480.0, 0.0, 0.0, 1.0]
    p = [1100.0, 0.0, 650.0, -55.0, 0.0, 1110.0, 470.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    info = CameraInfo(width=1280, height=960, k=k, p=p, binning_x=2, binning_y=2)
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 200, 100, 800, 600
    cut = cropped_info(info, Box(30, 20, 190, 140))
    assert (cut.width, cut.height, cut.roi.width, cut.binning_x) == (160, 120, 0, 0) and info.roi.width == 800
    for rectified in (True, False):
        before = camera_model(calibration_of(info), (400, 300), rectified)
        after = camera_model(calibration_of(cut), (160, 120), rectified)
        pixels = np.array([[40.0, 50.0], [150.0, 90.0]])
        assert np.allclose(after.points(pixels - (30, 20), 0.7), before.points(pixels, 0.7))
    assert not any(cropped_info(CameraInfo(width=64, height=48, k=k), Box(0, 0, 9, 9)).p), "what is not filled stays so"


def test_cropped_info_leaves_the_given_one_alone():
    info = camera_info((200.0, 210.0, 80.5, 60.5), 160, 120, Header())
    assert cropped_info(info, Box(10, 20, 50, 60)).width == 40 and info.width == 160


def test_a_model_that_breaks_once_looks_again(rig, picture, capfd):
    real, rig.grounder.relevance = rig.grounder.relevance, lambda rgb, words: 1 // 0
    rig.node.set_parameters([Parameter("rate", value=30.0)])
    rig.say("the cup")
    stamp = iter(range(1, 10_000))
    wait_until(lambda: rig.send(picture, "rgb8", next(stamp)) and "ZeroDivisionError" in capfd.readouterr().err)
    rig.grounder.relevance = real
    wait_until(lambda: rig.send(picture, "rgb8", next(stamp)) and rig.node.looks > 0, what="a look after the failure")
