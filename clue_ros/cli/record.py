"""`clue record -o DIR --episodes 6 --seed 0`: a bag from the simulation, without ROS."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

EXAMPLES = """examples:
  clue record -o recordings/table --episodes 10 --seed 3
  clue record -o recordings/raw --storage sqlite3 --image raw --rate 15
  clue evaluate bag recordings/table"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    parser.add_argument("--output", "-o", type=Path, required=True, metavar="DIR", help="the bag's folder; must be new")
    parser.add_argument(
        "--episodes", type=int, default=5, metavar="N",
        help="scenes, each with one instruction; five kinds take turns (default 5)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="the same seed, the same messages (default 0)")
    parser.add_argument("--storage", choices=["mcap", "sqlite3"], default="mcap", help="default mcap")
    parser.add_argument("--image", choices=["jpeg", "png", "raw"], default="jpeg", help="form of frames (default jpeg)")
    parser.add_argument("--size", type=int, nargs=2, default=(640, 480), metavar=("W", "H"), help="default 640 480")
    parser.add_argument("--rate", type=float, default=5.0, metavar="HZ", help="frames a second (default 5)")
    parser.add_argument("--no-depth", action="store_true", help="no depth images: they take most of the room")
    parser.add_argument(
        "--pause", type=float, default=35.0, metavar="S",
        help="seconds between episodes, longer than a robot waits for an answer (default 35)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from clue_ros.bags.recording import RecordSettings, record

    width, height = args.size
    settings = RecordSettings(
        args.episodes, args.seed, args.storage, width, height, args.rate, args.image, not args.no_depth, args.pause
    )
    # disable=None: no bar where stderr is not a terminal.
    with tqdm(total=args.episodes, unit="episode", file=sys.stderr, dynamic_ncols=True, disable=None) as bar:
        counts = record(args.output, settings, lambda index: bar.update())
    size = sum(file.stat().st_size for file in args.output.iterdir()) / 1e6
    topics = ", ".join(f"{count} on {topic}" for topic, count in sorted(counts.items()))
    print(f"{args.output}: {size:.1f} MB, {topics}")
    print(f"replay it: clue evaluate bag {args.output}")
    return 0
