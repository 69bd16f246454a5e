"""`clue finetune dialogue|detector|joint|answer|layers|variants`: train adapters on a real checkpoint.

The work is in `clue_ros.finetune`; for several GPUs or machines start it with
`accelerate launch -m clue_ros.cli finetune`.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import Tuple

from clue_ros.cli.data import FORMATS
from clue_ros.types import ClueError

# Those of clue_ros.finetune.recipe, and two studies of the detector.
TASKS = ("dialogue", "detector", "joint", "answer", "layers", "variants")
EXAMPLES = """examples:
  clue finetune dialogue --base paligemma2-3b-mix-448 --data /data/invig --output runs/clue
  clue finetune detector --base runs/clue --data yesno.csv --output runs/clue-full --variant half-last-detect-cnn
  clue finetune answer --base paligemma2-3b-mix-448 --data /data/invig --output runs/oracle
  clue finetune joint --base paligemma2-3b-mix-448 --data /data/invig --output runs/one --config my.yaml
  clue finetune layers --base paligemma2-3b-mix-448 --data yesno.csv --output runs/layers
  clue finetune variants --base DIR --data scenes.jsonl --data /data/it2p=2 --test set2.csv --output runs/table1
  clue finetune dialogue --base paligemma2-3b-mix-448 --estimate
  accelerate launch --multi_gpu --num_processes 4 -m clue_ros.cli finetune dialogue --base DIR --data DIR --output DIR
The same command goes on with an interrupted run. docs/training.md says what each part does."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    parser.add_argument(
        "task",
        choices=TASKS,
        help="adapter B, adapter A with its detector, both in one pass, the oracle, which layer tells most, or the "
        "paper's variants of the detector side by side",
    )
    parser.add_argument(
        "--base",
        required=True,
        type=Path,
        metavar="DIR",
        help="model directory to start from, such as a download of paligemma2-3b-mix-448",
    )
    parser.add_argument(
        "--data",
        action="append",
        type=_weighted,
        metavar="PATH[=N]",
        help="data set (docs/data.md); may be repeated, and each record of one comes N times an epoch",
    )
    parser.add_argument(
        "--test",
        action="append",
        type=Path,
        default=[],
        metavar="PATH",
        help="variants: a data set to judge on besides what is held out; may be repeated",
    )
    parser.add_argument("--format", choices=FORMATS, default="auto", help="of the data; default: found out")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="where the images are, if not in the usual place")
    parser.add_argument(
        "--subset", metavar="NAME", help="InViG: 21k, 500k, en, zh; refcoco, refcoco+, refcocog; scenes: duplicated"
    )
    parser.add_argument(
        "--output",
        "-o",
        type=Path,
        metavar="DIR",
        help="model directory that is written; the run lies in DIR/training/TASK and resumes there",
    )
    parser.add_argument("--config", type=Path, metavar="YAML", help="recipe (default: the paper's settings)")
    parser.add_argument(
        "--variant",
        metavar="NAME",
        help="detector: a variant of the paper, such as half-full-disambig-ar (docs/training.md); variants: these "
        "only, with commas between",
    )
    parser.add_argument(
        "--learns",
        choices=("all", "questions", "boxes"),
        help="dialogue: the whole (default), or one part of InViG-Base, the questioner or the guesser",
    )
    parser.add_argument("--tap", type=int, metavar="K", help="detector, joint: layer whose map is read, from 0")
    parser.add_argument("--steps", type=int, metavar="N", help="overrides the recipe's number of steps")
    parser.add_argument("--minutes", type=float, metavar="M", help="save and stop after M minutes; run again to go on")
    parser.add_argument("--cpu", action="store_true", help="stay on the CPU even if there is a GPU")
    parser.add_argument(
        "--copy-base",
        action="store_true",
        help="copy the base's weights instead of linking to them: it can be moved then",
    )
    parser.add_argument(
        "--push-to-hub",
        metavar="OWNER/NAME",
        help="upload what was trained, with a model card and without the base's weights, to the Hugging Face hub",
    )
    parser.add_argument("--estimate", action="store_true", help="print an estimate of memory and time, and stop")


def run(args: argparse.Namespace) -> int:
    from clue_ros.finetune.recipe import FinetuneConfig, read_config

    config = read_config(args.config) if args.config else FinetuneConfig()
    settings = _with_arguments(config, args)
    if args.estimate:
        return _print_estimate(args.base, settings, config.lora)
    missing = [f"--{name}" for name in ("data", "output") if getattr(args, name) is None]
    if missing:
        raise ClueError(f"{' and '.join(missing)} must be given")
    from clue_ros.finetune.run import Order, finetune
    from clue_ros.training.slot import Slot

    source = _opened(args, settings)
    slot = Slot.of_minutes(args.minutes)
    if args.task == "layers":
        return _sweep(args, source, settings, slot)
    order = Order(
        args.task, args.base, args.output, settings, config.lora, args.copy_base, slot, args.cpu, args.push_to_hub or ""
    )
    if args.task == "variants":
        return _variants(args, replace(order, task="detector"), source)
    result = finetune(order, source)
    if int(os.environ.get("RANK", "0")) == 0:
        _print_result(result, args)
    return 130 if result["interrupted"] else 0  # as clue train: what stands behind && must not take it for a model


