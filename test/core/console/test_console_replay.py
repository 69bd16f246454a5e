"""Recordings step by step: a bag played to a scripted model, runs of clue evaluate and of the demo."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from handmade_bags import image, say, write

import clue_ros
from clue_ros.console.client import open_page
from clue_ros.console.pictures import Pictures
from clue_ros.console.recordings import open_recording
from clue_ros.console.requests import RequestError
from clue_ros.console.server import ConsoleServer, Settings
from clue_ros.console.state import ConsoleState
from clue_ros.testing.fake_grounder import Say, ScriptedGrounder
from clue_ros.types import Box, ClueError

BAG = Path(clue_ros.__file__).parent / "examples" / "tabletop.mcap"
ROW = {
    "image": "in distribution/3",
    "expression": "the banana",
    "truth": "ambiguous",
    "outcome": "found",
    "success": True,
    "probability": 0.97,
    "said_ambiguous": True,
    "questions": ["Do you mean the front banana or the back banana?"],
    "answers": ["the front one"],
    "box": [218.5, 140.0, 257.0, 186.0],
}


def first_words() -> str:
    """The bag's first instruction."""
    grounder = ScriptedGrounder()
    recording = open_recording(BAG, lambda: grounder)
    recording.close()
    return grounder.calls[0][0]


@pytest.fixture
def recording():
    words = first_words()
    script = {words: [Say.ask("Do you mean the red one or the blue one?"), Say.found(Box(10, 20, 30, 50))]}
    opened = open_recording(BAG, lambda: ScriptedGrounder(script))
    yield opened
    opened.close()


def test_a_bag_step_by_step(recording):
    count = recording.about()["episodes"]
    assert recording.about()["name"] == "tabletop.mcap" and count > 1
    asked, where = recording.moment(0, 1)
    assert (
        asked["open"]
        and asked["chips"] == ["the red one", "the blue one"]
        and asked["question"].startswith("Do you mean")
    )
    assert (where["episode"], where["step"], where["episodes"]) == (0, 1, count) and where["title"]
    begun, _ = recording.moment(0, 0)
    assert len(begun["turns"]) == 1 and begun["readings"] == [] and begun["frame"] == asked["frame"]
    last, _ = recording.moment(0, where["steps"] - 1)
    assert not last["open"]
    recording.pictures.settle()
    frame = recording.pictures.get(asked["frame"])
    pixels = cv2.imdecode(np.frombuffer(frame.body, np.uint8), cv2.IMREAD_COLOR)
    assert pixels.std() > 5  # a picture, not a blank
    assert recording.pictures.get(asked["readings"][0]["map"]).mime == "image/png"
    for n in range(count):
        assert recording.moment(n, 0)[0]["turns"][0]["speaker"] == "person"


def test_different_episodes_have_their_own_images(recording):
    frames = [recording.moment(n, 0)[0]["frame"] for n in range(2)]
    recording.pictures.settle()
    assert bytes(recording.pictures.get(frames[0]).body) != bytes(recording.pictures.get(frames[1]).body)


def test_corrections_are_episodes_of_their_own(tmp_path):
    words = [(0.5, "the mug"), (1.0, "no, the blue one"), (1.5, "Never mind!")]
    lines = [(0, "/image", image()), *((at, "/speech", say(text)) for at, text in words)]
    grounder = ScriptedGrounder({"the mug": [Say.found(Box(1, 2, 9, 9)), Say.found(Box(20, 4, 28, 12))]})
    recording = open_recording(write(tmp_path / "bag", lines), lambda: grounder)
    try:
        assert recording.about()["episodes"] == 3
        (found, about), (taken_back, last) = recording.moment(1, 1), recording.moment(2, 1)
        assert [turn["text"] for turn in found["turns"]] == ["no, the blue one", "I see it."] and found["target"][
            "x"
        ] == 20
        assert "no, the blue one (correction of 'the mug', found" in about["title"] and found["frame"] is not None
        assert [turn["text"] for turn in taken_back["turns"]] == ["Never mind!", "All right, never mind."]
        assert not taken_back["open"] and "withdrawn" in last["title"] and last["steps"] == 2
    finally:
        recording.close()


