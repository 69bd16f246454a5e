"""The decoder as serving runs it: fused weights, a preallocated cache, the attention tap on the way.

It computes what `decoder.run_layers` (training) and transformers compute, to rounding (tested), with about a third of
the operations: q, k, v are one product, gate and up are one, adapters are merged or two skinny products beside them,
1 + w of every norm and the rotary tables are made once, and keys and values are written into their buffer instead of
being copied together for every token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F

from clue_ros.vlm.adapters import decide_merge
from clue_ros.vlm.assembly import Assembly
from clue_ros.vlm.attention import attention_vector
from clue_ros.vlm.cache import KeyValueCache, Placement, Rotation
from clue_ros.vlm.dense import Dense, Precision, Scratch, stacked

# What stands below each other in one matrix, in the order of _Layer's fields: (part of a Gemma2DecoderLayer, names).
_FUSED = (
    ("self_attn", ("q_proj", "k_proj", "v_proj")),
    ("self_attn", ("o_proj",)),
    ("mlp", ("gate_proj", "up_proj")),
    ("mlp", ("down_proj",)),
)


class Tap(NamedTuple):
    """What the detector reads on the way. layer: k; rows: bool[B,T] of the chunk; image: number of image tokens;
    in_chunk: the image stands at the beginning of this chunk (full attention) instead of in the cache."""

    layer: int
    rows: torch.Tensor
    image: int
    in_chunk: bool


@dataclass
class Run:
    """hidden: float[B,T,W], the input of layer `stop`, or after the final norm; attention: float32[B,N] of the tap."""

    hidden: torch.Tensor
    attention: Optional[torch.Tensor] = None


@dataclass
class _Layer:
    qkv: Dense
    out: Dense
    gate_up: Dense
    down: Dense
    norms: List[torch.Tensor]  # (1 + w)·_norm_scale in float32: before and after attention, before and after the MLP

    def matrices(self) -> Tuple[Dense, ...]:
        return self.qkv, self.out, self.gate_up, self.down


class DecoderPlan:
    """The layers of one Gemma 2 decoder under one adapter. Plans of several adapters share what they do not change."""

    def __init__(self, layers: List[_Layer], language, head: Dense, precision: Precision):
        first = language.layers[0].self_attn
        config = language.config
        self._layers, self.head, self.precision = layers, head, precision
        self._embedding = language.embed_tokens
        self._heads, self._kv_heads = config.num_attention_heads, config.num_key_value_heads
        self._head_dim, self._scaling = first.head_dim, first.scaling
        self._softcap = first.attn_logit_softcapping
        self._final_cap = config.final_logit_softcapping
        self._eps = config.rms_norm_eps
        scale = _norm_scale(language, precision)
        self._as_hypotenuse = scale is not None
        self._least = torch.tensor((config.hidden_size * config.rms_norm_eps) ** 0.5)
        self._final_norm = (1.0 + language.norm.weight.float()) * (scale or 1.0)
        device = language.embed_tokens.weight.device
        self._rotation = Rotation(language.rotary_emb, precision.compute, device)
        self.device = device

    @property
    def depth(self) -> int:
        return len(self._layers)

    def matrices(self) -> List[Dense]:
        """Every layer's weight matrices, to quantise or to count."""
        return [matrix for layer in self._layers for matrix in layer.matrices()]

    def new_cache(self, capacity: int, batch: int = 1, layers: Optional[int] = None) -> KeyValueCache:
        return KeyValueCache(
            layers or self.depth, self._kv_heads, self._head_dim, capacity, self.precision.storage, self.device, batch
        )

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """float[B,T,W] of int64[B,T]."""
        return self._embedding(ids).to(self.precision.compute)

    def place(self, first: int, count: int) -> Placement:
        return self._rotation.chunk(first, count)

    def place_scattered(self, positions: torch.Tensor, length: int) -> Placement:
        return self._rotation.scattered(positions, length)

    def run(
        self,
        hidden: torch.Tensor,
        place: Placement,
        cache: Optional[KeyValueCache],
        *,
        mask: Optional[torch.Tensor] = None,
        stop: Optional[int] = None,
        tap: Optional[Tap] = None,
        keys_only_last: bool = False,
        closing_only: bool = False,
    ) -> Run:
        """Run layers 0 … stop-1 (all if None) over a chunk float[B,T,W] of embedded tokens.

        cache: None if nothing stands before the chunk and nothing will come after it. mask: bool[B or 1,1,T,S], True
        where a row may look, None for everywhere in the part of the cache in use. tap: its layer may be `stop`, whose
        values, output and MLP then never run. keys_only_last: the last layer only writes its keys and values;
        closing_only: it is finished for the last row alone, float[B,1,W], which is all that the next token needs.
        """
        count = self.depth if stop is None else stop
        attention = None
        for index in range(count):
            layer = self._layers[index]
            last = keys_only_last and index == count - 1
            q, k, v = self._project(layer, hidden, place)
            if cache is not None:
                k, v = place.write(cache.keys[index], k), place.write(cache.values[index], v)
            if last:
                return Run(hidden, attention)
            if tap is not None and tap.layer == index:
                attention = self._read(tap, q, k)
            if closing_only and index == count - 1:
                q, hidden, mask = q[:, :, -1:], hidden[:, -1:], None if mask is None else mask[:, :, -1:]
            mixed = self._attend(q, k, v, mask)
            hidden = hidden + self._norm(layer.out(mixed), layer.norms[1])
            gate, up = layer.gate_up(self._norm(hidden, layer.norms[2])).chunk(2, -1)
            inner = layer.down(
                torch.ops.aten.gelu_(gate, approximate="tanh").mul_(up)
            )  # in place: these are the largest
            hidden = hidden + self._norm(inner, layer.norms[3])
        if tap is not None and tap.layer == count:
            # Of the first layer that does not run only q and k count; its v comes along in the fused product.
            q, k, _ = self._project(self._layers[count], hidden, place)
            if cache is not None and not tap.in_chunk:
                k = cache.keys[count].to(q.dtype)
            attention = self._read(tap, q, k)
        return Run(self.final(hidden) if stop is None else hidden, attention)

    def final(self, hidden: torch.Tensor) -> torch.Tensor:
        """The final norm, for float[…,W] that left the last layer in use."""
        return self._norm(hidden, self._final_norm)

    def logits(self, hidden: torch.Tensor, first: int = 0, count: Optional[int] = None) -> torch.Tensor:
        """float32[…,V] of final hidden states, or of `count` tokens of the vocabulary from `first` on."""
        raw = (self.head(hidden) if count is None else self.head.rows(hidden, first, count)).float()
        return self._final_cap * torch.tanh(raw / self._final_cap) if self._final_cap else raw

    def _project(self, layer: _Layer, hidden: torch.Tensor, place: Placement):
        """Rotated q float[B,H,T,D] and k, and v float[B,Hkv,T,D]."""
        fused = layer.qkv(self._norm(hidden, layer.norms[0])).unflatten(-1, (-1, self._head_dim))
        turned = place.rotate(fused[:, :, : self._heads + self._kv_heads])
        q, k = turned.split([self._heads, self._kv_heads], 2)
        return q.transpose(1, 2), k.transpose(1, 2), fused[:, :, self._heads + self._kv_heads :].transpose(1, 2)

    def _attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: Optional[torch.Tensor]) -> torch.Tensor:
        """float[B,T,H·D]."""
        if not self._softcap:
            mixed = F.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, scale=self._scaling, enable_gqa=self._heads != self._kv_heads
            )
            return mixed.transpose(1, 2).flatten(2)
        batch, _, rows, width = q.shape
        scores = self._scores(q, k, q.dtype)
        if mask is not None:
            scores = (
                scores.unflatten(2, (-1, rows))
                .masked_fill_(~mask[:, :, None], torch.finfo(scores.dtype).min)
                .flatten(2, 3)
            )
        mixed = torch.matmul(scores.softmax(-1).to(v.dtype), v)
        return mixed.unflatten(2, (-1, rows)).permute(0, 3, 1, 2, 4).flatten(2)

    def _scores(self, q: torch.Tensor, k: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """float32[B,Hkv,G·T,S]: scaled, soft-capped logits; the heads of a group stand below each other, so that no key
        is copied for them. The product is taken in `dtype`."""
        grouped = q.unflatten(1, (self._kv_heads, -1)).flatten(2, 3)
        scores = torch.matmul(grouped.to(dtype), k.to(dtype).transpose(2, 3)).float()
        if not self._softcap:
            return scores.mul_(self._scaling)
        return scores.mul_(self._scaling / self._softcap).tanh_().mul_(self._softcap)

    def _read(self, tap: Tap, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        """float32[B,N]: Eqs. 1 and 2 of the paper from the chunk's rotated queries and keys that begin with the
        image's. In float32 throughout: the map's min-max step would amplify a narrower type's rounding."""
        skipped = tap.image if tap.in_chunk else 0
        rows = tap.rows[:, skipped:]
        scores = self._scores(q[:, :, skipped:], k[:, :, : tap.image], torch.float32)
        return attention_vector(scores.unflatten(2, (-1, rows.shape[1])).flatten(1, 2), rows)

    def _norm(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        if self._as_hypotenuse:
            return (x / torch.hypot(torch.linalg.vector_norm(x, dim=-1, keepdim=True), self._least)).mul_(weight)
        return F.rms_norm(x.float(), weight.shape, weight, self._eps).to(x.dtype)


def plans_of(
    model,
    precision: Precision,
    scratch: Scratch,
    adapters: Mapping[str, Mapping],
    merge: str,
    assembly: Assembly = Assembly(),
) -> Dict[str, DecoderPlan]:
    """The decoder of a PaliGemmaForConditionalGeneration without adapter ("") and under each, by name. merge: 'auto',
    'yes' or 'no', of adapters into the weights.

    The modules keep working unless the assembly quantises: their weights become views of the fused ones, so that
    nothing is held twice.
    """
    language = model.model.language_model
    for part in (language.embed_tokens, model.lm_head, language.norm):
        assembly.fill(part)
    merging = decide_merge(merge, sum(p.numel() for p in language.layers.parameters() if p.ndim == 2))
    # One adapter and merging wanted: into the weights themselves, which nobody needs without it then.
    alone = merge == "yes" and len(adapters) == 1
    layers: Dict[str, List[_Layer]] = {"": [], **{name: [] for name in adapters}}
    for index, module in enumerate(language.layers):
        own = {name: factors.get(index, {}) for name, factors in adapters.items()}
        matrices = []
        for part, names in _FUSED:
            parts = [getattr(getattr(module, part), name) for name in names]
            widths = [p.out_features for p in parts]
            base = Dense(assembly.fused(parts), None, precision, scratch)
            made = {"": base}
            for name, factors in own.items():
                low_rank = stacked([factors.get(n) for n in names], widths)
                made[name] = base.with_low_rank(low_rank, merging, alone)
            assembly.finish(parts, made.values())
            matrices.append(made)
        assembly.fill(module)  # the norms
        norms = _norms(module, language, precision)
        for name, its in layers.items():
            qkv, out, gate_up, down = (made[name] for made in matrices)
            its.append(_Layer(qkv, out, gate_up, down, norms))
    head = Dense(model.lm_head.weight.detach(), None, precision, scratch)
    return {name: DecoderPlan(its, language, head, precision) for name, its in layers.items()}


def _norms(module, language, precision: Precision) -> List[torch.Tensor]:
    scale = _norm_scale(language, precision) or 1.0
    names = ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm")
    return [(1.0 + getattr(module, name).weight.float()) * scale for name in names]


def _norm_scale(language, precision: Precision) -> Optional[float]:
    """√W where a norm is taken as x / √(|x|² + W·eps) times √W·(1 + w), which this factor is part of: torch has no
    fused kernel for float32 on a CPU, and this takes half of its time. None elsewhere."""
    on_cpu = language.embed_tokens.weight.device.type == "cpu"
    return language.config.hidden_size**0.5 if on_cpu and precision.compute == torch.float32 else None
