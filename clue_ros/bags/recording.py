"""Makes a bag from the simulation, without ROS: a camera over rendered scenes and a person who speaks.

Each episode is a scene of its own. The camera runs from a moment before the instruction until a moment after the last
word. Then the recorder pauses for longer than a robot waits for an answer, so that a question that nobody answered is
over before the next instruction. What the person answers is truthful for the question that a well-taught robot would
ask (simulation/teacher.py); one that asks something else may get an answer that does not fit, as from any recording.

The same arguments give the same messages: nothing comes from the clock of the machine.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from clue_ros.bags.errors import BagError
from clue_ros.bags.reading import COMPRESSED, IMAGE, STRING, typestore

CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
FRAME_ID = "camera_color_optical_frame"
START_S = 1_767_225_600  # 2026-01-01 00:00:00 UTC
LEAD_S = 1.0  # the camera runs before the instruction, and after the last word
MAX_QUESTIONS = 3
NS = 10**9


@dataclass(frozen=True)
class RecordSettings:
    """episodes: their kinds take turns (clear, a colour asked, a position asked, two questions, absent); rate_hz: of
    the camera; image: 'jpeg', 'png' or 'raw'; depth: 16UC1 millimetres; pause_s: between episodes; storage: 'mcap' or
    'sqlite3'."""

    episodes: int = 5
    seed: int = 0
    storage: str = "mcap"
    width: int = 640
    height: int = 480
    rate_hz: float = 5.0
    image: str = "jpeg"
    depth: bool = True
    pause_s: float = 35.0


class _Line(NamedTuple):
    time: int  # ns
    topic: str
    message: Any


def record(folder: Path, settings: RecordSettings, on_episode: Optional[Callable[[int], Any]] = None) -> Dict[str, int]:
    """Write the bag `folder`; returns how many messages each topic holds. It appears only when it is complete.

    Raises BagError if it exists or cannot be written, SimulationError without OpenGL.
    """
    folder = Path(folder)
    if folder.exists():
        raise BagError(f"{folder} exists already: give a new folder with --output, or remove it")
    _check(settings)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        working = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise BagError(f"cannot write {folder}: {error.strerror}; choose another --output") from error
    try:
        counts = _write(working / folder.name, settings, on_episode)
        os.replace(working / folder.name, folder)
    except OSError as error:
        raise BagError(f"cannot write {folder}: {error.strerror}") from error
    finally:
        shutil.rmtree(working, ignore_errors=True)
    return counts


def _check(settings: RecordSettings) -> None:
    wrong = []
    if settings.storage not in ("mcap", "sqlite3"):
        wrong.append(f"storage is {settings.storage!r}: give mcap or sqlite3")
    if settings.image not in ("jpeg", "png", "raw"):
        wrong.append(f"image is {settings.image!r}: give jpeg, png or raw")
    if settings.episodes < 1 or min(settings.width, settings.height) < 16:
        wrong.append("give at least one episode and 16 x 16 pixels")
    if not 1.0 <= settings.rate_hz <= 60.0:
        wrong.append(f"rate_hz is {settings.rate_hz}: give 1 to 60")
    if settings.pause_s < 0:
        wrong.append(f"pause_s is {settings.pause_s}: give 0 or more")
    if wrong:
        raise BagError("; ".join(wrong))


def _write(folder: Path, settings: RecordSettings, on_episode: Optional[Callable[[int], Any]]) -> Dict[str, int]:
    store = typestore()
    from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

    from clue_ros.simulation.renderer import TabletopRenderer

    plugin = StoragePlugin.MCAP if settings.storage == "mcap" else StoragePlugin.SQLITE3
    writer = Writer(folder, version=8, storage_plugin=plugin)  # 8: read by Iron and everything later
    if settings.storage == "mcap":
        writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    counts: Dict[str, int] = {}
    now = START_S * NS
    with TabletopRenderer(settings.width, settings.height) as renderer, writer:
        connections: Dict[str, Any] = {}
        for index in range(settings.episodes):
            lines = sorted(_episode(renderer, settings, index, now), key=lambda line: line.time)
            for line in lines:
                kind = line.message.__msgtype__
                if line.topic not in connections:
                    connections[line.topic] = writer.add_connection(line.topic, kind, typestore=store)
                writer.write(connections[line.topic], line.time, store.serialize_cdr(line.message, kind))
                counts[line.topic] = counts.get(line.topic, 0) + 1
            now = lines[-1].time + int(settings.pause_s * NS)
            if on_episode is not None:
                on_episode(index)
    return counts


def _episode(renderer: Any, settings: RecordSettings, index: int, begin: int) -> Iterator[_Line]:
    """The messages of one episode, in no order. Times of the recorder are some milliseconds behind the stamps."""
    from clue_ros.simulation.episodes import EpisodeKind, sample_episode

    # A click is a service call, which no bag holds.
    kinds = [kind for kind in EpisodeKind if kind is not EpisodeKind.CLICK]
    kind = kinds[index % len(kinds)]
    episode = sample_episode(kind, np.random.default_rng((settings.seed, index)))
    view = renderer.render(episode.scene, depth=settings.depth)
    rng = np.random.default_rng((settings.seed, index, 1))
    exchanges = _exchanges(view, episode, rng)
    String = typestore().types[STRING]
    at = begin + _ns(LEAD_S + rng.uniform(0, 0.3))
    box = None if episode.target_index is None else view.objects[episode.target_index].box
    truth = {
        "expression": episode.expression,
        "truth": episode.truth,
        "box": None if box is None else [round(float(value), 2) for value in box],
        "kind": kind.value,
        "episode": index,
        "seed": settings.seed,
        "questions": [question for question, _ in exchanges],
        "answers": [answer for _, answer in exchanges],
    }
    yield _Line(at - _ns(0.1), "/truth", String(data=json.dumps(truth, ensure_ascii=False)))
    for words in (episode.expression, *truth["answers"]):
        yield _Line(at, "/speech", String(data=words))
        last, at = at, at + _ns(rng.uniform(2.5, 4.0))  # the robot asks, the person thinks and speaks
    yield from _camera(view, settings, begin, last + _ns(LEAD_S), rng)


def _camera(view: Any, settings: RecordSettings, begin: int, end: int, rng: np.random.Generator) -> Iterator[_Line]:
    types = typestore().types
    Header, Time = types["std_msgs/msg/Header"], types["builtin_interfaces/msg/Time"]
    picture, height, width = _encoded(view.rgb, settings.image), *view.rgb.shape[:2]
    millimetres = np.clip(np.rint(view.depth * 1000), 0, 65535).astype("<u2") if settings.depth else None
    info = _camera_info(view.intrinsics, width, height)
    stamp = begin
    while stamp < end:
        header = Header(stamp=Time(sec=stamp // NS, nanosec=stamp % NS), frame_id=FRAME_ID)
        arrival = stamp + _ns(rng.uniform(0.008, 0.020))
        if settings.image == "raw":
            image = types[IMAGE](
                header=header, height=height, width=width, encoding="rgb8", is_bigendian=0, step=3 * width, data=picture
            )
            yield _Line(arrival, "/image", image)
        else:
            image = types[COMPRESSED](header=header, format=f"rgb8; {settings.image} compressed bgr8", data=picture)
            yield _Line(arrival, "/image/compressed", image)
        yield _Line(arrival + _ns(0.001), "/camera_info", types[CAMERA_INFO](header=header, **info))
        if millimetres is not None:
            depth = types[IMAGE](
                header=header, height=height, width=width, encoding="16UC1", is_bigendian=0, step=2 * width,
                data=millimetres.reshape(-1).view(np.uint8),
            )  # fmt: skip
            yield _Line(arrival + _ns(0.004), "/depth", depth)
        stamp += _ns(1 / settings.rate_hz + rng.uniform(-0.001, 0.001))


def _exchanges(view: Any, episode: Any, rng: np.random.Generator) -> List[Tuple[str, str]]:
    """(question, answer) pairs until the teacher's robot knows which one is meant."""
    from clue_ros.simulation.person import SimulatedPerson
    from clue_ros.simulation.scene import ImageSize
    from clue_ros.simulation.teacher import best_question

    if episode.truth != "ambiguous":
        return []
    size = ImageSize(view.rgb.shape[1], view.rgb.shape[0])
    person = SimulatedPerson(view.objects, episode.target_index, rng, size)
    category = view.objects[episode.target_index].category
    remaining = tuple(i for i, item in enumerate(view.objects) if item.category == category)
    said: List[Tuple[str, str]] = []
    while len(remaining) > 1 and len(said) < MAX_QUESTIONS:
        question = best_question(view.objects, remaining, size)
        if question is None:
            break
        said.append((question.text, person.answer(question.text)))
        remaining = next((o.keeps for o in question.options if episode.target_index in o.keeps), ())
    return said


