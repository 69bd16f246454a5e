"""Camera images through cv_bridge, ROS's own converter, where it is installed and gives the pixels that ours gives.

Whether it does is tried once, in a process of its own: a cv_bridge that was compiled for numpy 1, as that of Humble to
Kilted, does not raise beside numpy 2 but takes its process with it. Until the answer is there, and for all that is not
equal, our own converter works. Padded rows are its own too, since cv_bridge shears those of three-byte pixels without
an error; so is every message that is not whole.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future
from typing import Any, Callable, FrozenSet, NamedTuple, Optional

import numpy as np
from rclpy.logging import get_logger
from sensor_msgs.msg import Image

from clue_ros.images.encodings import LAYOUTS
from clue_ros.images.messages import image_to_rgb

# Bytes a pixel of the encodings that are tried. rgb8 is not: it needs no conversion, and cv_bridge copies it (9 ms at
# 4K). Nor are 16-bit samples: cv_bridge scales them, ours takes the upper byte.
CANDIDATES = {
    name: layout.channels
    for name, layout in LAYOUTS.items()
    if layout.dtype is np.uint8 and layout.to_rgb is not None and not layout.planes
}
TRIAL_S = 60.0
# In the process of the trial: whatever an encoding ends in is looked at later, but it must end in something.
_TRIAL = """
import json, sys, types
from cv_bridge import CvBridge
for encoding, size in json.loads(sys.argv[1]).items():
    picture = types.SimpleNamespace(height=6, width=8, encoding=encoding, is_bigendian=0)
    picture.step, picture.data = 8 * size, bytes(48 * size)
    try:
        CvBridge().imgmsg_to_cv2(picture, "rgb8")
    except Exception as error:
        print(type(error).__name__, error, file=sys.stderr)
"""


class Bridge(NamedTuple):
    """convert: cv_bridge's imgmsg_to_cv2; equal: the encodings for which it gives what ours gives."""

    convert: Callable[[Any, str], np.ndarray]
    equal: FrozenSet[str]


def through_cv_bridge(msg: Any) -> Optional[np.ndarray]:
    """sensor_msgs/Image -> uint8[H, W, 3] RGB by cv_bridge; None: this message is our own converter's."""
    encoding = getattr(msg, "encoding", "")
    if encoding not in CANDIDATES:
        return None
    row = msg.width * CANDIDATES[encoding]
    if not row or msg.step != row or len(msg.data) != msg.height * row:
        return None
    search = find_bridge()
    bridge = search.result() if search.done() else None
    if bridge is None or encoding not in bridge.equal:
        return None
    try:
        rgb = bridge.convert(msg, "rgb8")
    except Exception:  # such as an odd width: our own converter says what is wrong with this one
        return None
    return np.ascontiguousarray(rgb) if rgb.shape == (msg.height, msg.width, 3) else None


@functools.lru_cache(maxsize=None)
def find_bridge() -> "Future[Optional[Bridge]]":
    """cv_bridge as it is here, looked for once, in the background; None where it is not installed or not of use."""
    answer: "Future[Optional[Bridge]]" = Future()
    if "cv_bridge" not in sys.modules and importlib.util.find_spec("cv_bridge") is None:
        answer.set_result(None)
    else:
        threading.Thread(target=lambda: answer.set_result(_try_out()), name="cv_bridge", daemon=True).start()
    return answer


def _try_out() -> Optional[Bridge]:
    """The bridge, or None; either way the log says so in one line."""
    logger = get_logger("clue.images")
    reason, bridge = _reason_against(), None
    if not reason:
        try:
            bridge = _equal_bridge()
        # What ends well in another process may not in this one: other modules may have come before it.
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
    if bridge is not None and bridge.equal:
        logger.info(f"images of {', '.join(sorted(bridge.equal))} are converted by cv_bridge")
        return bridge
    logger.warning(
        f"cv_bridge is installed and not of use ({reason or 'it gives other pixels'}): images are converted without "
        "it, with the "
        "same result"
    )
    return None


def _reason_against() -> str:
    """What is wrong with cv_bridge, seen in a process of its own; "": nothing that is seen there."""
    command = [sys.executable, "-c", _TRIAL, json.dumps(CANDIDATES)]
    try:
        trial = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TRIAL_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{type(error).__name__}: {error}"[:200]
    if trial.returncode < 0:
        name = signal.Signals(-trial.returncode).name
        return f"its compiled half ends the process with {name}, as one for another numpy than {np.__version__} does"
    lines = trial.stderr.strip().splitlines() or [f"exit status {trial.returncode}"]
    return lines[-1][:200] if trial.returncode else ""


def _equal_bridge() -> Bridge:
    from cv_bridge import CvBridge

    convert = CvBridge().imgmsg_to_cv2
    return Bridge(
        convert, frozenset(name for name, size in CANDIDATES.items() if _is_equal(convert, _sample(name, size)))
    )


def _sample(encoding: str, size: int) -> Image:
    """A picture of 8 x 6 pixels of noise."""
    height, width = 6, 8
    data = np.random.default_rng(0).integers(0, 256, height * width * size, np.uint8).tobytes()
    return Image(height=height, width=width, encoding=encoding, step=width * size, data=data)


def _is_equal(convert: Callable[[Any, str], np.ndarray], sample: Image) -> bool:
    try:
        theirs = convert(sample, "rgb8")
    except Exception:  # CvBridgeError and whatever an unknown encoding ends in, by version
        return False
    ours = image_to_rgb(sample)
    return isinstance(theirs, np.ndarray) and theirs.dtype == np.uint8 and np.array_equal(theirs, ours)
