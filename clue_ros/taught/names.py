"""Names of taught things: what may be one, and where a text says one.

A name stands in a text as whole words, in any case: "my torque wrench" in "hand me MY torque wrench, please". For the
rules of language/ it is hidden behind one made-up noun, so that "left hand tool" is no place and "part 17" no number.
"""

from __future__ import annotations

import re
from typing import FrozenSet, List, NamedTuple, Optional, Sequence, Tuple

from clue_ros.language.owners import OWNERS, without_owner
from clue_ros.language.phrase import ATTRIBUTES, GENERIC
from clue_ros.prompt import clean
from clue_ros.taught.refusals import KnownNameError, NameRefusedError

MOST_WORDS, MOST_CHARACTERS = 5, 48
ARTICLES = ("the", "a", "an", "this", "that")
_WORD = re.compile(r"[a-z0-9]+(?:['-][a-z0-9]+)*")
_BEFORE_A_THING = frozenset(
    "of to behind near by beside besides under above below over beneath on in and between".split()
)
_HIDDEN = "taughtthing"  # no English word, so no rule of language/ reads anything into it
_NOUN = re.compile(rf"{_HIDDEN}(\d+(?:n\d+)*)")  # of one name, or of several: "taughtthing0n2"
_AND = rf"(?:,? (?:and|or)|,)(?: then)?(?: the)? {_HIDDEN}\d+"
_SEVERAL = re.compile(rf"(?<!between )(?<!between the ){_HIDDEN}\d+(?:{_AND})+")


class Said(NamedTuple):
    """text: with every name hidden; names: those that were said, in order."""

    text: str
    names: Tuple[str, ...]


def as_name(text: str) -> str:
    """A name as it is kept: lower case, single spaces, without an article ("The Torque Wrench" -> "torque wrench").

    Raises NameRefusedError for no words, too many, signs that nobody speaks, or words that name nothing ("one").
    """
    words = clean(text).split()
    if words and words[0] in ARTICLES:
        words = words[1:]
    if not words or len(words) > MOST_WORDS or len(" ".join(words)) > MOST_CHARACTERS:
        raise NameRefusedError(
            f"a name has 1 to {MOST_WORDS} words and at most {MOST_CHARACTERS} letters, got '{text.strip()[:80]}'"
        )
    odd = [word for word in words if not _WORD.fullmatch(word)]
    if odd:
        raise NameRefusedError(f"a name is made of letters, digits, hyphens and apostrophes: '{odd[0][:40]}' is not")
    rest = words[1:] if words[0] in OWNERS else words
    if not rest or all(word in GENERIC or word in ATTRIBUTES for word in rest):
        raise NameRefusedError(f"'{' '.join(words)}' names no thing: add a noun, as in 'red thermos'")
    return " ".join(words)


def check_not_known(name: str, vocabulary: Optional[FrozenSet[str]]) -> None:
    """Raises KnownNameError for a name that the model has words for, as "red cup": a taught name hides them.

    With an owner ("my cup") it hides nothing else. vocabulary: the model's words; None for an open one, where any name
    could be meant for something else and so none is refused.
    """
    if vocabulary is not None and name.split()[0] not in OWNERS and all(w in vocabulary for w in name.split()):
        raise KnownNameError(
            f"the model already knows '{name}': call it 'my {name}', or ask for the name to be hidden (shadow)"
        )


class Names:
    """The names that are taught (`all`). A text may leave the owner out where the rest is no other name."""

    def __init__(self, names: Sequence[str], vocabulary: Optional[FrozenSet[str]] = None):
        """vocabulary: the model's words; "cup" alone does not mean "my cup" where the model knows cups."""
        self.all = tuple(names)
        forms = {name: name for name in self.all}
        for name in self.all:
            owner, _, rest = name.partition(" ")
            if owner in OWNERS and rest and not all(w in (vocabulary or ()) for w in rest.split()):
                forms.setdefault(rest, name)
        self._forms = forms
        longest = sorted(forms, key=lambda form: (-len(form.split()), -len(form), form))
        inside = "|".join(re.escape(form) for form in longest)
        self._pattern = re.compile(rf"(?<![\w'-])(?:{inside})(?![\w-]|'(?!s\b))") if forms else None

    def said_in(self, text: str) -> Tuple[str, ...]:
        """The names that a text says, in order, each once."""
        return self.hidden(text).names

    def hidden(self, text: str) -> Said:
        """The text in lower case, each name in it a made-up noun that `names_of` and `shown` take back."""
        found: List[str] = []

        def hide(match: "re.Match[str]") -> str:
            name = self._forms[match[0]]
            if name not in found:
                found.append(name)
            before = match.string[: match.start()].split()
            article = "the " if match[0].split()[0] in OWNERS or (before and before[-1] in _BEFORE_A_THING) else ""
            return f"{article}{self.noun_of(name)}"

        lowered = clean(text)
        if self._pattern is None:
            return Said(lowered, ())
        hidden = self._pattern.sub(hide, lowered)
        return Said(_SEVERAL.sub(lambda m: _HIDDEN + "n".join(re.findall(r"\d+", m[0])), hidden), tuple(found))

    def noun_of(self, name: str) -> str:
        """The made-up noun of a name."""
        return f"{_HIDDEN}{self.all.index(name)}"

    def names_of(self, phrase: str) -> Tuple[str, ...]:
        """The names behind the made-up noun in a phrase such as "red taughtthing1"; several of "my cap and part 17"."""
        found = _NOUN.search(phrase)
        numbers = [int(n) for n in found[1].split("n")] if found else []
        return tuple(self.all[n] for n in numbers) if all(n < len(self.all) for n in numbers) else ()

    def shown(self, text: str) -> str:
        """A text of the robot with the names again; "my thermos" becomes "thermos" behind "the left"."""

        def show(match: "re.Match[str]") -> str:
            return " or ".join(map(without_owner, self.names_of(match[0]))) or match[0]

        return _NOUN.sub(show, text)
