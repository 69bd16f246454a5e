"""What these eyes must cost at least: numbers in their weights and the products of one picture, counted from shapes."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import List, NamedTuple

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from clue_ros.eyes.crops import CELLS, SIDE
from clue_ros.eyes.frozen import SHIPPED
from clue_ros.eyes.layout import CELL
from clue_ros.eyes.neck import Glances
from clue_ros.eyes.sight import WEIGHTS, SightShape, Trained
from clue_ros.eyes.weights import Shape
from clue_ros.types import ModelLoadError


class Work(NamedTuple):
    """One step. flops: operations of matrix products, 2·m·n·k each; numbers: of the weights that it reads."""

    flops: int
    numbers: int


def work_of(shape: SightShape, eyes: Shape) -> List[Work]:
    """Of one picture: the first glance, the second ones if there are any, and the trained parts."""
    seconds = [_glances(eyes, SIDE, shape.glances)] if shape.glances else []
    return [_glances(eyes, shape.first, 1), *seconds, _trained(shape)]


def weights_of(folder: Path) -> int:
    """Numbers in the trained parts of a model folder and in the frozen eyes. Raises ModelLoadError."""
    return sum(_numbers_in(file) for file in (Path(folder) / WEIGHTS, *SHIPPED.glob("*.safetensors")))


def _glances(eyes: Shape, side: int, count: int) -> Work:
    patches = (side // eyes.patch) ** 2
    rows = patches + 1
    kernel, layer = 3 * eyes.patch**2 * eyes.width, 4 * eyes.width**2 + 2 * eyes.width * eyes.mlp
    attention = 2 * rows * rows * eyes.width
    products = patches * kernel + eyes.layers * (rows * layer + attention)
    return Work(2 * count * products, kernel + eyes.layers * layer)


def _trained(shape: SightShape) -> Work:
    """Counted by torch on tensors without memory."""
    pixels, seen = 3 * CELL**2, shape.seen**2
    with torch.device("meta"), torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        parts = Trained(shape).eval()
        picture = torch.empty(1, seen, shape.features), torch.empty(1, seen, pixels)
        crops = [(CELLS**2, shape.features), (shape.summary,), (CELLS**2, pixels), (4,)]
        some = max(1, shape.glances)
        heard = torch.empty(1, some, shape.vector), torch.empty(1, some, 4), torch.empty(1, some)
        with FlopCounterMode(display=False) as counter:
            found = parts.patches(*picture)
            if shape.glances:
                parts.crops(*(torch.empty(shape.glances, *each) for each in crops))
            parts.neck(*picture, found.thing, found.boxes, Glances(*heard))
    return Work(counter.get_total_flops(), sum(p.numel() for p in parts.parameters()))


def _numbers_in(file: Path) -> int:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), "pt") as tensors:
            return sum(prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())
    except (SafetensorError, OSError) as error:
        raise ModelLoadError(f"{file} is missing, corrupt or truncated: {error}") from error
