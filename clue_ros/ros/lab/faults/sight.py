"""Faults of the camera: it stops, floods, changes, cuts its messages short, sends nonsense as depth."""

from __future__ import annotations

import time
from typing import Callable, Iterator, List, Tuple

import numpy as np
from std_msgs.msg import Header

from clue_ros.ros.lab.faults import camera as cameras
from clue_ros.ros.lab.faults.camera import changed, info, metres, resized
from clue_ros.ros.lab.faults.client import Goal, wait_for
from clue_ros.ros.lab.faults.robot import RESULT_S, Robot
from clue_ros.ros.lab.faults.rows import Check
from clue_ros.ros.wire.conversions import rgb_to_image
from clue_ros.ros.wire.messages import stamp_to_seconds

NO_IMAGE_S = 2.0 + 1.0  # wait_for_image_s, and one second
FLOOD_HZ, FLOOD_S = 200.0, 10.0
FLOOD_MB = 60.0  # of memory that a flood may cost: its 2,000 frames have 1,800 MB
LOG_LINES = 40  # that a broken camera may cost in all
FARTHEST = 1000.0  # metres
DISTANCES = (0.2, 3.0)  # metres: a table before a camera


def camera_stops(robot: Robot) -> Iterator[Check]:
    goal = robot.ask()
    robot.camera.running = False
    time.sleep(1.5)  # the newest frame is now older than max_image_age_s
    answered = time.monotonic()
    click(robot)
    goal.wait(RESULT_S)
    took, limit = goal.finished - answered, robot.limit(3.0)
    yield Check(
        "the camera stops while a question is open; answered 1.5 s later",
        f"NONE, on the question's image, ≤ {limit:g} s",
        f"{goal.code} after {took:.2f} s",
        goal.code == "NONE" and took <= limit,
    )
    goal, limit = robot.clear_goal().wait(RESULT_S), robot.limit(NO_IMAGE_S)
    yield Check(
        "a goal while it stands still",
        f"NO_IMAGE ≤ {limit:g} s",
        f"{goal.code} after {goal.seconds:.2f} s",
        goal.code == "NO_IMAGE" and goal.seconds <= limit,
    )
    goal = robot.clear_goal()
    time.sleep(1.0)
    robot.show(robot.clear)
    robot.camera.running, again = True, time.monotonic()
    goal.wait(RESULT_S)
    took, limit = goal.finished - again, robot.limit(2.0)
    yield Check(
        "it comes back 1 s after a goal was sent",
        f"found ≤ {limit:g} s after it came back",
        f"{goal.code} after {took:.2f} s",
        robot.found_it(goal) and took <= limit,
    )


def camera_floods(robot: Robot) -> Iterator[Check]:
    before, begun, first = robot.rss_mb(), time.monotonic(), robot.camera.published
    robot.camera.rate_hz, robot.camera.make_depth = FLOOD_HZ, None  # colour alone: one process has to send it all
    goals: List[Goal] = []
    ages: List[float] = []
    while time.monotonic() - begun < max(2.0, FLOOD_S * robot.effort):
        sent = robot.client.get_clock().now().nanoseconds * 1e-9
        goals.append(robot.clear_goal().wait(RESULT_S))
        ages.append(sent - stamp_to_seconds(goals[-1].result.target.header.stamp))
        time.sleep(0.05)
    rate = (robot.camera.published - first) / (time.monotonic() - begun)
    seconds = sorted(goal.seconds for goal in goals)
    found = sum(robot.found_it(goal) for goal in goals)
    slowest, oldest, limit, young = seconds[-1], max(ages), robot.limit(2.0), robot.limit(0.5)
    robot.camera.healthy()
    yield Check(
        f"640x480 at {rate:.0f} Hz (asked for {FLOOD_HZ:g}), a goal after the other",
        f"each found ≤ {limit:g} s, on a frame ≤ {young:g} s old",
        f"{found} of {len(goals)} found, the slowest {slowest:.2f} s, the oldest frame {oldest:.2f} s",
        found == len(goals) and slowest <= limit and oldest <= young,
    )
    grown = robot.rss_mb() - before
    yield Check("the same", f"memory + ≤ {FLOOD_MB:g} MB", f"{grown:+.1f} MB", grown <= FLOOD_MB)


