"""`clue soak`: a thousand goals with a live camera; none may be lost, memory may not grow, nor latency."""

from __future__ import annotations

import argparse
import sys

from clue_ros.cli.faults import add_common, finish
from clue_ros.cli.loading import positive

EXAMPLES = """examples:
  clue soak                       1,000 goals, about ten minutes on two cores
  clue soak --goals 200 --seed 3

Exit code 0: all rows held, 1: one did not, 130: interrupted; the files then hold the figures so far. Needs a ROS 2
environment and OpenGL for the scenes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    parser.add_argument("--goals", type=positive, default=1000, metavar="N", help="default 1000")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="other scenes (default 0)")
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=(640, 480),
        metavar=("W", "H"),
        help="of the camera's images (default 640 480)",
    )
    add_common(parser, "soak")


def run(args: argparse.Namespace) -> int:
    from rich.console import Console
    from tqdm import tqdm

    from clue_ros.ros.lab.faults.rows import Rows
    from clue_ros.ros.lab.faults.soak import soak

    rows = Rows("soak", args.json, args.csv or args.json.with_suffix(".csv"))

    def work() -> None:
        soak(
            args.goals,
            rows,
            args.output,
            args.model,
            args.device,
            args.seed,
            tuple(args.size),
            lambda number: bar.update(number - bar.n),
        )
        rows.save(complete=True)

    with tqdm(total=args.goals, unit="goal", file=sys.stderr, dynamic_ncols=True, smoothing=0.05) as bar:
        return finish(rows, Console(), work, bar, args.markdown)
