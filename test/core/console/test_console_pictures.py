"""Pictures: the newest only, encoded once, found again by the very stamp."""

from __future__ import annotations

import json
import threading

import cv2
import numpy as np
import pytest

from clue_ros.console.pictures import MAX_SIDE, Frame, Pictures, RecentFrames, encode_frame, ids_in, to_grey
from clue_ros.types import InvalidImageError


@pytest.fixture
def pictures():
    store = Pictures()
    yield store
    store.close()


def grey(level: int, height: int = 48, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def header(data: bytes) -> dict:
    length = int.from_bytes(data[:4], "big")
    return json.loads(data[4 : 4 + length])


def test_a_frame_on_the_wire():
    rgb = np.zeros((48, 64, 3), np.uint8)
    rgb[:, :32] = (200, 10, 10)
    picture = encode_frame(7, rgb, live=True)
    assert header(picture.data) == {
        "kind": "frame",
        "id": 7,
        "width": 64,
        "height": 48,
        "mime": "image/jpeg",
        "live": True,
    }
    decoded = cv2.imdecode(np.frombuffer(picture.body, np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == (48, 64, 3) and decoded[24, 8, 2] > 150 > decoded[24, 8, 0]  # BGR: red is red


@pytest.mark.parametrize("height, width", [(3000, 4000), (20, 4000), (1, 1)])
def test_large_images_are_made_smaller_and_say_their_size(height, width):
    picture = encode_frame(1, grey(5, height, width), live=False)
    decoded = cv2.imdecode(np.frombuffer(picture.body, np.uint8), cv2.IMREAD_COLOR)
    assert max(decoded.shape) <= MAX_SIDE and (header(picture.data)["width"], header(picture.data)["height"]) == (
        width,
        height,
    )


def test_only_the_newest_frame_is_encoded_and_only_once(pictures):
    asked = []
    for level in (10, 20, 30):
        pictures.offer(Frame(level, lambda level=level: asked.append(level) or grey(level)))
    assert pictures.encode_live()
    pictures.settle()
    assert asked == [30] and pictures.encoded_live == 1
    assert not pictures.encode_live()  # the camera has nothing new
    first = pictures.live
    pictures.offer(Frame(40, lambda: grey(40)))
    assert pictures.encode_live()
    pictures.settle()
    assert pictures.live.id > first.id and pictures.encoded_live == 2


def test_frames_are_not_queued_behind_a_slow_encoder(pictures):
    go, begun = threading.Event(), threading.Event()

    def slow() -> np.ndarray:
        begun.set()
        go.wait(60)
        return grey(1)

    pictures.offer(Frame(1, slow))
    assert pictures.encode_live() and begun.wait(60)
    for level in range(2, 50):
        pictures.offer(Frame(level, lambda level=level: grey(level)))
        assert not pictures.encode_live()
    go.set()
    pictures.settle()
    assert pictures.encoded_live == 1 and pictures.encode_live()
    pictures.settle()
    assert pictures.encoded_live == 2


def test_a_frame_that_cannot_be_read_is_left_out(pictures):
    def broken() -> np.ndarray:
        raise InvalidImageError("cut short")

    pictures.offer(Frame(1, broken))
    assert pictures.encode_live()
    number = pictures.freeze(Frame(1, broken))
    pictures.settle()
    assert pictures.live is None and pictures.get(number) is None
    pictures.offer(Frame(2, lambda: grey(2)))
    assert pictures.encode_live()
    pictures.settle()
    assert pictures.live is not None


def test_frozen_frames_and_maps_are_kept_until_there_are_too_many(pictures, monkeypatch):
    told = []
    pictures.on_new = lambda: told.append(1)
    frame, heat = (
        pictures.freeze(Frame(1, lambda: grey(9))),
        pictures.keep_map(to_grey(np.array([[0.0, 0.5], [1.0, np.nan]]))),
    )
    pictures.settle()
    assert [picture.id for picture in pictures.find([frame, heat, 10**9])] == [frame, heat] and len(told) == 2
    decoded = cv2.imdecode(np.frombuffer(pictures.get(heat).body, np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded.tolist() == [[0, 128], [255, 0]]
    monkeypatch.setattr("clue_ros.console.pictures.BYTES_KEPT", 3000)
    numbers = [pictures.freeze(Frame(n, lambda n=n: grey(n))) for n in range(20)]
    pictures.settle()
    kept = pictures.find([frame, *numbers])
    assert kept[-1].id == numbers[-1] and sum(len(picture.data) for picture in kept) <= 3000 and len(kept) < 20


def test_frames_around_the_beginning_of_a_dialogue_are_held_while_the_model_works():
    recent = RecentFrames(seconds=4.0, max_bytes=1000)
    for stamp in range(30):
        if stamp == 10:
            recent.hold()
        recent.add("front", Frame(stamp, lambda: grey(0)), 100, now=stamp / 30)
    held = [stamp for stamp in range(20) if recent.find("front", stamp) is not None]
    assert held == list(range(6, 14)) and len(recent) == 10 and recent.find("front", 29) is not None
    recent.release()
    recent.add("front", Frame(30, lambda: grey(0)), 100, now=1.0)
    assert recent.find("front", 9) is not None, "nothing goes before its time"
    recent.add("front", Frame(31, lambda: grey(0)), 900, now=1.1)
    assert [stamp for stamp in range(32) if recent.find("front", stamp) is not None] == [30, 31]


def test_recent_frames_are_found_by_camera_and_stamp_only():
    recent = RecentFrames(seconds=4.0, max_bytes=1000)
    frames = [Frame(stamp, lambda: grey(0)) for stamp in range(10)]
    for frame in frames:
        recent.add("front", frame, 100, now=frame.stamp * 0.5)
    assert recent.find("front", 9) is frames[9] and recent.find("front", 1) is not None
    assert recent.find("wrist", 9) is None and recent.find("front", 10) is None
    recent.add("front", Frame(11, lambda: grey(0)), 100, now=5.4)
    assert recent.find("front", 3) is not None and recent.find("front", 2) is None  # older than four seconds
    recent.add("front", Frame(12, lambda: grey(0)), 950, now=5.5)
    assert len(recent) == 1 and recent.find("front", 12) is not None
    recent.add("front", Frame(13, lambda: grey(0)), 5000, now=5.6)
    assert len(recent) == 1  # one is always kept


def test_pictures_of_a_dialogue():
    dialogue = {"frame": 3, "readings": [{"frame": 3, "map": 4}, {"frame": None, "map": 5}], "target": {"mask": 6}}
    assert ids_in(dialogue) == [3, 4, 5, 6] and ids_in({}) == []
