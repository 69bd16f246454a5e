"""`clue doctor`: what a model needs of this machine, and whether its fast path gives what the plain one gives."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from clue_ros.cli.loading import count

EXAMPLES = """examples:
  clue doctor                                                        the model in this package
  clue doctor --model paligemma2-3b-mix-448 --device cuda            a download
  clue doctor --model 3b --device cuda --json out/h200.json          its architecture with random weights
  clue doctor --model paligemma2-3b-mix-448 --look                   only what will happen, nothing is loaded

Each variant (float32, bfloat16, int8, int4, on a GPU each with CUDA graphs beside itself without) answers the same two
prompts. Logits and attention maps are compared with the first variant, and that one with transformers' own modules.

Exit code 0: all the same, 1: something differs or failed, 2: nothing can be loaded."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    parser.add_argument(
        "--model", default="embedded", metavar="DIR",
        help="model directory, or 3b for PaliGemma 2's dimensions with random weights (default: the model in this "
        "package)",
    )  # fmt: skip
    parser.add_argument("--device", help="torch device: cpu, cuda, cuda:1, ... (default: a GPU if torch sees one)")
    parser.add_argument(
        "--variants", nargs="+", metavar="NAME", help="only these of float32, bfloat16, int8 and int4 (default: all)"
    )
    parser.add_argument("--rounds", type=count, default=3, metavar="N", help="timed calls (default 3; 0: no times)")
    parser.add_argument("--look", action="store_true", help="only say what will happen, load nothing")
    parser.add_argument(
        "--json", type=Path, default=Path("out/doctor.json"), metavar="FILE",
        help="what was found, to be sent in (default out/doctor.json)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    from clue_ros.lab.bench.order import Order
    from clue_ros.lab.bench.run import devices
    from clue_ros.lab.doctor.outlook import how_to_get
    from clue_ros.lab.doctor.run import begin, examine
    from clue_ros.lab.doctor.table import console, print_outlook, print_report
    from clue_ros.lab.doctor.trial import VARIANTS
    from clue_ros.types import ClueError

    chosen = [variant for variant in VARIANTS if args.variants is None or variant.name in args.variants]
    if len(chosen) != len(args.variants or VARIANTS):
        raise ClueError(f"--variants: give some of {', '.join(variant.name for variant in VARIANTS)}")
    order, out = Order(args.model, args.device or devices([])[-1]), console()
    report = begin(order)
    print_outlook(report.outlook, out)
    if report.outlook.problem:
        print(f"clue: {report.outlook.problem}", file=sys.stderr)
        if not (order.folder / "model.safetensors").is_file() and args.model not in ("embedded", "3b"):
            print("\n".join(how_to_get(args.model)), file=sys.stderr)
    elif not args.look:
        report = examine(order, args.rounds, lambda name: print(f"{name} …", file=sys.stderr), chosen)
        print_report(report, out)
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(report.to_dict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"written: {args.json}")
    if report.differs:
        return 1
    nothing = not args.look and all(row.note for row in report.rows)
    return 2 if report.outlook.problem or nothing else 0
