"""config/clue.rviz and config/clue_foxglove.json: they parse, and every topic in them is one of the node's, of a kind
that the panel can show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from rclpy.node import Node

CONFIG = Path(__file__).resolve().parents[2] / "config"
SHOWN_BY = {
    "Image": ("sensor_msgs/msg/Image",), "3D": ("visualization_msgs/msg/MarkerArray",),
    "MarkerArray": ("visualization_msgs/msg/MarkerArray",),
}  # fmt: skip
NEEDED = {"/clue/image", "/clue/debug_image", "/clue/markers"}
OPTIONAL = {"/clue/annotations", "/diagnostics"}  # only with foxglove_msgs, diagnostic_msgs


@pytest.fixture(scope="module")
def layout():
    return json.loads((CONFIG / "clue_foxglove.json").read_text())


@pytest.fixture(scope="module")
def rviz():
    return yaml.safe_load((CONFIG / "clue.rviz").read_text())


def foxglove_topics(layout):
    """{topic: kind of panel}"""
    found = {}
    for name, panel in layout["configById"].items():
        kind = name.split("!")[0]
        image = panel.get("imageMode", {})
        single = (image.get("imageTopic"), panel.get("topicPath"), panel.get("topicName"), panel.get("topicToRender"))
        found.update({topic: kind for topic in single if topic})
        found.update(dict.fromkeys(panel.get("topics", {}), "3D"))
        found.update(dict.fromkeys(image.get("annotations", {}), "annotations"))
        if image.get("calibrationTopic"):
            found[image["calibrationTopic"]] = "calibration"
    return found


def test_every_panel_of_the_foxglove_layout_is_configured(layout):
    def leaves(node):
        return [node] if isinstance(node, str) else leaves(node["first"]) + leaves(node["second"])

    shown = leaves(layout["layout"])
    assert sorted(shown) == sorted(layout["configById"]) and len(set(shown)) == len(shown)
    assert json.loads(layout["configById"]["Publish!speech"]["value"])["data"]


def test_topics_are_the_nodes(make_bench, layout, rviz):
    bench = make_bench(camera=False)
    node: Node = bench.node
    own = dict(
        node.get_publisher_names_and_types_by_node("clue", "/")
        + node.get_subscriber_names_and_types_by_node("clue", "/")
    )
    displays = [d for d in rviz["Visualization Manager"]["Displays"] if "Topic" in d]
    of_rviz = {d["Topic"]["Value"]: d["Class"].split("/")[1] for d in displays}
    of_foxglove = foxglove_topics(layout)
    assert NEEDED <= set(of_rviz) and NEEDED <= set(of_foxglove)
    assert {"/clue/speech", "/clue/utterance", "/clue/turn"} <= set(of_foxglove)
    for topics in (of_rviz, of_foxglove):
        for topic, kind in topics.items():
            here = topic.replace("/clue/", "/")
            assert here in own or topic in OPTIONAL, f"{topic} is no topic of the node: {sorted(own)}"
            if kind in SHOWN_BY and here in own:
                assert set(own[here]) & set(SHOWN_BY[kind]), f"a {kind} panel cannot show {topic}: {own[here]}"


def test_best_effort_cameras_are_seen_in_rviz(rviz):
    camera = [d for d in rviz["Visualization Manager"]["Displays"] if d.get("Topic", {}).get("Value") == "/clue/image"]
    assert camera[0]["Topic"]["Reliability Policy"] == "Best Effort" and camera[0]["Enabled"]
