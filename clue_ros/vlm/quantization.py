"""Weight-only quantisation for boards with 8 GB: int8 (one scale an output row) or int4 (scale and zero for every 32
inputs).

Only the matrices of the decoder's and the tower's layers are quantised, after merging; embeddings, norms, the projector
and what the attention tap computes in float32 stay as they are. On a CPU the products are torch's own kernels for few
rows; for many rows int8 weights are widened like bfloat16 ones. On a GPU they are widened for every product, as
torchao's own int8 does outside torch.compile: int8 saves memory there, not time (`clue doctor` measures it). int4
weights go through torchao to a kernel that reads them narrow. torchao is not used on a CPU: its int8 product of one
float32 row took 38 ms where this takes 3, and installed it adds about a second to every start, because transformers
imports it (docs/log).
"""

from __future__ import annotations

import contextlib
from typing import Any, Dict, Iterable, Iterator, List

import torch
import torch.nn.functional as F

from clue_ros.types import ModelLoadError
from clue_ros.vlm.dense import FEW_ROWS, Dense, Scratch
from clue_ros.vlm.quiet import quiet

KINDS = ("none", "int8", "int4")
GROUP = 32  # inputs that share a scale in int4
INT8_INPUTS = 16  # torch's int8 kernel reads so many inputs at a time, also beyond the end of a row (torch 2.13)
_ROUNDED = 250_000  # numbers of a matrix that are rounded at a time
PACKED_TOGETHER = 64  # output rows that its layout interleaves, at most
INT4_ERROR = 0.3  # of a product's length; a matrix of normally distributed weights is off by 0.08
PACKED_OUTPUTS = 16  # torch's int4 kernel wants a multiple of so many output rows


_KERNELS: Any = torch  # torch's own stubs know no kernel for packed weights


class Int8Weight:
    """int8[out,in] with a scale an output row: |w| <= 127 · scale."""

    def __init__(self, weight: torch.Tensor):
        self.scale = torch.empty(weight.shape[0], device=weight.device)
        self.values = torch.empty(weight.shape, dtype=torch.int8, device=weight.device)
        for rows in _blocks(weight):
            wide = weight[rows].float()
            self.scale[rows] = wide.abs().amax(1).clamp_min(1e-12) / 127
            self.values[rows] = wide.div(self.scale[rows, None]).round_().to(torch.int8)
        self._narrow_scale = self.scale.bfloat16()
        self.packed = weight.device.type == "cpu"  # whether torch's kernel for few rows is used: a GPU's is slow
        self.shape = self.values.shape

    @property
    def bytes(self) -> int:
        return self.values.numel() + 4 * self.scale.numel()

    def product(self, x: torch.Tensor, scratch: Scratch) -> torch.Tensor:
        """float[…,in] -> float[…,out]."""
        if not self.packed:  # not in the scratch, which may be made again while a captured graph knows its address
            return F.linear(x, self.values.to(x.dtype)) * self.scale.to(x.dtype)
        if x.numel() // x.shape[-1] <= FEW_ROWS and self.shape[1] % INT8_INPUTS == 0:
            rows = x.reshape(-1, x.shape[-1]).bfloat16().contiguous()  # the kernel for narrower inputs is the fast one
            y = _KERNELS._weight_int8pack_mm(rows, self.values, self._narrow_scale)
            return y.to(x.dtype).reshape(*x.shape[:-1], -1)
        return F.linear(x, scratch.widened(self.values, x.dtype)) * self.scale.to(x.dtype)


class DeviceInt4Weight:
    """float[out,in] as torchao packs it for a GPU's int4 kernel. Raises ModelLoadError where that kernel multiplies
    wrongly, or cannot be had: nothing else reads what is packed."""

    def __init__(self, weight: torch.Tensor, device):
        self._packed = _by_torchao(weight, device)
        self.shape = weight.shape
        x = torch.randn(4, weight.shape[1], generator=torch.Generator().manual_seed(0)).to(weight)
        expected = F.linear(x, weight).float()
        share = float((F.linear(x, self._packed).float() - expected).norm() / expected.norm().clamp_min(1e-12))
        if not share <= INT4_ERROR:
            raise ModelLoadError(
                f"the int4 kernel of {device} multiplies wrongly: {share:.2g} off where rounding explains "
                f"{INT4_ERROR}; set quantization to int8, or none"
            )

    def product(self, x: torch.Tensor, scratch: Scratch) -> torch.Tensor:
        """float[…,in] -> float[…,out]."""
        return F.linear(x, self._packed)


