"""The webcam node over DDS: frames of files that OpenCV wrote, a calibration file as camera_calibration writes it."""

from __future__ import annotations

import http.server
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import cv2
import numpy as np
import pytest
import rclpy
from bench import SUCCEEDED, wait_until
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image

from clue_ros.action import Ground
from clue_ros.cli.loading import EXAMPLE_PHOTOGRAPHS
from clue_ros.images.video import VideoError
from clue_ros.ros.running.spinning import Spinner
from clue_ros.ros.webcam import Webcam
from clue_ros.ros.wire.calibration_file import CalibrationFileError, read_calibration
from clue_ros.ros.wire.conversions import message_to_rgb
from clue_ros.ros.wire.messages import msg_to_box
from clue_ros.testing.fake_grounder import Say
from clue_ros.types import Box, ClueError

RED, BLUE = (220, 30, 30), (30, 40, 220)
CALIBRATION = """image_width: {width}
image_height: 48
camera_name: narrow_stereo
camera_matrix:
  rows: 3
  cols: 3
  data: [ 60.5,   0. ,  31.5,
           0. ,  61.5,  23.5,
           0. ,   0. ,   1. ]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [0.1, -0.2, 0.001, 0.002, 0.0]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1., 0., 0., 0., 1., 0., 0., 0., 1.]
projection_matrix:
  rows: 3
  cols: 4
  data: [50.5, 0., 30.5, 0., 0., 51.5, 22.5, 0., 0., 0., 1., 0.]
"""


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, (64, 48))
    for color in (RED, BLUE):
        writer.write(np.full((48, 64, 3), color[::-1], np.uint8))
    writer.release()
    return path


@pytest.fixture
def watch(domain):
    """watch(source=…, …) -> (images, infos, node): what a Webcam with these parameters publishes."""
    closing = []

    def start(**parameters):
        listener = rclpy.create_node("listener")
        closing.append(listener.destroy_node)
        images, infos = [], []
        listener.create_subscription(Image, "image", images.append, qos_profile_sensor_data)
        listener.create_subscription(CameraInfo, "camera_info", infos.append, qos_profile_sensor_data)
        node = Webcam(parameter_overrides=[Parameter(name, value=value) for name, value in parameters.items()])
        node.start()
        closing.append(lambda: (node.close(), node.destroy_node()))
        spinner = Spinner(listener, node)
        closing.append(spinner.close)
        return images, infos, node

    yield start
    for close in reversed(closing):
        close()


def is_color(message, color):
    return np.abs(message_to_rgb(message).reshape(-1, 3).mean(0) - np.array(color)).max() < 25


def test_a_video_plays_in_a_loop_with_its_calibration(watch, clip, tmp_path):
    calibration = tmp_path / "ost.yaml"
    calibration.write_text(CALIBRATION.format(width=64))
    images, infos, _ = watch(source=str(clip), camera_info_file=str(calibration), frame_id="eye")
    wait_until(lambda: len(images) >= 5 and all(any(is_color(m, color) for m in list(images)) for color in (RED, BLUE)))
    assert all(is_color(message, RED) or is_color(message, BLUE) for message in images)
    stamps = [message.header.stamp.sec + message.header.stamp.nanosec * 1e-9 for message in images]
    assert stamps == sorted(stamps) and abs(stamps[-1] - time.time()) < 600.0
    assert {message.header.frame_id for message in (*images, *infos)} == {"eye"}
    stamps_of = lambda messages: {(m.header.stamp.sec, m.header.stamp.nanosec) for m in list(messages)}  # noqa: E731
    wait_until(lambda: len(stamps_of(infos) & stamps_of(images)) >= 3, what="calibrations of these very images")
    info = infos[-1]
    assert (info.width, info.height, info.distortion_model) == (64, 48, "plumb_bob")
    assert [info.k[0], info.k[4], info.p[0], info.p[6], info.d[1]] == [60.5, 61.5, 50.5, 22.5, -0.2]


def test_a_calibration_of_another_size_is_not_published_and_the_log_says_why(watch, clip, tmp_path, capfd):
    calibration = tmp_path / "ost.yaml"
    calibration.write_text(CALIBRATION.format(width=640))
    images, infos, _ = watch(source=str(clip), camera_info_file=str(calibration))
    wait_until(lambda: len(images) >= 4)
    assert not infos
    assert capfd.readouterr().err.count("it is for 640x48, and the frames have 64x48") == 1


def test_a_picture_that_stands_still_never_grows_old(watch, tmp_path):
    cv2.imwrite(str(tmp_path / "one.png"), np.full((48, 64, 3), RED[::-1], np.uint8))
    images, _, _ = watch(source=str(tmp_path), picture_s=60.0)
    wait_until(lambda: len(images) >= 4)
    assert all(is_color(message, RED) for message in images)


