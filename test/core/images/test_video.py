"""Frames of videos, pictures and streams. The files are written by OpenCV and Pillow, the stream by Python's own
server.
"""

from __future__ import annotations

import http.server
import threading

import cv2
import numpy as np
import pytest
from PIL import Image

from clue_ros.images.video import VideoError, open_video

COLORS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220)}


def plain(color, size=(64, 48)):
    return np.full((size[1], size[0], 3), color, np.uint8)


def near(rgb, color, tolerance=25):
    return np.abs(rgb.reshape(-1, 3).mean(0) - np.array(color)).max() < tolerance


@pytest.fixture
def clip(tmp_path):
    """Three frames, red, green, blue, at 5 a second, by OpenCV's own writer."""
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 5.0, (64, 48))
    assert writer.isOpened()
    for color in COLORS.values():
        writer.write(np.ascontiguousarray(plain(color)[:, :, ::-1]))
    writer.release()
    return path


def test_a_video_gives_its_frames_in_rgb_and_its_rate(clip):
    with open_video(str(clip)) as video:
        assert not video.is_live and video.rate_hz == pytest.approx(5.0)
        frames = [video.read() for _ in COLORS]
        assert video.read() is None
        for frame, color in zip(frames, COLORS.values()):
            assert frame.dtype == np.uint8 and frame.shape == (48, 64, 3) and near(frame, color)
        video.rewind()
        assert near(video.read(), COLORS["red"])


def test_a_folder_shows_its_pictures_by_number_upright_and_passes_over_what_is_none(tmp_path):
    Image.fromarray(plain(COLORS["blue"])).save(tmp_path / "shot10.png")
    Image.fromarray(plain(COLORS["green"])).save(tmp_path / "shot2.JPG")
    turned = Image.Exif()
    turned[0x0112] = 6  # EXIF: to be turned by a quarter
    Image.fromarray(plain(COLORS["red"])).save(tmp_path / "Shot1.jpeg", exif=turned)
    (tmp_path / "shot3.png").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("nor this")
    with open_video(str(tmp_path), picture_s=4.0) as video:
        assert not video.is_live and video.rate_hz == pytest.approx(0.25)
        first, second, third = video.read(), video.read(), video.read()
        assert first.shape == (64, 48, 3) and near(first, COLORS["red"])
        assert near(second, COLORS["green"]) and near(third, COLORS["blue"]) and video.read() is None


def test_one_picture_is_a_source_too(tmp_path):
    Image.fromarray(plain((90, 90, 90))).convert("L").save(tmp_path / "grey.png")
    with open_video(str(tmp_path / "grey.png")) as video:
        assert video.read().shape == (48, 64, 3) and video.read() is None


class _Camera(http.server.BaseHTTPRequestHandler):
    """multipart/x-mixed-replace, as network cameras serve it."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        good, jpeg = cv2.imencode(".jpg", np.ascontiguousarray(plain(COLORS["green"], (160, 120))[:, :, ::-1]))
        part = (
            b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % jpeg.size + jpeg.tobytes() + b"\r\n"
        )
        try:
            for _ in range(40):
                self.wfile.write(part)
        except OSError:
            pass  # the reader has gone

    def log_message(self, *_):
        pass


def test_a_network_stream_is_live_and_ends_when_the_server_ends():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Camera)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with open_video(f"http://127.0.0.1:{server.server_port}/video.mjpg") as video:
            assert video.is_live and video.rate_hz > 0
            frame, count = video.read(), 0
            assert frame.shape == (120, 160, 3) and near(frame, COLORS["green"])
            while frame is not None and count < 100:
                frame, count = video.read(), count + 1
            assert 0 < count < 100
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("source", "cure"),
    [
        ("", "give a camera's number"),
        ("nowhere.mp4", "give a camera's number"),
        ("987", "there is no /dev/video987"),
        ("/dev/video986", "is it plugged in"),
        ("http://127.0.0.1:9/none", "is the address right"),
    ],
)
def test_what_cannot_be_opened_says_what_to_do_once(source, cure, capfd):
    with pytest.raises(VideoError, match=cure):
        open_video(source)
    assert "WARN" not in capfd.readouterr().err  # of OpenCV, at each of a webcam's many tries


def test_a_persistent_name_is_the_device_that_it_links_to(monkeypatch):
    monkeypatch.setattr("os.path.realpath", lambda path: "/dev/video985" if "by-id" in path else path)
    with pytest.raises(VideoError, match="no /dev/video985"):
        open_video("/dev/v4l/by-id/usb-Camera-video-index0")


def test_a_password_in_an_address_is_not_repeated():
    with pytest.raises(VideoError) as caught:
        open_video("http://user:secret@127.0.0.1:9/none")
    assert "secret" not in str(caught.value) and "127.0.0.1:9" in str(caught.value)
    with pytest.raises(VideoError) as caught:
        open_video("srt://user:secret@camera/none")
    assert "secret" not in str(caught.value)


def test_damaged_files_and_empty_folders_say_so(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(bytes(range(256)) * 40)
    with pytest.raises(VideoError, match="clip.mp4 gives no picture"):
        open_video(str(tmp_path / "clip.mp4"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(VideoError, match="holds no picture"):
        open_video(str(tmp_path / "empty"))
    with pytest.raises(VideoError, match="more than 0 seconds"):
        open_video(str(tmp_path / "empty"), picture_s=0.0)
