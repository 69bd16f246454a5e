"""A DINOv2 from its folder, as the engines want it: everything that is a fixed linear map is folded into the matrices.

A folder holds `config.json` and one .safetensors file, both as transformers writes them for Dinov2Model, so a download
of `facebook/dinov2-small` or `-base` is one, too. `taps` in the config names the layers that are handed out.

Folded in float32, when it is read: the layer scale into the matrix before it, weight and bias of a layer norm into the
matrix after it, the division of the pixels by their spread into the kernel. No layer norm has parameters after that.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

import torch
import torch.nn.functional as F

from clue_ros.types import ModelLoadError

MEAN = (0.485, 0.456, 0.406)  # of ImageNet's pixels as shares of 255, red, green, blue
SPREAD = (0.229, 0.224, 0.225)
# What is taken off the pixels: whole numbers near the mean, so that the difference is exact in bfloat16. The kernel's
# bias holds the rest.
GREY = (124, 116, 104)
_TENSOR = {
    "qkv": ("attention.attention.query", "attention.attention.key", "attention.attention.value"),
    "out": ("attention.output.dense",),
    "up": ("mlp.fc1",),
    "down": ("mlp.fc2",),
}


@dataclass(frozen=True)
class Shape:
    """Of a vision transformer. width, mlp: channels; patch: pixels a side; grid: position embeddings a side;
    taps: the layers whose output is handed out, from 1."""

    width: int
    layers: int
    heads: int
    mlp: int
    patch: int
    grid: int
    eps: float
    taps: Tuple[int, ...]


class Matrix(NamedTuple):
    """y = x Wᵀ + b. weight: float32[out,in]; bias: float32[out]."""

    weight: torch.Tensor
    bias: torch.Tensor


class Layer(NamedTuple):
    """x += out(attention(qkv(norm x))), x += down(gelu(up(norm x))); the norms have no parameters."""

    qkv: Matrix
    out: Matrix
    up: Matrix
    down: Matrix


@dataclass(frozen=True)
class Weights:
    """kernel: of pixels minus GREY, its columns ordered row, column, colour; cls: float32[1,D] with its position;
    positions: float32[1,D,grid,grid]."""

    shape: Shape
    kernel: Matrix
    cls: torch.Tensor
    positions: torch.Tensor
    layers: Tuple[Layer, ...]

    def offsets(self, side: int) -> torch.Tensor:
        """float32[1+N,D]: what is added to the products of the kernel in a picture of `side` pixels. First the CLS
        token, then the kernel's bias and the positions, interpolated as in transformers' Dinov2Model."""
        rows = side // self.shape.patch
        grid = self.positions
        if rows != self.shape.grid:
            grid = F.interpolate(grid, size=(rows, rows), mode="bicubic", align_corners=False)
        return torch.cat([self.cls, grid.flatten(2)[0].t() + self.kernel.bias])


def read_weights(folder: Path) -> Weights:
    """Raises ModelLoadError naming the file that is missing, corrupt or of another shape."""
    folder = Path(folder)
    shape = read_shape(folder / "config.json")
    name, tensors = _read_tensors(folder)
    try:
        return _folded(shape, tensors)
    except KeyError as error:
        raise ModelLoadError(f"{name} lacks the tensor {error}: it is no whole DINOv2") from error
    except RuntimeError as error:
        raise ModelLoadError(f"{name} does not fit {folder / 'config.json'}: {error}") from error


def read_shape(path: Path) -> Shape:
    """Of a config.json. Raises ModelLoadError."""
    try:
        values: Dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        layers, width = int(values["num_hidden_layers"]), int(values["hidden_size"])
        patch = int(values["patch_size"])
        shape = Shape(
            width=width,
            layers=layers,
            heads=int(values["num_attention_heads"]),
            mlp=int(width * values.get("mlp_ratio", 4)),
            patch=patch,
            grid=int(values["image_size"]) // patch,
            eps=float(values.get("layer_norm_eps", 1e-6)),
            taps=tuple(int(tap) for tap in values.get("taps", (layers // 2, layers * 3 // 4, layers))),
        )
    except OSError as error:
        raise ModelLoadError(f"{path} cannot be read: {error.strerror}") from error
    except KeyError as error:
        raise ModelLoadError(f"{path} lacks {error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelLoadError(f"{path} is no configuration of a DINOv2: {error}") from error
    if values.get("use_swiglu_ffn"):
        raise ModelLoadError(f"{path}: a DINOv2 with SwiGLU (giant) is not supported")
    if width % shape.heads or not shape.taps or not all(1 <= tap <= layers for tap in shape.taps):
        raise ModelLoadError(
            f"{path}: {shape.heads} heads or taps {list(shape.taps)} do not fit {layers} layers of {width}"
        )
    return shape


def _read_tensors(folder: Path) -> Tuple[Path, Dict[str, torch.Tensor]]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    files = sorted(folder.glob("*.safetensors"))
    if len(files) != 1:
        raise ModelLoadError(f"{folder} holds {len(files) or 'no'} .safetensors files, must hold the eyes' one")
    try:
        return files[0], load_file(files[0])
    except (SafetensorError, OSError) as error:
        raise ModelLoadError(f"{files[0]} is corrupt or truncated: {error}") from error


def _folded(shape: Shape, tensors: Dict[str, torch.Tensor]) -> Weights:
    def take(name: str, *dimensions: int) -> torch.Tensor:
        tensor = tensors[name].float()
        if tuple(tensor.shape) != dimensions:
            raise RuntimeError(f"{name} is {list(tensor.shape)}, must be {list(dimensions)}")
        return tensor

    width, patch = shape.width, shape.patch
    widths = {"qkv": (width, width), "out": (width, width), "up": (shape.mlp, width), "down": (width, shape.mlp)}

    def matrix(block: str, part: str, norm: str = "", scale: str = "") -> Matrix:
        names, (outputs, inputs) = _TENSOR[part], widths[part]
        weight = torch.cat([take(f"{block}.{name}.weight", outputs, inputs) for name in names])
        bias = torch.cat([take(f"{block}.{name}.bias", outputs) for name in names])
        if norm:
            bias = bias + weight @ take(f"{block}.{norm}.bias", width)
            weight = weight * take(f"{block}.{norm}.weight", width)
        if scale:
            factor = take(f"{block}.{scale}.lambda1", width)
            weight, bias = weight * factor[:, None], bias * factor
        return Matrix(weight.contiguous(), bias)

    layers: List[Layer] = []
    for number in range(shape.layers):
        block = f"encoder.layer.{number}"
        layers.append(
            Layer(
                matrix(block, "qkv", norm="norm1"),
                matrix(block, "out", scale="layer_scale1"),
                matrix(block, "up", norm="norm2"),
                matrix(block, "down", scale="layer_scale2"),
            )
        )
    positions = take("embeddings.position_embeddings", 1, 1 + shape.grid**2, width)
    grid = positions[:, 1:].transpose(1, 2).unflatten(2, (shape.grid, shape.grid)).contiguous()
    kernel = _kernel(
        take("embeddings.patch_embeddings.projection.weight", width, 3, patch, patch),
        take("embeddings.patch_embeddings.projection.bias", width),
    )
    return Weights(shape, kernel, take("embeddings.cls_token", 1, 1, width)[0] + positions[:, 0], grid, tuple(layers))


def _kernel(weight: torch.Tensor, bias: torch.Tensor) -> Matrix:
    """Of pixels minus GREY: (p/255 - mean) / spread = (p - grey) / (255 spread) + (grey/255 - mean) / spread."""
    grey, mean, spread = (torch.tensor(each, dtype=torch.float32) for each in (GREY, MEAN, SPREAD))
    bias = bias + torch.einsum("dchw,c->d", weight, (grey / 255 - mean) / spread)
    weight = weight / (255 * spread)[:, None, None]
    return Matrix(weight.permute(0, 2, 3, 1).flatten(1).contiguous(), bias)
