"""`clue evaluate vqa FILE --answer-command …`: questions about a picture as it is, and about the focused one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from clue_ros.cli.loading import positive
from clue_ros.types import ClueError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", type=Path, metavar="FILE.jsonl", help="image, text, label and category, as V*Bench")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="where the images are (default: beside the file)")
    parser.add_argument("--limit", type=positive, metavar="N", help="at most so many questions")
    parser.add_argument(
        "--answer-command",
        nargs=argparse.REMAINDER,
        metavar="PROGRAM ARGUMENT",
        help="last on the line: a local program that answers, no shell (docs/evaluation.md)",
    )


def program(args: argparse.Namespace) -> Any:
    """The program that answers, which somebody has to close. Raises ClueError."""
    from clue_ros.data.line_program import LineProgram
    from clue_ros.evaluation.vqa_suite import TIMEOUT_S

    if not args.answer_command:
        raise ClueError("name the program that answers, last on the line: --answer-command PROGRAM ARGUMENT …")
    return LineProgram("answer command", args.answer_command, TIMEOUT_S)


def suite(args: argparse.Namespace, subject: Any, answers: Any) -> Any:
    from clue_ros.evaluation.vqa_suite import VqaSuite

    return VqaSuite(subject, args.path, answers, args.images, args.limit, " ".join(args.answer_command))
