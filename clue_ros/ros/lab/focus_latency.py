"""What the focus node adds to a frame: from a frame that the node has to the message that it has published.

    python -m clue_ros.ros.lab.focus_latency          (a table, and out/focus_latency.json)

The real node with a heatmap that is there already (the model looks beside the frames, in a thread of its own, and
delays none); the frames differ by noise, so that nothing is remembered. "passes" is the node without an instruction.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Dict, FrozenSet, List, Optional, Sequence

import numpy as np
import rclpy
from rclpy.logging import LoggingSeverity
from rclpy.parameter import Parameter
from std_msgs.msg import Header, String

from clue_ros.masks.focus import MODES
from clue_ros.ros.focus import Focus
from clue_ros.ros.running.allocation import keep_large_blocks
from clue_ros.ros.wire.conversions import array_to_image
from clue_ros.seams import Capability
from clue_ros.testing.fake_grounder import ScriptedGrounder
from clue_ros.types import Turn

SIZES = ((640, 480), (1920, 1080))
FRAMES, WARM_UP = 100, 10
PASSES = "passes"
WAIT_S = 10.0


class Spot(ScriptedGrounder):
    """Stands in for the model: an ellipse in the middle of the picture matters."""

    @property
    def capabilities(self) -> FrozenSet[Capability]:
        return super().capabilities | {Capability.RELEVANCE}

    def relevance(self, image: Any, instruction: str, turns: Sequence[Turn] = ()) -> np.ndarray:
        """float32[H,W] in [0, 1] of uint8[H,W,3]."""
        y, x = np.ogrid[-1 : 1 : image.shape[0] * 1j, -1 : 1 : image.shape[1] * 1j]
        return ((x / 0.2) ** 2 + (y / 0.3) ** 2 < 1).astype(np.float32)


def measure(width: int, height: int, mode: str, frames: int = FRAMES) -> Dict[str, Any]:
    """{"width", "height", "mode", "seconds": [of each frame]}; mode: one of MODES, or PASSES. rclpy must be
    initialised.

    Raises TimeoutError if the heatmap never comes."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 250, (height, width, 3), np.uint8)
    images = [array_to_image(pixels + np.uint8(n), "bgr8", Header(frame_id="camera")) for n in range(4)]
    node = Focus(lambda settings: Spot())
    node.start()
    node.get_logger().set_level(LoggingSeverity.WARN)
    try:
        if mode != PASSES:
            node.set_parameters([Parameter("mode", value=mode)])
            node._on_instruction(String(data="the mug"))
            end = time.monotonic() + WAIT_S
            while node.looks == 0:
                if time.monotonic() > end:
                    raise TimeoutError(f"no heatmap within {WAIT_S:g} s")
                node._on_image(images[0])
                time.sleep(0.01)
        for n in range(WARM_UP + frames):
            node._on_image(images[n % len(images)])
        return {"width": width, "height": height, "mode": mode, "seconds": node.added_s[-frames:]}
    finally:
        node.get_logger().set_level(LoggingSeverity.UNSET)
        node.close()
        node.destroy_node()


def report(rows: List[Dict[str, Any]], load: float) -> str:
    """A table in milliseconds."""
    lines = [f"{'focus node, ms a frame':26}{'p50':>8}{'p95':>8}{'p99':>8}"]
    for row in rows:
        row["p50_ms"], row["p95_ms"], row["p99_ms"] = (np.percentile(row["seconds"], (50, 95, 99)) * 1e3).tolist()
        name = f"{row['width']}x{row['height']} {row['mode']}"
        lines.append(f"{name:26}{row['p50_ms']:8.2f}{row['p95_ms']:8.2f}{row['p99_ms']:8.2f}")
    if load > 0.5:
        lines.append(f"Note: other processes used this machine (load {load:.1f}).")
    return "\n".join(lines)


def main(args: Optional[List[str]] = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m clue_ros.ros.lab.focus_latency", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--frames", type=int, default=FRAMES, help=f"of each row, at most 200 (default {FRAMES})")
    parser.add_argument("--json", type=Path, default=Path("out/focus_latency.json"), metavar="FILE.json")
    options = parser.parse_args(args)
    if not 1 <= options.frames <= 200:
        parser.error("--frames must be 1 to 200")
    load = os.getloadavg()[0]
    keep_large_blocks()  # as the node's own main does
    rclpy.init()
    try:
        rows = [measure(width, height, mode, options.frames) for width, height in SIZES for mode in (PASSES, *MODES)]
    finally:
        rclpy.try_shutdown()
    print(report(rows, load))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps({"what": "focus_latency", "load": load, "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
