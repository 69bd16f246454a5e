"""An utterance as plain words: lower case, no accents, no signs but a comma where they part sentences.

For the grammar of stopping: people and recognisers write "Don't!", "don t", "STOP", "stop-stop" and "s-s-stop".
"""

from __future__ import annotations

import re
import unicodedata
from typing import List, Sequence

MAX_READ_CHARACTERS = 4000  # of an utterance; of a longer one the beginning is read
BREAK = ","
_CURSES = frozenset("damn damned bloody fucking goddamn blasted stupid".split())  # "stop the bloody robot"
_PRONOUNS = frozenset("i it that this there what who he she they we you lets".split())


def beginning(text: str) -> str:
    """At most MAX_READ_CHARACTERS of it, no word cut through."""
    return text if len(text) <= MAX_READ_CHARACTERS else text[:MAX_READ_CHARACTERS].rpartition(" ")[0]


def in_sentences(words: Sequence[str]) -> List[List[str]]:
    """The words between the breaks; at least one list."""
    sentences: List[List[str]] = [[]]
    for word in words:
        if word == BREAK:
            sentences.append([])
        else:
            sentences[-1].append(word)
    return [sentence for sentence in sentences if sentence] or [[]]


def plain_words(text: str) -> List[str]:
    """Plain words, and a comma where signs part them."""
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    text = "".join(c for c in text if unicodedata.category(c) not in ("Mn", "Cf"))
    text = re.sub(r"['’‘ʼ´`′‵＇]", "", text)
    text = re.sub(r"\bs[\W_]{1,2}t[\W_]{1,2}o[\W_]{1,2}p\b", "stop", re.sub(r"!+1+\b", "!", text))
    text = re.sub(r"[.,!?;…—–\n¡¿‼⁉]|\s-+\s", f" {BREAK} ", text)
    plain: List[str] = []
    for word in re.findall(rf"{BREAK}|[^\W_]+", text):
        if word in _CURSES:
            continue
        word = re.sub(r"(.)\1{2,}", r"\1", word)  # "stoppp", "nooo"
        if word == BREAK and plain[-1:] == [BREAK]:
            continue
        if word == "t" and plain[-1:] == ["don"]:
            plain[-1] = "dont"
        elif word == "nt" and plain[-1:] == ["do"]:
            plain[-1] = "dont"
        elif word in ("s", "re", "ll", "ve", "m") and plain[-1:] and plain[-1] in _PRONOUNS:
            plain[-1] += word
        else:
            again = re.fullmatch(r"(?:s*(stop+)|(stop){2,}|(no){2,}|(wait){2,})", word)
            plain.append(next(filter(None, again.groups())) if again else word)
    while plain[:1] == [BREAK]:
        plain = plain[1:]
    while len(plain) > 1 and (plain[-1] == BREAK or plain[-1] in ("the", "a", "an")):  # "stop the": cut off
        plain = plain[:-1]
    return plain if plain != [BREAK] else []
