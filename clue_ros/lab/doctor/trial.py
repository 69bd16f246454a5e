"""One variant of a model: loaded, asked two prompts, timed, let go."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Dict, List, NamedTuple, Optional, Tuple

import torch

from clue_ros.lab.bench.memory import peak, reset_peak
from clue_ros.lab.bench.order import THREE_B, Order
from clue_ros.lab.bench.scene import Show
from clue_ros.lab.bench.subject import Subject
from clue_ros.lab.bench.timing import Samples, percentile
from clue_ros.prompt import CLARIFY, DETECT
from clue_ros.vlm.memory import release
from clue_ros.vlm.self_check import Finding, check, follow, picture

WORDS, VAGUE = "hand me the red mug", "hand me one mug then"
PROMPTS = ((f"{CLARIFY} {WORDS}", None), (f"{DETECT} the red mug", ""))  # with the dialogue's adapter, without any
TOKENS = 6  # of each prompt
SLOW = 5.0  # seconds of a call after which it is timed once


class Variant(NamedTuple):
    """dtype: of the weights, None for the device's usual one."""

    name: str
    dtype: Optional[str]
    quantization: str

    def order(self, order: Order) -> Order:
        return replace(order, dtype=self.dtype or order.dtype, quantization=self.quantization)


# The first that the memory has room for is what the others are compared with.
VARIANTS = (
    Variant("float32", "float32", "none"),
    Variant("bfloat16", "bfloat16", "none"),
    Variant("int8", None, "int8"),
    Variant("int4", None, "int4"),
)


@dataclass
class Readings:
    """What a variant answered: logits float32[V or 1024] of each step of each prompt, and the map float32[g,g]."""

    logits: List[torch.Tensor]
    attention: torch.Tensor
    tokens: List[List[int]]
    token_seconds: float = 0.0


@dataclass
class Trial:
    """times: median seconds by what was timed; plain: the same prompts through transformers' own modules, the logits of
    the first token of each and the map; peak: bytes."""

    readings: Readings
    findings: Tuple[Finding, ...]
    times: Dict[str, float] = field(default_factory=dict)
    plain: Optional[Readings] = None
    peak: int = 0


def attempt(order: Order, like: Optional[Readings], rounds: int) -> Trial:
    """Load an order and ask it. like: whose tokens it is to say, None for its own; then transformers is asked too.

    rounds: timed calls, 0 for none. Raises ModelLoadError, OutOfMemoryError; RuntimeError of the device.
    """
    reset_peak(order.device)
    subject = Subject.load(order, None if order.model == THREE_B else _show())
    try:
        verdict = check(subject.backbone)
        readings = _ask(subject, like)
        times = {"token": readings.token_seconds, **_times(subject, rounds)} if rounds else {}
        highest = peak(order.device)
        plain = _plain(subject) if like is None else None
        return Trial(readings, verdict.findings, times, plain, highest)
    finally:
        del subject
        release()


@torch.inference_mode()
def _ask(subject: Subject, like: Optional[Readings]) -> Readings:
    backbone = subject.backbone
    logits: List[torch.Tensor] = []
    tokens: List[List[int]] = []
    seconds = float("inf")
    for number, (prompt, adapter) in enumerate(PROMPTS):
        followed = follow(backbone, prompt, None if like is None else like.tokens[number], TOKENS, adapter)
        logits += followed.logits
        tokens.append(followed.tokens)
        seconds = min(seconds, followed.token_seconds)
    attention = backbone.attention_map(backbone.encode(picture()), PROMPTS[1][0])
    return Readings(logits, attention.float().cpu(), tokens, seconds)


def _plain(subject: Subject) -> Readings:
    plain = subject.plain
    logits = [plain.logits(picture(), prompt, adapter).float().cpu() for prompt, adapter in PROMPTS]
    return Readings(logits, plain.attention_map(picture(), PROMPTS[1][0]).float().cpu(), [])


def _times(subject: Subject, rounds: int) -> Dict[str, float]:
    way, device = subject.way(), subject.order.device
    show = subject.show
    calls = {
        "vision": lambda: way.encode(show.clear_image),
        "detection": lambda: way.detection(show.vague_image, show.vague),
        "box": lambda: way.box(show.clear_image, show.clear),
        "question": lambda: way.question(show.vague_image, show.vague),
    }
    times = {}
    for name, call in calls.items():
        samples = Samples()
        samples.time(call, device)
        if samples.seconds[0] <= SLOW:
            samples.seconds.clear()  # the first one warms up
            for _ in range(rounds):
                samples.time(call, device)
        times[name] = percentile(samples.seconds, 0.5)
    return times


def _show() -> Show:
    return Show(picture(), WORDS, picture(), VAGUE, "a drawn table")
