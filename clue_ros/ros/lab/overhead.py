"""What the ROS side adds to the model: message in -> Grounder -> message out, with a Grounder that takes no time.

    python -m clue_ros.ros.lab.overhead          (part of make bench; a table, and out/ros_overhead.json)

The real node is spun by its executor; a client in the same process publishes over DDS. Two things are timed:

frame        a camera frame from its bytes as DDS hands them over to the message that the node keeps. It is paid once a
             frame, before anybody speaks.
instruction  from the callback of `speech` until `target` has been published: parameters, the dialogue, the frame's
             conversion to RGB, the worker thread and back, and every message of the dialogue.

The limits are for both together: 2 ms at 640x480 and 8 ms at 1920x1080. Beside the time that passed stands the
processor time of this process in it: on a machine that others use as well the first says little.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String

from clue_ros.ros.node import ClueNode
from clue_ros.ros.running.allocation import keep_large_blocks
from clue_ros.ros.wire.conversions import array_to_image
from clue_ros.testing.fake_grounder import Say, ScriptedGrounder
from clue_ros.types import Box

ROUNDS = 200
WAIT_S = 10.0
REST_S = 0.01  # between two instructions: what follows a target (closing words, log) is no part of the next one
EXPRESSION = "the mug"


class Mark(NamedTuple):
    """A moment, and the processor time that this process had used by then; seconds."""

    wall: float
    processor: float

    @classmethod
    def now(cls) -> "Mark":
        return cls(time.perf_counter(), time.process_time())


def _between(begins: List[Mark], ends: List[Mark]) -> Dict[str, List[float]]:
    return {
        "wall": [end.wall - begin.wall for begin, end in zip(begins, ends)],
        "processor": [end.processor - begin.processor for begin, end in zip(begins, ends)],
    }


class Size(NamedTuple):
    """An image's size in pixels and how long frame and instruction may take together, seconds."""

    width: int
    height: int
    limit_s: float


SIZES = (Size(640, 480, 0.002), Size(1920, 1080, 0.008))


