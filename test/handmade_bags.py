"""Bags by hand, for tests: messages as rosbags writes them, at seconds from a start.

write(folder, [(0.0, "/image", image()), (1.0, "/speech", say("the mug"))])
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple

import cv2
import numpy as np

from clue_ros.bags.events import NS
from clue_ros.bags.reading import COMPRESSED, IMAGE, STRING, typestore

START = 1_767_225_600 * NS  # ns, of second 0
GREY = np.full((24, 32, 3), 90, np.uint8)


def image(rgb: np.ndarray = GREY, seconds: float = 0.0, encoding: str = "rgb8", stamped: bool = True) -> Any:
    """sensor_msgs/Image of uint8[H, W, 3], stamped at `seconds`, in the frame `camera`."""
    types, stamp = typestore().types, START + int(seconds * NS)
    sec, nanosec = divmod(stamp, NS) if stamped else (0, 0)
    header = types["std_msgs/msg/Header"](
        stamp=types["builtin_interfaces/msg/Time"](sec=sec, nanosec=nanosec), frame_id="camera"
    )
    height, width = rgb.shape[:2]
    return types[IMAGE](
        header=header, height=height, width=width, encoding=encoding, is_bigendian=0, step=rgb.nbytes // height,
        data=rgb.reshape(-1),
    )  # fmt: skip


def jpeg(seconds: float = 0.0, form: str = "rgb8; jpeg compressed bgr8", data: Optional[np.ndarray] = None) -> Any:
    """sensor_msgs/CompressedImage; data: uint8[N] instead of a jpeg of GREY."""
    data = cv2.imencode(".jpg", GREY)[1].reshape(-1) if data is None else data
    return typestore().types[COMPRESSED](header=image(seconds=seconds).header, format=form, data=data)


def say(text: str) -> Any:
    """std_msgs/String."""
    return typestore().types[STRING](data=text)


def write(folder: Path, lines: Sequence[Tuple[float, str, Any]], storage: str = "mcap") -> Path:
    """A new bag of (seconds, topic, message), earliest first; storage: 'mcap' or 'sqlite3'. Returns its folder."""
    from rosbags.rosbag2 import StoragePlugin, Writer

    plugin = StoragePlugin.MCAP if storage == "mcap" else StoragePlugin.SQLITE3
    store = typestore()
    connections: Dict[str, Any] = {}
    with Writer(folder, version=9, storage_plugin=plugin) as writer:
        for seconds, topic, message in lines:
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=store)
            writer.write(connections[topic], START + int(seconds * NS), store.serialize_cdr(message, kind))
    return folder
