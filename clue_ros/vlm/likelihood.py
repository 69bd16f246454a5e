"""How likely a model finds a text after a prefix: log P(suffix | image, prefix), for ranking what might have been said.

The prefix is run once by the serving plan; its keys and values are then shared by all suffixes, which go through the
decoder side by side, one pass a batch, without decoding anything token by token.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence

import torch

from clue_ros.vlm.memory import memory_guard
from clue_ros.vlm.paligemma import EncodedImage, PaliGemmaBackbone
from clue_ros.vlm.patterns import causal_mask

BATCH = 8  # suffixes side by side; each needs a copy of the prefix's keys and values


class Likelihood(NamedTuple):
    """log_probability: natural log of P(suffix and then <eos> | prefix); tokens: how many that are, <eos> included."""

    log_probability: float
    tokens: int

    @property
    def per_token(self) -> float:
        """Mean log-probability of a token: does not punish long texts."""
        return self.log_probability / self.tokens


@torch.inference_mode()
def suffix_likelihoods(
    backbone: PaliGemmaBackbone,
    image: EncodedImage,
    prefix: str,
    suffixes: Sequence[str],
    adapter: Optional[str] = None,
    batch: int = BATCH,
) -> List[Likelihood]:
    """One likelihood a suffix, in order.

    prefix: as `prompt.build_prefix` makes it; suffixes: texts, tokenised on their own as training does; adapter: None
    for the dialogue's, '' for none. A word outside a closed vocabulary counts as the unknown token. Raises
    OutOfMemoryError.
    """
    if not suffixes:
        return []
    tokenizer = backbone.tokenizer
    ids = [[*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id] for text in suffixes]
    with memory_guard("ranking texts by their likelihood"):
        start = backbone.prefill(image, prefix, adapter)
        plan = backbone.plan_of(start.adapter)
        first = start.logits.log_softmax(-1)
        found: List[Optional[Likelihood]] = [None] * len(ids)
        order = sorted(range(len(ids)), key=lambda n: len(ids[n]))  # texts of like length waste little padding
        for at in range(0, len(order), batch):
            chosen = order[at : at + batch]
            longest = max(len(ids[n]) for n in chosen)
            padded = torch.tensor(
                [ids[n] + [tokenizer.eos_token_id] * (longest - len(ids[n])) for n in chosen], device=backbone.device
            )
            sums = first[padded[:, 0]]
            if longest > 1:
                sums = sums + _rest(
                    plan, start, padded, torch.tensor([len(ids[n]) for n in chosen], device=backbone.device)
                )
            for n, value in zip(chosen, sums.tolist()):
                found[n] = Likelihood(value, len(ids[n]))
    return [f for f in found if f is not None]


def _rest(plan, start, padded: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """float32[B]: log-probability of the tokens behind the first, int64[B,T] padded at the end."""
    batch, inputs = padded.shape[0], padded[:, :-1]
    count = inputs.shape[1]
    cache = plan.new_cache(start.position + count, batch)
    cache.take(start.cache, start.position)
    hidden = plan.run(
        plan.embed(inputs),
        plan.place(start.position + 1, count),
        cache,
        mask=causal_mask(start.position, count, padded.device),
    ).hidden
    total = torch.zeros(batch, device=padded.device)
    for row in range(batch):  # one row at a time: [T, V] of a large vocabulary is tens of megabytes
        steps = int(lengths[row]) - 1
        logits = plan.logits(hidden[row, :steps]).log_softmax(-1)
        total[row] = logits.gather(1, padded[row, 1 : steps + 1, None]).sum()
    return total
