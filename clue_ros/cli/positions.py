"""`clue positions`: how far positions are off, by what a driver says of its camera; truth by OpenCV, no ROS needed."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path

EXAMPLES = """examples:
  clue positions
  clue positions --cards 500 --seed 1 --markdown

Exit code 0: every card was placed and every median is within 2 mm, 1: not so."""
LIMIT_MM = 2.0  # of the median: a box around what a lens has bent is not quite about its middle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    parser.add_argument("--cards", type=int, default=100, metavar="N", help="random cards for each case (default 100)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the cards (default 0)")
    default = Path("out/positions.json")
    parser.add_argument("--json", type=Path, default=default, metavar="FILE", help=f"the rows (default {default})")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="the rows (default: beside the JSON)")
    parser.add_argument("--markdown", action="store_true", help="the table as it stands in docs/log")


def run(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table
    from tqdm import tqdm

    from clue_ros.lab.positions import CASES, COLUMNS, measure
    from clue_ros.types import ClueError

    if args.cards < 1:
        raise ClueError(f"--cards is {args.cards}: give 1 or more")
    rows = [measure(case, args.cards, args.seed) for case in tqdm(CASES, unit="case", file=sys.stderr, leave=False)]
    path = args.csv or args.json.with_suffix(".csv")
    for folder in (args.json.parent, path.parent):
        folder.mkdir(parents=True, exist_ok=True)
    results = {"cards": args.cards, "seed": args.seed, "rows": rows}
    args.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    if args.markdown:
        print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
        for row in rows:
            print("| " + " | ".join(str(value) for value in row.values()) + " |")
    else:
        table = Table(*COLUMNS, title=f"Positions of {args.cards} cards a case")
        for row in rows:
            table.add_row(*(str(value) for value in row.values()))
        console = Console()
        (console if console.is_terminal else Console(width=150)).print(table)
        print(f"written: {args.json} and {path}")
    return 0 if all(row["placed"] == row["cards"] and row["median_mm"] <= LIMIT_MM for row in rows) else 1