def camera_changes(robot: Robot) -> Iterator[Check]:
    goal = robot.ask()
    robot.camera.make = resized(320, 240, cameras.bgr)
    time.sleep(0.3)
    robot.camera.show(robot.clear.picture)  # another scene as well: the answer is about the question's image
    time.sleep(0.2)
    click(robot)
    goal.wait(RESULT_S)
    box = goal.result.target.box
    meant = robot.unclear.box
    inside = meant.x0 - 40 <= box.x0 and box.x1 <= meant.x1 + 40 and meant.y0 - 40 <= box.y0 and box.y1 <= meant.y1 + 40
    yield Check(
        "640x480 rgb8 becomes 320x240 bgr8 while a question is open; then a click",
        "the clicked object, in the old image's pixels",
        f"{goal.code}, box {box.x0:.0f} {box.y0:.0f} {box.x1:.0f} {box.y1:.0f}",
        goal.code == "NONE" and inside,
    )
    robot.show(robot.clear)
    for name, make, scale in (
        ("960x720 rgba8", resized(960, 720, cameras.rgba), 1.5),
        ("320x240 bgr8", resized(320, 240, cameras.bgr), 0.5),
        ("640x480 rgb16", cameras.rgb16, 1.0),
        ("640x480 nv12", cameras.nv12, 1.0),
        ("640x480 jpeg on image/compressed", cameras.jpeg, 1.0),
        ("640x480 rgb8", rgb_to_image, 1.0),
    ):
        robot.camera.make = make
        fresh(robot)
        goal = robot.clear_goal().wait(RESULT_S)
        yield Check(
            f"then {name}",
            "the object, in its pixels",
            f"{goal.code} after {goal.seconds:.2f} s",
            robot.found_it(goal, scale),
        )
    robot.camera.make = changed(rgb_to_image, encoding="8UC7")
    fresh(robot)
    goal = robot.clear_goal().wait(RESULT_S)
    limit = robot.limit(3.0)
    yield Check(
        "then an encoding that nobody knows",
        f"UNSUPPORTED_ENCODING ≤ {limit:g} s",
        f"{goal.code} after {goal.seconds:.2f} s",
        goal.code == "UNSUPPORTED_ENCODING" and goal.seconds <= limit,
    )


