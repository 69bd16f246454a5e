"""`clue scenes -o FOLDER -n COUNT`: render a data set. The work is in `clue_ros.simulation.dataset`."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import Tuple

from clue_ros.cli.loading import add_ray, sharing
from clue_ros.language.kinds import noun_of
from clue_ros.simulation.dataset import LARGEST_SIDE, SHARD, SMALLEST_SIDE, Size, generate
from clue_ros.types import ClueError

EXAMPLES = """examples:
  clue scenes -o out/scenes -n 100 --seed 7                 100 tables: images/*.webp, masks, and what stands where
  clue scenes -o out/own -n 200 --objects meshes            your own objects among the built-in ones
  clue data show out/scenes -n 5                            what can be said about them"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output",
        "-o",
        required=True,
        type=Path,
        metavar="DIR",
        help="folder of the data set (continued if it exists)",
    )
    parser.add_argument(
        "--count",
        "-n",
        type=int,
        default=1000,
        metavar="N",
        help=f"scenes, rounded up to whole shards of {SHARD} (default 1000)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="the same seed gives the same scenes (default 0)"
    )
    parser.add_argument(
        "--objects",
        type=Path,
        metavar="DIR",
        help="own meshes: <id>/google_16k/textured.obj, <id>/*.xml, <id>.xml, objects.yaml (docs/data.md)",
    )
    parser.add_argument("--only-own", action="store_true", help="nothing but the objects of --objects")
    parser.add_argument(
        "--varied",
        action="store_true",
        help="bend the built-in shapes, another way in every second shard: more to learn from",
    )
    parser.add_argument(
        "--any-camera", action="store_true", help="cameras from 0.3 to 1.5 m, steep to flat, instead of a robot's usual"
    )
    parser.add_argument(
        "--more-colors", action="store_true", help="gray, brown, pink and light and dark ones beside the eight colours"
    )
    parser.add_argument(
        "--weight",
        action="append",
        type=_weight,
        default=[],
        metavar="NOUN=W",
        help="draw the kinds of a noun W times as often, such as cup=3 or ball=0.3; may be repeated",
    )
    parser.add_argument(
        "--size",
        action="append",
        type=_size,
        default=[],
        metavar="WxH",
        help="of the images in pixels, such as 640x480; several take turns (default: three small shapes)",
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes (default: one a core of the machine, or of the cluster)"
    )
    add_ray(parser)
    parser.epilog = EXAMPLES


def run(args: argparse.Namespace) -> int:
    if args.only_own and args.objects is None:
        raise ClueError("--only-own needs --objects DIR, the folder of your meshes")
    for name in ("count", "workers"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise ClueError(f"--{name} is {getattr(args, name)}: give 1 or more")
    generate(
        args.output,
        args.count,
        args.seed,
        sharing(args.workers, args.ray, os.cpu_count() or 1),
        objects=args.objects,
        only_own=args.only_own,
        varied=args.varied,
        sizes=tuple(args.size),
        any_camera=args.any_camera,
        more_colors=args.more_colors,
        weights=tuple(args.weight),
    )
    return 0


def _weight(text: str) -> Tuple[str, float]:
    noun, _, number = text.rpartition("=")
    try:
        weight = float(number)
    except ValueError:
        weight = -1.0
    if not noun.strip() or not 0 < weight < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no weight: write NOUN=W, such as cup=3, W over 0")
    return noun_of(noun.strip().lower()) or noun.strip().lower(), weight


def _size(text: str) -> Size:
    match = re.fullmatch(r"(\d{2,4})x(\d{2,4})", text)
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in size):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no size: write WxH, such as 640x480, {SMALLEST_SIDE} to {LARGEST_SIDE} a side"
        )
    return size
