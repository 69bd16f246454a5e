"""`clue faults`: what a robot's bad day does to the node, over real ROS 2, with a table of what held."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import Any, Optional

EXAMPLES = """examples:
  clue faults                                    every fault, on the embedded model
  clue faults --only camera_stops,cancel_storm
  clue faults --quick --model my-model/          a tenth of each flood

Each row says what was done, what must hold, and what was seen. Exit code 0: all rows held, 1: one did not, 130:
interrupted; the files then hold the rows so far. Needs a ROS 2 environment and OpenGL for the scenes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    parser.add_argument("--only", default="", metavar="NAME,NAME", help="some faults only (default: all)")
    parser.add_argument("--quick", action="store_true", help="a tenth of each flood: seconds instead of minutes")
    add_common(parser, "faults")


def add_common(parser: argparse.ArgumentParser, name: str) -> None:
    """What `faults` and `soak` share."""
    parser.add_argument("--model", default="", metavar="DIR", help="model directory (default: the embedded model)")
    parser.add_argument("--device", default="cpu", help="torch device (default cpu)")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(f"out/{name}"),
        metavar="DIR",
        help=f"folder of the logs (default out/{name})",
    )
    parser.add_argument(
        "--json",
        type=Path,
        default=Path(f"out/{name}.json"),
        metavar="FILE",
        help=f"results, written after every row (default out/{name}.json)",
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="the rows (default: beside the JSON)")
    parser.add_argument("--markdown", action="store_true", help="also print the table as it stands in docs/log")


def run(args: argparse.Namespace) -> int:
    from rich.console import Console
    from tqdm import tqdm

    from clue_ros.ros.lab.faults.rows import VERDICTS, Check, Rows
    from clue_ros.ros.lab.faults.run import chosen, run_all

    faults = chosen([name.strip() for name in args.only.split(",") if name.strip()])
    rows = Rows("faults", args.json, args.csv or args.json.with_suffix(".csv"))
    with tqdm(total=len(faults), unit="fault", file=sys.stderr, dynamic_ncols=True) as bar:

        def notice(name: str, check: Optional[Check]) -> None:
            if check is None:
                bar.update(int(bool(rows.rows)))
                bar.set_postfix_str(name)
            else:
                bar.write(f"{VERDICTS[check.held][0]:>8}  {name}: {check.done}: {check.seen}", file=sys.stderr)

        return finish(
            rows,
            Console(),
            lambda: run_all(faults, rows, args.output, args.model, args.device, 0.1 if args.quick else 1.0, notice),
            bar,
            args.markdown,
        )


def finish(rows: Any, console: Any, work: Any, bar: Any, markdown: bool) -> int:
    """Does the work, shows what there is of the table, and gives the exit code."""
    interrupted = False
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # also of a job in the background, which the shell lets ignore SIGINT
        signal.signal(number, signal.default_int_handler)
    try:
        work()
        bar.update(bar.total - bar.n)
    except KeyboardInterrupt:
        interrupted = True
    bar.close()
    rows.show(console)
    if markdown:
        print(rows.markdown())
    held = sum(row["held"] is True for row in rows.rows)
    print(
        f"{held} of {len(rows.rows)} rows held, {rows.broken} did not; "
        f"{'partial' if interrupted else 'all'} results: {rows.json_path} and {rows.csv_path}"
    )
    return 130 if interrupted else int(rows.broken > 0)
