"""The target in other packages' messages. Where a package is absent, stand-ins with its field names take its place.

vision_msgs 4.1 and foxglove_msgs; a field that the real message lacks cannot be set, as in generated Python messages.
"""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose, PoseWithCovariance, Vector3
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header
from visualization_msgs.msg import Marker, MarkerArray

from clue_ros.msg import Target
from clue_ros.ros.serving import mirrors, outputs
from clue_ros.ros.serving.markers import target_to_markers
from clue_ros.ros.wire.frames import UPRIGHT, Located
from clue_ros.ros.wire.messages import decision_to_target
from clue_ros.types import Ambiguity, Box, Decision, Outcome, Region

HEADER = Header(frame_id="eye", stamp=Time(sec=7, nanosec=8))
PLACE = Located("base", (0.1, 0.2, 0.3), (0.0, 0.0, 1.0, 0.0), (0.04, 0.05, 0.0))
REGIONS = (Region(Box(1, 2, 3, 4), (2.5, 3.5), 1.0), Region(Box(5, 6, 7, 8), (6.0, 7.0), 0.25))
READING = Ambiguity(0.2, 0.5, False, np.zeros((2, 2), np.float32), REGIONS)
FOUND = Decision(Outcome.FOUND, "the mug", READING, box=Box(10, 20, 40, 60), confidence=0.75)


def message(name, **fields):
    """A message class with exactly these fields: name=type (made anew for each message), or name=default value."""

    def fill(self):
        for field, default in fields.items():
            setattr(self, field, default() if callable(default) else default)

    return type(name, (), {"__slots__": tuple(fields), "__init__": fill})


def vision_msgs():
    point = message("Point2D", x=0.0, y=0.0)
    pose = message("Pose2D", position=point, theta=0.0)
    box = message("BoundingBox2D", center=pose, size_x=0.0, size_y=0.0)
    box_3d = message("BoundingBox3D", center=Pose, size=Vector3)
    hypothesis = message("ObjectHypothesis", class_id="", score=0.0)
    result = message("ObjectHypothesisWithPose", hypothesis=hypothesis, pose=PoseWithCovariance)
    return SimpleNamespace(
        ObjectHypothesisWithPose=result,
        Detection2D=message("Detection2D", header=Header, results=list, bbox=box, id=""),
        Detection2DArray=message("Detection2DArray", header=Header, detections=list),
        Detection3D=message("Detection3D", header=Header, results=list, bbox=box_3d, id=""),
        Detection3DArray=message("Detection3DArray", header=Header, detections=list),
    )


def foxglove_msgs(newer):
    color = message("Color", r=0.0, g=0.0, b=0.0, a=0.0)
    point = message("Point2", x=0.0, y=0.0)
    points = message(
        "PointsAnnotation", timestamp=Time, type=0, points=list, outline_color=color, outline_colors=list,
        fill_color=color, thickness=0.0,
    )  # fmt: skip
    points.LINE_LOOP = 2
    text = message(
        "TextAnnotation", timestamp=Time, position=point, text="", font_size=0.0, text_color=color,
        background_color=color,
    )  # fmt: skip
    all_of_them = dict(circles=list, points=list, texts=list)
    if newer:
        all_of_them = dict(timestamp=Time, **all_of_them, metadata=list)
    return SimpleNamespace(
        Color=color, Point2=point, PointsAnnotation=points, TextAnnotation=text,
        ImageAnnotations=message("ImageAnnotations", **all_of_them),
    )  # fmt: skip


@pytest.fixture(scope="module")
def vision():
    return mirrors.message_module("vision_msgs") or vision_msgs()


def target_of(located=PLACE):
    return decision_to_target(FOUND, "the mug", HEADER, located)


def test_detection_2d(vision):
    array = mirrors.target_to_detections_2d(vision, target_of())
    (detection,) = array.detections
    assert array.header == detection.header == HEADER and detection.id == "the mug"
    assert (detection.bbox.center.position.x, detection.bbox.center.position.y) == (25.0, 40.0)
    assert (detection.bbox.size_x, detection.bbox.size_y, detection.bbox.center.theta) == (30.0, 40.0, 0.0)
    (result,) = detection.results
    assert (result.hypothesis.class_id, result.hypothesis.score) == ("the mug", 0.75)


def test_detection_3d_is_in_the_target_frame_with_the_cameras_axes(vision):
    array = mirrors.target_to_detections_3d(vision, target_of(), PLACE)
    (detection,) = array.detections
    assert array.header == detection.header == Header(frame_id="base", stamp=HEADER.stamp)
    assert (detection.bbox.center.position.x, detection.bbox.center.position.z) == (0.1, 0.3)
    assert (detection.bbox.center.orientation.z, detection.bbox.center.orientation.w) == (1.0, 0.0)
    assert (detection.bbox.size.x, detection.bbox.size.y) == (0.04, 0.05)
    assert detection.results[0].pose.pose == detection.bbox.center
    empty = mirrors.target_to_detections_3d(vision, target_of(None), None)
    assert empty.header == HEADER and not empty.detections


