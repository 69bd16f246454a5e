"""The console with a camera and the grounding node: everything that `make console` starts.

    python -m clue_ros.ros.console_demo --seed 0 --port 8765        (or: make console SEED=0), a simulated camera
    python -m clue_ros.ros.console_demo --camera 0                  (or: make console CAMERA=0), a real one

Three processes in a ROS domain of their own; Ctrl-C ends them all. The camera shows another scene every `--scene-s`
seconds if that is given; without it, the scene stays.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

from clue_ros.console.server import PORT
from clue_ros.ros.running.loading import has_eyes
from clue_ros.ros.running.stop_signals import Interrupted, StopSignals
from clue_ros.terminal import any_encoding
from clue_ros.types import ClueError

NAMESPACE = "/clue"
CONSOLE, NODE, CAMERA, WEBCAM = "console", "clue_node", "tabletop_camera", "webcam"
RATE_HZ = 15.0


def arguments(argv: Optional[List[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="console_demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--camera",
        default="",
        metavar="SOURCE",
        help=(
            "a real camera's number or device, a stream's address, a video file, or a folder of pictures; "
            "default: simulated"
        ),
    )
    parser.add_argument("--seed", type=int, default=0, help="other scenes (0 or more)")
    parser.add_argument("--episode", type=int, default=1, help="which scene of the seed (default 1, an ambiguous one)")
    parser.add_argument(
        "--scene-s", type=float, default=0.0, help="another scene every so many seconds (default: never)"
    )
    parser.add_argument("--port", type=int, default=PORT, help=f"of the page (default {PORT}; 0: any free one)")
    parser.add_argument("--address", default="127.0.0.1", help="of the page; others than this machine need --token")
    parser.add_argument("--token", default="", help="that the page's address must carry")
    parser.add_argument("--model", default="", help="model directory; default: the embedded model")
    parser.add_argument("--device", default="cpu", help="torch device")
    parser.add_argument(
        "--replay", action="append", default=[], metavar="PATH", help="a bag or a run to step through; may be repeated"
    )
    parser.add_argument("--output", type=Path, default=Path("out/console"), help="folder for the logs")
    parser.add_argument("--domain", type=int, help="ROS_DOMAIN_ID; default: one that no other demo uses")
    chosen = parser.parse_args(argv)
    if chosen.seed < 0 or chosen.episode < 0:
        parser.error("--seed and --episode must be 0 or more")
    if chosen.domain is not None and not 0 <= chosen.domain <= 101:
        parser.error("--domain must be 0 to 101")
    return chosen


def start(children: Any, options: argparse.Namespace) -> None:
    """The three processes; `children` is a Processes."""
    model = str(Path(options.model).resolve()) if options.model else ""
    if options.camera:
        children.start(WEBCAM, "clue_ros.ros.webcam", {"source": from_here(options.camera)})
    else:
        camera = {"seed": options.seed, "episode": options.episode, "rate_hz": RATE_HZ}
        children.start(CAMERA, "clue_ros.ros.tabletop_camera", camera)
    children.start(
        NODE,
        "clue_ros.ros.node",
        {
            "model": model,
            "device": options.device,
            "answer_timeout_s": 600.0,
            "target_mask": True,
            **({"taught": str(options.output.resolve() / "taught")} if has_eyes(model) else {}),
        },  # fmt: skip
    )
    console: Dict[str, object] = {"port": options.port, "address": options.address, "token": options.token}
    if options.replay:
        console.update(replay=[str(Path(path).resolve()) for path in options.replay], replay_model=model)
    children.start(CONSOLE, "clue_ros.ros.console", console)


def from_here(source: str) -> str:
    """A relative path made absolute, because the processes work in another folder; other sources as they are."""
    from clue_ros.images.video import DEVICE

    path = Path(source).expanduser()
    return str(path.resolve()) if path.exists() and not DEVICE.match(source) else source


def address_of(children: Any) -> Optional[str]:
    """What the console's log says to open; None before it does."""
    log = children.log(CONSOLE)
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    for line in text.splitlines():
        _, found, url = line.partition(": open ")
        if found and url.startswith("http"):
            return url.strip()
    return None


def main(argv: Optional[List[str]] = None) -> int:
    any_encoding()
    options = arguments(argv)
    stop = StopSignals()
    try:
        return _main(options, stop)
    finally:
        stop.ignore()


def _main(options: argparse.Namespace, stop: StopSignals) -> int:
    from clue_ros.ros.demonstration import processes as processes

    try:
        domain, lock = (options.domain, None) if options.domain is not None else processes.free_domain()
        os.environ.update(processes.environment(domain))
        with processes.Processes(NAMESPACE, options.output.resolve() / "logs") as children:
            with stop.making():
                start(children, options)
            print(
                f"three ROS 2 nodes start (ROS_DOMAIN_ID={domain}, namespace {NAMESPACE}, logs in "
                f"{options.output}/logs) …"
            )
            return _watch(children, options, stop)
    except Interrupted:
        print("\nstopped")
        return 130
    except (ClueError, OSError) as error:
        print(f"console: {error}", file=sys.stderr)
        return 1


def _watch(children: Any, options: argparse.Namespace, stop: StopSignals) -> int:
    """Until Ctrl-C, or until a process dies."""
    from clue_ros.ros.running import spinning

    spinning.init(stop=stop)
    scenes = _Scenes(options.scene_s, options.episode)
    shown = False
    try:
        while not stop:
            children.check()
            url = None if shown else address_of(children)
            if url is not None:
                shown = True
                print(
                    f"\n  open {url}\n\nThe model loads for a few seconds; the page says when it is ready. Ctrl-C "
                    "ends everything."
                )
            scenes.look()
            time.sleep(0.2)
    finally:
        scenes.close()
    print("\nstopped")
    return 130


class _Scenes:
    """Changes the camera's scene from time to time."""

    def __init__(self, every_s: float, first: int) -> None:
        import rclpy

        self._rclpy = rclpy
        self._every, self._index = every_s, first
        self._at = time.monotonic()
        self._node: Any = None
        if every_s > 0:
            from std_msgs.msg import UInt32

            from clue_ros.ros.demonstration.scripted_scene import LATCHED

            self._message = UInt32
            self._node = rclpy.create_node("scenes", namespace=NAMESPACE)
            self._publisher = self._node.create_publisher(UInt32, "episode", LATCHED)

    def look(self) -> None:
        if self._node is not None and time.monotonic() - self._at >= self._every:
            self._at, self._index = time.monotonic(), self._index + 1
            self._publisher.publish(self._message(data=self._index))

    def close(self) -> None:
        if self._node is not None:
            self._node.destroy_node()
        self._rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
