"""`clue ground PHOTO.png "the red mug"`: one decision about one photo, as text and a picture or as JSON."""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Optional, Sequence

import numpy as np

from clue_ros.belief.grounder import QUESTION_POLICIES
from clue_ros.belief.pointing import from_numbers, pointed_place
from clue_ros.cli.decision_json import decision_to_dict
from clue_ros.cli.loading import add_model_arguments, add_photo, add_sample_bits, believing, load_grounder
from clue_ros.dialogue.phrases import describe_answer
from clue_ros.images.photos import read_photo
from clue_ros.language.plain_answers import settled
from clue_ros.seams import Capability, require
from clue_ros.types import Answer, ClueError, Decision, Outcome, Turn

EXAMPLES = """examples:
  clue ground example:blue-mug "the blue mug"
  clue ground table.png "the red mug"
  clue ground table.png "the mug" --turn "the red one or the blue one?" "the blue one"
  clue ground table.png "the one here" --pointing 212 96
  clue ground table.png "another one like this" --pointing 212 96
  clue ground table.png "the mug" --question-policy numbers --turn "Do you mean 1, 2 or 3?" "two"
  clue ground table.png "hand me my thermos" --taught taught
  clue ground table.png "the mug" --json
  clue ground --batch instructions.jsonl -o decisions.jsonl
     each line: {"image": "table.png", "expression": "the mug", "turns": [["which color?", "blue"]]}
     "pointing": [212, 96] may stand there as well
     an answer may be {"point": [212, 96]} or {"box": [180, 60, 250, 130]}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    add_photo(parser, nargs="?")
    parser.add_argument("expression", nargs="?", metavar="EXPRESSION", help='the instruction, such as "the red mug"')
    parser.add_argument(
        "--turn",
        nargs=2,
        action="append",
        default=[],
        metavar=("QUESTION", "ANSWER"),
        dest="turns",
        help="one exchange of the dialogue so far; repeat it for more, oldest first",
    )
    parser.add_argument(
        "--pointing",
        type=float,
        nargs="+",
        metavar="N",
        help="where the person points while saying it, in pixels: x y (a click), x0 y0 x1 y1 (a "
        "box) or "
        "x y x y x y ... (a scribble)",
    )
    parser.add_argument("--question-policy", choices=QUESTION_POLICIES, default="learned",
                        help="what is asked: the model's own question (default), the one from whose answer most is "
                             "expected, or numbers drawn on the picture; the last two keep a belief")  # fmt: skip
    parser.add_argument("--taught", type=Path, metavar="DIR", help="also know what clue teach has put into this folder")
    parser.add_argument("--no-ask", action="store_true", help="never ask: the best guess or not found")
    add_model_arguments(parser)
    add_sample_bits(parser)
    parser.add_argument("--json", action="store_true", help="print exactly one JSON object on stdout")
    parser.add_argument(
        "--out", type=Path, metavar="FILE.png", help="the picture (default out/ground/PHOTO's name.png)"
    )
    parser.add_argument(
        "--mask", type=Path, metavar="MASK.png", help="also the target's pixels, white on black (models with masks)"
    )
    parser.add_argument("--no-picture", action="store_true", help="save no picture")
    batch = parser.add_argument_group("many at once")
    batch.add_argument("--batch", type=Path, metavar="FILE.jsonl", help="decide every line of a file (- for stdin)")
    batch.add_argument("--output", "-o", type=Path, metavar="FILE.jsonl", help="results of --batch (default stdout)")


def run(args: argparse.Namespace) -> int:
    if args.batch is not None:
        if args.photo is not None or args.turns or args.out or args.mask or args.pointing:
            raise ClueError(
                "--batch takes photos, expressions, turns and places from its file: leave PHOTO, --turn, "
                "--pointing, --out and"
                " --mask away"
            )
        from clue_ros.cli.batch import run_batch

        return run_batch(args)
    if args.photo is None or args.expression is None:
        raise ClueError(
            'give a photo and an instruction, as in: clue ground photo.png "the red mug" (or --batch FILE.jsonl)'
        )
    if args.output is not None:
        raise ClueError("--output belongs to --batch; the picture's name is --out FILE.png")
    rgb = read_photo(args.photo, args.sample_bits)
    turns = [Turn(question, Answer(settled(question, answer))) for question, answer in args.turns]
    pointing = None if args.pointing is None else from_numbers(args.pointing)
    # Libraries that print while they load must not spoil the JSON on stdout.
    with contextlib.redirect_stdout(sys.stderr):
        grounder = load_grounder(args)
        try:
            began = time.perf_counter()
            if args.mask is not None:
                require(grounder.capabilities, Capability.MASKS)
            decision = believing(grounder, args).ground(
                rgb, args.expression, turns, pointing=pointing, may_ask=not args.no_ask, threshold=args.threshold,
                mask=args.mask is not None,
            )  # fmt: skip
            seconds, enough = time.perf_counter() - began, grounder.min_confidence
            decision = decision.doubted_below(enough)
        finally:
            grounder.close()
    if decision.mask is not None and args.mask is not None:
        from clue_ros.cli.mask import save_picture

        save_picture(decision.mask.astype(np.uint8) * 255, args.mask)
    picture = None if args.no_picture else _save_picture(args, rgb, decision, turns, pointing)
    if args.json:
        row = {
            "image": str(args.photo),
            **decision_to_dict(decision, seconds),
            "picture": str(picture) if picture else None,
        }
        print(json.dumps(row, allow_nan=False))
    else:
        _print_decision(decision, enough, seconds, picture)
    return 0


def _save_picture(
    args: argparse.Namespace, rgb: np.ndarray, decision: Decision, turns: Sequence[Turn], pointing: Optional[Answer]
) -> Optional[Path]:
    """Draw and save the picture; returns its path, or None (with a warning) if the default folder cannot be written."""
    from clue_ros.visualization.episode_picture import episode_picture

    said = decision.expression
    if pointing is not None:
        said = describe_answer(replace(pointing, text=said))
    transcript = [("person", said)]
    for turn in turns:
        transcript += [("robot", turn.question), ("person", turn.answer.text)]
    transcript.append(("robot", robot_says(decision)))
    clicks = [] if pointing is None else [pointed_place(pointing)]
    picture = episode_picture(rgb, [None] * len(turns) + [decision], transcript, title=args.photo.name, clicks=clicks)
    return write_picture(picture, args.out, Path("out/ground") / f"{args.photo.stem}.png")


def write_picture(picture, chosen: Optional[Path], usual: Path) -> Optional[Path]:
    """Where a picture uint8[H,W,3] was saved; None, with a warning, if `usual` cannot be written. Raises ClueError for
    a path that the user chose."""
    from PIL import Image

    path = chosen or usual
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    except (OSError, ValueError) as error:
        if chosen is not None:
            raise ClueError(f"cannot save the picture as {path}: {error}") from error
        print(f"clue: no picture: cannot write {path} ({error}); name another with --out", file=sys.stderr)
        return None
    return path


def robot_says(decision: Decision) -> str:
    """The robot's sentence for a decision: its question, or its closing words."""
    from clue_ros.dialogue.phrases import closing
    from clue_ros.dialogue.steps import End

    return (
        decision.question
        if decision.outcome is Outcome.ASK
        else closing(End(decision.outcome.value), decision.expression, decision)
    )