class Int4Weight:
    """float[out,in] as 4-bit numbers q in [0, 15]: w ≈ (q - 8) · scale + zero, both per output and group of inputs."""

    def __init__(self, weight: torch.Tensor):
        self._packed = weight.new_empty(weight.shape[0], weight.shape[1] // 2, dtype=torch.uint8)
        self._scale_zero = weight.new_empty(weight.shape[1] // GROUP, weight.shape[0], 2, dtype=torch.bfloat16)
        for rows in _blocks(weight):
            groups = weight[rows].float().unflatten(1, (-1, GROUP))
            low, high = groups.amin(2), groups.amax(2)
            scale = ((high - low) / 15).clamp_min(1e-9)
            q = groups.sub(low[..., None]).div_(scale[..., None]).round_().clamp_(0, 15).flatten(1).int()
            self._packed[rows] = _KERNELS._convert_weight_to_int4pack_for_cpu(q, 1)
            self._scale_zero[:, rows] = torch.stack([scale, low + 8 * scale], 2).transpose(0, 1).bfloat16()
        self.shape = weight.shape

    @property
    def bytes(self) -> int:
        return self._packed.numel() * self._packed.element_size() + 2 * self._scale_zero.numel()

    def product(self, x: torch.Tensor, scratch: Scratch) -> torch.Tensor:
        """float[…,in] -> float[…,out]; the kernel is made for bfloat16 inputs."""
        rows = (
            x.reshape(-1, x.shape[-1]).bfloat16().contiguous()
        )  # half of a fused output, in bfloat16 already, is a view
        y = _KERNELS._weight_int4pack_mm_for_cpu(rows, self._packed, GROUP, self._scale_zero)
        return y.to(x.dtype).reshape(*x.shape[:-1], -1)


def check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise ModelLoadError(f"quantization is '{kind}', must be one of {', '.join(KINDS)}")


def quantize(matrices: Iterable[Dense], kind: str, device) -> None:
    """Replace the matrices' weights in place, each weight once though several may share it, and free it as soon as it
    is done. Under int4 a matrix whose sides do not fit the kernel stays as it is.

    Raises ModelLoadError for an unknown kind, or where this device cannot do it.
    """
    check_kind(kind)
    groups: Dict[int, List[Dense]] = {}
    for matrix in matrices:
        groups.setdefault(id(matrix.weight), []).append(matrix)
    while groups and kind != "none":
        sharing = groups.pop(next(iter(groups)))
        weight = _quantized(sharing[0].weight, kind, device)
        for matrix in sharing:
            matrix.weight = weight


def stays(model, dtype: torch.dtype, kind: str) -> int:
    """Bytes that the weights of a PaliGemmaForConditionalGeneration take when served, adapters apart."""
    check_kind(kind)
    everything = sum(p.numel() for p in model.parameters())
    layers = [model.model.language_model.layers]
    if hasattr(model.model.vision_tower, "encoder"):  # the eyes of clue_ros/eyes are never quantised
        layers.append(model.model.vision_tower.encoder.layers)
    weights = [p for part in layers for p in part.parameters() if p.ndim == 2]
    matrices = sum(p.numel() for p in weights if fits(kind, *p.shape))
    each = 1 if kind == "int8" else 0.5 + 4 / GROUP
    return int(matrices * each) + (everything - matrices) * dtype.itemsize


def _blocks(weight: torch.Tensor) -> Iterator[slice]:
    """Rows that are rounded at a time: in float32 a whole matrix would be four to eight times what stays of it."""
    step = max(1, _ROUNDED // (weight.shape[1] * PACKED_TOGETHER)) * PACKED_TOGETHER
    return (slice(first, first + step) for first in range(0, weight.shape[0], step))


def fits(kind: str, outputs: int, inputs: int) -> bool:
    """Whether a matrix takes another form under this kind; otherwise it stays as it is."""
    return kind == "int8" or kind == "int4" and not (inputs % GROUP or outputs % PACKED_OUTPUTS)


def _quantized(weight: torch.Tensor, kind: str, device):
    if not fits(kind, *weight.shape):
        return weight
    if kind == "int8":
        return Int8Weight(weight)
    return Int4Weight(weight) if torch.device(device).type == "cpu" else DeviceInt4Weight(weight, device)


def _by_torchao(weight: torch.Tensor, device) -> torch.Tensor:
    try:
        with quiet():
            from torchao.quantization import Int4WeightOnlyConfig, quantize_  # pyright: ignore[reportMissingImports]  # optional
    except ImportError as error:
        raise ModelLoadError(f"quantization 'int4' on {device} needs torchao: pip install torchao ({error})") from error
    holder = torch.nn.Linear(1, 1, bias=False)
    holder.weight = torch.nn.Parameter(weight, requires_grad=False)
    holder.out_features, holder.in_features = weight.shape
    # torchao asks the current device what it can, not the weight's.
    there = torch.cuda.device(weight.device) if weight.device.type == "cuda" else contextlib.nullcontext()
    try:
        with there:
            quantize_(holder, Int4WeightOnlyConfig(group_size=GROUP, int4_packing_format="tile_packed_to_4d"))
    except (RuntimeError, NotImplementedError, AssertionError, ValueError, ImportError) as error:
        raise ModelLoadError(f"torchao cannot quantise to int4 on {device}: {error}") from error
    return holder.weight.data
