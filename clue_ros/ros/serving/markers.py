"""A target as markers for RViz and Foxglove: pure functions."""

from __future__ import annotations

from typing import Optional

from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from clue_ros.msg import Target
from clue_ros.ros.wire.frames import Located
from clue_ros.ros.wire.messages import xyz

NAMESPACE = "clue"
LIFETIME_S = 10
THINNEST = 0.01  # metres; a surface seen from the front has hardly any depth
UNKNOWN_DIAMETER = 0.05  # metres, of the sphere where the size is not known
TEXT_HEIGHT = 0.03  # metres
BODY = ColorRGBA(r=0.1, g=0.85, b=0.3, a=0.45)
LETTERS = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)


def target_to_markers(target: Target, located: Optional[Located]) -> MarkerArray:
    """A box around what is seen of the target (a sphere if its size is unknown) and its words, for LIFETIME_S.

    Without a position only the deletion of what was shown before.
    """
    header = Header(stamp=target.header.stamp, frame_id=located.frame_id if located else target.header.frame_id)
    markers = [Marker(header=header, ns=NAMESPACE, action=Marker.DELETEALL)]
    if located is not None:
        x, y, z, w = located.orientation
        pose = Pose(position=xyz(Point, located.position), orientation=Quaternion(x=x, y=y, z=z, w=w))
        width, height, depth = located.size
        sized = width > 0 and height > 0
        scale = (width, height, max(depth, THINNEST)) if sized else (UNKNOWN_DIAMETER,) * 3
        body = Marker.CUBE if sized else Marker.SPHERE
        words = f"{target.expression} ({100 * target.confidence:.0f} %)"
        markers.append(_marker(header, 0, body, pose, scale, BODY, ""))
        markers.append(_marker(header, 1, Marker.TEXT_VIEW_FACING, pose, (0.0, 0.0, TEXT_HEIGHT), LETTERS, words))
    return MarkerArray(markers=markers)


def _marker(header: Header, number: int, kind: int, pose: Pose, scale: tuple, color: ColorRGBA, text: str) -> Marker:
    return Marker(
        header=header, ns=NAMESPACE, id=number, type=kind, action=Marker.ADD, pose=pose, scale=xyz(Vector3, scale),
        color=color, text=text, lifetime=Duration(sec=LIFETIME_S),
    )  # fmt: skip
