"""What is latched is seen by who comes later, beside publishers that latch nothing; words of the past are not heard."""

from __future__ import annotations

import time

import numpy as np
import pytest
import rclpy
from bench import ABORTED, FRAME, SUCCEEDED, depth_image, wait_until
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Bool, Header, String
from test_positions import SAYS, info

from clue_ros.action import Ground
from clue_ros.ros.running.spinning import Spinner
from clue_ros.ros.wire import adaptive_subscription
from clue_ros.ros.wire.adaptive_subscription import LATCHED, LIVE, AdaptiveSubscriptions
from clue_ros.ros.wire.conversions import rgb_to_image

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
KEPT, VOLATILE = DurabilityPolicy.TRANSIENT_LOCAL, DurabilityPolicy.VOLATILE


def qos(durability=KEPT, reliability=RELIABLE, depth=1):
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=reliability, durability=durability)


class Rig:
    """Nodes that publish, and one that listens on /topic."""

    def __init__(self):
        self.heard, self.nodes = [], [Node("listener"), Node("talker")]
        self.talker = self.nodes[1]
        self.spinner = Spinner(*self.nodes)
        self.listening = None

    def listen(self, depth=1):
        live = qos(VOLATILE, BEST_EFFORT, depth)
        self.listening = AdaptiveSubscriptions(self.nodes[0])
        self.listening.add(String, "/topic", lambda message: self.heard.append(message.data), live)

    @property
    def kinds(self):
        return set(self.listening._topics[0]._subscriptions)

    def publisher(self, *words, **profile):
        publisher = self.talker.create_publisher(String, "/topic", qos(**profile))
        for word in words:
            publisher.publish(String(data=word))
        return publisher

    def drop(self, publisher):
        """In the thread that spins: from another one it can end that thread (InvalidHandle)."""
        self.spinner.call(lambda: self.talker.destroy_publisher(publisher))

    def streams(self, publisher, word):
        """Publishes `word` until it is heard."""
        wait_until(lambda: publisher.publish(String(data=word)) or time.sleep(0.02) or word in self.heard, what=word)

    def close(self):
        self.spinner.close()
        for node in self.nodes:
            node.destroy_node()


LOOK_S = 0.1


@pytest.fixture
def rig(domain, monkeypatch):
    monkeypatch.setattr(adaptive_subscription, "LOOK_S", LOOK_S)
    rig = Rig()
    yield rig
    rig.close()


def test_what_was_published_before_comes_once(rig):
    rig.publisher("once")
    time.sleep(0.3)
    rig.listen()
    wait_until(lambda: rig.heard == ["once"] and rig.kinds == {LATCHED})
    time.sleep(2 * LOOK_S)
    assert rig.heard == ["once"]


def test_one_that_comes_later_is_found(rig):
    rig.listen()
    time.sleep(LOOK_S)
    assert rig.kinds == {LIVE}
    rig.publisher("once")
    wait_until(lambda: rig.heard == ["once"])


@pytest.mark.parametrize("first", [KEPT, VOLATILE], ids=["latched first", "volatile first"])
def test_both_kinds_of_publisher_on_one_topic(rig, first):
    kept = rig.publisher("calibration") if first == KEPT else None
    volatile = rig.publisher(durability=VOLATILE)
    rig.listen()
    kept = kept or rig.publisher("calibration")
    wait_until(lambda: "calibration" in rig.heard and rig.kinds == {LIVE, LATCHED})
    rig.streams(volatile, "volatile")
    kept.publish(String(data="again"))  # both subscriptions get it
    wait_until(lambda: "again" in rig.heard)
    time.sleep(0.2)
    assert rig.heard.count("again") == rig.heard.count("calibration") == 1


def test_history_does_not_replace_what_came_live(rig):
    old = rig.publisher("old")
    volatile = rig.publisher(durability=VOLATILE)
    rig.listen()
    subscription = rig.listening._topics[0]
    with pytest.MonkeyPatch.context() as patch:  # as where the latched publisher is discovered last
        patch.setattr(subscription, "_needed", lambda: {LIVE})
        rig.streams(volatile, "new")
        rig.heard.clear()
    rig.listening.look()
    wait_until(lambda: rig.kinds == {LIVE, LATCHED})
    time.sleep(0.5)
    assert "old" not in rig.heard
    old.publish(String(data="newer"))
    wait_until(lambda: "newer" in rig.heard)


def test_a_publisher_that_starts_again_with_another_profile(rig):
    rig.listen()
    for turn, profile in enumerate((KEPT, VOLATILE, KEPT, VOLATILE)):
        publisher = rig.publisher(f"first {turn}", durability=profile)
        if profile == KEPT:
            wait_until(lambda: f"first {turn}" in rig.heard)
        rig.streams(publisher, f"more {turn}")
        rig.drop(publisher)


def test_best_effort_publishers_that_say_they_keep_are_heard_live(rig):
    """Fast DDS gives a best-effort reader no history, and a reliable one does not fit to them."""
    publisher = rig.publisher("lost", reliability=BEST_EFFORT)
    rig.listen()
    rig.streams(publisher, "live")
    assert rig.kinds == {LIVE}


