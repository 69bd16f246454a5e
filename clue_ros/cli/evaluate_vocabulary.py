"""`clue evaluate vocabulary FILE`: what share of somebody's sentences a model understands, and which words it lacks."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Iterator

from clue_ros.cli.data import FORMATS
from clue_ros.cli.loading import positive
from clue_ros.types import ClueError

EXAMPLES = """  clue evaluate vocabulary what_we_say.txt                     # one sentence a line
  clue evaluate vocabulary /data/it2p --top 50                 # the instructions of a data set"""
TEXT = (".txt", ".text", "")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The file and its options; the verb adds those of the model and --output."""
    parser.add_argument("path", type=Path, metavar="FILE", help="a text file, one sentence a line, or a data set")
    parser.add_argument("--format", choices=FORMATS, default="auto", help="of a data set; default: found out")
    parser.add_argument(
        "--images", type=Path, metavar="FOLDER", help="the data set's images, if not in the usual place"
    )
    parser.add_argument("--top", type=positive, default=30, metavar="N", help="missing words to print (default 30)")


def run(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from clue_ros.cli.loading import load_grounder
    from clue_ros.evaluation.vocabulary import NOTHING, coverage, save

    sentences = list(_sentences(args))  # what is wrong with the file is said before a large model loads
    if not sentences:
        raise ClueError(f"{args.path} holds no sentence: give one a line (lines that begin with # are left out)")
    grounder = load_grounder(args)
    try:
        found = coverage(sentences, grounder.backbone.unknown_words)
    finally:
        grounder.close()
    low, high = found.interval
    console = Console()
    console.print(
        f"{found.understood} of {len(found.rows)} sentences are understood: {found.share:.1%} ({low:.1%} to {high:.1%})"
    )
    nameless = sum(row["verdict"] == NOTHING for row in found.rows)
    if found.asked:
        console.print(f"{found.asked} more are asked about, as “the coke can”: “Do you mean the can?”")
    if nameless:
        console.print(f"{nameless} of them name nothing to look for, as “yes” or “what is on the table?”")
    if found.missing:
        table = Table("missing word", "sentences", "understood with it alone", title_justify="left")
        for word, count in found.missing.most_common(args.top):
            table.add_row(word, str(count), str(found.alone(word)))
        console.print(table)
    written = save(found, args.output, {"what": "vocabulary", "file": str(args.path), "model": str(args.model or "")})
    console.print(f"results: {args.output} and {written}", soft_wrap=True)
    return 1 if args.at_least is not None and found.share < args.at_least else 0


def _sentences(args: argparse.Namespace) -> Iterator[str]:
    if args.path.is_file() and args.path.suffix in TEXT:
        from clue_ros.evaluation.vocabulary import lines_of

        yield from lines_of(args.path)
        return
    from clue_ros.data.formats import open_data
    from clue_ros.data.stream import SampleStream

    for sample in SampleStream(open_data(args.path, args.format, images=args.images)):
        yield sample.expression
