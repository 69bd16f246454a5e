"""What the model itself says about candidates: which there are, how well words fit each, what is at a point.

All through the `detect` prefix, under which the embedded model lists every match, boxes separated by ";". How well
words fit a box is the probability of its four location tokens as the answer, smoothed over neighbouring bins: a box
that is a little off is still the same thing.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch

from clue_ros.ambiguity.kinds import kind_of
from clue_ros.geometry import clip_box
from clue_ros.location import BINS, bins_to_box, box_to_bins, point_to_text
from clue_ros.prompt import DETECT, build_prefix
from clue_ros.types import Box, Turn
from clue_ros.vlm.memory import memory_guard
from clue_ros.vlm.paligemma import PaliGemmaBackbone, StopTest
from clue_ros.vlm.passes import EncodedImage
from clue_ros.vlm.patterns import causal_mask

LISTED = 8  # boxes of one answer at most
TOLERANCE = 24  # bins: 2.3 % of the image's side
ROWS = 32  # (words, box) pairs that go through the decoder side by side


class Seen(NamedTuple):
    """A box that the model named; certainty: geometric mean of the mass around its coordinates, in [0, 1]."""

    box: Box
    certainty: float


class ModelReader:
    """Reads one backbone. A checkpoint with a one-pass detector reads through its dialogue adapter, whose keys and
    values of the image are there already; others through the base, which knows `detect` by itself."""

    def __init__(self, backbone: PaliGemmaBackbone):
        self._backbone = backbone
        settings = backbone.settings
        self._adapter = settings.dialogue_adapter if kind_of(settings).one_pass else ""
        self._pattern = settings.pattern

    def listed(
        self,
        image: EncodedImage,
        words: str,
        turns: Sequence[Turn] = (),
        should_stop: StopTest = None,
        limit: int = LISTED,
    ) -> List[Seen]:
        """What the words with their dialogue fit, in the model's order; words and turns without unknown words.

        Raises Cancelled, OutOfMemoryError."""
        return self._boxes(image, build_prefix(DETECT, words, turns, (image.width, image.height)), limit, should_stop)

    def at_point(self, image: EncodedImage, point: Tuple[float, float], should_stop: StopTest = None) -> Optional[Seen]:
        """What stands at a point in pixels, None if the model sees nothing there. Raises Cancelled,
        OutOfMemoryError.
        """
        x, y = min(max(point[0], 0.0), image.width), min(max(point[1], 0.0), image.height)
        found = self._boxes(image, f"{DETECT} {point_to_text((x, y), image.width, image.height)}", 1, should_stop)
        return found[0] if found else None

    def scores(
        self, image: EncodedImage, words: Sequence[str], boxes: Sequence[Box], turns: Sequence[Turn] = ()
    ) -> np.ndarray:
        """float64[W, N]: log P(box | words, turns), smoothed, for each of W words and N boxes.

        Raises OutOfMemoryError."""
        size = (image.width, image.height)
        prefixes = [build_prefix(DETECT, w, turns, size) for w in words]
        bins = [box_to_bins(clip_box(Box(*box), *size), *size) for box in boxes]
        found = np.zeros((len(words), len(boxes)))
        if not bins:
            return found
        with memory_guard("scoring candidates"), torch.inference_mode():
            for group in self._groups(prefixes) if self._pattern.reusable else [[n] for n in range(len(prefixes))]:
                found[group] = self._score(image, [prefixes[n] for n in group], bins)
        return found

    def _groups(self, prefixes: Sequence[str]) -> List[List[int]]:
        """Prefixes of the same number of tokens: they run side by side."""
        groups: dict = {}
        for n, prefix in enumerate(prefixes):
            groups.setdefault(self._backbone.tokens.prefix(prefix).ids.shape[1], []).append(n)
        return list(groups.values())

    def _score(
        self, image: EncodedImage, prefixes: Sequence[str], bins: Sequence[Tuple[int, int, int, int]]
    ) -> np.ndarray:
        """float64[W, N] of prefixes of one length. With query-blind image tokens the image's keys and values serve
        every row; otherwise there is one prefix, whose own keys and values do."""
        backbone = self._backbone
        first = backbone.vocabulary.first_location
        start = backbone.prefill(image, prefixes[0], self._adapter)
        plan = backbone.plan_of(start.adapter)
        pairs = [(w, n) for w in range(len(prefixes)) for n in range(len(bins))]
        result = np.zeros((len(prefixes), len(bins)))
        again = self._pattern.reusable  # the words run again, side by side
        done = image.features.shape[1] if again else start.position
        texts = [backbone.tokens.prefix(p).ids[0] if again else None for p in prefixes]
        for at in range(0, len(pairs), ROWS):
            rows = pairs[at : at + ROWS]
            corners = torch.tensor([[first + b for b in bins[n][:3]] for _, n in rows], device=backbone.device)
            ids = torch.cat([torch.stack([texts[w] for w, _ in rows]), corners], 1) if again else corners
            count = ids.shape[1]
            cache = plan.new_cache(done + count, len(rows))
            cache.take(start.cache, done)
            if again:
                mask = self._pattern.prefix_mask(done, count - 3, 3, backbone.device)
            else:
                mask = causal_mask(done, count, backbone.device)
            hidden = plan.run(plan.embed(ids), plan.place(done + 1, count), cache, mask=mask).hidden
            for row, (w, n) in enumerate(rows):
                steps = hidden[row, -4:] if again else hidden[row, -3:]
                logits = plan.logits(steps).float()
                if not again:
                    logits = torch.cat([start.logits[None].float(), logits])
                result[w, n] = _log_mass(logits, bins[n], first)
        return result

    def _boxes(self, image: EncodedImage, prefix: str, limit: int, should_stop: StopTest) -> List[Seen]:
        backbone, first = self._backbone, self._backbone.vocabulary.first_location
        with memory_guard("looking for candidates"):
            # A separator may be several tokens (" ; "): three each are room enough.
            said = backbone.complete(image, prefix, 4 * limit + 3 * (limit - 1), should_stop, self._adapter)
        found: List[Seen] = []
        bins: List[int] = []
        sure: List[float] = []
        for token, certainty in zip(said.tokens, said.certainty):
            if not first <= token < first + BINS:
                bins, sure = [], []
                continue
            bins, sure = [*bins, token - first], [*sure, certainty]
            if len(bins) == 4:
                box = clip_box(bins_to_box(bins, image.width, image.height), image.width, image.height)
                if box.area > 0 and len(found) < limit:
                    found.append(Seen(box, float(np.prod(sure)) ** 0.25))
                bins, sure = [], []
        return found


def _log_mass(logits: torch.Tensor, bins: Tuple[int, int, int, int], first: int) -> float:
    """Sum over the four coordinates of the log of the mass within TOLERANCE bins, in the whole vocabulary."""
    probability = logits.softmax(-1)
    total = 0.0
    for step, index in enumerate(bins):
        low, high = max(0, index - TOLERANCE), min(BINS, index + TOLERANCE + 1)
        total += float(np.log(max(float(probability[step, first + low : first + high].sum()), 1e-9)))
    return total
