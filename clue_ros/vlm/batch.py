"""Several prefixes of mixed length decoded together, one forward pass a token for all of them.

For offline work: one row a pass leaves a processor waiting for weights, a batch reads them once for everybody (eight
boxes took 0.53 of the time of one after another, docs/results.md). The sequences stand in one cache, each from slot 0;
rows behind the end of a shorter one are masked and overwritten as it grows.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence, Union

import torch

from clue_ros.vlm.cache import KeyValueCache
from clue_ros.vlm.decoder import causal_mask
from clue_ros.vlm.decoder_plan import DecoderPlan
from clue_ros.vlm.decoding import ConstrainedSequence, FreeSequence
from clue_ros.vlm.paligemma import SUFFIX_ROOM, TEXT_ROOM, PaliGemmaBackbone, StopTest, stop_if
from clue_ros.vlm.passes import EncodedImage

Suffix = Union[ConstrainedSequence, FreeSequence]


class Request(NamedTuple):
    """One prefix over one image, and the sequence that its suffix is to become (fresh)."""

    image: EncodedImage
    prefix: str
    sequence: Suffix


@torch.inference_mode()
def generate_batch(
    backbone: PaliGemmaBackbone,
    requests: Sequence[Request],
    adapter: Optional[str] = None,
    should_stop: StopTest = None,
) -> List[Suffix]:
    """Decode every request greedily through one adapter (None: the dialogue's); returns their sequences, finished.

    `should_stop` is asked before every token; raises Cancelled.
    """
    if not requests:
        return []
    plan = backbone.plan_of(backbone.settings.dialogue_adapter if adapter is None else adapter)
    prefixes = [backbone.tokens.prefix(r.prefix).ids[0] for r in requests]
    lengths = torch.tensor([len(p) for p in prefixes], device=backbone.device)
    padded = torch.nn.utils.rnn.pad_sequence(prefixes, batch_first=True)
    features = torch.cat([r.image.features for r in requests])
    cache = plan.new_cache(features.shape[1] + padded.shape[1] + SUFFIX_ROOM, len(requests))
    hidden = _prefill(backbone, plan, features, plan.embed(padded), lengths, cache)
    rows = torch.arange(len(requests), device=backbone.device)
    logits = plan.logits(hidden[rows, lengths - 1])
    position = features.shape[1] + lengths
    while True:
        chosen = [0 if r.sequence.finished else r.sequence.feed(row) for r, row in zip(requests, logits)]
        if all(r.sequence.finished for r in requests):
            return [r.sequence for r in requests]
        stop_if(should_stop)
        running = torch.tensor([not r.sequence.finished for r in requests], device=backbone.device)
        position = position + running  # a finished one marks time
        longest = int(position.max())
        if longest > cache.capacity:
            cache = cache.grown(cache.capacity + TEXT_ROOM, cache.capacity)
        step = plan.embed(torch.tensor(chosen, device=backbone.device)[:, None])
        mask = (torch.arange(longest, device=backbone.device) < position[:, None])[:, None, None]
        hidden = plan.run(step, plan.place_scattered(position[:, None], longest), cache, mask=mask).hidden
        logits = plan.logits(hidden[:, -1])


def _prefill(
    backbone: PaliGemmaBackbone,
    plan: DecoderPlan,
    features: torch.Tensor,
    text: torch.Tensor,
    lengths: torch.Tensor,
    cache: KeyValueCache,
) -> torch.Tensor:
    """Final hidden states float[B,T,W] of the text rows; rows behind a prefix's end are meaningless."""
    count, longest = features.shape[1], text.shape[1]
    if backbone.settings.prefix_attention == "image_blind":
        plan.run(features, plan.place(1, count), cache, keys_only_last=True)
        mask = causal_mask(count, longest, backbone.device)
        return plan.run(text, plan.place(count + 1, longest), cache, mask=mask).hidden
    there = torch.arange(count + longest, device=backbone.device) < (count + lengths)[:, None]
    everything = torch.cat([features, text], 1)
    mask = there[:, None, None].expand(-1, 1, count + longest, -1)
    return plan.run(everything, plan.place(1, count + longest), cache, mask=mask).hidden[:, count:]
