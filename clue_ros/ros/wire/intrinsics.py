"""camera_info messages and topic names -> what the lens needs to know. Pure functions."""

from __future__ import annotations

import re
from typing import NamedTuple, Optional

from sensor_msgs.msg import CameraInfo

from clue_ros.lens.calibration import Calibration, Region

TRANSPORTS = ("compressed", "compressedDepth", "theora", "ffmpeg", "zstd", "foxglove", "rvl", "draco")
_STRAIGHT = frozenset("rect rectified rectify rectilinear undistorted undistort undist unwarped dewarped".split())
_BENT = frozenset("raw unrectified unrect distorted".split())
LOOKED_AT = 3  # last parts of a topic's name: before them stand robots and cameras, whatever they are called


class Rectified(NamedTuple):
    """Whether a picture is rectified (None: not known), and in words how that was told."""

    value: Optional[bool]
    why: str


def calibration_of(msg: CameraInfo) -> Calibration:
    """A camera_info as it is; nothing is checked here."""
    roi = msg.roi
    return Calibration(
        tuple(float(v) for v in msg.k), tuple(float(v) for v in msg.p), tuple(float(v) for v in msg.d),
        tuple(float(v) for v in msg.r), msg.distortion_model, msg.width, msg.height, (msg.binning_x, msg.binning_y),
        Region(roi.x_offset, roi.y_offset, roi.width, roi.height),
    )  # fmt: skip


def base_topic(topic: str) -> str:
    """The topic of the plain images: /a/image_raw of /a/image_raw/compressed."""
    head, _, last = topic.rpartition("/")
    return head if last in TRANSPORTS and head else topic


def info_beside(topic: str) -> str:
    """The camera_info topic that goes with an image topic, as image_transport::getCameraInfoTopic has it."""
    return base_topic(topic).rpartition("/")[0] + "/camera_info"


def rectified(setting: str, topic: str) -> Rectified:
    """setting: the parameter `rectified`, auto, yes or no. auto goes by the topic's name, from its end: "rect",
    "rectified" or "undistorted" (image_rect, image_rect_color, rect/image), or "raw" (image_raw)."""
    if setting != "auto":
        return Rectified(setting == "yes", "parameter rectified")
    for part in reversed(base_topic(topic).split("/")[-LOOKED_AT:]):
        words = re.split(r"[^A-Za-z]+", part.lower())
        if not _STRAIGHT.isdisjoint(words):
            return Rectified(True, f"assumed from {part!r} in the topic's name")
        if not _BENT.isdisjoint(words):
            return Rectified(False, f"assumed from {part!r} in the topic's name")
    return Rectified(None, "the topic's name does not tell: raw if the lens distorts")
