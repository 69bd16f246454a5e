"""Constrained decoding: the first token chooses the branch, the rest must complete it.

Branches: a box (exactly four <loc> tokens, ymin xmin ymax xmax, of some area), a question (text, of one word at least,
until the model ends it), or nothing (<eos> at once: no object fits). Probabilities come from the unmasked logits, so
that they say what the model believes and not what was allowed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Collection, Dict, FrozenSet, List, Mapping, Optional, Tuple

import torch

from clue_ros.location import BINS

NEIGHBOURHOOD = 12  # bins: a coordinate is as sure as the mass within 1.2 % of the image side


class Branch(str, Enum):
    BOX = "box"
    QUESTION = "question"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Vocabulary:
    """Token ids that the constraints need. `wordless`: pieces without a letter or digit, after which alone a question
    may not end; `banned`: never generated as text (padding, image, segmentation tokens); question_limit: most tokens of
    one; absence: log-odds that <eos> as the first token loses before it is compared with the other branches.
    """

    first_location: int
    eos: int
    wordless: FrozenSet[int]
    banned: FrozenSet[int]
    question_limit: int = 48
    absence: float = 0.0

    def bin_of(self, token: int) -> int:
        """The location bin in [0, 1023] of a token; -1 for one that is no location."""
        return token - self.first_location if 0 <= token - self.first_location < BINS else -1


def branch_probability(vocabulary: Vocabulary, logits: torch.Tensor) -> Dict[Branch, float]:
    """Probability of each branch by the first token's unmasked logits float32[V]."""
    probability = logits.softmax(-1)
    box = float(probability[vocabulary.first_location : vocabulary.first_location + BINS].sum())
    nothing = float(probability[vocabulary.eos])
    return {Branch.BOX: box, Branch.NOTHING: nothing, Branch.QUESTION: max(0.0, 1.0 - box - nothing)}


