"""What the steps of a backbone hand to each other: an image that has been seen, a prefix that has been read, free
text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, NamedTuple, Optional, Tuple

import numpy as np
import torch

from clue_ros.vlm.cache import KeyValueCache
from clue_ros.vlm.decoding import Branch


@dataclass
class EncodedImage:
    """features: float[1,N,W], projected, and caches, the image's keys and values by adapter with how many layers of
    them have been computed: the backbone's own; width, height: of the original image in pixels; tower: float[1,N,D],
    before the projector, and square: uint8[S,S,3] RGB as the model saw it, for a mask head (masks/head.py); detections:
    what the base said to `detect`, by phrase, so that a second question about the image costs less (clue_ros/chat)."""

    features: torch.Tensor
    width: int
    height: int
    caches: Dict[str, Tuple[KeyValueCache, int]] = field(default_factory=dict)
    tower: Optional[torch.Tensor] = None
    square: Optional[np.ndarray] = None
    detections: Dict[str, Tuple[Any, ...]] = field(default_factory=dict)


@dataclass
class Prefill:
    """logits: float32[V] of the first suffix token; position: of the last prefix token, from 1; branches: what the
    logits want to say, a probability each; attention_map: float32[g,g] if the tap was read; cache: what the backbone
    itself needs to go on from here."""

    logits: torch.Tensor
    position: int
    adapter: str
    cache: Any
    branches: Dict[Branch, float]
    attention_map: Optional[torch.Tensor] = None


class Completion(NamedTuple):
    """Free text: `text` keeps <loc….> tokens; bins: the location bin of each token, -1 where it is none; certainty: of
    each token, in [0, 1] (of a location, the mass around its bin); ending: P(<eos>) where the text ended, in [0, 1],
    low if it was about to go on, 0 where the limit cut it off; ends: P(<eos>) in [0, 1] where each token was said."""

    text: str
    tokens: Tuple[int, ...]
    bins: Tuple[int, ...]
    certainty: Tuple[float, ...]
    ending: float = 1.0
    ends: Tuple[float, ...] = ()


class Likelihood(NamedTuple):
    """log_probability: natural log of P(suffix and then <eos> | prefix); tokens: how many that are, <eos> included."""

    log_probability: float
    tokens: int

    @property
    def per_token(self) -> float:
        """Mean log-probability of a token: does not punish long texts."""
        return self.log_probability / self.tokens
