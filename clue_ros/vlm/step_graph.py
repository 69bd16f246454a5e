"""One decode step with every shape fixed, so that a GPU can replay it as a CUDA graph instead of being told each
kernel.

A token of the 3B model reads 5 GB of weights, a millisecond on a data-centre GPU; launching its 800 kernels one by one
takes several. The step therefore runs on one cache of fixed size, looks at all of it under a mask, and takes token and
position from tensors. The same step runs without a graph on a CPU, where it is tested against the ordinary one;
capturing was never run, because no GPU was to be had while it was written. A captured graph is compared with the plain
step before it is used, and left out if it differs.
"""

from __future__ import annotations

import logging
from typing import Dict, Optional, Tuple

import torch

from clue_ros.vlm.cache import KeyValueCache
from clue_ros.vlm.decoder_plan import DecoderPlan

Outputs = Optional[Tuple[int, int]]  # (first, count) of the vocabulary's tokens that are wanted, None for all
TOLERANCE = 0.05  # largest difference of two logits, in bfloat16

log = logging.getLogger(__name__)


class StaticStep:
    """token, position -> logits float32[V or count], on one cache. Not thread-safe."""

    def __init__(self, plan: DecoderPlan, cache: KeyValueCache, outputs: Outputs = None):
        self._plan, self._cache, self._outputs = plan, cache, outputs or ()
        self._token = torch.zeros(1, 1, dtype=torch.int64, device=plan.device)
        self._position = torch.ones(1, 1, dtype=torch.int64, device=plan.device)
        self._slots = torch.arange(cache.capacity, device=plan.device)

    def set(self, token: int, position: int) -> None:
        """position: of the token, from 1; at most the cache's capacity."""
        self._token.fill_(token)
        self._position.fill_(position)

    def run(self) -> torch.Tensor:
        mask = (self._slots < self._position)[:, None, None]
        place = self._plan.place_scattered(self._position, self._cache.capacity)
        hidden = self._plan.run(self._plan.embed(self._token), place, self._cache, mask=mask).hidden[:, -1]
        return self._plan.logits(hidden, *self._outputs)[0]


class StepGraphs:
    """The captured steps of one backbone: one for each adapter and set of wanted outputs, on one shared cache."""

    def __init__(self, cache: KeyValueCache):
        self.cache = cache
        self._graphs: Dict[Tuple[int, Outputs], Optional[Tuple[StaticStep, torch.cuda.CUDAGraph, torch.Tensor]]] = {}

    def step(self, plan: DecoderPlan, token: int, position: int, outputs: Outputs) -> torch.Tensor:
        """Logits after `token` at `position`, whose predecessors stand in the cache; valid until the next step."""
        key = (id(plan), outputs)
        if key not in self._graphs:
            self._graphs[key] = self._capture(plan, token, position, outputs)
        captured = self._graphs[key]
        if captured is None:
            plain = StaticStep(plan, self.cache, outputs)
            plain.set(token, position)
            return plain.run()
        static, graph, logits = captured
        static.set(token, position)
        graph.replay()
        return logits

    def _capture(self, plan: DecoderPlan, token: int, position: int, outputs: Outputs):
        static = StaticStep(plan, self.cache, outputs)
        static.set(token, position)
        try:
            beside = torch.cuda.Stream()
            beside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(beside):
                for _ in range(3):
                    expected = static.run()  # writes the same slot each time
            torch.cuda.current_stream().wait_stream(beside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                logits = static.run()
            graph.replay()
            difference = float((logits - expected).abs().max())
        except RuntimeError as error:
            log.warning("the decode step could not be captured as a CUDA graph and runs without one: %s", error)
            return None
        if not difference <= TOLERANCE:
            log.warning("the captured decode step differs from the plain one by %.3g and is not used", difference)
            return None
        return static, graph, logits
