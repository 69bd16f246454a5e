"""Which words of an utterance the phrases of stopping and the fillers cover without a rest, and what these do.

For the grammar of stopping (stopping.py). Reading takes a time that is linear in the words.
"""

from __future__ import annotations

from typing import Dict, FrozenSet, List, Optional, Sequence, Set, Tuple

from clue_ros.dialogue.plain_words import BREAK
from clue_ros.dialogue.stopping_words import DROP, FILLER_PHRASES, FILLERS, GO_ON, HALT, NO_GERUNDS

NOTHING, DROPS, HALTS = 0, 1, 2  # what words do, the stronger the higher


def cover(words: Sequence[str]) -> int:
    """The effect of words that phrases and fillers cover without a rest."""
    return reach(words)[0][-1] or NOTHING


def reach(words: Sequence[str]) -> Tuple[List[Optional[int]], Set[int]]:
    """For each number of words the strongest effect of phrases and fillers that cover exactly these, None where they
    do not; and where words of stopping may end."""
    best: List[Optional[int]] = [NOTHING] + [None] * len(words)
    ends: Set[int] = set()
    for at in range(len(words)):
        sofar = best[at]
        if sofar is None:
            continue
        for length, effect in _steps(words, at):
            before = best[at + length]
            best[at + length] = max(sofar, effect, NOTHING if before is None else before)
            if effect > NOTHING:
                ends.add(at + length)
    return best, ends


def _steps(words: Sequence[str], at: int) -> List[Tuple[int, int]]:
    """(number of words, effect) of each phrase that begins here."""
    first = words[at]
    if first == BREAK:
        return [(1, NOTHING)]
    found: Dict[int, int] = {}
    for phrase, effect in _BEGINNING.get(first, ()):
        if tuple(words[at : at + len(phrase)]) == phrase:
            if effect == NOTHING and phrase in _GO_ON:
                return [(len(phrase), NOTHING)]
            found[len(phrase)] = max(found.get(len(phrase), NOTHING), effect)
    if first == "stop" and at + 1 < len(words) and is_gerund(words[at + 1]):
        found.setdefault(2, HALTS)  # not "stop asking"
        if at + 2 < len(words) and words[at + 2] in ("it", "that", "this", "them", "me", "anything", "now"):
            found.setdefault(3, HALTS)
    return sorted(found.items())


def is_gerund(word: str) -> bool:
    return len(word) > 4 and word.endswith("ing") and word not in NO_GERUNDS


def _index() -> Dict[str, List[Tuple[Tuple[str, ...], int]]]:
    index: Dict[str, List[Tuple[Tuple[str, ...], int]]] = {}
    groups = ((GO_ON, NOTHING), (HALT, HALTS), (DROP, DROPS), (FILLERS, NOTHING), (FILLER_PHRASES, NOTHING))
    for group, effect in groups:
        for phrase in group:
            words = tuple(phrase.split())
            index.setdefault(words[0], []).append((words, effect))
    return index


_GO_ON: FrozenSet[Tuple[str, ...]] = frozenset(tuple(phrase.split()) for phrase in GO_ON)
_BEGINNING = _index()
for _found in _BEGINNING.values():
    _found.sort(key=lambda pair: (pair[0] not in _GO_ON, -len(pair[0])))
