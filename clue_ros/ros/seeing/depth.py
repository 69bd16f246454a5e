"""Depth images as numbers. Pure functions.

Units come from the encoding (REP 118): 16UC1 is millimetres with 0 invalid, 32FC1 is metres with NaN invalid.
"""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from clue_ros.images.compressed_depth import compressed_depth
from clue_ros.images.messages import image_to_samples
from clue_ros.ros.running.errors import DepthMessageError
from clue_ros.types import ClueError

NEAREST, FARTHEST = 0.01, 200.0  # metres: what no depth camera measures is a driver's mark for "nothing seen"


def depth_to_metres(msg: "Image | CompressedImage") -> np.ndarray:
    """Depth message, raw or of the transport compressedDepth -> float32[H, W] in metres, NaN where invalid.

    Raises:
        DepthMessageError: another encoding than 16UC1 / mono16 / 32FC1, millimetres as 32FC1, or a broken message.
    """
    try:
        if isinstance(msg, CompressedImage):
            depth = compressed_depth(msg)
            if depth.dtype == np.float32:
                _in_metres(depth)
            else:
                depth = depth.astype(np.float32) / 1000.0
        elif msg.encoding in ("16UC1", "mono16"):
            depth = image_to_samples(msg, 1, np.uint16).astype(np.float32) / 1000.0
        elif msg.encoding == "32FC1":
            depth = image_to_samples(msg, 1, np.float32).astype(np.float32)
            _in_metres(depth)
        else:
            raise DepthMessageError(f"depth encoding {msg.encoding[:40]!r}: publish 16UC1 (mm) or 32FC1 (m)")
    except DepthMessageError:
        raise
    except ClueError as error:
        raise DepthMessageError(f"depth image: {error}") from error
    return np.where((depth >= NEAREST) & (depth <= FARTHEST), depth, np.float32(np.nan))


def _in_metres(depth: np.ndarray) -> None:
    """Raises DepthMessageError for a scene that is hundreds of metres away, and not one value that marks nothing."""
    seen = depth[(depth > 0) & (depth < np.iinfo(np.uint16).max)]
    if seen.size and np.median(seen) > FARTHEST and seen.min() < seen.max():
        raise DepthMessageError(
            f"32FC1 depth has a median of {np.median(seen):.0f}, and its unit is metres: publish millimetres as 16UC1"
        )
