"""Whether a phrase means a thing of some name, as "a man in a red shirt" means a person and "a hot dog" no dog.

The phrase's head noun decides: what stands before the first preposition or verb, in the singular, as the longest name
that is known. It may be the thing's name, a synonym or a kind of it ("woman" for person), or a more general word
("vehicle" for car). Known are COCO's 80 names with what people say for them, and names that the caller brings.
"""

from __future__ import annotations

import re
from typing import Dict, List, Mapping, Sequence, Set

from clue_ros.language.coco_words import COCO, COMPOUNDS, GENERAL
from clue_ros.language.noun_phrases import noun_phrases
from clue_ros.language.plurals import singular

# "a flock of sheep": the thing stands behind. A box around a bowl of oranges is a bowl.
_PART_OF = frozenset(
    "flock herd pack crowd team swarm school slice piece stack pile heap bunch bouquet cluster row line pair couple "
    "set group lot number assortment collection variety array dozen head loaf stalk".split()
)
_COMPOUND = re.compile(r"\b\w+-\w+(?:ed|ing|like|free|sized|drawn)\s+")
_AND = re.compile(r"\s*(?:,|and|or|&|,\s*and|,\s*or)\s*")


class Naming:
    """synonyms: name -> other names and kinds of it, beside those for COCO's names."""

    def __init__(self, synonyms: Mapping[str, Sequence[str]] = {}):
        self._kinds: Dict[str, Set[str]] = {}  # name -> what may be said for it
        self._general: Dict[str, Set[str]] = {}  # more general word -> names
        for table in (COCO, synonyms):
            for name, words in table.items():
                self._kinds.setdefault(plain(name), set()).update(map(plain, words))
        for word, names in GENERAL.items():
            self._general[plain(word)] = set(map(plain, names))
        words = set().union(*self._kinds.values())
        self._known = {*self._kinds, *words, *self._general, *map(plain, COMPOUNDS)}

    def means(self, words: str, name: str) -> bool:
        """Whether the phrase `words` ("two women on a bench") means a thing called `name` ("person")."""
        name = plain(name)
        return bool(name) and any(self._is(self._longest(head, name), name) for head in heads(words))

    def _is(self, said: str, name: str) -> bool:
        if said == name or said in self._kinds.get(name, ()) or name in self._kinds.get(said, ()):
            return True
        if name in self._general.get(said, ()):
            return True
        return name.endswith(f" {said}") and name not in COMPOUNDS  # "the ball" for a tennis ball

    def _longest(self, head: str, name: str) -> str:
        """The longest known name at the end of a head ('wine glass' of 'tall wine glass'), else its last word."""
        tokens = plain(_COMPOUND.sub("", head)).split()  # "a bear-shaped hat"
        tokens = plain(" ".join(self._before_participle(tokens))).split()
        for start in range(len(tokens)):
            suffix = " ".join(tokens[start:])
            if suffix in self._known or suffix == name:
                return suffix
        return tokens[-1] if tokens else ""

    def _before_participle(self, tokens: Sequence[str]) -> Sequence[str]:
        """'boy riding' -> 'boy'; 'dining table' stays."""
        for n, word in enumerate(tokens):
            if n and word.endswith(("ing", "ed")) and plain(" ".join(tokens[:n])).split()[-1] in self._known:
                if " ".join(tokens) not in self._known:
                    return tokens[:n]
        return tokens


def heads(words: str) -> List[str]:
    """The head nouns of a phrase with what describes them from the left: one, or several joined by "and"."""
    text = words.replace("_", " ")
    phrases = noun_phrases(text, colors=True)
    while len(phrases) > 1 and phrases[0].head.split()[-1] in _PART_OF:
        if text[phrases[0].end : phrases[1].start].strip() != "of":
            break
        phrases = phrases[1:]
    found = [p.head for p in phrases[:1]]
    for before, after in zip(phrases, phrases[1:]):
        if not _AND.fullmatch(text[before.end : after.start]):
            break
        found.append(after.head)
    return found


def plain(text: str) -> str:
    """Lower case, letters and digits only, the last word in the singular: 'Wine_Glasses' -> 'wine glass'."""
    words = re.sub(r"'s\b", "", text.lower().replace("’", "'"))
    tokens = re.sub(r"[^\w]|_", " ", words).split()
    return " ".join([*tokens[:-1], singular(tokens[-1])]) if tokens else ""
