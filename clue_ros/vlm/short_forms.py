"""Other forms of words that a closed vocabulary has: "it's the 2nd mug, thx" is "it is the second mug, thanks".

Only what means the very same thing is written out: contractions with and without their apostrophe, numerals of order,
what people type instead of a whole word, and words in two parts. Nothing here says what a person could have meant
("pink" is no red, "all mugs" is not one mug): such words are reported as unknown.
"""

from __future__ import annotations

import re
from typing import Collection, Dict

_LONG: Dict[str, str] = {
    "1st": "first", "2nd": "second", "3rd": "third", "4th": "fourth",
    "it's": "it is", "that's": "that is", "what's": "what is", "where's": "where is", "there's": "there is",
    "thats": "that is", "whats": "what is", "wheres": "where is", "theres": "there is", "i'm": "i am", "im": "i am",
    "gimme": "give me", "lemme": "let me", "wanna": "want to", "pls": "please", "plz": "please", "thx": "thanks",
    "dunno": "do not know", "idk": "i do not know", "yep": "yes", "yeah": "yes", "yup": "yes", "nope": "no",
    "nah": "no", "rear": "back",
    "isn't": "is not", "isnt": "is not", "ain't": "is not", "aint": "is not", "dont": "don't",
}  # fmt: skip
# In two words, or with a hyphen; "the far mug" is another thing than "the mug", "the far left mug" is the left one.
_PHRASES = (
    (re.compile(r"\b(left|right)[\s-]+most\b", re.I), r"\1most"),
    (re.compile(r"\bfar[\s-]+(left|right)(most)?\b", re.I), r"\1\2"),
    (re.compile(r"\bthank\s+you\b", re.I), "thanks"),
)
_WORD = re.compile(r"[\w'’]+")


def written_out(text: str, known: Collection[str]) -> str:
    """The text with other forms of known words replaced by those words, everything else as it was.

    known: the words of the model, lower case. What is known itself stays, and so does what would become unknown.
    """
    for pattern, words in _PHRASES:
        text = pattern.sub(lambda match: _or_as_said(match.group(), match.expand(words), known), text)
    return _WORD.sub(lambda match: _long(match.group(), known), text)


def _long(word: str, known: Collection[str]) -> str:
    plain = word.lower().replace("’", "'")
    return word if plain in known else _or_as_said(word, _LONG.get(plain, word), known)


def _or_as_said(said: str, words: str, known: Collection[str]) -> str:
    return words if all(word in known for word in words.lower().split()) else said
