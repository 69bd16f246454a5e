"""Depth images as numbers. Pure functions.

Units come from the encoding (REP 118): 16UC1 is millimetres with 0 invalid, 32FC1 is metres with NaN invalid.
"""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from clue_ros.compressed_depth import compressed_depth
from clue_ros.ros.conversions import image_to_samples
from clue_ros.ros.errors import DepthMessageError
from clue_ros.types import ClueError

FARTHEST = 1000.0  # metres: what no depth camera measures is a driver's mark for "nothing seen"


def depth_to_metres(msg: "Image | CompressedImage") -> np.ndarray:
    """Depth message, raw or of the transport compressedDepth -> float32[H, W] in metres, NaN where invalid.

    Raises:
        DepthMessageError: another encoding than 16UC1 / mono16 / 32FC1, or a broken message.
    """
    try:
        if isinstance(msg, CompressedImage):
            depth = compressed_depth(msg)
            depth = depth if depth.dtype == np.float32 else depth.astype(np.float32) / 1000.0
        elif msg.encoding in ("16UC1", "mono16"):
            depth = image_to_samples(msg, 1, np.uint16).astype(np.float32) / 1000.0
        elif msg.encoding == "32FC1":
            depth = image_to_samples(msg, 1, np.float32).astype(np.float32)
        else:
            raise DepthMessageError(f"depth encoding {msg.encoding[:40]!r}: publish 16UC1 (mm) or 32FC1 (m)")
    except DepthMessageError:
        raise
    except ClueError as error:
        raise DepthMessageError(f"depth image: {error}") from error
    return np.where((depth > 0) & (depth <= FARTHEST), depth, np.float32(np.nan))
