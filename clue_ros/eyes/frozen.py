"""Pixels to features with eyes that are never trained.

eyes = FrozenEyes.open(SHIPPED)
first = eyes.glance(rgb[None])      # uint8[336,336,3], the whole picture
second = eyes.glance(crops)         # uint8[8,224,224,3], in one batch
"""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple, Union

import numpy as np
import torch

from clue_ros.eyes.torch_engine import TorchEngine
from clue_ros.eyes.weights import GREY, Shape, Weights, read_weights
from clue_ros.processor import has_bfloat16_units
from clue_ros.types import InvalidImageError, ModelLoadError

SHIPPED = Path(__file__).resolve().parents[1] / "models" / "eyes"
ENGINES = ("auto", "openvino", "torch", "openvino-bfloat16", "openvino-float32", "torch-bfloat16", "torch-float32")


class Glance(NamedTuple):
    """Of B pictures of S x S pixels, on the eyes' device; W: taps times width (1152 of DINOv2-small).

    patches: float32[B,(S/14)²,W], row by row: each tapped layer's output under a layer norm without parameters,
        one beside the other (layers 6, 9 and 12, before the model's own last norm).
    cls: float32[B,D], the CLS token after the last layer under the same norm.
    """

    patches: torch.Tensor
    cls: torch.Tensor


class FrozenEyes:
    """A DINOv2 in the fastest form that this machine offers."""

    def __init__(self, weights: Weights, device: str = "cpu", engine: str = "auto"):
        """As open()."""
        self._weights = weights
        self._offsets: Dict[int, torch.Tensor] = {}
        self.engine, self._run = _engine(weights, device, engine)

    @classmethod
    def open(cls, folder: Union[str, Path], device: str = "cpu", engine: str = "auto") -> "FrozenEyes":
        """Read a folder (weights.py says what it holds).

        Args:
            device: of torch; OpenVINO runs on "cpu" only.
            engine: one of ENGINES. "openvino" and "torch" are in bfloat16 where the device has units for it, else in
                float32; "auto" is OpenVINO where it is installed and the device is the processor, else torch.

        Raises ModelLoadError naming what is wrong with the folder, or the engine that cannot be had.
        """
        return cls(read_weights(Path(folder)), device, engine)

    @property
    def shape(self) -> Shape:
        return self._weights.shape

    @property
    def weight_bytes(self) -> int:
        """Of the matrices, in the precision in which they run."""
        matrices = [self._weights.kernel, *(matrix for layer in self._weights.layers for matrix in layer)]
        return sum(m.weight.numel() for m in matrices) * (2 if self.engine.endswith("bfloat16") else 4)

    def glance(self, rgb: np.ndarray) -> Glance:
        """Look at pictures, all in one batch.

        rgb: uint8[B,S,S,3] RGB, S a multiple of the patch (14 pixels).

        Raises InvalidImageError.
        """
        patch = self.shape.patch
        if rgb.dtype != np.uint8 or rgb.ndim != 4 or rgb.shape[3] != 3:
            raise InvalidImageError(f"eyes take uint8[B,S,S,3], got {rgb.dtype}{list(rgb.shape)}")
        count, side = rgb.shape[:2]
        if rgb.shape[2] != side or side % patch or not side or not count:
            raise InvalidImageError(f"eyes take squares with a side of whole {patch} px patches, got {list(rgb.shape)}")
        if side not in self._offsets:
            self._offsets[side] = self._weights.offsets(side)
        return Glance(*self._run(cells_of(rgb, patch), self._offsets[side]))


def engines(device: str) -> List[str]:
    """Those of ENGINES that can be had on a device of torch, each in its fastest precision."""
    has_openvino = torch.device(device).type == "cpu" and find_spec("openvino") is not None
    return ["openvino", "torch"] if has_openvino else ["torch"]


def cells_of(rgb: np.ndarray, patch: int) -> np.ndarray:
    """uint8[B,S,S,3] -> uint8[B,1+N,patch·patch·3]: GREY for the CLS token, then the patches, row by row."""
    count, rows = len(rgb), rgb.shape[1] // patch
    cells = np.empty((count, 1 + rows * rows, patch * patch * 3), np.uint8)
    cells[:, 0] = np.tile(np.array(GREY, np.uint8), patch * patch)
    cut = rgb.reshape(count, rows, patch, rows, patch, 3).swapaxes(2, 3)
    cells[:, 1:] = cut.reshape(count, rows * rows, -1)
    return cells


def _engine(weights: Weights, device: str, engine: str) -> Tuple[str, Any]:
    """(its whole name, a callable)."""
    if engine not in ENGINES:
        raise ModelLoadError(f"the eyes' engine is '{engine}', must be one of {', '.join(ENGINES)}")
    on_cpu = torch.device(device).type == "cpu"
    if engine.startswith("openvino") and not on_cpu:
        raise ModelLoadError(f"the eyes' engine '{engine}' runs on the processor only, not on {device}")
    if engine.startswith("openvino") or (engine == "auto" and on_cpu):
        try:
            return _openvino(weights, engine)
        except ImportError as error:
            if engine != "auto":
                raise ModelLoadError(f"the eyes' engine '{engine}' needs openvino: pip install openvino") from error
        except RuntimeError as error:
            if engine != "auto":
                raise ModelLoadError(f"OpenVINO cannot run the eyes here: {error}") from error
            logging.getLogger(__name__).warning("the eyes run in torch: OpenVINO cannot run them here: %s", error)
    narrow = engine == "torch-bfloat16" or (engine != "torch-float32" and (not on_cpu or has_bfloat16_units()))
    dtype = torch.bfloat16 if narrow else torch.float32
    return f"torch-{'bfloat16' if narrow else 'float32'}", TorchEngine(weights, dtype, device)


def _openvino(weights: Weights, engine: str) -> Tuple[str, Any]:
    from clue_ros.eyes.openvino_engine import OpenvinoEngine, has_bfloat16

    narrow = engine == "openvino-bfloat16" or (engine != "openvino-float32" and has_bfloat16())
    return f"openvino-{'bfloat16' if narrow else 'float32'}", OpenvinoEngine(weights, narrow)
