"""`clue evaluate demo --seeds 50`: play the demo's six kinds of episode on many seeds and print how many succeed.
`clue evaluate detectors --models A B`: model directories side by side on held-out scenes.
`clue evaluate bag BAG`: a recorded bag, offline, as the node would have decided.
`clue evaluate vocabulary FILE`: what share of somebody's sentences is understood: evaluate_vocabulary.py.
`clue evaluate pointing | questions`: clicks, and question policies: evaluate_belief.py.
`clue evaluate tabletop | ambiguity | photographs | grounding | dialogue | interactive`: evaluate_suites.py."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from clue_ros.cli import evaluate_bag, evaluate_belief, evaluate_suites, evaluate_vocabulary
from clue_ros.cli.loading import add_model_arguments, load_grounder, positive
from clue_ros.types import ClueError

EXAMPLES = """examples:
  clue evaluate demo --seeds 50
  clue evaluate demo --seeds 20 --first-seed 1000 --pictures failures -o out/evaluate/check.json
  clue evaluate detectors --models clue_ros/models/tabletop runs/joint/model --scenes 100
""" + "\n".join(
    (evaluate_suites.EXAMPLES, evaluate_belief.EXAMPLES, evaluate_bag.EXAMPLES, evaluate_vocabulary.EXAMPLES)
)

KINDS = 6  # episodes a seed
HELD_OUT_SEED = 12  # of the scenes of `detectors`: training has 1, calibration 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    suites = parser.add_subparsers(dest="what", metavar="SUITE", required=True)
    evaluate_suites.add_parsers(suites)
    evaluate_belief.add_parsers(suites)
    demo = suites.add_parser("demo", help="the episodes that `make demo` plays, without ROS")
    demo.add_argument(
        "--seeds", type=positive, default=50, metavar="N", help="number of seeds, 6 episodes each (default 50)"
    )
    demo.add_argument("--first-seed", type=int, default=0, metavar="S", help="seeds S, S+1, ... (default 0)")
    demo.add_argument(
        "--pictures",
        choices=["none", "failures", "all"],
        default="none",
        help="also save episodes' pictures (default none)",
    )
    detectors = suites.add_parser("detectors", help="models side by side on scenes")
    detectors.add_argument(
        "--models", nargs="+", type=Path, metavar="DIR", help="model directories (default: that of --model)"
    )
    detectors.add_argument(
        "--scenes", type=positive, default=100, metavar="N", help="scenes, 8 questions each (default 100)"
    )
    detectors.add_argument("--data", type=Path, metavar="DIR", help="folder of the scenes (default: rendered)")
    bag = suites.add_parser("bag", help="a recorded bag through the model and the node's dialogue")
    evaluate_bag.add_arguments(bag)
    vocabulary = suites.add_parser("vocabulary", help="what share of sentences is understood, which words are missing")
    evaluate_vocabulary.add_arguments(vocabulary)
    for suite in (demo, detectors, bag, vocabulary):
        _add_shared(suite)


def _add_shared(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser)
    parser.add_argument("--max-questions", type=int, default=3, metavar="N", help="questions a dialogue (default 3)")
    parser.add_argument(
        "--output",
        "-o",
        type=Path,
        metavar="FILE.json",
        help="JSON with every episode; a CSV with the same rows lies beside it (default out/evaluate/SUITE.json)",
    )
    parser.add_argument(
        "--at-least",
        type=float,
        metavar="RATE",
        help="exit with 1 if the share of successes is below RATE, such as 0.8",
    )


def run(args: argparse.Namespace) -> int:
    if args.what in evaluate_suites.SUITES:
        return evaluate_suites.run(args)
    if args.what in evaluate_belief.VERBS:
        return evaluate_belief.run(args)
    args.output = args.output or Path("out/evaluate") / f"{args.what}.json"
    if args.what == "bag":
        return evaluate_bag.run(args)
    if args.what == "vocabulary":
        return evaluate_vocabulary.run(args)
    return run_demo(args) if args.what == "demo" else run_detectors(args)


def run_detectors(args: argparse.Namespace) -> int:
    """Score model directories on held-out scenes and print their table."""

    from tqdm import tqdm

    from clue_ros.evaluation.detector_suite import evaluate, held_out_scenes, save
    from clue_ros.grounder import EMBEDDED_MODEL
    from clue_ros.processes import Sharing
    from clue_ros.simulation.dataset import generate

    folder = args.data or Path("out/evaluate/scenes")
    generate(folder, args.scenes, HELD_OUT_SEED, Sharing.of_cores())
    scenes = held_out_scenes(folder, args.scenes)
    models = args.models or [args.model or EMBEDDED_MODEL]
    with tqdm(total=len(models) * len(scenes), unit="scene", file=sys.stderr, dynamic_ncols=True) as bar:

        def on_model(name: str):
            bar.set_postfix_str(name)
            return bar.update

        rows = evaluate(models, scenes, args.device, on_model=on_model)
    written = save(rows, args.output, {"what": "detectors", "scenes": len(scenes), "data": str(folder)})
    print_detectors(rows)
    print(f"results: {written[0]} and {written[1]}")
    return 0


def print_detectors(rows: Sequence[Dict[str, Any]]) -> None:
    """Print one line a model."""
    from rich.console import Console
    from rich.table import Table

    title = f"Ambiguous or not on {rows[0]['count']} held-out expressions, boxes of {rows[0]['clear']} clear ones"
    table = Table(title=title, title_justify="left")
    table.add_column("model")
    table.add_column("detector")
    for column in ("F1", "acc.", "prec.", "recall", "AUC", "Acc@0.5", "decision", "cold", "turn"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row["model"],
            row["detector"],
            *(_number(row[key], "{:.3f}") for key in ("f1", "accuracy", "precision", "recall", "auc", "acc_at_50")),
            *(_milliseconds(row[key]) for key in ("decision_s", "cold_s", "turn_s")),
        )
    console = Console()
    (console if console.is_terminal else Console(width=160)).print(table)


def _milliseconds(seconds: Optional[float]) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"


def run_demo(args: argparse.Namespace) -> int:
    """Play the demo's episodes and print their table."""
    from tqdm import tqdm

    from clue_ros.evaluation.demo import ResultFiles, play, summarise

    if args.max_questions < 0 or args.first_seed < 0:
        raise ClueError("--max-questions and --first-seed must be 0 or more")
    grounder = load_grounder(args)
    about = {
        "what": "demo",
        "model": str(args.model) if args.model else "embedded",
        "threshold": args.threshold if args.threshold is not None else grounder.threshold,
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
