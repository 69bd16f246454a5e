"""`clue evaluate bag BAG`: a recorded bag through the model, offline; the same decisions every time."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List

from clue_ros.cli.loading import add_sample_bits, load_grounder
from clue_ros.types import ClueError

EXAMPLES = """  clue evaluate bag recordings/kitchen
  clue evaluate bag recordings/kitchen --image-topic /camera/color/image_raw --truth truth.jsonl
  clue evaluate bag downloads/desk.mcap --say "the red mug@2.5" --say "no, the left one@6"   # nobody speaks in it"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The bag and its options; the verb adds those of the model and --output."""
    parser.add_argument("bag", nargs="?", type=Path, metavar="BAG", help="its folder, or one .mcap or .db3 file")
    group = parser.add_argument_group("which topics, and the limits of the node")
    group.add_argument("--image-topic", metavar="TOPIC", help="default: image, else the only camera")
    group.add_argument("--speech-topic", metavar="TOPIC", help="default: speech, else the only std_msgs/String")
    group.add_argument("--point-topic", metavar="TOPIC", help="gestures; default: point, if there is one")
    group.add_argument("--truth-topic", metavar="TOPIC", help="default: truth, if there is one")
    group.add_argument("--truth", type=Path, metavar="FILE.jsonl", help="the truth of a bag without one (docs/bags.md)")
    group.add_argument("--max-image-age", type=float, default=1.0, metavar="S", help="as the node's (default 1)")
    group.add_argument("--wait-for-image", type=float, default=2.0, metavar="S", help="as the node's (default 2)")
    group.add_argument("--answer-timeout", type=float, default=30.0, metavar="S", help="as the node's (default 30)")
    group.add_argument("--correction-window", type=float, default=10.0, metavar="S", help="as the node's (default 10)")
    group.add_argument("--taught", type=Path, metavar="DIR", help="also know what clue teach put there (a copy of it)")
    add_sample_bits(group)
    words = parser.add_argument_group("words for a bag in which nobody speaks, beside those that it holds")
    words.add_argument(
        "--say", action="append", default=[], metavar="WORDS@S", help="said S seconds from its start; may be repeated"
    )
    words.add_argument("--say-file", type=Path, metavar="FILE", help='one a line, as --say or {"say": WORDS, "at": S}')


