"""One pass of a batch through the decoder with gradients: words, map and verdict, for every attention pattern.

The layers run through vlm/decoder.py, the loop of detector and tests, one at a time, so that each can be run again in
the backward pass instead of keeping its insides. Layers below the first adapted one keep nothing in any case: nothing
in them asks for a gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import torch
from torch.utils.checkpoint import checkpoint

from clue_ros.finetune.batch import IGNORE, Batch
from clue_ros.vlm.attention import attention_vector, to_map
from clue_ros.vlm.decoder import attention_scores, image_keys, logits_of, run_layers, text_queries
from clue_ros.vlm.patterns import AttentionPattern


@dataclass(frozen=True)
class Route:
    """How a batch runs. pattern: who sees whom; stop: layers that run, None for all; tap: the layer
    whose map is read, None for no map; checkpoint_from: first layer run again in the backward pass, None: none."""

    pattern: AttentionPattern
    stop: Optional[int]
    tap: Optional[int] = None
    checkpoint_from: Optional[int] = None


@dataclass
class Passed:
    """text: float[B,T,W], hidden states of the text rows after the last layer that ran, through the final norm where
    all did; maps: float32[B,g,g] in [0, 1] if tapped."""

    text: torch.Tensor
    maps: Optional[torch.Tensor] = None


def run_batch(language, features: torch.Tensor, batch: Batch, route: Route) -> Passed:
    """features: float[B,N,W], projected. Of the tapped layer itself only queries and keys are needed for the map."""
    count = features.shape[1]
    hidden, positions, mask = _start(language, features, batch, route.pattern)
    stop = len(language.layers) if route.stop is None else route.stop
    maps = None
    for index in range(stop):
        if index == route.tap:
            maps = layer_map(language, index, hidden, positions, batch.rows, count)
        hidden = _layer(language, index, hidden, positions, mask, route)
    if route.tap == stop:
        maps = layer_map(language, stop, hidden, positions, batch.rows, count)
    hidden = hidden[:, count:]
    return Passed(language.norm(hidden) if route.stop is None else hidden, maps)


def maps_of_layers(language, features: torch.Tensor, batch: Batch, pattern: AttentionPattern) -> torch.Tensor:
    """float32[B,L,g,g] in [0, 1]: the map of every layer, from one pass; arguments as of `run_batch`."""
    count, route = features.shape[1], Route(pattern, None)
    hidden, positions, mask = _start(language, features, batch, pattern)
    maps = []
    for index in range(len(language.layers)):
        maps.append(layer_map(language, index, hidden, positions, batch.rows, count))
        if index + 1 < len(language.layers):
            hidden = _layer(language, index, hidden, positions, mask, route)
    return torch.stack(maps, 1)


def _start(language, features: torch.Tensor, batch: Batch, pattern: AttentionPattern):
    """(hidden states, positions, mask) of a batch before the first layer."""
    count, length = features.shape[1], batch.ids.shape[1]
    text = language.embed_tokens(batch.ids)
    hidden = torch.cat([features.to(text.dtype), text], 1)
    positions = torch.arange(1, count + length + 1, device=hidden.device)[None].expand(len(hidden), -1)
    return hidden, positions, pattern.mask(batch.prefix, count, length)


def layer_map(
    language, layer: int, hidden: torch.Tensor, positions: torch.Tensor, rows: torch.Tensor, count: int
) -> torch.Tensor:
    """float32[B,g,g] in [0, 1] of a layer whose input is `hidden`; rows: bool[B,T] of the text. The softmax stays in
    float32 under mixed precision too: min-max would amplify bfloat16's rounding."""
    queries = text_queries(language, layer, hidden[:, count:], positions[:, count:])
    keys = image_keys(language, layer, hidden[:, :count], positions[:, :count])
    with torch.autocast(hidden.device.type, enabled=False):
        scores = attention_scores(language.layers[layer].self_attn, queries, keys)
        grid = int(round(count**0.5))
        return to_map(attention_vector(scores, rows), grid, grid)


def closing_logits(model, text: torch.Tensor, batch: Batch, normed: bool) -> torch.Tensor:
    """float32[B,V]: what the closing row of each prefix would say. normed: `text` went through the final norm."""
    closing = text[torch.arange(len(text), device=text.device), batch.prefix - 1]
    return logits_of(model, closing if normed else model.model.language_model.norm(closing))


def suffix_logits(model, text: torch.Tensor, batch: Batch) -> torch.Tensor:
    """float32[targets,V], in the order of `batch.targets[batch.targets != IGNORE]`: the head sees these rows only."""
    return logits_of(model, text[batch.targets != IGNORE])


class _One:
    """A Gemma2Model of which run_layers sees a single layer."""

    def __init__(self, language, index: int):
        self.layers, self.rotary_emb = [language.layers[index]], language.rotary_emb


def _layer(
    language, index: int, hidden: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor, route: Route
) -> torch.Tensor:
    one = _One(language, index)

    def run(state: torch.Tensor) -> torch.Tensor:
        return run_layers(one, state, positions, mask=mask, stop=1).hidden

    if route.checkpoint_from is None or index < route.checkpoint_from or not torch.is_grad_enabled():
        return run(hidden)
    return checkpoint(run, hidden, use_reentrant=False)
