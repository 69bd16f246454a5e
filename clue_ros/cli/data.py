"""`clue data check | convert | show PATH`: look into a data set, find what is broken in it, turn it into our format.
`clue data filter | dialogues PATH`: choose images, and have dialogues made about them (data_made.py).
`clue data pairs PATH`: have two people make them (data_pairs.py)."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Optional

from clue_ros.cli import data_made, data_pairs
from clue_ros.types import ClueError

EXAMPLES = """examples:
  clue data check /data/invig --json out/invig.json
  clue data check ambiguity.csv --format csv
  clue data convert /data/it2p -o out/it2p.jsonl --fractions 70 15 15
  clue data filter instances_train2017.json --images train2017 --sorted sorted.jsonl -o worth.jsonl
  clue data dialogues worth.jsonl --images train2017 -o out/machine --count 2000 --model DIR
  clue data show /data/refcoco --images /data/coco/train2014 --split val -n 3
The formats are described in docs/data.md."""
# Those of clue_ros.data.formats.
FORMATS = (
    "auto",
    "invig",
    "parquet",
    "it2p",
    "refcoco",
    "flickr30k",
    "csv",
    "jsonl",
    "paligemma",
    "ambres",
    "ivm",
    "scenes",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    check = verbs.add_parser("check", help="count, and report broken images, boxes outside, duplicates between splits")
    _add_source(check)
    check.add_argument("--json", type=Path, metavar="FILE", help="also write the report as JSON ('-': to stdout only)")
    check.add_argument(
        "--depth",
        choices=["full", "header", "none"],
        default="full",
        help="full decodes every image (default); header only opens them; none leaves them alone",
    )
    check.add_argument(
        "--allow-shared-images", action="store_true", help="an image in several splits is told and is no problem"
    )
    check.add_argument("--workers", type=int, metavar="N", help="decoding threads (default: one a core)")
    convert = verbs.add_parser("convert", help="write a data set as JSON lines of our own format")
    _add_source(convert)
    _add_selection(convert)
    convert.add_argument("--output", "-o", required=True, type=Path, metavar="FILE.jsonl")
    convert.add_argument("--copy-images", action="store_true", help="copy the images beside the file, under images/")
    convert.add_argument("--strict", action="store_true", help="stop at the first broken record")
    data_made.add_parsers(verbs)
    data_pairs.add_parser(verbs)
    show = verbs.add_parser("show", help="print samples and the training pairs made of them")
    _add_source(show)
    _add_selection(show)
    show.add_argument("-n", type=int, default=3, metavar="N", help="how many samples (default 3)")
    show.add_argument("--shuffle", type=int, metavar="SEED", help="any samples instead of the first ones")


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", type=Path, metavar="PATH", help="folder or file of the data set")
    parser.add_argument("--format", choices=FORMATS, default="auto", help="default: found out from the files' names")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="where the images are, if not in the usual place")
    parser.add_argument("--subset", metavar="NAME", help="InViG: 21k, 500k, en, zh; refcoco, refcoco+, refcocog")
    parser.add_argument(
        "--boxes",
        metavar="FORM",
        help="of JSON lines: how boxes are measured, xyxy, xywh, cxcywh or yxyx, in pixels or, with 01, 100 or 1000 "
        "behind it, in shares of so much (default: xyxy); box, bbox and the like are read then, too",
    )


def _add_selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--split", metavar="NAME", help="train, valid, test, ... (default: all)")
    parser.add_argument(
        "--fractions",
        type=float,
        nargs=3,
        metavar=("TRAIN", "VALID", "TEST"),
        help="make splits by image content where there is none or one; the paper's: 70 15 15",
    )


def run(args: argparse.Namespace) -> int:
    if args.action == "pairs":
        return data_pairs.run(args)
    made = {"filter": data_made.run_filter, "dialogues": data_made.run_dialogues, "chats": data_made.run_chats}
    if args.action in made:
        return made[args.action](args)
    from clue_ros.data.formats import open_data

    source = open_data(args.path, args.format, images=args.images, subset=args.subset, boxes=args.boxes)
    return {"check": _check, "convert": _convert, "show": _show}[args.action](args, source)


def _check(args: argparse.Namespace, source) -> int:
    from clue_ros.data.check import check

    if args.workers is not None and args.workers < 1:
        raise ClueError("--workers must be 1 or more")
    with _bar(source.count(), "record") as bar:
        report = check(
            source, images=args.depth, workers=args.workers, progress=bar.update, allow_shared=args.allow_shared_images
        )
    result = {"path": str(args.path), **report.to_dict()}
    text = json.dumps(result, indent=2, ensure_ascii=False)
    if str(args.json) == "-":
        print(text)
        return 0 if report.ok else 1
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(text + "\n", encoding="utf-8")
    _print_report(report, args.path)
    return 0 if report.ok else 1


def _print_report(report, path: Path) -> None:
    from rich.markup import escape
    from rich.table import Table

    console = _console()
    table = Table(title=f"{escape(str(path))}: {report.form}, {report.records} records", title_justify="left")
    table.add_column("split")
    columns = (
        "samples",
        "images",
        "ambiguous",
        "clear",
        "unknown",
        "dialogues",
        "questions",
        "boxes",
        "points",
        "absent",
    )
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for name, counts in report.splits.items():
        table.add_row(escape(name) or "all", *(str(getattr(counts, column)) for column in columns))
    console.print(table)
    cut = sum(counts.closings for counts in report.splits.values())
    if cut:
        console.print(
            f"{cut} exchange{'s' if cut > 1 else ''} at the end of a dialogue {'were' if cut > 1 else 'was'} cut: "
            "thanks and leave-taking ask nothing (our own lines keep them under 'closing')"
        )
    if report.repeated:
        console.print(f"{report.repeated} samples say again what another one of their split says of the same image")
    if report.unsplit:
        console.print(f"{report.unsplit} rows name no split where others do: they count as train")
    if report.shared_images:
        console.print(f"{report.shared_images} images stand in more than one split")
    if report.ok:
        console.print("nothing is broken")
        return
    if not report.problems.total:
        console.print("there is no sample in it")
        return
    wrong = Table(title="What is broken", title_justify="left")
    wrong.add_column("kind")
    wrong.add_column("count", justify="right")
    wrong.add_column("first places")
    for kind, found in report.problems.to_dict().items():
        lines = [f"{p['file']}:{p['line']}: {p['text']}" for p in found["first"][:3]]
        wrong.add_row(kind, str(found["count"]), escape("\n".join(lines)))
    console.print(wrong)


def _convert(args: argparse.Namespace, source) -> int:
    from clue_ros.data.convert import convert
    from clue_ros.data.stream import SampleStream

    stream = SampleStream(source, args.split, fractions=args.fractions, strict=args.strict)
    with _bar(None, "sample") as bar:
        result = convert(stream, args.output, args.copy_images, progress=bar.update)
    hint = "" if args.copy_images else f"; its image names are relative to {result.images}: read it with --images"
    print(f"{result.samples} samples: {args.output}{hint}")
    for problem in result.problems.first:
        print(f"clue: {problem}", file=sys.stderr)
    if result.problems.total:
        print(f"clue: {result.problems.total} problems; what could not be used was left out", file=sys.stderr)
    return 1 if result.problems.total else 0


def _show(args: argparse.Namespace, source) -> int:
    from itertools import islice

    from clue_ros.data.jsonl import to_line
    from clue_ros.data.pairs import revealing_pairs
    from clue_ros.data.stream import SampleStream

    buffer, seed = (0, 0) if args.shuffle is None else (1000, args.shuffle)
    stream = SampleStream(source, args.split, buffer=buffer, seed=seed, fractions=args.fractions)
    for sample in islice(stream, args.n):
        print(to_line(sample))
        for pair in revealing_pairs(sample):
            print(f"    {pair.prefix}  ->  {pair.suffix or '(nothing there)'}")
    for problem in stream.problems.first:
        print(f"clue: {problem}", file=sys.stderr)
    return 0


def _bar(total: Optional[int], unit: str) -> Any:
    from tqdm import tqdm

    # None: off unless on a terminal
    return tqdm(total=total, unit=unit, file=sys.stderr, dynamic_ncols=True, disable=None)


def _console() -> Any:
    from rich.console import Console

    console = Console()
    # Piped output keeps whole lines instead of rich's 80 columns.
    return console if console.is_terminal else Console(width=140)
