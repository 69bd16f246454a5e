"""Bags made by `clue record`, the bag that ships, and the command lines that make and score them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import clue_ros
from clue_ros.bags.errors import BagError
from clue_ros.bags.events import NS
from clue_ros.bags.reading import COMPRESSED, IMAGE, STRING, Bag, TopicNames, choose_topics
from clue_ros.bags.stream import header_stamp
from clue_ros.bags.suite import evaluate_bag
from clue_ros.bags.truth import parse_truth
from clue_ros.cli.main import main
from clue_ros.simulation.utterances import FILLERS
from clue_ros.simulation.words import all_words
from clue_ros.testing.fake_grounder import ScriptedGrounder

KINDS = ["clear", "ambiguous_color", "ambiguous_position", "two_questions", "absent"]  # they take turns
MODEL = Path(clue_ros.__file__).parent / "models" / "tabletop"
pytest.importorskip("rosbags.rosbag2")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Five episodes made by `clue record`, jpeg in MCAP."""
    from clue_ros.bags.recording import RecordSettings, record
    from clue_ros.simulation.renderer import SimulationError

    folder = tmp_path_factory.mktemp("recorded") / "table"
    try:
        record(folder, RecordSettings(episodes=5, width=320, height=240, rate_hz=2.0))
    except SimulationError as error:
        pytest.skip(str(error))
    return folder


def messages(folder):
    with Bag(folder) as bag:
        return [(m.time, m.topic, m.type, m.data) for m in bag.messages(list(bag.topics))]


def test_a_recording_is_what_its_seed_says(recorded, tmp_path):
    from clue_ros.bags.recording import RecordSettings, record

    settings = dict(episodes=5, width=320, height=240, rate_hz=2.0)
    record(tmp_path / "again", RecordSettings(**settings, storage="sqlite3"))
    first = messages(recorded)
    assert first == messages(tmp_path / "again"), "the storage changes nothing"
    record(tmp_path / "table", RecordSettings(**settings))
    assert (tmp_path / "table" / "table.mcap").read_bytes() == (recorded / "table.mcap").read_bytes()
    record(tmp_path / "other", RecordSettings(**{**settings, "episodes": 1}, seed=1))
    assert messages(tmp_path / "other") != first[: len(messages(tmp_path / "other"))]
    with pytest.raises(BagError, match="exists already"):
        record(recorded, RecordSettings())
    with pytest.raises(BagError, match="rate_hz"):
        record(tmp_path / "wrong", RecordSettings(rate_hz=0.1))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again", "other", "table"], "nothing half written is left"


def test_a_recording_is_plausible(recorded):
    with Bag(recorded) as bag:
        topics = {name: topic.type for name, topic in bag.topics.items()}
        assert topics == {
            "/image/compressed": COMPRESSED, "/camera_info": "sensor_msgs/msg/CameraInfo", "/depth": IMAGE,
            "/speech": STRING, "/truth": STRING,
        }  # fmt: skip
        kinds, last = [], 0
        for message in bag.messages(list(bag.topics)):
            assert message.time >= last
            last = message.time
            content = bag.decode(message)
            if message.topic in ("/image/compressed", "/depth", "/camera_info"):
                assert 0.005 < (message.time - header_stamp(message.data)) / NS < 0.05
            if message.topic == "/truth":
                kinds.append(parse_truth(content.data, "truth").kind)
            if message.topic == "/depth":
                metres = content.data.view("<u2") / 1000
                assert content.encoding == "16UC1" and 0.3 < np.median(metres) < 3.0
    assert kinds == KINDS


def test_the_embedded_model_decides_the_same_twice(recorded, tmp_path, capsys):
    if not any(MODEL.glob("*.safetensors")):
        pytest.skip("the embedded model is not there")
    outputs = []
    for name in ("one", "two"):
        assert main(["evaluate", "bag", str(recorded), "-o", str(tmp_path / f"{name}.json")]) == 0
        outputs.append(json.loads((tmp_path / f"{name}.json").read_text()))
    for output in outputs:
        output.pop("timing")
    assert outputs[0] == outputs[1]
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    printed = capsys.readouterr().out
    assert outputs[0]["digest"] in printed and "Against the truth" in printed
    scored = [row for row in outputs[0]["episodes"] if row["success"] is not None]
    assert len(scored) == 5 and sum(row["success"] for row in scored) >= 2


def test_the_example_bag_replays():
    example = Path(__file__).resolve().parents[3] / "clue_ros" / "examples" / "tabletop.mcap"
    with Bag(example) as bag:
        topics = choose_topics(bag, TopicNames())
        assert topics.truth == "/truth" and topics.images == ("/image/compressed",)
        spoken = {word for m in bag.messages(["/speech"]) for word in bag.decode(m).data.split()}
        assert spoken <= {*all_words(), *FILLERS}, "the grammar of now"
        kinds = [parse_truth(bag.decode(m).data, "truth").kind for m in bag.messages(["/truth"])]
    assert kinds == KINDS * 2
    result = evaluate_bag(ScriptedGrounder(), example)
    assert sum(row["success"] is not None for row in result.rows) == 10 and not result.unsaid


def test_wrong_use_is_one_line(tmp_path, capsys):
    assert main(["evaluate", "bag"]) == 2
    assert main(["evaluate", "bag", str(tmp_path / "none")]) == 2
    assert main(["record", "-o", str(tmp_path)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 3 and all(line.startswith("clue: ") for line in lines), lines
