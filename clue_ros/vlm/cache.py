"""Keys and values of a sequence in buffers made once, and where a chunk of tokens stands in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Tuple, Union

import torch


class KeyValueCache:
    """Buffers for `capacity` tokens of `batch` sequences. Slot s holds the token at position s + 1.

    keys, values: one float[B,Hkv,capacity,D] a layer, in the dtype of the weights. `writer` marks who wrote the newest
    tokens: a prefill whose tokens have been overwritten by a later one must not go on generating.
    """

    def __init__(
        self, layers: int, kv_heads: int, head_dim: int, capacity: int, dtype: torch.dtype, device, batch: int = 1
    ):
        shape = (batch, kv_heads, capacity, head_dim)
        # Sequences of mixed length and steps of fixed size look past the end, with weight 0; what lies there must not
        # be NaN.
        self.keys: List[torch.Tensor] = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(layers)]
        self.values: List[torch.Tensor] = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(layers)]
        self.capacity, self.batch = capacity, batch
        self.writer: Optional[object] = None

    @property
    def bytes(self) -> int:
        return sum(t.numel() * t.element_size() for t in (*self.keys, *self.values))

    def take(self, other: "KeyValueCache", count: int) -> None:
        """Copy the first `count` tokens of another cache of the same model."""
        for mine, theirs in zip((*self.keys, *self.values), (*other.keys, *other.values)):
            mine[:, :, :count] = theirs[:, :, :count]

    def grown(self, capacity: int, kept: int) -> "KeyValueCache":
        """A larger cache with the first `kept` tokens of this one."""
        first = self.keys[0]
        other = KeyValueCache(
            len(self.keys), first.shape[1], first.shape[3], capacity, first.dtype, first.device, self.batch
        )
        other.take(self, kept)
        return other


@dataclass
class Placement:
    """Where a chunk of T tokens stands. cos, sin: float[B or 1,T,1,D], sin signed for `rotate`; slots: a slice of the
    cache for sequences that stand alike, or int64[B,T]; length: how much of the cache is in use afterwards."""

    cos: torch.Tensor
    sin: torch.Tensor
    slots: Union[slice, torch.Tensor]
    length: int

    def rotate(self, x: torch.Tensor) -> torch.Tensor:
        """Rotary position embedding of float[B,T,H,D]: x·cos + (-x₂, x₁)·sin."""
        return torch.addcmul(x * self.cos, x.roll(x.shape[-1] // 2, -1), self.sin)

    def write(self, buffer: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        """Put float[B,Hkv,T,D] into a buffer; returns the part in use, in the dtype of `new`."""
        if isinstance(self.slots, slice):
            buffer[:, :, self.slots] = new
            if self.length == new.shape[2]:
                return new  # nothing stands before it
        else:
            rows = torch.arange(new.shape[0], device=new.device)[:, None]
            buffer[rows, :, self.slots] = new.transpose(1, 2).to(buffer.dtype)
        return buffer[:, :, : self.length].to(new.dtype)


class Rotation:
    """cos and signed sin of the rotary embedding for positions 1, 2, …, made once and grown on demand.

    Tables that were outgrown stay: a captured step knows the one that it was captured with by its address.
    """

    def __init__(self, rotary, dtype: torch.dtype, device):
        self._rotary, self._dtype, self._device = rotary, dtype, device
        self._tables: List[Tuple[torch.Tensor, torch.Tensor]] = []

    def chunk(self, first: int, count: int) -> Placement:
        """`count` tokens from position `first`, every sequence alike."""
        cos, sin = self._up_to(first + count - 1)
        inside = slice(first - 1, first - 1 + count)
        return Placement(cos[inside][None, :, None], sin[inside][None, :, None], inside, first - 1 + count)

    def scattered(self, positions: torch.Tensor, length: int) -> Placement:
        """Tokens at positions int64[B,T] of their sequences; length: of the cache in use."""
        cos, sin = self._up_to(length)
        slots = positions - 1
        return Placement(cos[slots][:, :, None], sin[slots][:, :, None], slots, length)

    def _up_to(self, last: int) -> Tuple[torch.Tensor, torch.Tensor]:
        if not self._tables or self._tables[-1][0].shape[0] < last:
            positions = torch.arange(1, max(last, 512) + 513, device=self._device)[None]
            cos, sin = self._rotary(torch.empty(1, device=self._device, dtype=torch.float32), positions)
            sin = sin[0].clone()
            sin[:, : sin.shape[1] // 2] *= -1
            self._tables.append((cos[0].to(self._dtype), sin.to(self._dtype)))
        return self._tables[-1]
