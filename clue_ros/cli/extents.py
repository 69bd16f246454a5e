"""`clue extents`: size and position from a box and depth, beside the truth of rendered objects."""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from pathlib import Path
from typing import Any, Dict, List

from clue_ros.types import ClueError

EXAMPLES = """examples:
  clue extents                              200 objects a kind of camera: exact and noisy depth, true boxes and others
  clue extents --model                      also with the embedded model's boxes and masks
  clue extents --objects 50 --seed 3 --csv out/extents.csv

Size over visible extent: 1 is right. Exit code 0: on every axis the median is 0.85 to 1.2 and the 90th percentile at
most 1.6, in every row; 1: not. Needs OpenGL for the scenes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    parser.add_argument("--objects", type=int, default=200, metavar="N", help="for each kind of camera (default 200)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="other scenes and noise (default 0)")
    parser.add_argument(
        "--size", type=int, nargs=2, default=(640, 480), metavar=("W", "H"), help="of the images (default 640 480)"
    )
    parser.add_argument(
        "--trim",
        type=float,
        default=0.0,
        metavar="P",
        help="truth from the P-th percentile of an object's points to the (100-P)-th (default 0: all)",
    )
    parser.add_argument(
        "--model",
        nargs="?",
        const="",
        metavar="DIR",
        help="also boxes and masks of a model directory (without DIR: the embedded model)",
    )
    parser.add_argument(
        "--json",
        type=Path,
        default=Path("out/extents.json"),
        metavar="FILE",
        help="the table (default out/extents.json)",
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a line an object and row (default: beside the JSON)")
    parser.add_argument("--markdown", action="store_true", help="also print the table as it stands in docs/log")


def run(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table
    from tqdm import tqdm

    from clue_ros.lab import extents
    from clue_ros.version import VERSION

    if args.objects < 1 or min(args.size) < 64 or not 0 <= args.trim <= 20:
        raise ClueError("--objects takes 1 or more, --size 64 or more pixels a side, --trim 0 to 20")
    grounder = None
    if args.model is not None:
        from clue_ros.grounder import Grounder
        from clue_ros.seams import Capability

        grounder = Grounder.from_pretrained(args.model or None)
        if Capability.MASKS not in grounder.capabilities:
            raise ClueError("this model directory has no masks: leave --model out, or train them (clue train mask)")
    chosen = extents.conditions(grounder is not None)
    rows: List[Dict[str, Any]] = []
    found = extents.measured(chosen, args.objects, args.seed, tuple(args.size), grounder, args.trim)
    for row in tqdm(found, unit="row", file=sys.stderr, dynamic_ncols=True):
        rows.append(row)
    lines = extents.summary(rows, chosen)
    about = {
        "what": "extents",
        "version": VERSION,
        "cores": os.cpu_count(),
        "seed": args.seed,
        "size": list(args.size),
        "trim": args.trim,
        "model": args.model,
        "rows": lines,
    }
    csv_path = args.csv or args.json.with_suffix(".csv")
    _write(args.json, csv_path, about, rows)
    table = Table("given", "objects", "size / extent: x", "y", "z", "off, mm", "held")
    for line in lines:
        table.add_row(*_cells(line))
    Console(width=max(150, Console().width)).print(table)
    print(
        "p10 / median / p90 / worst of size over visible extent; median / p90 / worst of the position's distance from "
        "the middle of the visible surface"
    )
    if args.markdown:
        print(
            "\n".join(
                ["| given | objects | x | y | z | off, mm |", "|---|---|---|---|---|---|"]
                + ["| " + " | ".join(_cells(line)[:-1]) + " |" for line in lines]
            )
        )
    held = sum(line["held"] for line in lines)
    print(f"{held} of {len(lines)} rows held; results: {args.json} and {csv_path}")
    return int(held < len(lines))


def _cells(line: Dict[str, Any]) -> List[str]:
    def figures(name: str, parts: str, form: str) -> str:
        keys = [name.format(part) for part in parts.split()]
        return " / ".join(format(line[key], form) for key in keys) if keys[0] in line else "none"

    sizes = [figures(axis + "_{}", "p10 median p90 worst", ".2f") for axis in "xyz"]
    return [
        line["condition"],
        f"{line['placed']} of {line['objects']}",
        *sizes,
        figures("off_{}_mm", "median p90 worst", ".1f"),
        "yes" if line["held"] else "NO",
    ]


def _write(json_path: Path, csv_path: Path, about: Dict[str, Any], rows: List[Dict[str, Any]]) -> None:
    for path in (json_path, csv_path):
        path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    with csv_path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)
