"""The target in other packages' messages: vision_msgs detections and Foxglove's annotations of an image.

Both packages are optional. Each function gets the package's `msg` module (vision_msgs 4, foxglove_msgs), so that this
module imports neither.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any, Optional, Sequence, Tuple

from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from std_msgs.msg import Header

from clue_ros.msg import Target
from clue_ros.ros.wire.frames import Located
from clue_ros.ros.wire.messages import xyz
from clue_ros.types import Box, Decision
from clue_ros.visualization.debug_image import candidate_labels

Color = Tuple[float, float, float, float]
GREEN, ORANGE, WHITE, SHADE = (0.1, 0.85, 0.3, 1.0), (1.0, 0.6, 0.0, 1.0), (1.0, 1.0, 1.0, 1.0), (0.0, 0.0, 0.0, 0.6)
FONT_SIZE = 16.0  # pixels


def message_module(package: str) -> Optional[ModuleType]:
    """`package.msg`, or None where the package is not installed."""
    try:
        return importlib.import_module(f"{package}.msg")
    except ImportError:
        return None


def target_to_detections_2d(msgs: Any, target: Target) -> Any:
    """vision_msgs/Detection2DArray with one detection; boxes in pixels, `class_id` is the expression."""
    detection = msgs.Detection2D()
    detection.header = target.header
    detection.results = [_hypothesis(msgs, target, Pose())]
    box = target.box
    detection.bbox.center.position.x = (box.x0 + box.x1) / 2.0
    detection.bbox.center.position.y = (box.y0 + box.y1) / 2.0
    detection.bbox.center.theta = 0.0
    detection.bbox.size_x, detection.bbox.size_y = float(box.x1 - box.x0), float(box.y1 - box.y0)
    detection.id = target.expression
    return _array(msgs.Detection2DArray(), target.header, [detection])


def target_to_detections_3d(msgs: Any, target: Target, located: Optional[Located]) -> Any:
    """vision_msgs/Detection3DArray: one detection in the target frame (optical without one), empty without a position.

    The box's axes are those of the optical frame, hence its orientation.
    """
    if located is None:
        return _array(msgs.Detection3DArray(), target.header, [])
    header = Header(stamp=target.header.stamp, frame_id=located.frame_id)
    x, y, z, w = located.orientation
    pose = Pose(position=xyz(Point, located.position), orientation=Quaternion(x=x, y=y, z=z, w=w))
    detection = msgs.Detection3D()
    detection.header = header
    detection.results = [_hypothesis(msgs, target, pose)]
    detection.bbox.center, detection.bbox.size = pose, xyz(Vector3, located.size)
    detection.id = target.expression
    return _array(msgs.Detection3DArray(), header, [detection])


def decision_to_annotations(msgs: Any, decision: Decision, header: Header) -> Any:
    """foxglove_msgs/ImageAnnotations of one reading: competing regions, or the candidates of a belief with what is
    believed of each, or their numbers; the box if there is one, and the words."""
    annotations = msgs.ImageAnnotations()
    if hasattr(annotations, "timestamp"):  # of newer versions; the others have it on each annotation only
        annotations.timestamp = header.stamp
    labels = candidate_labels(decision)
    if labels:
        points = [_outline(msgs, box, ORANGE, 2.0, header) for box in decision.candidates]
    else:
        regions = decision.ambiguity.regions if decision.ambiguity is not None else ()
        points = [_outline(msgs, region.box, ORANGE, 1.0 + region.strength, header) for region in regions]
    caption = f"{decision.expression}: {decision.question or decision.outcome.value.replace('_', ' ')}"
    corner = (0.0, FONT_SIZE)
    if decision.box is not None:
        points.append(_outline(msgs, decision.box, GREEN, 3.0, header))
        caption = f"{decision.expression} ({100 * decision.confidence:.0f} %)"
        corner = (float(decision.box.x0), max(FONT_SIZE, float(decision.box.y0)))
    annotations.points = points
    annotations.texts = [_text(msgs, words, box.center, header) for words, box in zip(labels, decision.candidates)]
    annotations.texts.append(_text(msgs, caption, corner, header))
    return annotations


def _hypothesis(msgs: Any, target: Target, pose: Pose) -> Any:
    hypothesis = msgs.ObjectHypothesisWithPose()
    hypothesis.hypothesis.class_id, hypothesis.hypothesis.score = target.expression, float(target.confidence)
    hypothesis.pose.pose = pose
    return hypothesis


def _array(array: Any, header: Header, detections: Sequence[Any]) -> Any:
    array.header, array.detections = header, list(detections)
    return array


def _text(msgs: Any, words: str, place: Tuple[float, float], header: Header) -> Any:
    text = msgs.TextAnnotation()
    text.timestamp, text.text, text.font_size = header.stamp, words, FONT_SIZE
    text.position = _filled(msgs.Point2(), x=float(place[0]), y=float(place[1]))
    text.text_color, text.background_color = _color(msgs, WHITE), _color(msgs, SHADE)
    return text


def _outline(msgs: Any, box: Box, color: Color, thickness: float, header: Header) -> Any:
    outline = msgs.PointsAnnotation()
    outline.timestamp, outline.type, outline.thickness = header.stamp, msgs.PointsAnnotation.LINE_LOOP, float(thickness)
    corners = ((box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1))
    outline.points = [_filled(msgs.Point2(), x=float(x), y=float(y)) for x, y in corners]
    outline.outline_color = _color(msgs, color)
    return outline


def _color(msgs: Any, color: Color) -> Any:
    return _filled(msgs.Color(), r=color[0], g=color[1], b=color[2], a=color[3])


def _filled(message: Any, **fields: float) -> Any:
    for name, value in fields.items():
        setattr(message, name, value)
    return message
