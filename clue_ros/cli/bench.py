"""`clue bench`: speed and memory beside the plain transformers path and beside the machine's own floor."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import List

from clue_ros.cli.loading import add_glances, positive
from clue_ros.types import ClueError

EXAMPLES = """examples:
  clue bench                                     the embedded model and the 3B architecture, on every device
  clue bench --models embedded --rounds 20
  clue bench --models 3b --device cuda --json out/h200.json
  clue bench --models my-model/                  a model directory
  clue bench --memory 6 --models 3b --quantization int8     does it load and answer within 6 GB?

Every row is timed in turns with what a user would write with transformers, in the same run, and stands beside the
floor that the machine's own measured speed allows. The 3B architecture has random weights and needs about 10 GB of
memory; on two cores without bfloat16 units it takes about 12 minutes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    parser.add_argument(
        "--models",
        nargs="+",
        default=["embedded", "3b"],
        metavar="MODEL",
        help="embedded, 3b (random weights) or model directories (default: embedded 3b)",
    )
    parser.add_argument(
        "--device",
        nargs="+",
        default=[],
        metavar="DEVICE",
        dest="devices",
        help="cpu, cuda, cuda:1 ... (default: the CPU, and a GPU if there is one)",
    )
    parser.add_argument("--rounds", type=positive, metavar="N", help="calls a row (default: by the machine's speed)")
    parser.add_argument(
        "--rows", nargs="+", default=[], metavar="ROW", help="only these rows, such as: vision detection"
    )
    parser.add_argument(
        "--json",
        type=Path,
        default=Path("out/bench.json"),
        metavar="FILE.json",
        help="results, with a CSV beside it, written after every row (default out/bench.json)",
    )
    parser.add_argument(
        "--dtype",
        choices=["float32", "bfloat16", "float16"],
        help="of the weights (default: float32 on a CPU, bfloat16 on a GPU and for 3b)",
    )
    parser.add_argument(
        "--quantization", choices=["none", "int8", "int4"], default="none", help="of our weights (default none)"
    )
    add_glances(parser)
    parser.add_argument(
        "--last-logits",
        action="store_true",
        help="spare the plain map's pass the logits of every row, which transformers computes unasked",
    )
    parser.add_argument(
        "--memory",
        type=gigabytes,
        metavar="GB",
        help="instead of times: load each model on the CPU and let it answer in a process that may have so much memory;"
        " 3b writes a folder of 6 GB for that and removes it",
    )


def gigabytes(text: str) -> int:
    """An argparse type: gigabytes as bytes."""
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return int(value * 1e9)


def run(args: argparse.Namespace) -> int:
    if args.memory:
        return _memory(args)
    from tqdm import tqdm

    from clue_ros.lab.bench.order import Order, busy
    from clue_ros.lab.bench.results import Results
    from clue_ros.lab.bench.run import devices, run_all
    from clue_ros.lab.bench.table import print_report
    from clue_ros.version import VERSION

    warning = busy()
    if warning:
        print(f"clue: {warning}", file=sys.stderr)
    orders = [
        Order(model, device, args.dtype, args.quantization, not args.last_logits, args.glances)
        for model in args.models
        for device in devices(args.devices)
    ]
    results = Results(
        args.json,
        {"what": "bench", "version": VERSION, "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "warning": warning},
    )
    interrupted = False
    with tqdm(unit="row", file=sys.stderr, dynamic_ncols=True, total=0) as bar:
        try:
            run_all(orders, args.rounds, results, lambda order, event: _show(bar, order, event), args.rows)
        except KeyboardInterrupt:
            interrupted = True
    print_report(results.subjects, results.skipped, results.rows, warning)
    print(f"{'partial' if interrupted else 'all'} results: {results.json_path} and {results.csv_path}")
    if interrupted:
        return 130
    return 0 if results.rows else _nothing(results.skipped)


def _memory(args: argparse.Namespace) -> int:
    from clue_ros.lab.bench.footprint import footprint_of

    for model in args.models:
        f = footprint_of(model, args.dtype or "auto", args.quantization, args.memory)
        print(
            f"{model}, {f.dtype}, {args.quantization}: {f.stays / 1e9:.2f} GB stay, {f.ratio:.3f} times that while"
            f" it loads; at most {f.total / 1e9:.2f} GB of the whole process, of which {f.libraries / 1e9:.2f} GB are"
            f" interpreter and libraries; loaded in {f.load_s:.1f} s, answered in {f.answer_s:.1f} s ({f.outcome})"
        )
    return 0


def _show(bar, order, event) -> None:
    """Move the progress bar."""
    kind = event["event"]
    if kind == "plan":
        bar.total = bar.n + event["rows"]
        bar.refresh()
    elif kind == "row" and "peak_bytes" not in event:
        bar.update()
    elif kind == "tick":
        bar.set_postfix_str(f"{order.model} on {order.device}: {event['row']}, {event['who']}")
    elif kind == "skip":
        bar.write(f"{order.model} on {order.device}: skipped: {event['reason']}", file=sys.stderr)


def _nothing(skipped: List[dict]) -> int:
    reasons = "; ".join(f"{s['model']} on {s['device']}: {s['reason']}" for s in skipped)
    raise ClueError(f"nothing could be measured: {reasons}")
