"""One weight matrix as serving wants it: fused, in the precision that the machine multiplies fastest, with its adapter.

y = x Wᵀ + b + (x Aᵀ) Bᵀ, where A and B are the LoRA factors of everything that is fused into W (Hu et al. 2022), B with
the scale alpha / r folded in. Merged adapters are part of W, and A and B are None.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F

from clue_ros.processor import has_bfloat16_units
from clue_ros.types import ModelLoadError
from clue_ros.vlm.memory import available_memory

FEW_ROWS = 8  # up to here a product is bound by reading the weights, so they are read in their narrow type
_BLOCK = (
    4_096  # outputs at a time: the library reorders what it multiplies, and a copy of a vocabulary's head is a gigabyte
)
_WIDENED = 12_000_000  # numbers of a weight that are widened at a time
LITTLE = 1 << 30  # bytes of float32 weights that are no burden anywhere
WORKING = 2 << 30  # bytes that the work on a picture, the libraries and other programs may want beside the weights
DTYPES = {"auto": None, "float32": torch.float32, "bfloat16": torch.bfloat16}
LowRank = Tuple[torch.Tensor, torch.Tensor]  # A float[r,in], B float[out,r] with the scale in it


@dataclass(frozen=True)
class Precision:
    """storage: dtype of the weights; compute: dtype of activations and, for many rows, of the products.

    They differ on processors without bfloat16 units: those emulate a bfloat16 product at a quarter of float32's rate
    (docs/log), so a weight is widened into a scratch buffer just before it is used and memory stays that of
    bfloat16.
    """

    storage: torch.dtype
    compute: torch.dtype

    @classmethod
    def choose(cls, device: str, dtype: Optional[torch.dtype] = None, wide_bytes: int = 0) -> "Precision":
        """dtype: of the weights; None for bfloat16, but on a CPU for float32 where it costs little: in a model of up to
        LITTLE bytes, or where the processor has no bfloat16 units and the memory holds it. wide_bytes: of the weights
        that stay if they are float32."""
        on_cpu = torch.device(device).type == "cpu"
        storage = dtype or (torch.float32 if on_cpu and _can_be_wide(wide_bytes) else torch.bfloat16)
        native = not on_cpu or storage == torch.float32 or (storage == torch.bfloat16 and has_bfloat16_units())
        return cls(storage, storage if native else torch.float32)


def dtype_named(dtype: Union[str, torch.dtype, None]) -> Optional[torch.dtype]:
    """A dtype, or None for auto, of one of DTYPES' names; what is no name is handed through. Raises ModelLoadError."""
    if not isinstance(dtype, str):
        return dtype
    if dtype not in DTYPES:
        raise ModelLoadError(f"dtype is '{dtype}', must be one of {', '.join(DTYPES)}")
    return DTYPES[dtype]


class Scratch:
    """Buffers for widened weights, shared by all matrices of a model: they are used one at a time."""

    def __init__(self) -> None:
        self._buffers: Dict[torch.dtype, torch.Tensor] = {}

    def widened(self, weight: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """`weight` in another dtype; valid until the next call."""
        buffer = self._buffers.get(dtype)
        if buffer is None or buffer.numel() < weight.numel():
            self._buffers[dtype] = buffer = torch.empty(weight.numel(), dtype=dtype, device=weight.device)
        view = buffer[: weight.numel()].view(weight.shape)
        view.copy_(weight)
        return view


class Dense:
    """A callable linear map; `weight`: float[out,in] in the storage dtype, or quantised (vlm/quantization.py)."""

    def __init__(
        self,
        weight: torch.Tensor,
        bias: Optional[torch.Tensor],
        precision: Precision,
        scratch: Scratch,
        low_rank: Optional[LowRank] = None,
    ):
        self.weight: Any = weight  # or what vlm/quantization.py makes of it
        self.low_rank = low_rank
        self.bias = None if bias is None else bias.to(precision.compute)
        self._precision, self._scratch = precision, scratch

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """x: float[…,in] -> float[…,out] in the compute dtype."""
        y = self._product(x, self.weight)
        if self.low_rank is not None:
            down, up = (t.to(y.dtype) for t in self.low_rank)
            y.view(-1, y.shape[-1]).addmm_(F.linear(x, down).flatten(0, -2), up.t())
        return y

    def rows(self, x: torch.Tensor, first: int, count: int) -> torch.Tensor:
        """Only the outputs first … first+count-1: a box needs 1,024 of a vocabulary's 257,216 logits."""
        return self._product(x, self.weight[first : first + count])

    def with_low_rank(self, low_rank: Optional[LowRank], merge: bool, in_place: bool = False) -> "Dense":
        """This map with an adapter on it: beside it (the weight is shared), or merged into a copy of the weight, or
        into the weight itself."""
        if low_rank is None:
            return self
        down, up = (t.to(self.weight.device) for t in low_rank)
        if not merge:
            narrow = down.to(self._precision.storage), up.to(self._precision.storage)
            return Dense(self.weight, self.bias, self._precision, self._scratch, narrow)
        weight = merged(self.weight, (down, up))
        return Dense(self.weight.copy_(weight) if in_place else weight, self.bias, self._precision, self._scratch)

    def _product(self, x: torch.Tensor, weight) -> torch.Tensor:
        if not isinstance(weight, torch.Tensor):
            y = weight.product(x, self._scratch)
            return y if self.bias is None else y + self.bias
        if weight.dtype == x.dtype:
            return F.linear(x, weight, self.bias)
        if x.numel() // x.shape[-1] <= FEW_ROWS:
            narrow = x.to(weight.dtype)
            y = torch.cat([F.linear(narrow, part) for part in weight.split(_BLOCK)], -1).to(x.dtype)
            return y if self.bias is None else y + self.bias
        return self._widening(x, weight)

    def _widening(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """The product with a weight that is widened a block of outputs at a time, so that the buffer stays small."""
        rows = x.reshape(-1, x.shape[-1])
        y = x.new_empty(rows.shape[0], weight.shape[0])
        step = max(1, _WIDENED // weight.shape[1])
        for first in range(0, weight.shape[0], step):
            part = self._scratch.widened(weight[first : first + step], x.dtype)
            torch.mm(rows, part.t(), out=y[:, first : first + step])
        if self.bias is not None:
            y += self.bias
        return y.view(*x.shape[:-1], -1)


def merged(weight: torch.Tensor, low_rank: LowRank) -> torch.Tensor:
    """float[out,in]: W + B A, summed in float32."""
    down, up = low_rank
    return (weight.float() + up.float() @ down.float()).to(weight.dtype)


def stacked(parts: Sequence[Optional[LowRank]], widths: Sequence[int]) -> Optional[LowRank]:
    """The factors of several maps of one input, for the matrix that has them below each other: A stacked, B block
    diagonal, so that an adapter on q, k and v costs two products instead of six. widths: outputs of each map."""
    present = [p for p in parts if p is not None]
    if not present:
        return None
    down = torch.cat([p[0] for p in present])
    up = down.new_zeros(sum(widths), down.shape[0])
    row = column = 0
    for part, width in zip(parts, widths):
        if part is not None:
            rank = part[0].shape[0]
            up[row : row + width, column : column + rank] = part[1]
            column += rank
        row += width
    return down, up


def _can_be_wide(needed: int) -> bool:
    if needed <= LITTLE:
        return True
    free = available_memory("cpu")
    return not has_bfloat16_units() and (free is None or needed + WORKING <= free)
