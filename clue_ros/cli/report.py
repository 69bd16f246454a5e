"""`clue report RESULTS… -o report.html`: results of `clue evaluate` as one page that needs nothing else."""

from __future__ import annotations

import argparse
from pathlib import Path

from clue_ros.types import ClueError

EXAMPLES = """examples:
  clue report out/evaluate/tabletop
  clue report out/evaluate/tabletop out/evaluate/ambiguity -o report.html --title "Our model"
Runs of the same suite are also put side by side. The page loads nothing and can be sent by mail."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    parser.add_argument(
        "results",
        nargs="+",
        type=Path,
        metavar="RESULTS",
        help="output folders of clue evaluate (or their results.json)",
    )
    parser.add_argument(
        "--output", "-o", type=Path, default=Path("report.html"), metavar="FILE.html", help="default report.html"
    )
    parser.add_argument("--title", default="Evaluation", help="heading of the page")


def run(args: argparse.Namespace) -> int:
    from clue_ros.evaluation.report_page import page
    from clue_ros.measures.results import load

    text = page([load(path) for path in args.results], args.title)
    try:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ClueError(f"cannot write {args.output}: {error.strerror}; choose another --output") from error
    print(f"{args.output}: {len(text.encode()) / 1e6:.1f} MB")
    return 0