def truncated_data(robot: Robot) -> Iterator[Check]:
    lines = robot.said()
    half = lambda data: data[: len(data) // 2]  # noqa: E731
    broken: Tuple[Tuple[str, Callable, str], ...] = (
        ("half of the rows", changed(rgb_to_image, data=half), "INVALID_IMAGE"),
        ("no bytes at all", changed(rgb_to_image, data=b""), "INVALID_IMAGE"),
        ("a step shorter than a row", changed(rgb_to_image, step=7), "INVALID_IMAGE"),
        ("0x0", changed(rgb_to_image, width=0, height=0), "INVALID_IMAGE"),
        (
            "4294967295 x 4294967295 pixels announced",
            changed(rgb_to_image, width=2**32 - 1, height=2**32 - 1, step=0),
            "INVALID_IMAGE",
        ),
        ("a jpeg cut in half", changed(cameras.jpeg, data=half), ""),
        ("noise as jpeg", changed(cameras.jpeg, data=bytes(range(256)) * 40), "INVALID_IMAGE"),
        ("a message cut short on the wire", lambda rgb, header: cut_message(rgb, header), "NO_IMAGE"),
    )
    for name, make, code in broken:
        robot.camera.make = make
        fresh(robot)
        if code == "NO_IMAGE":
            time.sleep(1.2)  # until the last readable frame is too old
        goal = robot.clear_goal().wait(RESULT_S)
        allowed = (code,) if code else ("NONE", "NOT_FOUND", "INVALID_IMAGE")  # half a jpeg is half a picture
        limit = robot.limit(NO_IMAGE_S)
        yield Check(
            name,
            f"{' or '.join(allowed)} ≤ {limit:g} s",
            f"{goal.code} after {goal.seconds:.2f} s",
            goal.code in allowed and goal.seconds <= limit,
        )
    robot.camera.healthy()
    fresh(robot)
    said = robot.said() - lines
    yield Check(
        "all of it, at 30 Hz", f"≤ {LOG_LINES} lines of the node in its log", f"{said} lines", said <= LOG_LINES
    )


def nan_depth(robot: Robot) -> Iterator[Check]:
    robot.show(robot.clear)
    fill = lambda value: lambda depth, header: metres(np.full_like(depth, value), header)  # noqa: E731
    for name, make in (
        ("NaN", fill(np.nan)),
        ("infinity", fill(np.inf)),
        ("-1 m", fill(-1.0)),
        ("0", fill(0.0)),
        ("1e38 m", fill(1e38)),
        ("cut short", changed(metres, data=lambda data: data[: len(data) // 2])),
        ("rgb8", changed(metres, encoding="rgb8")),
        ("64x48", lambda depth, header: metres(depth[::10, ::10], header)),
    ):
        robot.camera.make_depth = make
        fresh(robot, 12)  # until the good depth images of before are too old
        goal = robot.clear_goal().wait(RESULT_S)
        target = goal.result.target
        point = target.position.point
        numbers = np.array((point.x, point.y, point.z, target.size.x, target.size.y, target.size.z))
        sane = bool(np.all(np.abs(numbers) <= FARTHEST))  # NaN is not
        place = f"position {point.x:.2f} {point.y:.2f} {point.z:.2f} m" if target.has_position else "no position"
        yield Check(
            f"depth: {name}",
            f"the box is found, no number is NaN or above {FARTHEST:g}",
            f"{goal.code}, {place}",
            robot.found_it(goal) and sane,
        )
    robot.camera.make_depth = metres
    robot.camera.make_info = lambda picture, header: changed(lambda *_: info(picture, header), k=[float("nan")] * 9)(
        None, header
    )
    fresh(robot, 12)
    goal = robot.clear_goal().wait(RESULT_S)
    yield Check(
        "camera_info full of NaN",
        "found, without a position",
        f"{goal.code}, has_position {goal.result.target.has_position}",
        robot.found_it(goal) and not goal.result.target.has_position,
    )
    robot.camera.healthy()
    fresh(robot, 12)
    limit = robot.limit(3.0)
    end = time.monotonic() + limit
    goal = robot.clear_goal().wait(RESULT_S)
    while not goal.result.target.has_position and time.monotonic() < end:  # best effort: a depth image may be lost
        goal = robot.clear_goal().wait(RESULT_S)
    z = goal.result.target.position.point.z
    yield Check(
        "good depth again",
        f"a position {DISTANCES[0]:g} to {DISTANCES[1]:g} m away, ≤ {limit:g} s",
        f"{goal.code}, {z:.2f} m away",
        goal.result.target.has_position and DISTANCES[0] <= z <= DISTANCES[1],
    )


def cut_message(rgb: np.ndarray, header: Header) -> bytes:
    """The first third of an Image as it goes over the wire."""
    from rclpy.serialization import serialize_message

    whole = serialize_message(rgb_to_image(rgb, header))
    return whole[: len(whole) // 3]


def click(robot: Robot) -> None:
    """Points at what is meant in the ambiguous scene."""
    robot.client.click(*robot.unclear.box.center)


def fresh(robot: Robot, frames: int = 4) -> None:
    """Waits until the node has frames of the camera's new kind only."""
    seen = robot.camera.published
    wait_for(lambda: robot.camera.published >= seen + frames, 10.0, "camera frames")
    time.sleep(0.05)
