"""Another model in a suite, or another one that answers: options, and what they make (evaluation/other_model.py)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Callable

from clue_ros.types import ClueError

BOXES = tuple(
    kind + unit for unit in ("", "01", "100", "1000") for kind in ("xyxy", "xywh", "cxcywh", "yxyx")
)  # those of clue_ros.data.box_forms
COMMANDS = ("model_command", "oracle_command", "judge_command", "answer_command")


def add_arguments(parser: argparse.ArgumentParser, files: bool = True) -> None:
    """files: whether answers may come from a file; a dialogue needs somebody who is asked."""
    if files:
        parser.add_argument(
            "--predictions",
            type=Path,
            metavar="FILE.jsonl",
            help="judge another model's answers in place of a model (docs/evaluation.md)",
        )
    parser.add_argument(
        "--model-command",
        nargs=argparse.REMAINDER,
        metavar="PROGRAM ARGUMENT",
        help="last on the line: a local program that asks another model, no shell (docs/evaluation.md)",
    )
    parser.add_argument(
        "--boxes", choices=BOXES, default="xyxy", metavar="FORM", help="numbers of its boxes (docs/data.md)"
    )


def add_oracle(parser: argparse.ArgumentParser) -> None:
    """Who answers in place of the model itself."""
    parser.add_argument(
        "--oracle-model",
        type=Path,
        metavar="DIR",
        help="the model that answers, if not the same: of clue finetune answer",
    )
    parser.add_argument(
        "--oracle-command",
        nargs=argparse.REMAINDER,
        metavar="PROGRAM ARGUMENT",
        help="last on the line: a local program that answers, no shell (docs/evaluation.md)",
    )


def answerer(args: argparse.Namespace, load: Callable[[Path, argparse.Namespace], Any]) -> Any:
    """The model or program of its own that plays the person, which somebody has to close; None for none."""
    model, command = getattr(args, "oracle_model", None), getattr(args, "oracle_command", None)
    kind = getattr(args, "oracle", "auto")
    if (command and (model is not None or kind != "auto")) or (model is not None and kind not in ("auto", "model")):
        raise ClueError("give one of --oracle, --oracle-model and --oracle-command")
    if command:
        from clue_ros.evaluation.oracle_command import CommandOracle

        return CommandOracle(command)
    return None if model is None else load(model, args)


def with_guesser(subject: Any, args: argparse.Namespace, load: Callable[[Path, argparse.Namespace], Any]) -> Any:
    """The questioner and --guesser as one. Raises ClueError."""
    from clue_ros.evaluation.subject import Subject
    from clue_ros.evaluation.two_models import TwoModels

    if not isinstance(subject, Subject):
        raise ClueError("--guesser stands beside --model, not beside another model's program")
    return TwoModels(subject, load(args.guesser, args))


def split_commands(args: argparse.Namespace) -> None:
    """The first command on a line takes the rest of it; a second one's name stands among its arguments."""
    flags = {f"--{name.replace('_', '-')}": name for name in COMMANDS if hasattr(args, name)}
    for name in COMMANDS:
        words = getattr(args, name, None) or []
        starts = [n for n, word in enumerate(words) if word in flags]
        for start, end in zip(starts, [*starts[1:], len(words)]):
            setattr(args, flags[words[start]], words[start + 1 : end])
        if starts:
            setattr(args, name, words[: starts[0]])


def other_model(args: argparse.Namespace) -> Any:
    """In place of a Subject, None where no other model was named. Raises ClueError."""
    file, command = getattr(args, "predictions", None), getattr(args, "model_command", None)
    if sum(given is not None for given in (args.model, file, command)) > 1:
        raise ClueError("give one of --model, --predictions and --model-command")
    if file is None and command is None:
        return None
    if args.what == "chat":
        from clue_ros.evaluation.given_answers import AskedAnswers, GivenAnswers

        return GivenAnswers(file, args.boxes) if file is not None else AskedAnswers(command or (), args.boxes)
    from clue_ros.evaluation.other_model import OtherModel, ReplyFile, ReplyProgram

    return OtherModel(ReplyFile(file) if file is not None else ReplyProgram(command or ()), args.boxes)
