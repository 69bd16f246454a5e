"""One decode step with every shape fixed, so that a GPU can replay it as a CUDA graph instead of being told each
kernel.

A token of the 3B model reads 5 GB of weights, a millisecond on a data-centre GPU; launching its 800 kernels one by one
takes several. The step therefore runs on one cache of fixed size, looks at all of it under a mask, and takes token and
position from tensors. The same step runs without a graph on a CPU, where it is tested against the ordinary one;
capturing was never run on a GPU, because none was to be had while it was written. So a captured graph is compared with
the plain step before it is used, on a token and a position that it was not captured with, and left out if it differs.
"""

from __future__ import annotations

import logging
from typing import Callable, Dict, NamedTuple, Optional, Tuple

import torch

from clue_ros.vlm.cache import KeyValueCache
from clue_ros.vlm.decoder_plan import DecoderPlan

Outputs = Optional[Tuple[int, int]]  # (first, count) of the vocabulary's tokens that are wanted, None for all
STEPS = 4  # of a dtype, at the largest logit: what sums in another order may differ by
LEAST = 0.05  # of a logit, for dtypes whose steps are smaller than what a whole model's rounding adds up to
_WARM_UPS = 3  # runs before a capture: libraries choose and allocate in the first ones

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


class _Captured(NamedTuple):
    static: StaticStep
    graph: torch.cuda.CUDAGraph
    logits: torch.Tensor


class StepGraphs:
    """The captured steps of one backbone: one for each adapter and set of wanted outputs, on one shared cache.

    cache: also of whoever runs the prefixes, so that nothing has to be copied.
    refuse: told why a step could not be captured or gave other logits, in a sentence; such a step runs plainly.
    """

    def __init__(self, cache: KeyValueCache, refuse: Callable[[str], None]):
        self.cache, self._refused = cache, refuse
        self._graphs: Dict[Tuple[int, Outputs], Optional[_Captured]] = {}

    def step(self, plan: DecoderPlan, token: int, position: int, outputs: Outputs) -> torch.Tensor:
        """Logits after `token` at `position`, whose predecessors stand in the cache; valid until the next step."""
        key = (id(plan), outputs)
        if key not in self._graphs:
            self._graphs[key] = self._captured(plan, token, position, outputs)
        captured = self._graphs[key]
        if captured is None:
            plain = StaticStep(plan, self.cache, outputs)
            plain.set(token, position)
            return plain.run()
        with torch.cuda.device(plan.device):
            captured.static.set(token, position)
            captured.graph.replay()
        return captured.logits

    def _captured(self, plan: DecoderPlan, token: int, position: int, outputs: Outputs) -> Optional[_Captured]:
        try:
            # Of the model's device: what runs elsewhere than on the current one is not captured, and nothing says so.
            with torch.cuda.device(plan.device):
                captured = self._capture(plan, token, position, outputs)
                difference, allowed = self._difference(captured, plan, token, position)
        except RuntimeError as error:
            reason = str(error).strip().partition("\n")[0]
            return self._refuse(f"the decode step could not be captured as a CUDA graph on {plan.device}: {reason}")
        if not difference <= allowed:
            return self._refuse(
                f"the captured decode step gives other logits than the plain one on {plan.device}: {difference:.3g} "
                f"apart, {allowed:.3g} is rounding"
            )
        return captured

    def _capture(self, plan: DecoderPlan, token: int, position: int, outputs: Outputs) -> _Captured:
        static = StaticStep(plan, self.cache, outputs)
        static.set(token, position)
        beside, current = torch.cuda.Stream(plan.device), torch.cuda.current_stream(plan.device)
        beside.wait_stream(current)
        with torch.cuda.stream(beside):
            for _ in range(_WARM_UPS):
                static.run()  # writes the same slot each time
        current.wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        # The stream is named because torch keeps its own one from the first capture on, whatever device that was for.
        with torch.cuda.graph(graph, stream=beside, capture_error_mode="thread_local"):
            logits = static.run()
        return _Captured(static, graph, logits)

    def _difference(self, captured: _Captured, plan: DecoderPlan, token: int, position: int) -> Tuple[float, float]:
        """(largest difference of two logits, what may be rounding) between the graph and the plain step for another
        token, at the next position where there is room: the slot of that one is written again before it is read."""
        captured.static.set(token // 2 if token else 1, min(position + 1, self.cache.capacity))
        captured.logits.fill_(float("nan"))  # a graph that holds nothing leaves what stands there
        captured.graph.replay()
        replayed = captured.logits.clone()
        expected = captured.static.run()
        return float((replayed - expected).abs().max()), rounding(expected, plan.precision.compute)

    def _refuse(self, reason: str) -> None:
        log.warning("%s; it runs without", reason)
        self._refused(reason)


def rounding(expected: torch.Tensor, dtype: torch.dtype) -> float:
    """The largest difference from logits float32[V] that computing in `dtype` in another order of sums explains."""
    return max(LEAST, STEPS * torch.finfo(dtype).eps * float(expected.abs().max()))