def how_sure(decision: Decision, enough: float = 0.5) -> str:
    """One sentence on how far a decision can be trusted. It promises no share of right boxes: the confidence may be
    fitted on other pictures than this one (the embedded model's on rendered scenes), or not at all.

    enough: confidence from which it is fairly sure, the model's min_confidence.
    """
    if decision.outcome is Outcome.FOUND:
        sure = "not sure" if decision.confidence < enough else "sure" if decision.confidence >= SURE else "fairly sure"
        return f"It is {sure} of this box: its confidence is {100 * decision.confidence:.0f} %."
    reading = decision.ambiguity
    if decision.outcome is Outcome.ASK and decision.unknown_words:
        return "It would have to guess what the new words mean, so it asks."
    if decision.outcome is Outcome.ASK:
        if reading is not None and reading.is_ambiguous:
            return f"The words fit more than one thing here, with a probability of {100 * reading.probability:.0f} %."
        return "It is not sure enough of any box to answer without asking."
    if decision.outcome is Outcome.UNKNOWN_WORDS:
        return "Without these words it would have to guess, so it gives no box."
    return "Nothing here fits the words well enough for a box."


def quoted(words: str) -> str:
    """As one word of a shell, in the double quotes that most shells share where that is possible."""
    return shlex.quote(words) if set(words) & set('"$`\\!') else f'"{words}"'


SURE = 0.8  # confidence


def _print_decision(decision: Decision, enough: float, seconds: float, picture) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    color = {Outcome.FOUND: "green", Outcome.ASK: "dark_orange"}.get(decision.outcome, "red")
    console = Console()
    console.print(
        Text.assemble((decision.outcome.value.replace("_", " "), f"bold {color}"), "  ", robot_says(decision))
    )
    console.print(Text(how_sure(decision, enough)), soft_wrap=True)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    reading = decision.ambiguity
    if reading is not None:
        sense = "ambiguous" if reading.is_ambiguous else "clear"
        table.add_row(
            "P(ambiguous)", Text(f"{reading.probability:.2f} ({sense}; it asks from {reading.threshold:.2f})")
        )
    if decision.box is not None:
        x0, y0, x1, y1 = decision.box
        table.add_row("box", Text(f"x {x0:.0f} to {x1:.0f}, y {y0:.0f} to {y1:.0f} pixels"))
        table.add_row("confidence", f"{decision.confidence:.2f}")
    if decision.candidates and decision.box is None:
        table.add_row("candidates", str(len(decision.candidates)))
    if decision.belief:
        table.add_row("belief", Text(" · ".join(f"{100 * p:.0f} %" for p in decision.belief)))
    table.add_row("time", f"{seconds:.2f} s")
    if picture is not None:
        table.add_row("picture", Text(str(picture)))
    console.print(table)
    if decision.outcome is Outcome.ASK:
        console.print(
            Text(f'Answer with: --turn {quoted(decision.question)} "YOUR ANSWER"', style="dim"), soft_wrap=True
        )
