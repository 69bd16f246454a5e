"""`clue curve`: what machine-made dialogues add to few true ones, by the same training at each count (lab/curve.py)."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from clue_ros.types import ClueError

EXAMPLES = """example:
  clue data convert /data/invig --subset 21k --split train -o true/train.jsonl     (and valid, test)
  clue data dialogues worth.jsonl --images photos -o out/machine --count 20000 --model DIR
  clue curve --base paligemma2-3b-mix-448 --true true --true-images /data/invig --machine out/machine/dialogues.jsonl
      --machine-images photos --counts 0 2000 20000 --steps 3000 -o runs/curve
A count that is done is passed over: the same command goes on. An embedded model needs --task joint."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    parser.add_argument(
        "--base", required=True, type=Path, metavar="DIR", help="model directory to start from each time"
    )
    parser.add_argument(
        "--true", required=True, type=Path, metavar="PATH", help="our JSON lines with the splits train, valid and test"
    )
    parser.add_argument("--true-images", type=Path, metavar="FOLDER", help="where its images are, if not beside it")
    parser.add_argument("--machine", required=True, type=Path, metavar="FILE.jsonl", help="of clue data dialogues")
    parser.add_argument("--machine-images", type=Path, metavar="FOLDER", help="where its images are, if not beside it")
    parser.add_argument(
        "--counts",
        type=int,
        nargs="+",
        default=[0, 2000, 20000],
        metavar="N",
        help="machine-made dialogues beside the true ones (default 0 2000 20000)",
    )
    parser.add_argument("--output", "-o", required=True, type=Path, metavar="FOLDER", help="curve.json and the models")
    parser.add_argument("--task", choices=("dialogue", "joint"), default="dialogue", help="as of clue finetune")
    parser.add_argument("--config", type=Path, metavar="YAML", help="recipe of clue finetune (default: the paper's)")
    parser.add_argument("--steps", type=int, metavar="N", help="of each training; overrides the recipe's")
    parser.add_argument("--seed", type=int, default=0, help="of which machine-made dialogues are taken")
    parser.add_argument("--cpu", action="store_true", help="stay on the CPU even if there is a GPU")


def run(args: argparse.Namespace) -> int:
    from clue_ros.data.formats import open_data
    from clue_ros.finetune.recipe import FinetuneConfig, read_config
    from clue_ros.lab.curve import Comparison, compare

    if min(args.counts) < 0 or (args.steps is not None and args.steps < 1):
        raise ClueError("--counts must be 0 or more, --steps 1 or more")
    config = read_config(args.config) if args.config else FinetuneConfig()
    settings = getattr(config, args.task)
    settings = settings if args.steps is None else replace(settings, steps=args.steps)
    rows = compare(
        Comparison(
            args.base,
            open_data(args.true, "jsonl", images=args.true_images),
            open_data(args.machine, "jsonl", images=args.machine_images),
            args.counts,
            args.output,
            settings,
            config.lora,
            args.task,
            args.seed,
            args.cpu,
        ),
        progress=lambda row: print(f"{row['machine']} machine-made dialogues: done", flush=True),
    )
    for row in rows:
        figures = {k: v for k, v in row.get("test", row.get("valid", {})).items() if isinstance(v, float)}
        print(f"{row['machine']:>8} machine-made: " + ", ".join(f"{k} {v:.4g}" for k, v in figures.items()))
    print(f"results: {args.output / 'curve.json'}")
    return 0
