"""How serving runs prefixes over images and steps after them: which keys and values are kept, where, and for whom."""

from __future__ import annotations

import copy
from typing import List, Mapping, NamedTuple, Optional, Protocol, TypeVar, cast

import torch

from clue_ros.types import StopTest, stop_if
from clue_ros.vlm.attention import to_map
from clue_ros.vlm.cache import KeyValueCache
from clue_ros.vlm.decoder_plan import DecoderPlan, Run, Tap
from clue_ros.vlm.passes import EncodedImage, Prefill
from clue_ros.vlm.patterns import AttentionPattern
from clue_ros.vlm.settings import ClueSettings
from clue_ros.vlm.step_graph import Outputs, StepGraphs
from clue_ros.vlm.tokens import PromptTokens

TEXT_ROOM = 192  # tokens of prefix and suffix for which a new cache has room; a longer dialogue makes it grow
SUFFIX_ROOM = 64


class _Fed(Protocol):
    """A suffix in the making, told the logits of each next token."""

    @property
    def finished(self) -> bool: ...

    @property
    def wanted(self) -> Outputs:
        """The tokens whose logits it wants next, (first, count); None for all."""
        ...

    def feed(self, logits: torch.Tensor) -> int: ...


Suffix = TypeVar("Suffix", bound=_Fed)


class Done(NamedTuple):
    """A prefix that has run: `end` is the position of its last token."""

    run: Run
    plan: DecoderPlan
    cache: Optional[KeyValueCache]
    end: int

    @property
    def kept(self) -> KeyValueCache:
        """The cache of a run that keeps one. Raises ValueError for one that does not."""
        if self.cache is None:
            raise ValueError("this run kept no keys and values")
        return self.cache


