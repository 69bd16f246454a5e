"""`clue photos check PATH`: what a folder of annotated photographs holds, and what is wrong with it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Sequence

EXAMPLES = """examples:
  clue photos check data/photos                             counts by name, source and licence; what is broken
The layout is described in docs/data.md."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    check = verbs.add_parser("check", help="count by name, source and licence, and report what is broken")
    check.add_argument("path", type=Path, metavar="PATH", help="a folder with annotations.jsonl, or such a file")
    check.add_argument("--json", action="store_true", help="the same as JSON")


def run(args: argparse.Namespace) -> int:
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