def run(args: argparse.Namespace) -> int:
    from clue_ros.bags.events import ReplaySettings
    from clue_ros.bags.reading import Bag, TopicNames, choose_topics
    from clue_ros.bags.said import parse_said, read_said
    from clue_ros.bags.stream import words_of
    from clue_ros.bags.suite import evaluate_bag, save, summarise

    if args.bag is None:
        raise ClueError("give a bag, as in: clue evaluate bag recordings/kitchen")
    settings = ReplaySettings(
        args.threshold, args.max_questions, args.answer_timeout, args.max_image_age, args.wait_for_image,
        args.correction_window,
    )  # fmt: skip
    names = TopicNames(args.image_topic, args.speech_topic, args.truth_topic, args.point_topic)
    said = [parse_said(text) for text in args.say] + (read_said(args.say_file) if args.say_file else [])
    with Bag(args.bag) as bag:  # what is wrong with it is said before a large model loads
        words_of(bag, choose_topics(bag, names, mute=bool(said)), said)
    told: Dict[str, bool] = {}

    def on_row(row: Dict[str, Any]) -> None:
        if row["outcome"] in ("unsupported_encoding", "invalid_image", "error", "no_image"):
            if not told.setdefault(row["reason"], False):
                told[row["reason"]] = True
                print(f"clue: {row['expression']!r}: {row['reason']}", file=sys.stderr)

    with contextlib.ExitStack() as stack:
        grounder = load_grounder(args)
        stack.callback(grounder.close)
        if args.taught is not None:
            grounder = _with_taught(grounder, args.taught, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        result = evaluate_bag(
            grounder,
            args.bag,
            names=names,
            settings=settings,
            truth_file=args.truth,
            said=said,
            sample_bits=args.sample_bits,
            on_row=on_row,
        )
    about = {
        "what": "bag",
        "bag": str(args.bag),
        "model": str(args.model or "tabletop"),
        "sample_bits": args.sample_bits,
    }
    written = save(result, args.output, about, settings)
    print_rows(result.rows)
    summaries = summarise(result.rows)
    if summaries:
        print_summary(summaries)
    for lesson in result.lessons:
        print(f"clue: at {lesson['time_s']:.1f} s: {lesson['text']!r}: {lesson['said']}", file=sys.stderr)
    for item in result.not_taken:
        print(f"clue: not taken at {item['time_s']:.1f} s: {item['text']!r}: {item['reason']}", file=sys.stderr)
    for expression in result.unsaid:
        print(f"clue: nobody says {expression!r}, which has a truth", file=sys.stderr)
    heard = [result.topics.speech] if result.topics.speech else []
    heard += [f"{len(said)} by --say"] if said else []
    images = " and ".join(result.topics.images)
    print(f"images {images}, speech {' and '.join(heard)}, decisions {result.digest}")
    print(f"results: {written[0]} and {written[1]}")
    if args.at_least is None:
        return 0
    if not summaries:
        raise ClueError("--at-least needs truths: the bag has none, and no --truth was given")
    return int(summaries[-1]["success_rate"] < args.at_least)


def _with_taught(grounder: Any, folder: Path, own: Path) -> Any:
    """A grounder that knows a copy of what was taught, for the bag's own lessons change it."""
    from clue_ros.taught.grounder import TaughtGrounder

    if folder.is_dir():
        shutil.copytree(folder, own / "taught")
    return TaughtGrounder.around(grounder, own / "taught")


def print_rows(rows: List[Dict[str, Any]]) -> None:
    """One line a dialogue."""
    from rich.table import Table
    from rich.text import Text

    scored = any(row["success"] is not None for row in rows)
    corrections = sum(row["corrects"] is not None for row in rows)
    title = f"{len(rows) - corrections} instructions" + (f", {corrections} corrections" if corrections else "")
    table = Table(title=title, title_justify="left")
    for column in ("", "at", "instruction", "outcome", "box", "P(amb.)", "dialogue") + (
        ("truth", "") if scored else ()
    ):
        table.add_column(column, no_wrap=column in ("at", "outcome", "P(amb.)", ""))
    for row in rows:
        said = [f"{q} – {a}" for q, a in zip(row["questions"], [*row["answers"], "…"])]
        cells = [
            str(row["number"]),
            f"{row['time_s']:.1f} s",
            row["words"] + ("" if row["corrects"] is None else f" (corrects {row['corrects']})"),
            row["outcome"].replace("_", " "),
            "" if row["box"] is None else " ".join(f"{value:.0f}" for value in row["box"]),
            "" if row["probability"] is None else f"{row['probability']:.2f}",
            "\n".join(said),
        ]
        if scored:
            verdict = {None: "", True: "ok"}.get(row["success"], row["reason"][:60])
            cells += [row["truth"] or "not an instruction", verdict]
        table.add_row(*(Text(cell) for cell in cells))
    _console().print(table)


def print_summary(summaries: List[Dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(title="Against the truth, with 95 % Wilson intervals", title_justify="left")
    table.add_column("kind")
    for column in ("episodes", "success", "asked", "questions", "mean IoU"):
        table.add_column(column, justify="right", no_wrap=True)
    for summary in summaries:
        if summary["kind"] == "all":
            table.add_section()
        low, high = summary["success_interval"]
        table.add_row(
            summary["kind"].replace("_", " "),
            str(summary["episodes"]),
            f"{summary['success_rate']:.0%} ({low:.0%}–{high:.0%})",
            f"{summary['asked_rate']:.0%}",
            f"{summary['mean_questions']:.2f}",
            "-" if summary["mean_iou"] is None else f"{summary['mean_iou']:.2f}",
        )
    _console().print(table)


def _console() -> Any:
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=140)
