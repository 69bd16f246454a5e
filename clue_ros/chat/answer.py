"""An answer whose phrases carry boxes, and the writer that puts one together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import List, Mapping, NamedTuple, Sequence, Tuple

from clue_ros.types import Box


class Phrase(NamedTuple):
    """text[start:end] of an answer means the thing in `box` (pixels of the original image); confidence in [0, 1].

    A phrase that means several things ("two red mugs") stands once for each of them, with the same start and end."""

    start: int
    end: int
    box: Box
    confidence: float


@dataclass(frozen=True)
class GroundedAnswer:
    """What `Grounder.chat` returns. unknown_words: of the question, that the model lacks; the text then says so.
    latency_s: stage -> seconds."""

    question: str
    text: str
    phrases: Tuple[Phrase, ...] = ()
    unknown_words: Tuple[str, ...] = ()
    latency_s: Mapping[str, float] = field(default_factory=dict)

    def words(self, phrase: Phrase) -> str:
        """What a phrase says: 'two red mugs'."""
        return self.text[phrase.start : phrase.end]


class Writer:
    """A sentence in the making: plain words, and words that mean things."""

    def __init__(self) -> None:
        self._text = ""
        self._phrases: List[Phrase] = []

    def plain(self, words: str) -> "Writer":
        self._text += words
        return self

    def grounded(self, words: str, things: Sequence[Tuple[Box, float]]) -> "Writer":
        """things: (box, confidence) of everything that the words mean."""
        start = len(self._text)
        self._text += words
        self._phrases += [Phrase(start, len(self._text), Box(*box), float(sure)) for box, sure in things]
        return self

    def answer(self, question: str, unknown: Tuple[str, ...] = ()) -> GroundedAnswer:
        """The sentence as it is, with a capital at its begin."""
        text = self._text[:1].upper() + self._text[1:]
        return GroundedAnswer(question, text, tuple(self._phrases), unknown)