def _encoded(rgb: np.ndarray, image: str) -> np.ndarray:
    """uint8[N]: the pixels themselves, or a jpeg or png file."""
    if image == "raw":
        return np.ascontiguousarray(rgb).reshape(-1)
    options = [cv2.IMWRITE_JPEG_QUALITY, 90] if image == "jpeg" else []
    ok, data = cv2.imencode(f".{image}", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)
    if not ok:
        raise BagError(f"OpenCV cannot write {image}: give another --image")
    return data.reshape(-1)


def _camera_info(intrinsics: Any, width: int, height: int) -> Dict[str, Any]:
    """The fields of an ideal pinhole camera, which count from the centre of the first pixel."""
    roi = typestore().types["sensor_msgs/msg/RegionOfInterest"](
        x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
    )
    fx, fy, cx, cy = (float(value) for value in intrinsics)
    cx, cy = cx - 0.5, cy - 0.5
    return {
        "height": height, "width": width, "distortion_model": "plumb_bob", "d": np.zeros(5),
        "k": np.array([fx, 0, cx, 0, fy, cy, 0, 0, 1]), "r": np.eye(3).reshape(-1),
        "p": np.array([fx, 0, cx, 0, 0, fy, cy, 0, 0, 0, 1, 0]), "binning_x": 0, "binning_y": 0, "roi": roi,
    }  # fmt: skip


def _ns(seconds: float) -> int:
    return int(round(seconds * NS))