class ConstrainedSequence:
    """One sequence being decoded: feed logits, get tokens, until `finished`.

    allowed: the branches that may be taken (not empty); limit: most tokens of a question, None for the vocabulary's;
    not_after: tokens of a text that may not follow just these ones before them.
    `complete`: the branch came to its own end; False while it runs, and for a question that the limit cut off.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        allowed: FrozenSet[Branch],
        limit: Optional[int] = None,
        not_after: Mapping[Tuple[int, ...], Collection[int]] = MappingProxyType({}),
    ):
        if not allowed:
            raise ValueError("at least one branch must be allowed")
        self._vocabulary, self._allowed = vocabulary, allowed
        self._limit = vocabulary.question_limit if limit is None else limit
        self._text_mask: Optional[torch.Tensor] = None
        self._not_after = not_after
        self.branch: Optional[Branch] = None
        self.branch_probability: Dict[Branch, float] = {}
        self.tokens: List[int] = []
        self._certainty: List[float] = []
        self.finished = self.complete = False

    @property
    def wanted(self) -> Optional[Tuple[int, int]]:
        """(first, count) of the only tokens that may come next, so that no other logits need be computed; None for
        all.
        """
        return (self._vocabulary.first_location, BINS) if self.branch is Branch.BOX else None

    def feed(self, logits: torch.Tensor) -> int:
        """logits: float32[V] of the next token, or of the `wanted` ones alone; returns the token that was chosen (<eos>
        when nothing is there, and at the end of a question)."""
        if self.finished:
            raise ValueError("the sequence is already finished")
        v = self._vocabulary
        partial = self.wanted is not None and logits.shape[-1] == BINS
        locations = logits if partial else logits[v.first_location : v.first_location + BINS]
        if self.branch is None:
            self._choose(logits)
            if self.branch is Branch.NOTHING:
                self.finished = self.complete = True
                return v.eos
        if self.branch is Branch.BOX:
            low, high = self._range()
            index = low + int(locations[low:high].argmax())
            self._certainty.append(mass_around(locations, index))
            token = v.first_location + index
            self.finished = self.complete = len(self.tokens) == 3
        else:
            possible = logits.masked_fill(self._not_text(logits), float("-inf"))
            possible[list(self._not_after.get(tuple(self.tokens), ()))] = float("-inf")
            token = int(possible.argmax())
            if token == v.eos:
                self.finished = self.complete = True
                return token
            self.finished = len(self.tokens) + 1 >= self._limit
        self.tokens.append(token)
        return token

    @property
    def bins(self) -> Tuple[int, ...]:
        """The four location bins of a finished box."""
        return tuple(t - self._vocabulary.first_location for t in self.tokens) if self.branch is Branch.BOX else ()

    @property
    def confidence(self) -> float:
        """Of a finished box, in [0, 1]: P(a box rather than nothing) × geometric mean of the coordinates'
        certainties.
        """
        if self.branch is not Branch.BOX or not self._certainty:
            return 0.0
        there, not_there = self.branch_probability[Branch.BOX], self.branch_probability[Branch.NOTHING]
        product = 1.0
        for value in self._certainty:
            product *= value
        return there / max(there + not_there, 1e-9) * product ** (1 / len(self._certainty))

    def _range(self) -> Tuple[int, int]:
        """(first, end) of the bins that the next coordinate may have: the box gets an area, however thin."""
        done = len(self.tokens)
        return (0, BINS - 1) if done < 2 else (self.tokens[done - 2] - self._vocabulary.first_location + 1, BINS)

    def _choose(self, logits: torch.Tensor) -> None:
        self.branch_probability = branch_probability(self._vocabulary, logits)
        weight = {Branch.NOTHING: math.exp(-self._vocabulary.absence)}
        self.branch = max(self._allowed, key=lambda b: (self.branch_probability[b] * weight.get(b, 1.0), b.value))

    def _not_text(self, logits: torch.Tensor) -> torch.Tensor:
        if self._text_mask is None:
            mask = torch.zeros_like(logits, dtype=torch.bool)
            mask[self._vocabulary.first_location : self._vocabulary.first_location + BINS] = True
            mask[sorted(self._vocabulary.banned)] = True
            self._text_mask = mask
        self._text_mask[self._vocabulary.eos] = self._vocabulary.wordless.issuperset(self.tokens)
        return self._text_mask


class FreeSequence:
    """Unconstrained greedy text until <eos> or `limit` tokens. certainty: probability of each token; of a location, the
    mass around its bin among the locations; ends: P(<eos>) of each token's step; ending: of the step after the last
    token, 0 if the limit cut it off.

    ends_from: in [0, 1]; a text that has begun ends only where P(<eos>) is that high: below, the likeliest other token
    goes on, though <eos> may be likelier than any single one. 0: greedy.
    """

    def __init__(self, vocabulary: Vocabulary, limit: int, ends_from: float = 0.0):
        self._vocabulary, self._limit, self._ends_from = vocabulary, limit, ends_from
        self.tokens: List[int] = []
        self.certainty: List[float] = []
        self.ends: List[float] = []
        self.ending = 0.0
        self.finished = False
        self.wanted: Optional[Tuple[int, int]] = None

    def feed(self, logits: torch.Tensor) -> int:
        """logits: float32[V] of the next token; returns the most likely one."""
        v, probability = self._vocabulary, logits.softmax(-1)
        token, end = int(logits.argmax()), float(probability[v.eos])
        if token == v.eos and self.tokens and end < self._ends_from:
            others = logits.clone()
            others[v.eos] = float("-inf")
            token = int(others.argmax())
        if token == v.eos:
            self.ending = end
            self.finished = True
            return token
        self.tokens.append(token)
        self.ends.append(end)
        index = token - v.first_location
        if 0 <= index < BINS:
            self.certainty.append(mass_around(logits[v.first_location : v.first_location + BINS], index))
        else:
            self.certainty.append(float(probability[token]))
        self.finished = len(self.tokens) >= self._limit
        return token


class SegmentSequence:
    """The suffix of PaliGemma's `segment` task for a known box: its four <loc> tokens as given, then `count` <seg>
    tokens, greedily. locations: the token ids of the box; first: id of <seg000>; entries: how many there are."""

    def __init__(self, locations: Tuple[int, ...], first: int, entries: int, count: int):
        self._locations, self._first, self._entries, self._count = tuple(locations), first, entries, count
        self.tokens: List[int] = []
        self.finished = False

    @property
    def wanted(self) -> Optional[Tuple[int, int]]:
        """(first, count) of the only tokens that may come next; None while the box is read."""
        return (self._first, self._entries) if len(self.tokens) >= len(self._locations) else None

    @property
    def codes(self) -> Tuple[int, ...]:
        """The codes so far, from 0."""
        return tuple(t - self._first for t in self.tokens[len(self._locations) :])

    def feed(self, logits: torch.Tensor) -> int:
        """logits: float32[V] of the next token, or of the `wanted` ones alone."""
        if len(self.tokens) < len(self._locations):
            token = self._locations[len(self.tokens)]
        else:
            partial = logits.shape[-1] == self._entries
            token = self._first + int(
                (logits if partial else logits[self._first : self._first + self._entries]).argmax()
            )
        self.tokens.append(token)
        self.finished = len(self.tokens) == len(self._locations) + self._count
        return token


def mass_around(locations: torch.Tensor, index: int) -> float:
    """Probability within NEIGHBOURHOOD bins of one of float32[1024] location logits."""
    low = max(0, index - NEIGHBOURHOOD)
    return float(locations.softmax(-1)[low : index + NEIGHBOURHOOD + 1].sum())
