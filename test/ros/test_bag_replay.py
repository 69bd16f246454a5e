"""A bag replayed offline and the live node fed by the same bag over DDS decide the same.

The bag's own bytes go out of rclpy publishers at the bag's clock (`/clock`, use_sim_time), as `ros2 bag play --clock`
sends them, but no faster than the node works: the next message waits until the last one was taken.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rclpy.serialization
import rosbags.rosbag2 as rosbag2
from bench import Bench, wait_until
from builtin_interfaces.msg import Time
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

import clue_ros
from clue_ros.bags.events import NS, ReplaySettings
from clue_ros.bags.reading import COMPRESSED, IMAGE, STRING, Bag, TopicNames, choose_topics, typestore
from clue_ros.bags.stream import header_stamp
from clue_ros.bags.suite import evaluate_bag
from clue_ros.images.encodings import SUPPORTED_ENCODINGS
from clue_ros.images.messages import message_to_rgb
from clue_ros.ros.demonstration.scripted_scene import closing_of
from clue_ros.ros.running import parameters
from clue_ros.ros.serving.outputs import Outputs
from clue_ros.ros.wire.messages import stamp_to_seconds
from clue_ros.testing.fake_grounder import Say, ScriptedGrounder
from clue_ros.types import Box, ClueError, OutOfMemoryError

MODEL = Path(clue_ros.__file__).parent / "models" / "tabletop"
PAUSE_S = 30.0  # a longer one in the bag ends an open question, and the time for corrections


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    from clue_ros.bags.recording import RecordSettings, record

    folder = tmp_path_factory.mktemp("bags") / "table"
    try:
        record(folder, RecordSettings(episodes=5, seed=4, rate_hz=2.0, depth=False))
    except ClueError as error:
        pytest.skip(str(error))
    return folder


@pytest.fixture(scope="module")
def offline(recorded):
    from clue_ros.grounder import Grounder

    if not any(MODEL.glob("*.safetensors")):
        pytest.skip(f"the embedded model is not in {MODEL} yet")
    grounder = Grounder.from_pretrained()
    try:
        return evaluate_bag(grounder, recorded).rows
    finally:
        grounder.close()


@pytest.mark.parametrize("look_ahead", [False, True])
def test_the_live_node_decides_the_same(domain, recorded, offline, look_ahead):
    from clue_ros.ros.running.loading import load_grounder

    live = play_live(recorded, factory=load_grounder, look_ahead=look_ahead)
    assert len(live) == len(offline)
    for row, seen in zip(offline, live):
        assert seen.expression == row["words"]
        assert seen.questions == row["questions"] and seen.answers == row["answers"], row["expression"]
        assert seen.probabilities == pytest.approx(
            [d["probability"] for d in row["decisions"] if d["probability"] is not None], abs=1e-4
        )
        assert (seen.box is None) == (row["box"] is None), (row["expression"], seen.closing)
        if row["box"] is not None:
            assert seen.box == pytest.approx(row["box"], abs=2e-3)  # float32 in the message, 3 digits in the row
            assert seen.confidence == pytest.approx(row["confidence"], abs=1e-4)
            assert seen.image_stamp == pytest.approx(row["image_time_s"], abs=2e-3)


def script():
    ask = Say.ask("Which one?")
    return ScriptedGrounder(
        {"the mug": [ask, Say.found(Box(1, 2, 3, 4))], "the cups": [ask, ask, ask, ask], "a can": Say.not_found(),
         "the zyx": Say.unknown("zyx"), "the ball": Say.failure(OutOfMemoryError("no memory left"))}
    )  # fmt: skip


def test_every_way_that_a_dialogue_can_go(domain, tmp_path):
    """Stray answers, a budget that is spent, "never mind", silence, old frames, an unknown encoding; padded rows."""
    folder = awkward_bag(tmp_path / "awkward")
    rows = evaluate_bag(script(), folder).rows
    assert [row["outcome"] for row in rows] == [
        "found", "found", "ambiguous", "abandoned", "answer_timeout", "not_found", "unknown_words", "error", "no_image",
        "unsupported_encoding", "found",
    ]  # fmt: skip
    live = play_live(folder, grounder=script(), look_ahead=True)
    assert [seen.expression for seen in live] == [row["expression"] for row in rows]
    for row, seen in zip(rows, live):
        assert seen.questions == row["questions"] and seen.answers == row["answers"], row["expression"]
        broken = row["outcome"] in ("error", "no_image", "unsupported_encoding")
        assert closing_of(seen.closing, row["expression"]) == ("error" if broken else row["outcome"])
        assert seen.box == (row["box"] and pytest.approx(row["box"]))
        assert row["reason"][:20] in seen.closing or row["outcome"] in ("no_image", "answer_timeout")


def awkward_bag(folder):
    types, start = typestore().types, 1_767_225_600 * NS
    now = [start]
    lines = []

    def show(value=90, age_s=0.01, encoding="bgr8"):
        pixels_ = np.zeros((24, 128), np.uint8)  # rows of 32 pixels, and 32 bytes of padding
        pixels_[:, :96] = value
        stamp = now[0] - int(age_s * NS)
        header = types["std_msgs/msg/Header"](
            stamp=types["builtin_interfaces/msg/Time"](sec=stamp // NS, nanosec=stamp % NS), frame_id="camera"
        )
        message = types[IMAGE](
            header=header, height=24, width=32, encoding=encoding, is_bigendian=0, step=128, data=pixels_.reshape(-1)
        )
        lines.append((now[0], "/image", message))
        now[0] += NS // 10

    def say(*texts, then_s=40.0):
        for text in texts:
            lines.append((now[0], "/speech", types[STRING](data=text)))
            now[0] += NS
        now[0] += int(then_s * NS)

    show()
    say("the mug", "the red one", then_s=0)  # then words that no question was open for
    show(120)
    say("thanks a lot")
    for words in (("the cups", "this", "that", "here"), ("the mug", "oh, never mind"), ("the mug",), ("a can",),
                  ("the zyx",), ("the ball",)):  # fmt: skip
        show()
        say(*words)
    show(age_s=5.0)
    say("the cup")
    show(encoding="rgb565")
    say("the cup")
    show()
    say("the cup")
    with rosbag2.Writer(folder, version=9, storage_plugin=rosbag2.StoragePlugin.SQLITE3) as writer:
        connections = {
            topic: writer.add_connection(topic, kind, typestore=typestore())
            for topic, kind in (("/image", IMAGE), ("/speech", STRING))
        }
        for at, topic, message in lines:
            writer.write(connections[topic], at, typestore().serialize_cdr(message, message.__msgtype__))
    return folder


def play_live(folder, **how):
    """The node's dialogues: expression, questions, answers, closing, probabilities, box, confidence, image_stamp."""
    bench = Bench(camera=False, use_sim_time=True, use_depth=False, max_image_age_s=1.0, wait_for_image_s=0.5, **how)
    heard = {"_turn": bench.turns, "_target": bench.targets, "_ambiguity": bench.ambiguities}
    told = {name: _count(getattr(bench.part(Outputs), name)) for name in heard}
    bench.all_heard = lambda: wait_until(lambda: all(len(heard[name]) == len(told[name]) for name in heard))
    try:
        with Bag(folder) as bag:
            return _feed(bench, bag)
    finally:
        bench.close()


