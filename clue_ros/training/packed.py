"""Forward passes over packs (training/packing.py): the maps and the answers of all queries of a batch at once.

Which LoRA weights a loss reaches follows from what is run. A map of layer k depends on layer k through its queries and
keys alone: with `finetune: last` only q_proj and k_proj of that layer receive a gradient (v, o, gate, up and down of it
do not, and stay at their start); with `all`, also every weight of the layers below. An answer is read after the last
layer in use, so all seven projections of every adapted layer are reached.
Frozen layers below the first adapted one keep nothing for the backward pass: nothing in them asks for a gradient.
"""

from __future__ import annotations

from typing import Dict, Optional, Sequence, Tuple

import torch

from clue_ros.training.packing import Pack
from clue_ros.vlm.attention import to_map
from clue_ros.vlm.decoder import Pass, attention_scores, image_keys, logits_of, run_layers, text_queries


def pack_pass(
    language, embedded: torch.Tensor, pack: Pack, stop: Optional[int] = None, record: Sequence[int] = ()
) -> Tuple[Pass, Pass]:
    """(image pass, text pass) through layers 0 … stop-1, all if None. embedded: float[B,N,W], projected features."""
    image = run_layers(language, embedded, image_positions(embedded), stop=stop, keys_only_last=True)
    text = run_layers(
        language,
        language.embed_tokens(pack.ids),
        pack.positions,
        past=image.cache,
        mask=pack.mask,
        stop=stop,
        record=record,
    )
    return image, text


def image_positions(embedded: torch.Tensor) -> torch.Tensor:
    """int64[B,N]: 1 … N for every image."""
    return torch.arange(1, embedded.shape[1] + 1, device=embedded.device)[None].expand(len(embedded), -1)


def packed_maps(model, features: torch.Tensor, pack: Pack, tap: int) -> torch.Tensor:
    """float32[Q,g,g] in [0, 1]: the map of layer `tap` of every packed query, from its closing row.

    features: float[B,N,D], before the projector. Only layers 0 … tap-1 run, and q and k of layer `tap`.
    """
    language = model.model.language_model
    embedded = model.model.multi_modal_projector(features)
    positions = image_positions(embedded)
    image = run_layers(language, embedded, positions, stop=tap)
    text = run_layers(
        language, language.embed_tokens(pack.ids), pack.positions, past=image.cache, mask=pack.mask, stop=tap
    )
    keys = image_keys(language, tap, image.hidden, positions)
    return closing_maps(language, tap, text_queries(language, tap, text.hidden, pack.positions), keys, pack)


def closing_maps(language, layer: int, queries: torch.Tensor, keys: torch.Tensor, pack: Pack) -> torch.Tensor:
    """float32[Q,g,g] in [0, 1] of a layer's rotated queries float[B,H,T,D] and image keys float[B,Hkv,N,D]."""
    scores = attention_scores(language.layers[layer].self_attn, queries, keys).transpose(1, 2)
    vectors = scores[pack.closing[:, 0], pack.closing[:, 1]].softmax(-1).mean(1)
    grid = int(round(keys.shape[2] ** 0.5))
    return to_map(vectors, grid, grid)


def packed_logits(model, features: torch.Tensor, pack: Pack, stop: Optional[int] = None) -> torch.Tensor:
    """float32[Q,V]: what the closing row of every packed query would say after layers 0 … stop-1 (None: all), through
    the model's final norm and head."""
    language = model.model.language_model
    embedded = model.model.multi_modal_projector(features)
    hidden = pack_pass(language, embedded, pack, stop)[1].hidden[pack.closing[:, 0], pack.closing[:, 1]]
    return logits_of(model, language.norm(hidden) if stop is not None else hidden)


@torch.no_grad()
def maps_of_layers(model, features: torch.Tensor, pack: Pack, layers: Sequence[int]) -> Dict[int, torch.Tensor]:
    """float32[Q,g,g] by layer: the maps of several layers from one pass of the frozen model."""
    language = model.model.language_model
    embedded = model.model.multi_modal_projector(features)
    image, text = pack_pass(language, embedded, pack, max(layers) + 1, layers)
    return {layer: closing_maps(language, layer, text.queries[layer], image.cache[layer][0], pack) for layer in layers}
