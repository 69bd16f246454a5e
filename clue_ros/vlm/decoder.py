"""One pass through the layers of a Gemma 2 decoder, with the attention tap and the key-value cache as named outputs.

Training, the detector and generation all run this loop; it uses the layers' own modules (so peft adapters apply) and
equals transformers' forward to rounding (tested). Who sees whom, patterns.py says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from transformers.models.gemma2.modeling_gemma2 import apply_rotary_pos_emb

KeyValue = Tuple[torch.Tensor, torch.Tensor]  # float[B,Hkv,S,D] each


@dataclass
class Pass:
    """hidden: float[B,T,W], the input of layer `stop`, or after the final norm if all layers ran.
    cache: keys and values of every layer that ran, past included.
    queries: for each recorded layer, the rotated queries float[B,H,T,D]."""

    hidden: torch.Tensor
    cache: List[KeyValue]
    queries: Dict[int, torch.Tensor] = field(default_factory=dict)


def run_layers(
    language,
    hidden: torch.Tensor,
    positions: torch.Tensor,
    *,
    past: Optional[Sequence[KeyValue]] = None,
    mask: Optional[torch.Tensor] = None,
    stop: Optional[int] = None,
    record: Sequence[int] = (),
    keys_only_last: bool = False,
) -> Pass:
    """Run layers 0 … stop-1 (all if None) of a Gemma2Model over a chunk of embedded tokens.

    hidden: float[B,T,W]; positions: int[B,T], counted from 1; past: cache of the tokens before, one entry a layer;
    mask: bool[B or 1, 1, T, S+T], True where a row may look, None for everywhere.
    keys_only_last: the last layer only makes its keys and values (an image chunk needs no more); hidden is then its
    input.
    """
    count = len(language.layers) if stop is None else stop
    rotation = language.rotary_emb(hidden, positions)
    cache: List[KeyValue] = []
    queries: Dict[int, torch.Tensor] = {}
    for index in range(count):
        layer = language.layers[index]
        attention = layer.self_attn
        normed = _norm(layer.input_layernorm, hidden)
        if keys_only_last and index == count - 1:
            cache.append(_keys_values(attention, normed, rotation))
            return Pass(hidden, cache, queries)
        q = _heads(attention.q_proj(normed), attention.head_dim)
        k, v = (
            _heads(attention.k_proj(normed), attention.head_dim),
            _heads(attention.v_proj(normed), attention.head_dim),
        )
        q, k = apply_rotary_pos_emb(q, k, *rotation)
        if past is not None:
            k, v = torch.cat([past[index][0], k], 2), torch.cat([past[index][1], v], 2)
        cache.append((k, v))
        if index in record:
            queries[index] = q
        mixed = _attend(attention, q, k, v, mask).transpose(1, 2).flatten(2)
        hidden = hidden + _norm(layer.post_attention_layernorm, attention.o_proj(mixed))
        inner = layer.mlp(_norm(layer.pre_feedforward_layernorm, hidden))
        hidden = hidden + _norm(layer.post_feedforward_layernorm, inner)
    return Pass(_norm(language.norm, hidden) if stop is None else hidden, cache, queries)


def image_keys(language, layer: int, hidden: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Rotated keys float[B,Hkv,N,D] of layer `layer` for tokens whose input to that layer is `hidden`."""
    module = language.layers[layer]
    return _keys_values(
        module.self_attn, _norm(module.input_layernorm, hidden), language.rotary_emb(hidden, positions)
    )[0]


def text_queries(language, layer: int, hidden: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Rotated queries float[B,H,T,D] of layer `layer` for tokens whose input to that layer is `hidden`."""
    module = language.layers[layer]
    q = _heads(module.self_attn.q_proj(_norm(module.input_layernorm, hidden)), module.self_attn.head_dim)
    cos, sin = language.rotary_emb(hidden, positions)
    return apply_rotary_pos_emb(q, q, cos, sin)[0]


def attention_scores(attention, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """float32[B,H,T,S]: scaled, soft-capped logits in fp32; in bf16 the map's min-max step would amplify the
    rounding.
    """
    k = k.repeat_interleave(attention.num_key_value_groups, 1)
    scores = torch.matmul(q.float(), k.float().transpose(2, 3)) * attention.scaling
    cap = attention.attn_logit_softcapping
    return cap * torch.tanh(scores / cap) if cap else scores


def logits_of(model, hidden: torch.Tensor) -> torch.Tensor:
    """float32[…,V] of final hidden states, with Gemma 2's final soft-capping."""
    logits = model.lm_head(hidden).float()
    cap = model.config.get_text_config().final_logit_softcapping
    return cap * torch.tanh(logits / cap) if cap else logits


def _heads(x: torch.Tensor, head_dim: int) -> torch.Tensor:
    return x.unflatten(-1, (-1, head_dim)).transpose(1, 2)


def _keys_values(attention, normed: torch.Tensor, rotation) -> KeyValue:
    k = _heads(attention.k_proj(normed), attention.head_dim)
    return apply_rotary_pos_emb(k, k, *rotation)[0], _heads(attention.v_proj(normed), attention.head_dim)


def _norm(module, x: torch.Tensor) -> torch.Tensor:
    return F.rms_norm(x.float(), x.shape[-1:], 1.0 + module.weight.float(), module.eps).type_as(x)


def _attend(attention, q, k, v, mask: Optional[torch.Tensor]) -> torch.Tensor:
    if not attention.attn_logit_softcapping:
        groups = attention.num_key_value_groups
        if groups > 1:
            k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=attention.scaling)
    scores = attention_scores(attention, q, k)
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return torch.matmul(scores.softmax(-1).type_as(v), v.repeat_interleave(attention.num_key_value_groups, 1))
