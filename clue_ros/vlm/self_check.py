"""Whether what makes a model fast gives what the plain steps give, on the very device.

No GPU was to be had while this was written, and drivers differ. So a program that loads a model for another device than
a CPU lets it speak a few tokens with both, and what differs is left out. (Kernels for int4 weights are checked as they
are packed: quantization.py.)
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch

from clue_ros.location import BINS
from clue_ros.prompt import CLARIFY
from clue_ros.vlm.memory import memory_guard
from clue_ros.vlm.paligemma import PaliGemmaBackbone
from clue_ros.vlm.step_graph import Outputs, rounding

GRAPHS = "graphs"  # captured decode steps; so far the only choice
PROMPT = f"{CLARIFY} the mug"
TOKENS = 4  # spoken with each choice


@dataclass(frozen=True)
class Finding:
    """One choice, on beside off. difference: the largest of two logits; allowed: what rounding explains; seconds: of a
    token with the choice; plain_seconds: without it."""

    choice: str
    difference: float
    allowed: float
    seconds: float
    plain_seconds: float
    remark: str = ""  # what is wrong, in a sentence; empty if all is well


@dataclass(frozen=True)
class Verdict:
    """off: choices that were switched off, with a sentence why."""

    findings: Tuple[Finding, ...] = ()
    off: Dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    remembered: bool = False


class Followed:
    """A suffix of given tokens, or of the likeliest; keeps the logits. Every second step wants locations only, so that
    both sets of outputs that dialogues use are looked at."""

    def __init__(self, first_location: int, tokens: Optional[Sequence[int]] = None, count: int = TOKENS):
        self._given, self._count, self._locations = tokens, count, (first_location, BINS)
        self.tokens: List[int] = []
        self.logits: List[torch.Tensor] = []
        self.times: List[float] = []

    @property
    def finished(self) -> bool:
        return len(self.logits) > self._count

    @property
    def wanted(self) -> Outputs:
        return self._locations if len(self.logits) % 2 else None

    def feed(self, logits: torch.Tensor) -> int:
        """Takes the logits of the next token and says which one it is."""
        first = 0 if self.wanted is None or not self.logits else self._locations[0]
        self.logits.append(logits.float().cpu().clone())
        self.times.append(time.perf_counter())
        chosen = first + int(self.logits[-1].argmax()) if self._given is None else self._given[len(self.tokens)]
        self.tokens.append(chosen)
        return chosen

    @property
    def token_seconds(self) -> float:
        """Of the fastest token."""
        return min(b - a for a, b in zip(self.times, self.times[1:]))


def choices_of(backbone: PaliGemmaBackbone) -> Tuple[str, ...]:
    """What this backbone has that can be left out."""
    return (GRAPHS,) if backbone.device.type == "cuda" else ()


def switch(backbone: PaliGemmaBackbone, choice: str, on: bool) -> None:
    """Use a choice, or the plain steps instead."""
    if choice == GRAPHS:
        backbone.runner.captures, backbone.runner.graphs = on, None


def check(backbone: PaliGemmaBackbone, choices: Optional[Sequence[str]] = None, prompt: str = PROMPT) -> Verdict:
    """Let the backbone speak with and without each choice; what differs stays off and is said in its remarks.

    choices: None for all that it has. Raises OutOfMemoryError.
    """
    began = time.perf_counter()
    among = choices_of(backbone) if choices is None else choices
    findings, off = [], {}
    with torch.inference_mode(), memory_guard("checking the model against itself"):
        for choice in among:
            switch(backbone, choice, False)
        plain = follow(backbone, prompt)
        for choice in among:
            switch(backbone, choice, True)
            finding = _compare(backbone, choice, plain, prompt)
            findings.append(finding)
            if finding.remark:
                switch(backbone, choice, False)
                off[choice] = finding.remark
    return Verdict(tuple(findings), off, time.perf_counter() - began)


def follow(
    backbone: PaliGemmaBackbone,
    prompt: str,
    tokens: Optional[Sequence[int]] = None,
    count: int = TOKENS,
    adapter: Optional[str] = None,
) -> Followed:
    """The logits after a prompt about a picture that is always the same.

    tokens: said instead of the likeliest. count: how many. adapter: None for the dialogue's, '' for none.
    """
    start = backbone.prefill(backbone.encode(picture()), prompt, adapter)
    return backbone.runner.decode(start, Followed(backbone.vocabulary.first_location, tokens, count), None)


def picture() -> np.ndarray:
    """uint8[240,320,3]: a red, a blue and a yellow thing on a grey table."""
    rgb = np.full((240, 320, 3), 150, np.uint8)
    rgb[100:165, 30:90], rgb[110:175, 210:280], rgb[30:70, 130:190] = (200, 30, 30), (30, 30, 200), (230, 220, 60)
    return rgb


def distance(expected: Sequence[torch.Tensor], got: Sequence[torch.Tensor]) -> float:
    """The largest difference of two logits; infinite where one is no number."""
    worst = max(float((a - b).abs().max()) for a, b in zip(expected, got))
    return worst if worst == worst else float("inf")


def device_name(device: torch.device) -> str:
    """What a device calls itself."""
    if device.type != "cuda":
        return device.type
    major, minor = torch.cuda.get_device_capability(device)
    return f"{torch.cuda.get_device_name(device)} ({major}.{minor})"


def _compare(backbone: PaliGemmaBackbone, choice: str, plain: Followed, prompt: str) -> Finding:
    remarks = backbone.runner.remarks
    before = len(remarks)
    got = follow(backbone, prompt, plain.tokens)
    got = follow(backbone, prompt, plain.tokens)  # the first one captures, chooses and allocates
    difference = distance(plain.logits, got.logits)
    allowed = max(rounding(logits, backbone.precision.compute) for logits in plain.logits)
    if len(remarks) == before and not difference <= allowed:
        remarks.append(
            f"{choice} of {device_name(backbone.device)} give other logits than plain steps: {difference:.3g} "
            f"apart, {allowed:.3g} is rounding"
        )
    remark = remarks[before] if len(remarks) > before else ""
    return Finding(choice, difference, allowed, got.token_seconds, plain.token_seconds, remark)
