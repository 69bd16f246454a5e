"""How likely a model finds what might stand after a prefix: texts, to be ranked, and boxes, for a belief.

The prefix is run once by the serving plan; its keys and values are then shared by all suffixes, which go through the
decoder side by side, one pass a batch, without decoding anything token by token.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch

from clue_ros.location import BINS
from clue_ros.vlm.passes import EncodedImage, Likelihood
from clue_ros.vlm.patterns import causal_mask
from clue_ros.vlm.prefix_runner import Done, PrefixRunner

BATCH = 8  # suffixes side by side; each needs a copy of the prefix's keys and values
ROWS = 32  # (prefix, box) pairs that go through the decoder side by side
Bins = Tuple[int, int, int, int]  # location bins, y0 x0 y1 x1


def suffix_likelihoods(
    runner: PrefixRunner, image: EncodedImage, prefix: str, suffixes: Sequence[str], adapter: str, batch: int = BATCH
) -> List[Likelihood]:
    """One likelihood a suffix, in order."""
    if not suffixes:
        return []
    tokenizer, device = runner.tokens.tokenizer, runner.device
    ids = [[*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id] for text in suffixes]
    start = _read(runner, image, prefix, adapter)
    first = start.plan.logits(start.run.hidden[:, -1])[0].log_softmax(-1)
    found: List[Optional[Likelihood]] = [None] * len(ids)
    order = sorted(range(len(ids)), key=lambda n: len(ids[n]))  # texts of like length waste little padding
    for at in range(0, len(order), batch):
        chosen = order[at : at + batch]
        longest = max(len(ids[n]) for n in chosen)
        padded = torch.tensor(
            [ids[n] + [tokenizer.eos_token_id] * (longest - len(ids[n])) for n in chosen], device=device
        )
        sums = first[padded[:, 0]]
        if longest > 1:
            sums = sums + _rest(start, padded, torch.tensor([len(ids[n]) for n in chosen], device=device))
        for n, value in zip(chosen, sums.tolist()):
            found[n] = Likelihood(value, len(ids[n]))
    return [f for f in found if f is not None]


def box_scores(
    runner: PrefixRunner,
    image: EncodedImage,
    prefixes: Sequence[str],
    boxes: Sequence[Bins],
    tolerance: int,
    adapter: str,
) -> np.ndarray:
    """float64[P,N]: log P(box | prefix) of each of P prefixes and N boxes, smoothed over `tolerance` bins."""
    found = np.zeros((len(prefixes), len(boxes)))
    if not boxes:
        return found
    for group in _groups(runner, prefixes) if runner.pattern.reusable else [[n] for n in range(len(prefixes))]:
        found[group] = _scores_of_a_length(runner, image, [prefixes[n] for n in group], boxes, tolerance, adapter)
    return found


def log_box_mass(logits: torch.Tensor, box: Bins, first: int, tolerance: int) -> float:
    """Sum over the four coordinates of the log of the mass within `tolerance` bins, in the whole vocabulary.

    logits: float32[4,V], each after the coordinates before it.
    first: token id of the first location bin.
    """
    probability = logits.softmax(-1)
    total = 0.0
    for step, index in enumerate(box):
        low, high = max(0, index - tolerance), min(BINS, index + tolerance + 1)
        total += float(np.log(max(float(probability[step, first + low : first + high].sum()), 1e-9)))
    return total


def _read(runner: PrefixRunner, image: EncodedImage, prefix: str, adapter: str) -> Done:
    """A prefix that has run, with its keys and values; what was prefilled there before must not go on generating."""
    start = runner.run(image, prefix, adapter)
    start.kept.writer = start
    return start


def _rest(start: Done, padded: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """float32[B]: log-probability of the tokens behind the first, int64[B,T] padded at the end."""
    plan, batch, inputs = start.plan, padded.shape[0], padded[:, :-1]
    count = inputs.shape[1]
    cache = plan.new_cache(start.end + count, batch)
    cache.take(start.kept, start.end)
    hidden = plan.run(
        plan.embed(inputs), plan.place(start.end + 1, count), cache, mask=causal_mask(start.end, count, padded.device)
    ).hidden
    total = torch.zeros(batch, device=padded.device)
    for row in range(batch):  # one row at a time: [T, V] of a large vocabulary is tens of megabytes
        steps = int(lengths[row]) - 1
        logits = plan.logits(hidden[row, :steps]).log_softmax(-1)
        total[row] = logits.gather(1, padded[row, 1 : steps + 1, None]).sum()
    return total


def _groups(runner: PrefixRunner, prefixes: Sequence[str]) -> List[List[int]]:
    """Prefixes of the same number of tokens: they run side by side."""
    groups: Dict[int, List[int]] = {}
    for n, prefix in enumerate(prefixes):
        groups.setdefault(runner.tokens.prefix(prefix).ids.shape[1], []).append(n)
    return list(groups.values())


def _scores_of_a_length(
    runner: PrefixRunner,
    image: EncodedImage,
    prefixes: Sequence[str],
    boxes: Sequence[Bins],
    tolerance: int,
    adapter: str,
) -> np.ndarray:
    """float64[P,N] of prefixes of one length. With query-blind image tokens the image's keys and values serve every
    row; otherwise there is one prefix, whose own keys and values do."""
    first, device = runner.tokens.vocabulary.first_location, runner.device
    again = runner.pattern.reusable  # the words run again, side by side
    start = _read(runner, image, prefixes[0], adapter)
    plan = start.plan
    before = None if again else plan.logits(start.run.hidden[:, -1])
    pairs = [(p, n) for p in range(len(prefixes)) for n in range(len(boxes))]
    result = np.zeros((len(prefixes), len(boxes)))
    done = image.features.shape[1] if again else start.end
    texts = [runner.tokens.prefix(p).ids[0] for p in prefixes] if again else []
    for at in range(0, len(pairs), ROWS):
        rows = pairs[at : at + ROWS]
        corners = torch.tensor([[first + b for b in boxes[n][:3]] for _, n in rows], device=device)
        ids = torch.cat([torch.stack([texts[p] for p, _ in rows]), corners], 1) if again else corners
        count = ids.shape[1]
        cache = plan.new_cache(done + count, len(rows))
        cache.take(start.kept, done)
        mask = runner.pattern.prefix_mask(done, count - 3, 3, device) if again else causal_mask(done, count, device)
        hidden = plan.run(plan.embed(ids), plan.place(done + 1, count), cache, mask=mask).hidden
        for row, (p, n) in enumerate(rows):
            steps = hidden[row, -4:] if again else hidden[row, -3:]
            logits = plan.logits(steps).float()
            if before is not None:
                logits = torch.cat([before.float(), logits])
            result[p, n] = log_box_mass(logits, boxes[n], first, tolerance)
    return result
