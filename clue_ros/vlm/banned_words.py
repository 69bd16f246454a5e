"""Words that a generated text must not hold, as the token sequences that spell them.

A vocabulary of pieces has a word as several tokens and in several spellings: at the start of a text `yellow`, within
one `▁yellow`, in capitals. A word that is one token is never taken. One of several ("▁corks" + "crew") is avoided where
it was about to be said: its pieces stay free for other words.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, Dict, FrozenSet, Iterable, NamedTuple, Optional, Sequence, Set, Tuple

from clue_ros.vlm.decoding import Branch, ConstrainedSequence, Vocabulary

SECOND_THOUGHTS = 8  # times that a text is begun again because a banned word of several tokens came up


class BannedWords(NamedTuple):
    """tokens: each a banned word by itself; runs: sequences of two tokens or more, each a banned word."""

    tokens: FrozenSet[int]
    runs: FrozenSet[Tuple[int, ...]]

    @classmethod
    def of(cls, encode: Callable[[str], Sequence[int]], words: Iterable[str]) -> "BannedWords":
        """encode: a text's token ids, without special ones."""
        spelled = {spelling for word in words for spelling in (word, word.lower(), word.capitalize(), word.upper())}
        runs = {tuple(encode(space + spelling)) for spelling in spelled for space in ("", " ")}
        return cls(frozenset(run[0] for run in runs if len(run) == 1), frozenset(run for run in runs if len(run) > 1))

    def found(self, tokens: Sequence[int]) -> Optional[int]:
        """Where the first of the runs begins in a text's tokens; None if it holds none."""
        return next(
            (at for at in range(len(tokens)) for run in self.runs if tuple(tokens[at : at + len(run)]) == run), None
        )


def without_words(
    words: BannedWords,
    vocabulary: Vocabulary,
    allowed: FrozenSet[Branch],
    decode: Callable[[ConstrainedSequence], ConstrainedSequence],
) -> ConstrainedSequence:
    """What a model says without some words; one that says a word of several tokens again and again keeps its last.

    decode: feeds a fresh sequence until it is finished, and returns it.
    """
    vocabulary = replace(vocabulary, banned=vocabulary.banned | words.tokens)
    not_after: Dict[Tuple[int, ...], Set[int]] = {}
    for _ in range(SECOND_THOUGHTS):
        sequence = decode(ConstrainedSequence(vocabulary, allowed, not_after=not_after))
        at = words.found(sequence.tokens)
        if at is None:
            break
        not_after.setdefault(tuple(sequence.tokens[:at]), set()).add(sequence.tokens[at])
    return sequence
