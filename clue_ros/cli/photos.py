"""`clue photos check PATH`: what a folder of annotated photographs holds, and what is wrong with it.
`clue photos compose`: pictures of cut-outs on backgrounds, in the same layout."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Sequence

from clue_ros.types import ClueError

EXAMPLES = """examples:
  clue photos check data/photos                             counts by name, source and licence; what is broken
  clue photos compose --pack data -o out/composites -n 2000 2000 pictures of cut-outs, with boxes, names and masks
The layout is described in docs/data.md."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    check = verbs.add_parser("check", help="count by name, source and licence, and report what is broken")
    check.add_argument("path", type=Path, metavar="PATH", help="a folder with annotations.jsonl, or such a file")
    check.add_argument("--json", action="store_true", help="the same as JSON")
    compose = verbs.add_parser("compose", help="paste cut-outs on backgrounds: pictures whose boxes are exact")
    compose.add_argument("--pack", required=True, type=Path, metavar="DIR", help="holds cutouts/ and backgrounds/")
    compose.add_argument("--output", "-o", required=True, type=Path, metavar="DIR", help="continued if it exists")
    compose.add_argument("--count", "-n", type=int, default=1000, metavar="N", help="pictures (default 1000)")
    compose.add_argument(
        "--seed", type=int, default=0, metavar="S", help="the same seed gives the same pictures (default 0)"
    )
    compose.add_argument(
        "--without-sharealike", action="store_true", help="nothing whose line names a share-alike licence"
    )
    compose.add_argument(
        "--leave-out", nargs="+", default=[], metavar="FILE", help="cut-outs or backgrounds not to use, by file name"
    )


def run(args: argparse.Namespace) -> int:
    return {"check": _check, "compose": _compose}[args.action](args)


def _compose(args: argparse.Namespace) -> int:
    from clue_ros.photographs.composites import write_composites

    if args.count < 1 or args.seed < 0:
        raise ClueError("--count must be 1 or more, --seed 0 or more")
    made = write_composites(
        args.pack, args.output, args.count, args.seed, args.without_sharealike, args.leave_out, progress=True
    )
    print(f"{args.output}: {made} pictures")
    return 0


def _check(args: argparse.Namespace) -> int:
    from clue_ros.photographs.checking import check

    counts, problems = check(args.path)
    if args.json:
        print(json.dumps({"path": str(args.path), **counts.to_dict(), "problems": problems.to_dict()}, indent=2))
        return 1 if problems.total else 0
    print(f"{args.path}: {counts.photographs} photographs")
    _table("source", ("photographs", "exhaustive", "things"), counts.sources)
    _table("name", ("things", "with a colour", "sources"), counts.names)
    _table("licence", ("photographs",), {name or "(not in the line)": (n,) for name, n in counts.licences.items()})
    for problem in problems.first:
        print(problem)
    print(f"{problems.total} problems" if problems.total else "nothing is broken")
    return 1 if problems.total else 0


def _table(title: str, columns: Sequence[str], rows: Any) -> None:
    width = max([len(title), *map(len, rows)])
    print(f"\n{title:<{width}}  " + "  ".join(columns))
    for name, values in rows.items():
        print(f"{name:<{width}}  " + "  ".join(f"{v:>{len(c)}}" for v, c in zip(values, columns)))