@pytest.mark.parametrize("newer", [False, True])
def test_annotations(newer):
    msgs = mirrors.message_module("foxglove_msgs") or foxglove_msgs(newer)
    annotations = mirrors.decision_to_annotations(msgs, FOUND, HEADER)
    assert [len(outline.points) for outline in annotations.points] == [4, 4, 4]
    box = annotations.points[-1]
    assert [(p.x, p.y) for p in box.points] == [(10.0, 20.0), (40.0, 20.0), (40.0, 60.0), (10.0, 60.0)]
    assert box.type == 2 and box.timestamp == annotations.texts[0].timestamp == HEADER.stamp
    assert annotations.texts[0].text == "the mug (75 %)" and annotations.texts[0].position.x == 10.0
    asked = Decision(Outcome.ASK, "the mug", READING, question="Which one?")
    assert mirrors.decision_to_annotations(msgs, asked, HEADER).texts[0].text == "the mug: Which one?"
    unknown = Decision(Outcome.UNKNOWN_WORDS, "the quux", unknown_words=("quux",))
    assert mirrors.decision_to_annotations(msgs, unknown, HEADER).texts[0].text == "the quux: unknown words"


def test_markers_through_cdr():
    sent = target_to_markers(target_of(), PLACE)
    clear, body, words = deserialize_message(serialize_message(sent), MarkerArray).markers
    assert clear.action == Marker.DELETEALL
    assert body.type == Marker.CUBE and (body.scale.x, body.scale.y, body.scale.z) == (0.04, 0.05, 0.01)
    assert body.header == words.header == Header(frame_id="base", stamp=HEADER.stamp)
    assert (body.pose.position.x, body.pose.orientation.z) == (0.1, 1.0)
    assert words.type == Marker.TEXT_VIEW_FACING and words.text == "the mug (75 %)" and words.scale.z > 0
    assert body.lifetime.sec == words.lifetime.sec == 10 and (body.ns, body.id) != (words.ns, words.id)
    assert all(marker.color.a > 0 for marker in (body, words))


def test_markers_without_a_size_or_a_place():
    sphere = target_to_markers(target_of(), Located("eye", (0, 0, 1), UPRIGHT, (0.0, 0.0, 0.0))).markers[1]
    assert sphere.type == Marker.SPHERE and sphere.scale.x == sphere.scale.z > 0
    (clear,) = target_to_markers(target_of(None), None).markers
    assert clear.action == Marker.DELETEALL and clear.header.frame_id == "eye"


class Publisher:
    def __init__(self, kind, topic):
        self.kind, self.topic, self.sent, self.subscribers = kind, topic, [], 0

    def get_subscription_count(self):
        return self.subscribers

    def publish(self, sent):
        assert isinstance(sent, self.kind)
        self.sent.append(sent)


class FakeNode:
    """What Outputs uses of a node; the stand-ins have no type support, so nothing can be sent for real."""

    def __init__(self):
        self.publishers, self.warnings = {}, []

    def create_lifecycle_publisher(self, kind, topic, qos, **_):
        self.publishers[topic] = Publisher(kind, topic)
        return self.publishers[topic]

    def destroy_lifecycle_publisher(self, publisher):
        del self.publishers[publisher.topic]

    def get_logger(self):
        return SimpleNamespace(warning=lambda text, **_: self.warnings.append(text))


@pytest.fixture
def installed(monkeypatch):
    """Both optional packages, as stand-ins."""
    for package, msgs in (("vision_msgs", vision_msgs()), ("foxglove_msgs", foxglove_msgs(True))):
        top, sub = ModuleType(package), ModuleType(f"{package}.msg")
        vars(sub).update(vars(msgs))
        top.msg = sub
        monkeypatch.setitem(sys.modules, package, top)
        monkeypatch.setitem(sys.modules, f"{package}.msg", sub)


def test_mirrors_are_published_and_pictures_only_when_somebody_looks(installed, monkeypatch):
    made = []
    for module, name in ((outputs, "target_to_markers"), (mirrors, "decision_to_annotations")):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, real=real, name=name: made.append(name) or real(*a))
    node = FakeNode()
    out = outputs.Outputs(node, publish_detections=True)
    out.decision(FOUND, None, HEADER)
    out.target(target_of(), PLACE)
    assert not made and not node.publishers["markers"].sent and not node.publishers["annotations"].sent
    assert len(node.publishers["detections_2d"].sent) == len(node.publishers["detections_3d"].sent) == 1
    for topic in ("markers", "annotations"):
        node.publishers[topic].subscribers = 1
    out.decision(FOUND, None, HEADER)
    out.target(target_of(), PLACE)
    assert len(node.publishers["markers"].sent) == len(node.publishers["annotations"].sent) == 1
    assert sorted(made) == ["decision_to_annotations", "target_to_markers"] and not node.warnings
    out.close()
    assert not node.publishers


@pytest.mark.parametrize("wanted", [False, True])
def test_without_the_packages(monkeypatch, wanted):
    for package in ("vision_msgs", "foxglove_msgs"):
        monkeypatch.setitem(sys.modules, package, None)  # importing it fails
        monkeypatch.setitem(sys.modules, f"{package}.msg", None)
    node = FakeNode()
    out = outputs.Outputs(node, publish_detections=wanted)
    out.decision(FOUND, None, HEADER)
    out.target(target_of(), PLACE)
    assert isinstance(node.publishers["target"].sent[0], Target)
    assert not {"annotations", "detections_2d", "detections_3d"} & set(node.publishers)
    assert len(node.warnings) == wanted and all("vision_msgs is not installed" in text for text in node.warnings)