@pytest.mark.parametrize("episode, step", [(10**6, 0), (0, 10**6), (-1, 0), (0, -1)])
def test_what_is_not_there_is_refused(recording, episode, step):
    with pytest.raises(RequestError, match="counted from 0"):
        recording.moment(episode, step)


def suite_folder(folder: Path) -> Path:
    failed = {"outcome": "not_found", "success": False, "reason": "not_found instead of found"}
    rows = [ROW, {**ROW, "image": "flickr/77", **failed, "questions": [], "answers": [], "box": None}]
    lines = [{"clue_rows": 1, "about": {}}, {"key": "in distribution/3", "rows": rows}]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return folder


def test_a_run_of_the_tabletop_suite_shows_its_scene_again(tmp_path):
    run = open_recording(suite_folder(tmp_path), lambda: pytest.fail("a run needs no model"))
    try:
        assert run.about()["episodes"] == 2
        last, where = run.moment(0, 2)
        assert where["steps"] == 3 and "right" in where["title"] and last["target"]["x"] == 218.5 and not last["open"]
        assert [turn["text"] for turn in last["turns"]] == [
            "the banana",
            ROW["questions"][0],
            "the front one",
            "I see it.",
        ]
        assert run.moment(0, 1)[0]["chips"] == ["the front banana", "the back banana"]
        run.pictures.settle()
        picture = run.pictures.get(last["frame"])
        assert picture is not None and cv2.imdecode(np.frombuffer(picture.body, np.uint8), 1).std() > 5
        photo, where = run.moment(1, 1)
        assert photo["frame"] is None and photo["error"]["name"] == "NOT_FOUND" and "wrong" in where["title"]
    finally:
        run.close()


def test_a_run_of_the_demo(tmp_path):
    row = {key: value for key, value in ROW.items() if key != "image"}
    content = {"seed": 0, "person": "scripted", "episodes": [row, {**row, "outcome": "no_result", "box": None}]}
    (tmp_path / "summary.json").write_text(json.dumps(content), encoding="utf-8")
    for path in (tmp_path, tmp_path / "summary.json"):
        run = open_recording(path, lambda: None)
        assert run.about()["episodes"] == 2 and run.moment(1, 0)[0]["frame"] is not None
        assert run.moment(1, 2)[0]["turns"][-1]["text"] == "(no result)"
        run.close()


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"episodes": 3}', '{"episodes": [1]}', '{"episodes": []}', "\x00\xff"]
)
def test_what_is_no_recording_is_named(tmp_path, content):
    file = tmp_path / "summary.json"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(ClueError, match="summary.json"):
        open_recording(file, lambda: None)
    with pytest.raises(ClueError, match="not there"):
        open_recording(tmp_path / "nothing", lambda: None)


def test_a_page_steps_through_and_goes_back_to_live(recording):
    state = ConsoleState()
    pictures = Pictures()
    server = ConsoleServer(state, pictures, None, Settings(port=0), {"r1": recording})
    server.start()
    try:
        with open_page(server.url) as page, open_page(server.url) as other:
            assert page.until(lambda p: p.hello)["options"]["replay"][0]["id"] == "r1"
            page.send(type="replay", bag="r1", episode=0, step=1)
            page.until(lambda p: p.state and p.state["replay"])
            frame = page.state["dialogue"]["frame"]
            page.until(lambda p: frame in p.pictures)
            assert page.state["replay"]["step"] == 1 and page.state["connection"]["node"] == "away"
            state.connect(node="active")  # health goes on being the robot's
            page.until(lambda p: p.state["connection"]["node"] == "active" and p.state["replay"])
            page.send(type="replay", bag="r1", episode=0, step=999)
            page.until(lambda p: p.notes)
            other.until(lambda p: p.state and p.state["connection"]["node"] == "active")
            assert other.state["replay"] is None and not other.pictures
            page.send(type="live")
            page.until(lambda p: p.state["replay"] is None and p.state["dialogue"]["id"] is None)
    finally:
        server.stop()
        pictures.close()
