"""Core values to messages and back: pure functions, no node. The source image's header is copied, never "now"."""

from __future__ import annotations

from array import array
from typing import Optional, Sequence

import numpy as np
from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import Point, PointStamped, Vector3
from std_msgs.msg import Header

from clue_ros.msg import Ambiguity as AmbiguityMsg
from clue_ros.msg import Box as BoxMsg
from clue_ros.msg import Region as RegionMsg
from clue_ros.msg import Target, Turn
from clue_ros.ros.wire.conversions import array_to_image
from clue_ros.ros.wire.frames import Located
from clue_ros.types import Ambiguity, Answer, Box, Decision


def box_to_msg(box: Box) -> BoxMsg:
    return BoxMsg(x0=float(box.x0), y0=float(box.y0), x1=float(box.x1), y1=float(box.y1))


def msg_to_box(msg: BoxMsg) -> Box:
    return Box(msg.x0, msg.y0, msg.x1, msg.y1)


def boxes_to_msgs(boxes: Sequence[Box]) -> "list[BoxMsg]":
    return [box_to_msg(box) for box in boxes]


def ambiguity_to_msg(
    ambiguity: Ambiguity, expression: str, header: Header, candidates: Sequence[Box] = (), belief: Sequence[float] = (),
) -> AmbiguityMsg:  # fmt: skip
    """`ambiguity.attention_map` float32[h, w] goes out row-major; the belief with the candidates that it is over, and
    neither without the other."""
    heat = np.ascontiguousarray(ambiguity.attention_map, dtype=np.float32)
    values = array("f")
    values.frombytes(memoryview(heat).cast("B"))
    regions = [
        RegionMsg(
            box=box_to_msg(region.box), peak_x=float(region.peak[0]), peak_y=float(region.peak[1]),
            strength=float(region.strength),
        )
        for region in ambiguity.regions
    ]  # fmt: skip
    return AmbiguityMsg(
        header=header, expression=expression, probability=float(ambiguity.probability),
        threshold=float(ambiguity.threshold), is_ambiguous=bool(ambiguity.is_ambiguous),
        map_height=heat.shape[0], map_width=heat.shape[1], map=values, regions=regions,
        candidates=boxes_to_msgs(candidates) if belief else [], belief=[float(p) for p in belief],
    )  # fmt: skip


def msg_to_attention_map(msg: AmbiguityMsg) -> np.ndarray:
    """The map of an Ambiguity message, float32[map_height, map_width] in [0, 1], row 0 at the image's top."""
    return np.frombuffer(msg.map, np.float32).reshape(msg.map_height, msg.map_width)


def decision_to_target(
    decision: Decision, expression: str, header: Header, located: Optional[Located] = None, dialogue: str = "",
    corrects: str = "", why_not: str = "",
) -> Target:  # fmt: skip
    """A decision that holds a box -> Target; the position is in metres in `located.frame_id`, without one `why_not`
    says why.
    dialogue, corrects: ids."""
    target = Target(
        header=header, expression=expression, box=box_to_msg(decision.box), confidence=float(decision.confidence),
        dialogue=dialogue, corrects=corrects, position_reason="" if located is not None else why_not,
    )  # fmt: skip
    if decision.mask is not None:
        target.mask = array_to_image(decision.mask.astype(np.uint8) * 255, "mono8", header)
    if located is not None:
        target.has_position = True
        target.position = PointStamped(
            header=Header(stamp=header.stamp, frame_id=located.frame_id), point=xyz(Point, located.position)
        )
        target.size = xyz(Vector3, located.size)
    return target


def xyz(kind: type, values: Sequence[float]):
    """Three numbers as a geometry_msgs Point or Vector3."""
    x, y, z = values
    return kind(x=float(x), y=float(y), z=float(z))


def turn_msg(speaker: str, text: str, stamp: Time) -> Turn:
    return Turn(stamp=stamp, speaker=speaker, text=text)


def answer_text(answer: Answer) -> str:
    """How an answer is written in a Turn message."""
    if answer.point is not None and answer.box is not None:
        return "(scribble {:.0f} {:.0f} {:.0f} {:.0f})".format(*answer.box)
    if answer.point is not None:
        return "(click {:.0f} {:.0f})".format(*answer.point)
    if answer.box is not None:
        return "(box {:.0f} {:.0f} {:.0f} {:.0f})".format(*answer.box)
    return answer.text


def duration_to_seconds(duration: Duration) -> float:
    return duration.sec + duration.nanosec * 1e-9


def seconds_to_duration(seconds: float) -> Duration:
    nanoseconds = max(0, round(seconds * 1e9))
    return Duration(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)


def stamp_to_seconds(stamp: Time) -> float:
    """Seconds of a stamp; 0.0 for the zero stamp that some drivers send."""
    return stamp.sec + stamp.nanosec * 1e-9
