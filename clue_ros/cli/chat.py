"""`clue chat PHOTO.png "what is on the table?"`: an answer in words, and a picture in which every phrase has its
box.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path

from clue_ros.cli.ground import write_picture
from clue_ros.cli.loading import add_model_arguments, add_photo, add_sample_bits, load_grounder
from clue_ros.images.photos import read_photo

EXAMPLES = """examples:
  clue chat table.png "what is on the table?"
  clue chat table.png "how many red cups are there?" --json --no-picture
The picture is out/chat/PHOTO's name.png unless --out names another."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    add_photo(parser)
    parser.add_argument("question", metavar="QUESTION", help='such as "which cups do you see?"')
    add_model_arguments(parser, threshold=False)
    add_sample_bits(parser)
    parser.add_argument("--json", action="store_true", help="print exactly one JSON object on stdout")
    parser.add_argument("--out", type=Path, metavar="FILE.png", help="the picture")
    parser.add_argument("--no-picture", action="store_true", help="save no picture")


def run(args: argparse.Namespace) -> int:
    rgb = read_photo(args.photo, args.sample_bits)
    # Libraries that print while they load must not spoil the JSON on stdout.
    with contextlib.redirect_stdout(sys.stderr):
        grounder = load_grounder(args)
        try:
            answer = grounder.chat(rgb, args.question)
        finally:
            grounder.close()
    picture = None if args.no_picture else _save(args, rgb, answer)
    if args.json:
        phrases = [
            {
                "start": p.start,
                "end": p.end,
                "text": answer.words(p),
                "box": [float(v) for v in p.box],
                "confidence": float(p.confidence),
            }
            for p in answer.phrases
        ]
        print(
            json.dumps(
                {
                    "image": str(args.photo),
                    "question": answer.question,
                    "text": answer.text,
                    "phrases": phrases,
                    "unknown_words": list(answer.unknown_words),
                    "seconds": sum(answer.latency_s.values()),
                    "picture": str(picture) if picture else None,
                },
                allow_nan=False,
            )
        )
        return 0
    print(answer.text)
    for p in answer.phrases:
        print(
            f"  {answer.words(p)}: x {p.box.x0:.0f} to {p.box.x1:.0f}, y {p.box.y0:.0f} to {p.box.y1:.0f} "
            f"({p.confidence:.2f})"
        )
    if picture is not None:
        print(f"picture: {picture}")
    return 0


def _save(args: argparse.Namespace, rgb, answer):
    """The picture's path; None, with a warning, if the default folder cannot be written."""
    from clue_ros.visualization.chat_picture import chat_picture

    return write_picture(chat_picture(rgb, answer), args.out, Path("out/chat") / f"{args.photo.stem}.png")
