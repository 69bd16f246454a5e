"""`clue console-load`: what pages of the console cost, and whether the grounding node notices them."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """examples:
  clue console-load                          10 pages at 10 images a second, about three minutes
  clue console-load --pages 30 --rounds 5

Exit code 0: the pages cost at most one core, 1: more. Needs a ROS 2 environment and OpenGL for the scene."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    parser.add_argument("--pages", type=int, default=10, metavar="N", help="that look at once (default 10)")
    parser.add_argument("--rate", type=float, default=10.0, metavar="HZ", help="images a second (default 10)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="turns of the three conditions (default 3)")
    parser.add_argument(
        "--seconds", type=float, default=10.0, metavar="S", help="of each condition and round (default 10)"
    )
    parser.add_argument("--model", type=Path, metavar="DIR", help="model directory (default: the embedded model)")
    parser.add_argument("--device", default="cpu", help="torch device (default cpu)")
    parser.add_argument("--output", type=Path, default=Path("out/console_load"), help="folder for figures and logs")


def run(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from clue_ros.ros.lab.console_load import PAGES, measure
    from clue_ros.types import ClueError

    if args.pages < 1 or args.rounds < 1 or args.seconds <= 0 or not 0.2 <= args.rate <= 30:
        raise ClueError("--pages and --rounds must be 1 or more, --seconds above 0, --rate 0.2 to 30")
    args.output.mkdir(parents=True, exist_ok=True)
    screen = Console()
    model = str(args.model.resolve()) if args.model else ""
    result = measure(args.output, args.pages, args.rate, args.rounds, args.seconds, model, args.device,
                     lambda text: screen.print(f"[dim]{text}[/]"))  # fmt: skip
    table = Table(title=f"{args.pages} pages, {args.rate:g} images a second wanted", title_justify="left")
    for column in (
        "",
        "cores: console",
        "node",
        "camera",
        "images a page and s",
        "MB/s",
        "response p50 (max)",
        "goal p50 (max)",
    ):
        table.add_column(column, justify="left" if not column else "right")
    for name, row in result["conditions"].items():
        cores = [
            f"{row['cores'][part]:.2f}" if part in row["cores"] else "-"
            for part in ("console", "clue_node", "tabletop_camera")
        ]
        table.add_row(name, *cores, f"{row['images_per_page_s']:.1f}", f"{row['megabytes_s']:.2f}",
                      f"{row['response_p50_s'] * 1e3:.0f} ({row['response_max_s'] * 1e3:.0f}) ms",
                      f"{row['goal_p50_s'] * 1e3:.0f} ({row['goal_max_s'] * 1e3:.0f}) ms")  # fmt: skip
    screen.print(table)
    screen.print(f"load average {result['load_average']}; figures: {args.output / 'console_load.json'}")
    return int(result["conditions"][PAGES]["cores"]["console"] > 1.0)