def test_no_message_is_lost_or_doubled_while_subscriptions_change(rig):
    """A latched publisher counts, up to 200 a second; a volatile one comes and goes: the other profile each time."""
    rig.listen(depth=200)
    counter = rig.talker.create_publisher(String, "/topic", qos(depth=200))
    number, kinds = 0, set()

    def count(to, until):
        """Each number is sent when the one before was heard: how much a busy listener may have to hold is no matter."""
        nonlocal number
        while number < to or not until():
            counter.publish(String(data=str(number)))
            wait_until(lambda: str(number) in rig.heard[-20:], what=str(number))
            number += 1
            kinds.add(frozenset(rig.kinds))
            time.sleep(0.005)

    count(100, lambda: rig.kinds == {LATCHED})
    other = rig.publisher(durability=VOLATILE)
    count(200, lambda: rig.kinds == {LIVE, LATCHED})
    rig.drop(other)
    count(number + 100, lambda: rig.kinds == {LATCHED})
    assert [int(word) for word in rig.heard] == list(range(number))
    assert {frozenset({LATCHED}), frozenset({LIVE, LATCHED})} <= kinds


def test_nothing_changes_while_the_publishers_do_not(rig):
    publishers = [rig.publisher("once"), rig.publisher(durability=VOLATILE)]
    rig.listen()
    wait_until(lambda: rig.kinds == {LIVE, LATCHED})
    before = dict(rig.listening._topics[0]._subscriptions)
    time.sleep(3 * LOOK_S)
    assert rig.listening._topics[0]._subscriptions == before and len(publishers) == 2


def test_another_type_on_the_topic_says_nothing(rig):
    process = rclpy.context.Context()  # within one, Fast DDS allows one type a topic
    rclpy.init(context=process)
    stranger = Node("stranger", context=process)
    stranger.create_publisher(Bool, "/topic", qos())
    wait_until(lambda: rig.nodes[0].count_publishers("/topic") == 1)
    rig.listen()
    time.sleep(2 * LOOK_S)
    assert rig.kinds == {LIVE}
    stranger.destroy_node()
    process.try_shutdown()


# The node.


def latched(bench, message, topic):
    """Published once, and kept for who comes later."""
    publisher = bench.client.create_publisher(type(message), topic, qos())
    publisher.publish(message)
    return publisher


def test_a_camera_info_that_was_published_once_gives_positions(make_bench):
    bench = make_bench(
        SAYS, camera=False, activate=False, look_ahead=False, still=True, remap={"image": "/cam/image_raw"}
    )
    kept = latched(bench, info(k=(600.0, 600.0, 319.5, 239.5)), "/cam/camera_info")
    time.sleep(0.5)
    bench.lifecycle("configure")
    bench.lifecycle("activate")
    bench.connect()
    bench.depth = depth_image(np.full((480, 640), 1.0))
    bench.start_camera(rgb_to_image(np.full((480, 640, 3), 127, np.uint8), Header(frame_id=FRAME)))
    camera = bench.eyes.first
    wait_until(lambda: camera.optics.info is not None and camera._depths, what="camera_info and depth")
    status, result = bench.ground("the mug")
    assert status == SUCCEEDED and result.target.has_position, result.target.position_reason
    assert kept.topic_name == "/cam/camera_info"


def test_a_picture_and_its_depth_that_were_published_once(make_bench):
    bench = make_bench(SAYS, camera=False, look_ahead=False, still=True)
    header = Header(frame_id=FRAME, stamp=bench.client.get_clock().now().to_msg())
    picture, depth = rgb_to_image(np.full((480, 640, 3), 127, np.uint8), header), depth_image(np.full((480, 640), 1.0))
    depth.header = header
    kept = [latched(bench, picture, "image"), latched(bench, depth, "depth"), latched(bench, info(), "camera_info")]
    camera = bench.eyes.first
    wait_until(lambda: camera.frames and camera._depths and camera.optics.info is not None, what="what is latched")
    status, result = bench.ground("the mug")
    assert status == SUCCEEDED and result.target.has_position and len(kept) == 3
    assert camera.frames == 1


def test_a_picture_that_was_published_long_ago_is_too_old(make_bench):
    bench = make_bench(SAYS, camera=False, look_ahead=False, wait_for_image_s=0.1, max_image_age_s=1.0)
    stamp = bench.client.get_clock().now().to_msg()
    stamp.sec -= 60
    kept = latched(bench, rgb_to_image(np.full((48, 64, 3), 9, np.uint8), Header(frame_id=FRAME, stamp=stamp)), "image")
    camera = bench.eyes.first
    wait_until(lambda: camera.frames == 1 and kept)
    status, result = bench.ground("the mug")
    assert (status, result.error_code) == (ABORTED, Ground.Result.NO_IMAGE)
    assert "60." in result.error_msg and "1 s are allowed" in result.error_msg


def test_words_that_were_latched_are_not_heard_but_who_speaks_is(make_bench):
    bench = make_bench(SAYS, activate=False)
    kept = [latched(bench, String(data="the mug"), "speech"), latched(bench, Bool(data=True), "speaking")]
    time.sleep(0.5)
    bench.lifecycle("configure")
    bench.lifecycle("activate")
    bench.connect()
    time.sleep(3 * LOOK_S)
    assert not bench.turns and not bench.grounder.calls
    bench.say("the mug")
    time.sleep(0.5)
    assert not bench.turns, "the robot itself speaks"
    kept[1].publish(Bool(data=False))
    wait_until(lambda: bench.say("the mug") or time.sleep(0.1) or bench.targets)


def test_kinds_of_message_are_named_as_the_graph_names_them(rig):
    subscriptions = AdaptiveSubscriptions(rig.nodes[0])
    for kind in (Image, CameraInfo):
        subscriptions.add(kind, f"/{kind.__name__}", lambda message: None)
    assert [one._type for one in subscriptions._topics] == ["sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo"]
    subscriptions.close()