class PrefixRunner:
    """The decoder's plans by adapter ("" for none) with the caches of their runs. `grid`: cells of a map's side."""

    def __init__(self, plans: Mapping[str, DecoderPlan], tokens: PromptTokens, settings: ClueSettings, grid: int):
        self.plans, self.tokens, self.settings, self.grid = plans, tokens, settings, grid
        self.device = plans[""].device
        self.captures = self.device.type == "cuda"  # decode steps as CUDA graphs
        self.remarks: List[str] = []  # what of the fast path is left out and why, a sentence each
        self._workspace: Optional[KeyValueCache] = None
        self.graphs: Optional[StepGraphs] = None

    def with_settings(self, tokens: PromptTokens, settings: ClueSettings) -> "PrefixRunner":
        """The same plans, run as other settings say."""
        other = copy.copy(self)
        other.tokens, other.settings = tokens, settings
        return other

    @property
    def pattern(self) -> AttentionPattern:
        """Who sees whom."""
        return self.settings.pattern

    def plan_of(self, adapter: str) -> DecoderPlan:
        """The decoder under an adapter; without one where the directory has none of that name."""
        return self.plans.get(adapter, self.plans[""])

    def run(
        self,
        image: EncodedImage,
        prefix: str,
        adapter: str,
        *,
        stop: Optional[int] = None,
        tapped: bool = False,
        keep: bool = True,
    ) -> Done:
        """Run a prefix over an image; `keep`: the suffix will follow, so keys and values are kept in full attention."""
        plan, (ids, rows) = self.plan_of(adapter), self.tokens.prefix(prefix)
        count, length = image.features.shape[1], ids.shape[1]
        text = plan.embed(ids)
        layers = plan.depth if stop is None else stop
        closing = not (tapped and self.settings.tap_layer >= layers)  # the tap of a layer above needs every row
        if self.pattern.reusable:
            tap = Tap(self.settings.tap_layer, rows, count, False) if tapped else None
            need = max(layers, self.settings.tap_layer + 1) if tapped else layers
            cache = self.image_cache(image, adapter, need, count + length + SUFFIX_ROOM)
            done = plan.run(
                text,
                plan.place(count + 1, length),
                cache,
                stop=stop,
                tap=tap,
                mask=self.pattern.prefix_mask(count, length, device=self.device),
                closing_only=closing,
            )
            return Done(done, plan, cache, count + length)
        everywhere = torch.cat([torch.zeros(1, count, dtype=torch.bool, device=self.device), rows], 1)
        tap = Tap(self.settings.tap_layer, everywhere, count, True) if tapped else None
        cache = self._full_cache(plan, count + length) if keep else None
        hidden = torch.cat([image.features, text], 1)
        mask = self.pattern.whole_mask(count, length, self.device)
        place = plan.place(1, count + length)
        done = plan.run(hidden, place, cache, stop=stop, tap=tap, mask=mask, closing_only=closing)
        return Done(done, plan, cache, count + length)

    def map_of(self, done: Done) -> torch.Tensor:
        """float32[grid,grid] in [0, 1] of a run that was tapped."""
        return to_map(cast(torch.Tensor, done.run.attention), self.grid, self.grid)[0]

    def image_cache(self, image: EncodedImage, adapter: str, layers: int, room: int = 0) -> KeyValueCache:
        """The image's keys and values under an adapter for at least `layers` layers, with room for `room` tokens."""
        plan, count = self.plan_of(adapter), image.features.shape[1]
        key = adapter if adapter in self.plans else ""
        cache, done = image.caches.get(key, (None, 0))
        if cache is None or done < layers:
            cache = plan.new_cache(max(room, count + TEXT_ROOM), layers=layers)
            plan.run(image.features, plan.place(1, count), cache, stop=layers, keys_only_last=True)
        elif cache.capacity < room:
            cache = cache.grown(room + TEXT_ROOM, count)
        image.caches[key] = cache, max(done, layers)
        return cache

    def _full_cache(self, plan: DecoderPlan, length: int) -> KeyValueCache:
        """One buffer serves every prefill under full attention: nothing of it outlives the next prefix anyway."""
        if self._workspace is None or self._workspace.capacity < length + SUFFIX_ROOM:
            self._workspace = plan.new_cache(length + TEXT_ROOM)
        return self._workspace

    def decode(self, start: Prefill, sequence: Suffix, should_stop: StopTest) -> Suffix:
        """Feed the sequence until it is finished. Raises Cancelled; ValueError if the prefill's tokens are gone."""
        if start.cache.writer is not start:
            raise ValueError(
                "this prefill's tokens have been overwritten by a later one on the same image: prefill again"
            )
        plan, cache, logits, position = self.plan_of(start.adapter), start.cache, start.logits, start.position
        graphs = self._step_graphs(start)
        if graphs is not None:
            cache = graphs.cache
        while True:
            chosen = sequence.feed(logits)
            if sequence.finished:
                return sequence
            stop_if(should_stop)
            position += 1
            if position > cache.capacity:  # longer than the room that was made for it; a captured step has one size
                cache, graphs = cache.grown(cache.capacity + TEXT_ROOM, position - 1), None
            if graphs is not None:
                logits = graphs.step(plan, chosen, position, sequence.wanted)
            else:
                step = plan.embed(torch.tensor([[chosen]], device=self.device))
                hidden = plan.run(step, plan.place(position, 1), cache).hidden[:, -1]
                logits = plan.logits(hidden, *(sequence.wanted or ()))[0]

    def _step_graphs(self, start: Prefill) -> Optional[StepGraphs]:
        """Captured decode steps, with the prefill's tokens in their cache, which is the workspace; None where the
        device has none, or where they were refused."""
        if not self.captures:
            return None
        if not self.pattern.reusable and start.cache is not self._workspace:
            return None  # a later prefix needed a larger one, and this one's tokens stayed behind
        cache = self._full_cache(self.plan_of(""), start.position)
        if self.graphs is None or self.graphs.cache is not cache:
            self.graphs = StepGraphs(cache, self._refuse)
        if start.cache is not cache:
            cache.take(start.cache, start.position)
            cache.writer = start
        return self.graphs

    def _refuse(self, reason: str) -> None:
        self.captures = False
        self.remarks.append(reason)
