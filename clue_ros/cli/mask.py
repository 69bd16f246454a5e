"""`clue mask`: what an instruction is about in a photo, and PaliGemma's mask decoder as a file that this package
reads.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from clue_ros.cli.loading import add_model_arguments, add_photo, add_sample_bits, load_grounder
from clue_ros.images.photos import read_photo
from clue_ros.types import ClueError

EXAMPLES = """examples:
  clue mask relevance table.png "put the red cup on the plate"            # the photo with nothing else in it
  clue mask relevance table.png "the mug" --mode heat --out heat.png
  clue mask decoder vae-oid.npz --output paligemma2-3b-mix-448            # once, for PaliGemma 2's own masks"""
MODES = ("heat", "overlay", "blur", "greyscale", "crop", "overlay+crop")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    verbs = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    relevance = verbs.add_parser("relevance", help="everything that matters to an instruction")
    add_photo(relevance)
    relevance.add_argument("instruction", metavar="INSTRUCTION")
    add_model_arguments(relevance, threshold=False)
    add_sample_bits(relevance)
    relevance.add_argument(
        "--mode",
        choices=MODES,
        default="overlay",
        help="heat: the heatmap itself, grey; the others: the photo, focused (default overlay)",
    )
    relevance.add_argument("--out", type=Path, metavar="FILE.png", help="default out/mask/PHOTO's name.png")
    decoder = verbs.add_parser("decoder", help="PaliGemma's published mask decoder (vae-oid.npz) as safetensors")
    decoder.add_argument(
        "npz", type=Path, metavar="FILE.npz", help="arrays only: a file with pickled objects is refused"
    )
    decoder.add_argument("--output", "-o", required=True, type=Path, metavar="DIR", help="the model directory")


def run(args: argparse.Namespace) -> int:
    if args.what == "decoder":
        from clue_ros.masks.segment_codes import convert

        if not args.output.is_dir():
            raise ClueError(f"{args.output} is no folder: name the model directory that the decoder belongs to")
        print(f"mask decoder: {convert(args.npz, args.output)}")
        return 0
    return _relevance(args)


def _relevance(args: argparse.Namespace) -> int:
    from clue_ros.masks.focus import active_pixels, focused, focused_crop, smallest_box

    rgb = read_photo(args.photo, args.sample_bits)
    grounder = load_grounder(args)
    try:
        heat = grounder.relevance(rgb, args.instruction)
    finally:
        grounder.close()
    active = active_pixels(heat)
    box = smallest_box(active)
    if args.mode == "heat":
        picture = (heat * 255).round().astype(np.uint8)
    elif args.mode == "overlay+crop":
        picture = focused_crop(rgb, active)
    else:
        picture = focused(rgb, active, args.mode)
        if args.mode == "crop" and box is not None:
            picture = picture[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)]
    path = save_picture(picture, args.out or Path("out/mask") / f"{args.photo.stem}.png")
    where = "nothing matters to it" if box is None else f"box x {box.x0} to {box.x1}, y {box.y0} to {box.y1} pixels"
    print(f"{active.mean():.0%} of the picture matters, {where}: {path}")
    return 0


def save_picture(picture: np.ndarray, path: Path) -> Path:
    """uint8[H,W] or uint8[H,W,3] RGB as a file. Raises ClueError if it cannot be written."""
    from PIL import Image

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    except (OSError, ValueError) as error:
        raise ClueError(f"cannot save the picture as {path}: {error}") from error
    return path