def measure(size: Size, rounds: int = ROUNDS, encoding: str = "bgr8") -> Dict[str, Any]:
    """{"width", "height", "encoding", "limit", "frame": times, "instruction": times}; times: {"wall": [seconds of each
    round], "processor": [...]}.

    bgr8, the most frequent encoding of cameras whose channels have to be turned round. rclpy must be initialised.

    Raises:
        TimeoutError: the node did not answer.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (size.height, size.width, 3), np.uint8)
    image = array_to_image(pixels, encoding, Header(frame_id="camera"))
    return {
        "width": size.width, "height": size.height, "encoding": encoding, "limit": size.limit_s,
        "frame": _frames(image, rounds), "instruction": _instructions(image, rounds),
    }  # fmt: skip


def _frames(image: Image, rounds: int) -> Dict[str, List[float]]:
    data, begins, ends, kept = serialize_message(image), [], [], None
    for _ in range(rounds):
        begins.append(Mark.now())
        kept = deserialize_message(data, Image)
        ends.append(Mark.now())
    del kept  # each frame replaces the one before, as in the node
    return _between(begins, ends)


def _instructions(image: Image, rounds: int) -> Dict[str, List[float]]:
    grounder = ScriptedGrounder({EXPRESSION: Say.found(Box(10, 10, 60, 60))})
    settings = {"look_ahead": False, "max_image_age_s": 3600.0, "autostart": False}
    overrides = [Parameter(name, value=value) for name, value in settings.items()]
    node = ClueNode(lambda _: grounder, parameter_overrides=overrides)
    node.get_logger().set_level(rclpy.logging.LoggingSeverity.WARN)  # of every logger of that name in this process
    client = Node("overhead")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    node.trigger_configure()
    node.trigger_activate()
    camera = client.create_publisher(Image, "image", qos_profile_sensor_data)
    person = client.create_publisher(String, "speech", 10)
    came, went = _entrance(node, "/speech"), _exit(node, "/target")
    over = threading.Event()

    def spin() -> None:
        while not over.is_set():
            executor.spin_once(timeout_sec=0.1)

    thread = threading.Thread(target=spin)
    thread.start()
    try:
        seen = next(end for end in node.subscriptions if end.topic_name == "/image")
        arrived = _called(seen)
        _until(lambda: camera.get_subscription_count() and person.get_subscription_count(), "discovery")
        while not arrived:
            camera.publish(image)
            time.sleep(0.05)
        time.sleep(0.2)  # a frame that is still on its way
        for number in range(rounds):
            person.publish(String(data=EXPRESSION))
            _until(lambda number=number: len(went) > number, "a target")
            _until(lambda: not node.busy, "the end of a dialogue")
            grounder.images.clear()  # the script keeps what it was shown
            grounder.used.clear()
            time.sleep(REST_S)
    finally:
        over.set()
        executor.wake()
        thread.join()
        node.get_logger().set_level(rclpy.logging.LoggingSeverity.UNSET)
        node.destroy_node()
        executor.shutdown()
        client.destroy_node()
    return _between(came, went)


def _entrance(node: Node, topic: str) -> List[Mark]:
    """When the callback of `topic` is called, from now on."""
    return _called(next(end for end in node.subscriptions if end.topic_name == topic))


def _called(subscription: Any) -> List[Mark]:
    times, real = [], subscription.callback

    def note() -> None:
        times.append(Mark.now())

    if len(inspect.signature(real).parameters) == 1:  # rclpy looks at the parameters, and gives a message's info to two
        subscription.callback = lambda message: (note(), real(message))
    else:
        subscription.callback = lambda message, info: (note(), real(message, info))
    return times


def _exit(node: Node, topic: str) -> List[Mark]:
    """When a message on `topic` has been published, from now on."""
    publisher = next(end for end in node.publishers if end.topic_name == topic)
    times, real = [], publisher.publish

    def publish(message: Any) -> None:
        real(message)
        times.append(Mark.now())

    publisher.publish = publish
    return times


def _until(condition: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"no {what} within {WAIT_S:g} s")
        time.sleep(0.001)


def report(rows: List[Dict[str, Any]], load: float) -> str:
    """A table in milliseconds, p50 / p95, and whether the limits hold (p50 of the time that passed)."""
    lines = [f"{'ROS side, ms (p50 / p95)':26}{'frame':>16}{'instruction':>16}{'together':>16}{'processor':>16}  limit"]
    for row in rows:
        frame, instruction, frame_cpu, instruction_cpu = (
            np.percentile(row[part][of], (50, 95)) * 1e3
            for of in ("wall", "processor") for part in ("frame", "instruction")
        )  # fmt: skip
        together, processor = frame + instruction, frame_cpu + instruction_cpu
        row["p50_ms"], row["processor_p50_ms"] = float(together[0]), float(processor[0])
        row["holds"] = row["p50_ms"] <= row["limit"] * 1e3
        cells = (f"{p50:.2f} / {p95:.2f}".rjust(16) for p50, p95 in (frame, instruction, together, processor))
        name = f"{row['width']}x{row['height']} {row['encoding']}"
        lines.append(f"{name:26}{''.join(cells)}  {row['limit'] * 1e3:g}: {'held' if row['holds'] else 'missed'}")
    if load > 0.5:
        lines.append(f"Note: other processes used this machine (load {load:.1f}): compare the processor's time.")
    return "\n".join(lines)


def main(args: Optional[List[str]] = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m clue_ros.ros.lab.overhead", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"instructions a size (default {ROUNDS})")
    parser.add_argument("--json", type=Path, default=Path("out/ros_overhead.json"), metavar="FILE.json")
    options = parser.parse_args(args)
    load = os.getloadavg()[0]
    keep_large_blocks()  # as the node's own main does
    rclpy.init()
    try:
        rows = [measure(size, options.rounds) for size in SIZES]
    finally:
        rclpy.try_shutdown()
    print(report(rows, load))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps({"what": "ros_overhead", "load": load, "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
