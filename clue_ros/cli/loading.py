"""What several verbs share: kinds of numbers, the model's arguments and loading it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Optional

from clue_ros.images.sample_bits import CHOICES as SAMPLE_BITS
from clue_ros.processes import OWN_RAY, Sharing
from clue_ros.types import ClueError

DTYPES, QUANTIZATIONS = ("auto", "float32", "bfloat16"), ("none", "int8", "int4")  # those of vlm/, without torch
EXAMPLE_PHOTOGRAPHS = Path(__file__).resolve().parents[1] / "examples" / "photographs"


def probability(text: str) -> float:
    """An argparse type: a number in [0, 1]."""
    value = float(text)
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def positive(text: str) -> int:
    """An argparse type: a whole number from 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


def count(text: str) -> int:
    """An argparse type: a whole number from 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is not 0 or more")
    return value


def add_ray(parser: argparse.ArgumentParser) -> None:
    """--ray, for `sharing`."""
    parser.add_argument(
        "--ray", nargs="?", const=OWN_RAY, metavar="ADDRESS",
        help="share the work on Ray (extra fleet): the cluster at ADDRESS (auto: this machine's), or a Ray of its own; "
        "the results are those of one process",
    )  # fmt: skip


def sharing(processes: Optional[int], cluster: Optional[str], default: int = 1, device: str = "cpu") -> Sharing:
    """processes: None for `default`, on Ray for one a core of the cluster, or a GPU if the device is one."""
    return Sharing(processes or (default if cluster is None else 0), cluster, float(device.startswith("cuda")))


def photo_path(text: str) -> Path:
    """An argparse type: a file, or `example:NAME` for a photograph that ships."""
    scheme, _, name = text.partition(":")
    if scheme != "example":
        return Path(text)
    names = sorted(file.stem for file in EXAMPLE_PHOTOGRAPHS.glob("*.jpg"))
    if name not in names:
        raise argparse.ArgumentTypeError(f"there is no example '{name}'; there are: {', '.join(names)}")
    return EXAMPLE_PHOTOGRAPHS / f"{name}.jpg"


def add_photo(parser: argparse.ArgumentParser, **options: Any) -> None:
    """PHOTO."""
    help = "any image that Pillow reads, or example:red-mug and others that ship (example: lists them)"
    parser.add_argument("photo", type=photo_path, metavar="PHOTO", help=help, **options)


def add_model_arguments(parser: argparse.ArgumentParser, threshold: bool = True) -> None:
    """--model and in which form it is held; --threshold too, unless the verb never decides whether to ask."""
    parser.add_argument(
        "--model", type=Path, metavar="DIR", help="model directory (default: the tabletop model in this package)"
    )
    parser.add_argument("--device", default="cpu", help="torch device: cpu (default), cuda, cuda:1, ...")
    parser.add_argument(
        "--dtype", choices=DTYPES, default="auto",
        help="of the weights (default auto: bfloat16; on a CPU float32 where that is cheap)",
    )  # fmt: skip
    parser.add_argument("--quantization", choices=QUANTIZATIONS, default="none", help="of the weights (default none)")
    add_glances(parser)
    if not threshold:
        return
    parser.add_argument(
        "--threshold", type=probability, metavar="T", help="P(ambiguous) from which it asks (default: the model's own)"
    )


def add_glances(parser: argparse.ArgumentParser) -> None:
    """--glances."""
    parser.add_argument(
        "--glances", type=count, metavar="N",
        help="second glances a picture, for a model with eyes; 0: none (default: the model's own)",
    )  # fmt: skip


def add_sample_bits(parser: Any) -> None:
    """--sample-bits, of a parser or a group."""
    parser.add_argument(
        "--sample-bits", type=int, default=0, choices=SAMPLE_BITS, metavar="N",
        help="bits that 16-bit greys use, 8 to 16 (default 0: all); a camera of 10 or 12 bits is nearly black without",
    )  # fmt: skip


def load_grounder(args: argparse.Namespace):
    """The Grounder that `args` name. Raises ClueError (ModelLoadError, or a device that torch does not have)."""
    from clue_ros.grounder import Grounder

    try:
        return Grounder.from_pretrained(
            args.model, device=args.device, dtype=args.dtype, quantization=args.quantization, glances=args.glances
        )
    except (RuntimeError, AssertionError) as error:  # torch's errors for an unknown or missing device
        raise ClueError(f"cannot load the model on device {args.device!r}: {str(error).splitlines()[0]}") from error


def believing(grounder: Any, args: argparse.Namespace) -> Any:
    """With a belief, and what is taught where that was asked for. Raises ClueError."""
    from clue_ros.belief.grounder import BeliefGrounder

    around = BeliefGrounder(grounder, args.question_policy)
    if args.taught is None:
        return around
    from clue_ros.taught.grounder import TaughtGrounder

    if not args.taught.is_dir():
        raise ClueError(f"{args.taught}: there is no such folder of taught things: clue teach makes one")
    return TaughtGrounder.around(around, args.taught)
