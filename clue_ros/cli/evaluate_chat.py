"""`clue evaluate chat`: its options, and what they make; the rest is in evaluate_suites.py."""

from __future__ import annotations

import argparse
from pathlib import Path

from clue_ros.cli.loading import positive
from clue_ros.types import ClueError

PICTURES = ("auto", "lines", "coco", "openimages", "sam", "scenes", "samples")  # those of clue_ros.data.instances
CONDITIONS = ("both", "in", "out")  # those of clue_ros.evaluation.tabletop_conditions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path",
        type=Path,
        nargs="?",
        metavar="DATA",
        help="images with named boxes (docs/data.md); left out: rendered scenes of fixed test seeds",
    )
    parser.add_argument("--format", choices=PICTURES, default="auto", help="of DATA; default: found out")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="where DATA's images are, if not beside it")
    parser.add_argument(
        "--synonyms", type=Path, metavar="FILE.json", help='of DATA\'s names: {"cup": ["mug", "teacup"]}'
    )
    parser.add_argument(
        "--judge-command",
        nargs=argparse.REMAINDER,
        metavar="PROGRAM ARGUMENT",
        help="last on the line: a local program that says whether a phrase means a thing (docs/evaluation.md)",
    )
    parser.add_argument(
        "--question",
        default="describe the image in detail",
        help="where DATA holds none of its own (default: Grounding-Bench's grounded detailed description)",
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="at most so many images of DATA")
    parser.add_argument("--scenes", type=positive, default=200, metavar="N", help="of each condition (default 200)")
    parser.add_argument("--condition", choices=CONDITIONS, default="both", help="of the scenes (default both)")


def judge_of(args: argparse.Namespace):
    """The program that judges words, which somebody has to close. Raises ClueError."""
    from clue_ros.evaluation.grounded_figures import Judge

    if args.path is None or args.synonyms is not None:
        raise ClueError("--judge-command is about the words of DATA, and takes the place of --synonyms")
    return Judge(args.judge_command)


def suite(args: argparse.Namespace, subject, judge):
    from clue_ros.evaluation.chat_suite import ChatSuite
    from clue_ros.evaluation.grounded_figures import by_names, read_synonyms
    from clue_ros.evaluation.tabletop_conditions import CONDITIONS as COLUMNS

    return ChatSuite(
        subject,
        args.scenes,
        conditions=COLUMNS[args.condition],
        data=args.path,
        form=args.format,
        images=args.images,
        matching=judge.matching if judge else by_names(read_synonyms(args.synonyms) if args.synonyms else {}),
        limit=args.limit,
        question=args.question,
    )
