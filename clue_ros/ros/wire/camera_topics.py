"""The names of one camera's topics: what was not remapped follows the images, as image_transport has it.

image:=/camera/color/image_raw     ->  /camera/color/image_raw/compressed, /camera/color/camera_info
depth:=/camera/depth/image_rect    ->  /camera/depth/image_rect/compressedDepth, /camera/depth/camera_info
"""

from __future__ import annotations

from typing import NamedTuple

from rclpy.node import Node

from clue_ros.ros.wire.intrinsics import info_beside

PACKED = "compressedDepth"


class Topics(NamedTuple):
    """Resolved names of one camera's topics. name: the camera's, empty for the only one."""

    image: str
    info: str
    depth: str
    depth_info: str
    name: str = ""

    @property
    def packed_depth(self) -> str:
        """The depth images of the transport compressedDepth."""
        return f"{self.depth}/{PACKED}"


def under(name: str, topic: str) -> str:
    """`topic` of the camera `name`; "" is the only one."""
    return f"{name}/{topic}" if name else topic


def camera_topics(node: Node, name: str = "") -> Topics:
    """The resolved names of the camera's topics as the node's remaps have them."""
    image = image_topic(node, under(name, "image"), "compressed")
    info = info_topic(node, under(name, "camera_info"), under(name, "image"))
    depth = image_topic(node, under(name, "depth"), PACKED)
    return Topics(image, info, depth, _depth_info_topic(node, name, info, depth), name)


def image_topic(node: Node, own: str, transport: str) -> str:
    """The topic of the plain images; a remap to their compressed ones, …/compressed, means the same camera."""
    resolved, end = node.resolve_topic_name(own), f"/{transport}"
    return resolved[: -len(end)] if resolved.endswith(end) and resolved.count("/") > 1 else resolved


def info_topic(node: Node, own: str = "camera_info", image: str = "image") -> str:
    """`own` where it is remapped; else the one beside the topic `image`, as image_transport::getCameraInfoTopic."""
    return node.resolve_topic_name(own) if remapped(node, own) else info_beside(node.resolve_topic_name(image))


def remapped(node: Node, own: str) -> bool:
    """Whether a rule gives the topic another name; one that gives it its own cannot be told from none."""
    return node.resolve_topic_name(own) != node.resolve_topic_name(own, only_expand=True)


def _depth_info_topic(node: Node, name: str, info: str, depth: str) -> str:
    """`depth_camera_info` where it is remapped; else the one beside remapped depth, unless that is the image's own."""
    own, beside = under(name, "depth_camera_info"), info_beside(depth)
    kept = remapped(node, own) or not remapped(node, under(name, "depth")) or beside == info
    return node.resolve_topic_name(own) if kept else beside
