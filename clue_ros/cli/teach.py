"""`clue teach NAME PHOTO --box X0 Y0 X1 Y1`: show the robot a thing once and name it. `--list`, `--forget NAME`."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from pathlib import Path

from clue_ros.cli.loading import add_model_arguments, add_photo, add_sample_bits, positive
from clue_ros.images.photos import read_photo
from clue_ros.types import Answer, Box, ClueError

FOLDER = Path("taught")
EXAMPLES = """examples:
  clue teach "my thermos" table.png --box 212 60 260 171 --model DIR
  clue teach "torque wrench" bench.jpg --click 300 215 --model DIR       a further view: the same name again
  clue teach --list
  clue teach --forget "my thermos"
  clue ground other.png "hand me my thermos" --taught taught --model DIR"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    parser.add_argument("name", nargs="?", metavar="NAME", help='what it is called, such as "my thermos"')
    add_photo(parser, nargs="?")
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--box", type=float, nargs=4, metavar=("X0", "Y0", "X1", "Y1"), help="around the thing, in pixels"
    )
    place.add_argument("--click", type=float, nargs=2, metavar=("X", "Y"), help="on the thing, in pixels")
    place.add_argument("--list", action="store_true", help="what is taught, with its views")
    place.add_argument("--forget", metavar="NAME", help="drop a thing with all its views")
    parser.add_argument(
        "--taught", type=Path, default=FOLDER, metavar="DIR", help=f"folder of what is taught (default {FOLDER})"
    )
    parser.add_argument("--shadow", action="store_true", help="the name may hide words that the model knows")
    parser.add_argument("--most-things", type=positive, default=200, metavar="N", help="in the folder (default 200)")
    parser.add_argument("--most-views", type=positive, default=8, metavar="N", help="of one thing (default 8)")
    add_model_arguments(parser, threshold=False)
    add_sample_bits(parser)


def run(args: argparse.Namespace) -> int:
    from clue_ros.taught.store import Limits, TaughtStore

    limits = Limits(args.most_things, args.most_views)
    if args.list or args.forget is not None:
        if args.name is not None:
            raise ClueError("--list and --forget take no photo: leave NAME and PHOTO away")
        store = TaughtStore(args.taught, limits)
        if args.forget is not None:
            gone = store.forget(args.forget)
            print(f"forgot {gone.name} ({_views(len(gone.views))})")
            return 0
        for thing in store.things:
            print(f"{thing.name}: {_views(len(thing.views))}, {store.picture_file(thing.views[0].id)}")
        if not store.things:
            print(f"nothing is taught in {args.taught}")
        return 0
    if args.name is None or args.photo is None or (args.box is None and args.click is None):
        raise ClueError(
            'give a name, a photo and a place, as in: clue teach "my thermos" photo.png --box 212 60 260 171'
        )
    return _teach(args, limits)


def _teach(args: argparse.Namespace, limits) -> int:
    from clue_ros.cli.loading import load_grounder
    from clue_ros.taught.grounder import TaughtGrounder

    rgb = read_photo(args.photo, args.sample_bits)
    shown = Answer(box=Box(*args.box)) if args.box is not None else Answer(point=tuple(args.click))
    with contextlib.redirect_stdout(sys.stderr):  # libraries that print while they load
        grounder = TaughtGrounder.around(load_grounder(args), args.taught, limits=limits)
    try:
        began = time.perf_counter()
        thing, box = grounder.teach(rgb, args.name, shown, args.shadow)
        seconds = time.perf_counter() - began
    finally:
        grounder.close()
    x0, y0, x1, y1 = (round(v) for v in box)
    print(
        f"taught {thing.name} ({_views(len(thing.views))}) from {x0} {y0} {x1} {y1} in {seconds:.2f} s: "
        f"{grounder.memory.store.picture_file(thing.views[-1].id)}"
    )
    return 0


def _views(count: int) -> str:
    return "1 view" if count == 1 else f"{count} views"