def _count(publisher) -> list:
    """What it publishes from now on."""
    sent, publish = [], publisher.publish
    publisher.publish = lambda message: sent.append(message) or publish(message)
    return sent


def _pause(bench):
    """The live node's patience counts real time: it is told that hours have passed."""
    conversation = bench.conversation
    bench.node_spinner.call(lambda: conversation._carry_out(conversation._turns.on_time(conversation._clock() + 9e3)))
    wait_until(lambda: not bench.node.busy, what="the end of an open question")
    bench.all_heard()


def _feed(bench, bag):
    topics = choose_topics(bag, TopicNames())
    clock = bench.client.create_publisher(Clock, "/clock", 10)
    reliable = QoSProfile(depth=10)
    publishers = {
        topic: bench.client.create_publisher(
            CompressedImage if bag.topics[topic].type == COMPRESSED else Image, topic, reliable
        )
        for topic in topics.images
    }
    publishers[topics.speech] = bench.speech
    wait_until(lambda: clock.get_subscription_count() > 0, what="clock subscription")
    for publisher in publishers.values():
        wait_until(lambda publisher=publisher: publisher.get_subscription_count() > 0, what="subscriptions")
    dialogues, last = [], 0
    for message in bag.messages((*topics.images, topics.speech)):
        if last and message.time - last > PAUSE_S * NS:
            _pause(bench)
        last = message.time
        clock.publish(Clock(clock=Time(sec=message.time // NS, nanosec=message.time % NS)))
        wait_until(lambda: bench.node.get_clock().now().nanoseconds == message.time, what="the bag's time in the node")
        begins = not bench.node.busy
        lines = len(bench.turns)
        log = _Log(bench)  # before the words are out: the node may have repeated them a moment later
        publishers[message.topic].publish(message.data)
        if message.topic != topics.speech:
            stamp = header_stamp(message.data) * 1e-9
            wait_until(lambda: _newest(bench.node) == pytest.approx(stamp, abs=1e-6), what="the frame in the node")
            continue
        if begins:
            dialogues.append(log)
        # The person's line, and then the robot's: a question or the closing words.
        wait_until(lambda: len(bench.turns) >= lines + 2, what="the robot's reply")
        wait_until(lambda: not bench.node.busy or _asks(bench.node), what="the end, or an open question")
        bench.all_heard()
    _pause(bench)
    ends = [*dialogues[1:], _Log(bench)]
    return [log.read(bag, until) for log, until in zip(dialogues, ends)]


class _Log:
    """Where a dialogue begins in what the bench has collected."""

    def __init__(self, bench):
        self.bench = bench
        self.turns, self.targets, self.ambiguities = len(bench.turns), len(bench.targets), len(bench.ambiguities)

    def read(self, bag, until):
        turns = self.bench.turns[self.turns : until.turns]
        targets = self.bench.targets[self.targets : until.targets]
        readings = self.bench.ambiguities[self.ambiguities : until.ambiguities]
        robot = [turn.text for turn in turns if turn.speaker == "robot"]
        person = [turn.text for turn in turns if turn.speaker == "person"]
        box = targets[0].box if targets else None
        return SimpleNamespace(
            expression=person[0], answers=person[1:], questions=robot[:-1], closing=robot[-1],
            probabilities=[reading.probability for reading in readings],
            box=None if box is None else [box.x0, box.y0, box.x1, box.y1],
            confidence=targets[0].confidence if targets else None,
            image_stamp=stamp_to_seconds(targets[0].header.stamp) - bag.start / NS if targets else None,
        )  # fmt: skip


def _asks(node):
    current = node._conversation.current
    return current is not None and current.open_question is not None


def _newest(node):
    """Stamp of the frame that a goal would take now, seconds."""
    camera = node._conversation._parts.camera
    return 0.0 if camera._frame is None else stamp_to_seconds(camera._frame.message.header.stamp)


def test_the_defaults_are_the_nodes():
    default = {name: value for name, (value, _, _) in parameters._DECLARATIONS.items()}
    for name, value in asdict(ReplaySettings()).items():
        own = name in ("threshold", "min_confidence")  # 0 stands for the model's
        assert value == (default[name] or None if own else default[name]), name


@pytest.mark.parametrize("encoding", SUPPORTED_ENCODINGS)
def test_the_pixels_of_a_bags_message_are_those_of_the_nodes(encoding):
    """The same bytes read by rosbags (arrays are numpy's) and by rclpy (array.array)."""
    rng = np.random.default_rng(0)
    for step, big in ((6 * 8, 0), (6 * 8 + 5, 1)):  # no encoding needs more than 8 bytes a pixel; the rest is padding
        data = rng.integers(0, 256, 6 * step, np.uint8)  # nv12: four rows of luma, two of chroma
        message = Image(height=4, width=6, encoding=encoding, is_bigendian=big, step=step, data=data.tobytes())
        own = typestore().deserialize_cdr(rclpy.serialization.serialize_message(message), IMAGE)
        assert np.array_equal(message_to_rgb(own), message_to_rgb(message))


def test_a_recorded_message_is_the_wires(recorded):
    """rosbags' bytes are read by rclpy, with the same fields."""
    with Bag(recorded) as bag:
        for message in bag.messages(["/image/compressed", "/speech"]):
            kind = CompressedImage if message.type == COMPRESSED else String
            native = rclpy.serialization.deserialize_message(message.data, kind)
            own = bag.decode(message)
            if kind is String:
                assert native.data == own.data
            else:
                assert bytes(native.data) == own.data.tobytes() and native.format == own.format
                assert np.array_equal(message_to_rgb(native), message_to_rgb(own))