def _with_arguments(config, args: argparse.Namespace):
    from clue_ros.training.recipe_file import TrainingError
    from clue_ros.training.variants import VARIANTS, with_variant

    name = "detector" if args.task in ("layers", "variants") else args.task
    settings = getattr(config, name)
    if args.push_to_hub and args.task in ("layers", "variants"):
        raise TrainingError("--push-to-hub is for the tasks that make one model")
    if args.test and args.task != "variants":
        raise TrainingError("--test belongs to the task variants")
    if args.variant is not None and args.task != "variants":
        if args.task != "detector" or args.variant not in VARIANTS:
            raise TrainingError(f"--variant belongs to the task detector and is one of {', '.join(VARIANTS)}")
        settings = with_variant(settings, args.variant)
    if args.tap is not None:
        if args.task not in ("detector", "joint", "variants"):
            raise TrainingError("--tap belongs to the tasks detector, joint and variants")
        settings = replace(settings, tap=args.tap)
    if args.learns is not None:
        if args.task != "dialogue":
            raise TrainingError("--learns belongs to the task dialogue")
        settings = replace(settings, learns=args.learns)
    if args.steps is not None:
        settings = replace(settings, steps=args.steps)
    problems = replace(config, **{name: settings}).problems()
    if problems or (args.minutes is not None and args.minutes <= 0):
        raise TrainingError("; ".join(problems) or "--minutes must be above 0")
    return settings


def _weighted(text: str) -> Tuple[Path, int]:
    """An argparse type: PATH, or PATH=N."""
    path, _, number = text.rpartition("=")
    return (Path(path), int(number)) if path and number.isdigit() else (Path(text), 1)


def _opened(args: argparse.Namespace, settings):
    """One data set as it is, several as a mixture."""
    from clue_ros.data import open_data
    from clue_ros.data.mixture import MixtureSource, Part

    parts = [
        Part(open_data(path, args.format, images=args.images, subset=args.subset), weight) for path, weight in args.data
    ]
    if len(parts) == 1 and parts[0].weight == 1:
        return parts[0].source
    return MixtureSource(parts, settings.fractions)


def _variants(args: argparse.Namespace, order, source) -> int:
    from rich.console import Console
    from rich.table import Table

    from clue_ros.evaluation.samples import Selection
    from clue_ros.lab.variant_table import FIGURES, Trial, compare_variants, set_names
    from clue_ros.training.recipe_file import TrainingError
    from clue_ros.training.variants import VARIANTS

    names = args.variant.split(",") if args.variant else list(VARIANTS)
    tests = {f"{n}-{path.stem}": Selection(path) for n, path in enumerate(args.test, 1)}
    if not set(names) <= set(VARIANTS):
        raise TrainingError(f"--variant takes some of {', '.join(VARIANTS)}, with commas between")
    held = [Selection(path, args.format, args.images, args.subset) for path, _ in args.data]
    rows = compare_variants(Trial(order, source, held, tests, "cpu" if args.cpu else _device()), names)
    table = Table(title="Detector variants, at their own thresholds", title_justify="left")
    table.add_column("variant", no_wrap=True)
    for name in set_names(rows):
        for key in FIGURES:
            table.add_column(f"{name}\n{'F1' if key == 'f1' else key}", justify="right")
    for row in rows:
        figures = [row.get(name, {}).get(key) for name in set_names(rows) for key in FIGURES]
        table.add_row(row["variant"], *("-" if v is None else f"{v:.3f}" for v in figures))
    console = Console()
    (console if console.is_terminal else Console(width=180)).print(table)  # piped output keeps whole lines
    print(f"results: {args.output} (table.json, table.csv)")
    if len(rows) < len(names):
        print("stopped; the same command goes on")
    return 0


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _sweep(args: argparse.Namespace, source, settings, slot) -> int:
    from rich.console import Console
    from rich.table import Table

    from clue_ros.finetune.layer_sweep import FOLDER, sweep
    from clue_ros.training.slot import SlotOver

    try:
        rows = sweep(args.base, source, args.output, settings, slot, args.cpu)
    except (SlotOver, KeyboardInterrupt) as stopped:
        print("stopped; the same command goes on")
        return 130 if isinstance(stopped, KeyboardInterrupt) else 0
    table = Table(title="A CNN on the map of each layer, everything else frozen", title_justify="left")
    columns = ("layer", "f1", "accuracy", "precision", "recall", "threshold")
    for column in columns:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            *(str(v) if isinstance(v, int) else "-" if v is None else f"{v:.3f}" for v in map(row.get, columns))
        )
    Console().print(table)
    print(f"results: {args.output / FOLDER} (sweep.json, sweep.csv, sweep.png)")
    return 0


def _print_estimate(base: Path, settings, lora) -> int:
    from clue_ros.finetune.memory import estimate, operations

    parts = estimate(base, settings, lora)
    print(
        f"device memory of one process with per_device {settings.per_device}, by arithmetic (an estimate, not a "
        "measurement):"
    )
    for what, size in parts:
        print(f"  {what:<50} {size / 1e9:8.2f} GB")
    whole = operations(base, settings) * settings.batch * settings.steps
    print(
        f"time, by arithmetic: {settings.steps} steps of {settings.batch} examples are {whole:.2e} operations, "
        f"{whole / 1e14 / 3600:.1f} hours at 100 TFLOP/s (scale by what your card really sustains)"
    )
    return 0


def _print_result(result, args: argparse.Namespace) -> None:
    if result["problems"]:
        print(
            f"{result['problems']} times a record or image could not be used, once each time it came; see: clue "
            f"data check {' '.join(str(path) for path, _ in args.data)}"
        )
    if not result["done"]:
        print(f"stopped after step {result['step']}; the same command goes on")
        return
    report = result["report"]
    for name in ("valid", "test"):
        if name in report:
            figures = ", ".join(f"{k} {v:.4g}" for k, v in report[name].items() if isinstance(v, float))
            print(f"{name}: {figures}")
    what = "ground IMAGE 'the red mug' --model"
    if args.task == "answer":
        what = "evaluate interactive DATA --model MODEL --oracle-model"
    print(f"model directory: {result['output']} — try: clue {what} {result['output']}")
