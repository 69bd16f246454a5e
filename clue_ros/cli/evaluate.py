"""`clue evaluate demo --seeds 50`: play the demo's six kinds of episode on many seeds and print how many succeed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from clue_ros.cli.loading import add_model_arguments, load_grounder
from clue_ros.types import ClueError

EXAMPLES = """examples:
  clue evaluate demo --seeds 50
  clue evaluate demo --seeds 20 --first-seed 1000 --pictures failures -o out/evaluate/check.json"""

KINDS = 6  # episodes a seed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    parser.add_argument("what", choices=["demo"], help="demo: the episodes that `make demo` plays, without ROS")
    parser.add_argument(
        "--seeds", type=_positive, default=50, metavar="N", help="number of seeds, 6 episodes each (default 50)"
    )
    parser.add_argument("--first-seed", type=int, default=0, metavar="S", help="seeds S, S+1, ... (default 0)")
    add_model_arguments(parser)
    parser.add_argument("--max-questions", type=int, default=3, metavar="N", help="questions a dialogue (default 3)")
    parser.add_argument(
        "--output",
        "-o",
        type=Path,
        default=Path("out/evaluate/demo.json"),
        metavar="FILE.json",
        help="JSON with every episode; a CSV with the same rows lies beside it (default out/evaluate/demo.json)",
    )
    parser.add_argument(
        "--pictures",
        choices=["none", "failures", "all"],
        default="none",
        help="also save episodes' pictures (default none)",
    )
    parser.add_argument(
        "--at-least",
        type=float,
        metavar="RATE",
        help="exit with 1 if the share of successes is below RATE, such as 0.8",
    )


def run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from clue_ros.evaluation.demo import ResultFiles, play, summarise

    if args.max_questions < 0 or args.first_seed < 0:
        raise ClueError("--max-questions and --first-seed must be 0 or more")
    grounder = load_grounder(args)
    about = {
        "what": "demo",
        "model": str(args.model) if args.model else "embedded",
        "threshold": args.threshold if args.threshold is not None else getattr(grounder, "threshold", None),
        "seeds": args.seeds,
        "first_seed": args.first_seed,
    }
    files = ResultFiles(args.output, about)
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    rows: List[Dict[str, Any]] = []
    complete = False
    try:
        episodes = play(
            grounder, seeds, max_questions=args.max_questions, threshold=args.threshold, on_result=_picture_saver(args)
        )
        with tqdm(total=len(seeds) * KINDS, unit="episode", file=sys.stderr, dynamic_ncols=True) as bar:
            for row in episodes:
                rows.append(row)
                files.add(row)
                bar.set_postfix_str(f"success {sum(r['success'] for r in rows) / len(rows):.0%}")
                bar.update()
        complete = True
        files.save(complete=True)
    except KeyboardInterrupt:
        print(
            f"\nclue: interrupted after {len(rows)} of {len(seeds) * KINDS} episodes; these are kept", file=sys.stderr
        )
    finally:
        grounder.close()
    if rows:
        print_table(summarise(rows))
    print(f"{'all' if complete else 'partial'} results: {files.json_path} and {files.csv_path}")
    if not complete:
        return 130
    rate = sum(row["success"] for row in rows) / len(rows)
    return 1 if args.at_least is not None and rate < args.at_least else 0


def print_table(summaries: Sequence[Dict[str, Any]]) -> None:
    """Print one line a kind and the total."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Episodes of the demo, with 95 % Wilson intervals", title_justify="left")
    table.add_column("kind")
    for column in ("episodes", "success", "asked", "questions", "mean IoU", "latency p50"):
        table.add_column(column, justify="right", no_wrap=True)
    for summary in summaries:
        if summary["kind"] == "all":
            table.add_section()
        table.add_row(
            summary["kind"].replace("_", " "),
            str(summary["episodes"]),
            _rate(summary["success_rate"], summary["success_interval"]),
            _rate(summary["asked_rate"], summary["asked_interval"]),
            _number(summary["mean_questions"], "{:.2f}"),
            _number(summary["mean_iou"], "{:.2f}"),
            _number(summary["p50_latency_s"], "{:.2f} s"),
        )
    console = Console()
    # Piped output keeps whole lines instead of rich's 80 columns.
    (console if console.is_terminal else Console(width=120)).print(table)


def _rate(rate: Optional[float], interval: Sequence[float]) -> str:
    return "-" if rate is None else f"{rate:.0%} ({interval[0]:.0%}–{interval[1]:.0%})"


def _number(value: Optional[float], form: str) -> str:
    return "-" if value is None else form.format(value)


def _picture_saver(args: argparse.Namespace):
    """The callback that saves the wanted pictures into a folder named like the output file, or None."""
    if args.pictures == "none":
        return None
    from PIL import Image

    from clue_ros.evaluation.episode_runner import picture_of

    folder = args.output.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)

    def save(seed, index, rgb, result) -> None:
        if args.pictures == "all" or not result.success:
            verdict = "ok" if result.success else "failed"
            picture = picture_of(rgb, result, f"seed {seed} · {result.kind.replace('_', ' ')}")
            Image.fromarray(picture).save(folder / f"{seed:04d}-{index}-{result.kind}-{verdict}.png")

    return save


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value