def test_a_film_without_loop_ends(watch, clip):
    images, _, node = watch(source=str(clip), loop=False)
    wait_until(lambda: node.done)
    assert 1 <= len(images) <= 2


class _OneShot(http.server.BaseHTTPRequestHandler):
    """A network camera whose connection breaks off after a few frames."""

    def do_GET(self):
        self.server.visits += 1
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        color = (RED, BLUE)[min(self.server.visits - 1, 1)]
        jpeg = cv2.imencode(".jpg", np.full((120, 160, 3), color[::-1], np.uint8))[1].tobytes()
        part = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg) + jpeg + b"\r\n"
        try:
            for _ in range(40):
                self.wfile.write(part)
        except OSError:
            pass

    def log_message(self, *_):
        pass


def test_a_stream_that_breaks_off_is_opened_again(watch, monkeypatch):
    monkeypatch.setattr("clue_ros.ros.webcam.REOPEN_S", 0.1)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _OneShot)
    server.visits = 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        images, _, _ = watch(source=f"http://127.0.0.1:{server.server_port}/a.mjpg")
        wait_until(lambda: any(is_color(message, BLUE) for message in images[-3:]), what="frames of a later connection")
        assert server.visits >= 2
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [({"source": "nowhere.mp4"}, "no source of pictures"), ({"source": 987}, "there is no /dev/video987"),
     ({"width": 640}, "given together"), ({"camera_info_file": "/nowhere.yaml"}, "cannot be read")],
)  # fmt: skip
def test_bad_parameters_are_an_error_with_words(domain, parameters, words):
    with pytest.raises(ClueError, match=words):
        Webcam(parameter_overrides=[Parameter(name, value=value) for name, value in parameters.items()])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("image_width: 64", "image_width: wide"), "image_width"),
        (("camera_matrix:", "kamera_matrix:"), "camera_matrix is missing"),
        (("data: [50.5, 0.,", "data: [50.5,"), "projection_matrix must have 12 numbers, not 11"),
        (("data: [0.1,", "data: [x,"), "distortion_coefficients"),
        (("image_width", "{"), "no YAML"),
    ],
)
def test_a_damaged_calibration_names_the_entry(tmp_path, change, words):
    path = tmp_path / "ost.yaml"
    path.write_text(CALIBRATION.format(width=64).replace(*change))
    with pytest.raises(CalibrationFileError, match=words):
        read_calibration(path)


def test_the_program_says_in_one_line_what_is_wrong_and_ends_well_by_a_signal(domain, clip):
    command = [sys.executable, "-m", "clue_ros.ros.webcam", "--ros-args", "-p"]
    failed = subprocess.run([*command, "source:=nowhere.mp4"], capture_output=True, text=True, timeout=300)
    assert failed.returncode == 2 and "Traceback" not in failed.stderr and "no source of pictures" in failed.stderr
    process = subprocess.Popen([*command, f"source:={clip}"], stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    assert "shows" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(300) == 0 and "Traceback" not in process.stderr.read()


def test_a_camera_number_may_be_an_integer(domain):
    with pytest.raises(VideoError, match="video985"):
        Webcam(parameter_overrides=[Parameter("source", value=985)])


@pytest.mark.parametrize("kind", ["folder", "video"])
def test_a_person_before_a_webcam_is_asked_and_gets_a_box(make_bench, watch, tmp_path, kind):
    """Photographs that ship in the place of a desk, and a script in that of the model."""
    photo = cv2.imread(str(EXAMPLE_PHOTOGRAPHS / "cups.jpg"))
    source = tmp_path / kind
    if kind == "folder":
        source.mkdir()
        shutil.copy(EXAMPLE_PHOTOGRAPHS / "cups.jpg", source)
        shutil.copy(EXAMPLE_PHOTOGRAPHS / "LICENSES.md", source)
    else:
        source = source.with_suffix(".avi")
        writer = cv2.VideoWriter(str(source), cv2.VideoWriter_fourcc(*"MJPG"), 5.0, (480, 640))
        for _ in range(3):
            writer.write(photo)
        writer.release()
    right = Box(194.0, 165.0, 387.0, 386.0)
    cup = [Say.ask("The left or the right cup?"), Say.found(right)]
    bench = make_bench({"the cup": cup, "the bottle": Say.not_found()}, camera=False)
    watch(source=str(source))
    goal = bench.goal("the cup")
    bench.hear("The left or the right cup?")
    bench.say("the right one")
    status, result = goal.finish()
    assert status == SUCCEEDED and msg_to_box(result.target.box) == pytest.approx(right)
    assert bench.grounder.calls[-1][1][0].answer.text == "the right one"
    assert bench.ground("the bottle")[1].error_code == Ground.Result.NOT_FOUND
    for seen in bench.grounder.used:
        assert seen.shape == (640, 480, 3) and np.abs(seen[..., ::-1].astype(int) - photo).mean() < 8
