"""Words of stopping: one grammar for the node, the replay of bags, the console and the simulated partners.

    is_stop("No! Stop! Stop!")           # True: ends a dialogue, or takes its target back
    is_stop("the mug by the stop sign")  # False: part of a request
    halts("never mind")                  # False: this is wanted no longer, and what waits behind it may go on
    after_stop("Stop! Take the left one.")  # "Take the left one.": it takes back, and says what is meant

An utterance stops if it is made of words of stopping (stopping_words.py) and of what says nothing beside them (fillers,
a name in front); if it ends in such a sentence, whatever it began with ("the mug. No, stop!"); or if it begins with one
and goes on to complain ("Stop! That's hot!"), not to ask. Signs, case, accents and repetition do not matter, except
that a sign or a repetition sets words of stopping off from what follows. docs/stopping.md has the table. Speech
recognisers leave signs out, so little relies on them alone. Reading takes a time that is linear in the words.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Dict, FrozenSet, List, NamedTuple, Optional, Sequence, Set, Tuple

from clue_ros.dialogue.stopping_words import (
    DROP, FILLER_PHRASES, FILLERS, GO_ON, GREETINGS, HALT, NO_GERUNDS, NO_NAMES,
)  # fmt: skip

MAX_READ_CHARACTERS = 4000  # of an utterance; of a longer one the beginning is read
_BREAK = ","
_HARD = frozenset("stop stopp halt freeze abort whoa woah quit terminate emergency estop".split())
_CALLED = frozenset("stop halt freeze wait whoa dont cancel abort quit".split())  # "Anna wait", but "large enough"
_NAMING = frozenset("the that this a an my other another take pick give get hand bring".split())
_NO_VERBS = frozenset("stop halt wait whoa woah".split())  # of things: "wait the left one", but "hold the mug"
NOTHING, DROPS, HALTS = 0, 1, 2  # what words do, the stronger the higher

_SHOULD = r"(?:should|must|can|could|have to|need to|need|were supposed to|are supposed to|would)"
# A sentence of somebody who is alarmed, not one that asks for a thing.
_COMPLAINT = re.compile(
    r"(?:and |but |or |because |cause |before |if |for |oh |no |hey |please |careful |watch out )*"
    r"(?:(?:that|this|it|there|he|she|they|you|we|somebody|someone|something|everybody|everything|nobody|who|why|what)"
    r"(?:s|re|ll|ve|d)?|i|im|ive|ill|id|your|not (?:that|this|it|there|like that|so fast)|wrong|danger|dangerous|fire"
    r"|too (?:fast|close|hard|hot|far|late|dangerous)|the wrong|hot|ouch|careful|help)\b"
)
_EMPTY = "|".join(sorted(FILLERS | {"stop", "halt", "wait", "dont"}))  # "I said please" and "I said stop" name nothing
_IS = re.compile(r"(?:that|this|it|there) (?:is|was|will|would|wont|hurts|looks|has|goes)$")  # not "stop that"
_REQUEST = re.compile(
    rf"\b(?:i (?:mean|meant|want|wanted|need|needed|said|asked|asked for|would like|prefer)(?= (?!(?:{_EMPTY})\b)\w)"
    r"|instead|id like|i did mean|(?:the|an)other(?: one)?"
    r"|(?:take|pick|grab|fetch|get|give|bring|pass|hand)(?: up)? (?:me|us|the|a|an|my|one|another)"
    r"|(?:wrong|it|one|thing|that|this) (?:but )?(?:the|a|an)\b(?! (?:wrong|other way))"
    rf"|you {_SHOULD} (?:take|pick|grab|fetch|get|give|bring|pass|hand|want|mean)"
    r"|its (?:the|a|an|my)|it is (?:the|a|an|my))\b"
)
_DENIAL = re.compile(r"\b(?:wrong|not)\b")
# Without a sign before it, "stop" at the end is a word of its own only here: "the red one stop", "the mug stop stop".
_AT_LAST = re.compile(
    r"(?: (?:one|it|wrong|no|please|now|robot) (?:no )*(?:stop|halt|freeze|whoa)| (?:(?:stop|halt|freeze|whoa) ?){2,})"
    r"(?: (?:please|now|no))*$"
)
_QUOTES = re.compile(r"\b(?:says|saying|say|reads|labeled|labelled|called|named|marked|word|words|not|or|and)$")


def is_stop(text: str) -> bool:
    """True if the utterance stops: it ends a dialogue, or takes its target back. Any text; see MAX_READ_CHARACTERS."""
    return _effect(_cut(text)) > NOTHING


def halts(text: str) -> bool:
    """True if the robot must not go on at all ("stop", "wait"), so that what waits behind the dialogue ends as well;
    False for words that only drop what is being talked about ("never mind"), and for any other."""
    return _effect(_cut(text)) == HALTS


def same_words(text: str, other: str) -> bool:
    """True if both say the same, whatever signs and case a recogniser gives them."""
    return [w for w in _words(_cut(text)) if w != _BREAK] == [w for w in _words(_cut(other)) if w != _BREAK]


def after_stop(text: str) -> Optional[str]:
    """What is said after words of stopping that begin the utterance: "Stop! Take the left one." -> "Take the left one."

    None if the utterance does not begin so ("stop sign"), or if it stops as a whole.
    """
    text = _cut(text)
    words = _words(text)
    head = _head(words)
    if head is None or head.after == len(words) or _effect(text) > NOTHING:
        return None
    rest = words[head.after :]
    while rest[0] == _BREAK:
        rest = rest[1:]
    goes_on = rest[0] in ("i", "not") or (rest[0] in _NAMING and words[head.end - 1] in _NO_VERBS)
    if not head.set_off and not goes_on:
        return None
    starts = (match.start() for match in re.finditer(r"\w\S*", text) if _words(match[0])[:1] == rest[:1])
    return next((text[start:].strip() for start in starts if _words(text[start:]) == rest), " ".join(rest))


class _Head(NamedTuple):
    """The words of stopping that begin an utterance.

    end: behind the last of them; after: behind the fillers that follow; set_off: by a sign, or because they were
    repeated; soft: they may only ask for a moment.
    """

    end: int
    after: int
    effect: int
    set_off: bool
    soft: bool


@lru_cache(maxsize=256)  # ears, session and corrections each read the same utterance
def _effect(text: str) -> int:
    words = _words(text)
    if not words:
        return NOTHING
    effect = _stops(words)
    if effect > NOTHING:
        return effect
    sentences = _sentences(words)
    if len(sentences) > 1 and _ends_in_a_name(text) and _cover(words[: -len(sentences[-1])]) == HALTS:
        return HALTS
    for end in range(1, min(len(sentences), 4)):  # "the mug. No, stop! That's hot!"
        tail = [word for sentence in sentences[-end:] for word in (_BREAK, *sentence)][1:]
        effect = _stops(tail)
        if effect > NOTHING and not _QUOTES.search(" ".join(sentences[-end - 1])):
            return effect
    plain = " ".join(word for word in words if word != _BREAK)
    if _AT_LAST.search(plain) and not _QUOTES.search(_AT_LAST.sub("", plain)):
        return HALTS
    return NOTHING


def _stops(words: Sequence[str]) -> int:
    """The effect of words that begin with words of stopping, a name in front apart, and ask for nothing after them."""
    for said in (words, *_after_names(words)):
        effect = _cover(said) or _complaint(said)
        if effect > NOTHING:
            return effect
    return NOTHING


def _complaint(words: Sequence[str]) -> int:
    """The effect of words of stopping after which somebody goes on without asking for anything."""
    head, shorter = _head(words), _head(words, 1)
    if shorter is not None and _IS.match(" ".join(words[shorter.end : shorter.end + 2])):
        return _goes_on(words, shorter)
    return NOTHING if head is None else _goes_on(words, head)


def _goes_on(words: Sequence[str], head: _Head) -> int:
    rest = words[head.end :]
    said = " ".join(word for word in rest if word != _BREAK)
    if not rest or _REQUEST.search(said):
        return NOTHING
    if head.end > 1 and words[head.end - 2] == "stop" and _is_gerund(words[head.end - 1]):  # "stop grabbing my cup"
        return NOTHING if _BREAK in rest else head.effect
    for sentence in _sentences(rest):
        complains = _COMPLAINT.match(" ".join(sentence)) is not None
        if not complains and not _cover(sentence) and not (len(sentence) < len(words) and _stops(sentence)):
            return NOTHING
    # "Wait, that's not it" denies one thing and may mean another; "wait, I have it" is no stop.
    asks_for_time = head.soft and (not head.set_off or _DENIAL.search(said) or rest[0] == "i" or rest[1:2] == ["i"])
    return NOTHING if asks_for_time else head.effect


def _after_names(words: Sequence[str]) -> List[Sequence[str]]:
    """What follows "Anna", "hey Anna," or "hey little one"; one word that is nobody's name is "bus" in "bus stop"."""
    begin = max(at for at, effect in enumerate(_reach(words)[0]) if effect is not None)
    if begin == len(words) or words[begin] in NO_NAMES:
        return []
    greeted = begin > 0 and words[begin - 1] in GREETINGS
    own = [word for word in words[begin + 1 :] if word != _BREAK and word not in FILLERS]
    if not greeted and words[begin + 1 : begin + 2] != [_BREAK] and len(own) == 1 and own[0] not in _CALLED:
        return []
    return [words[begin + length :] for length in ((1, 2) if greeted else (1,)) if begin + length < len(words)]


def _ends_in_a_name(text: str) -> bool:
    """Whether a word with a capital ends it after a comma: "Stop, Anna!", but not "STOP, RED!" or "Stop! Bowl!"."""
    found = re.search(r",\s*(\w[\w-]*)\W*$", text)
    return found is not None and found[1][0].isupper() and not text.isupper() and found[1].lower() not in NO_NAMES


def _head(words: Sequence[str], shorter: int = 0) -> Optional[_Head]:
    """The words of stopping that it begins with, without the last `shorter` of their ends; None if there are none."""
    reached, ends = _reach(words)
    if len(ends) <= shorter:
        return None
    end = after = sorted(ends)[-1 - shorter]
    after = max(at for at, effect in enumerate(reached) if effect is not None and at >= end)
    own = [word for word in words[:end] if word != _BREAK and word not in FILLERS]
    repeated = len(own) > 1 and len(set(own)) == 1
    set_off = repeated or _BREAK in words[end : after + 1]
    soft = reached[end] == HALTS and not any(word in _HARD for word in own)
    return _Head(end, after, reached[end], set_off, soft)


def _cover(words: Sequence[str]) -> int:
    """The effect of words that phrases and fillers cover without a rest."""
    return _reach(words)[0][-1] or NOTHING


def _reach(words: Sequence[str]) -> Tuple[List[Optional[int]], Set[int]]:
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
    if first == _BREAK:
        return [(1, NOTHING)]
    found: Dict[int, int] = {}
    for phrase, effect in _BEGINNING.get(first, ()):
        if tuple(words[at : at + len(phrase)]) == phrase:
            if effect == NOTHING and phrase in _GO_ON:
                return [(len(phrase), NOTHING)]
            found[len(phrase)] = max(found.get(len(phrase), NOTHING), effect)
    if first == "stop" and at + 1 < len(words) and _is_gerund(words[at + 1]):
        found.setdefault(2, HALTS)  # not "stop asking"
        if at + 2 < len(words) and words[at + 2] in ("it", "that", "this", "them", "me", "anything", "now"):
            found.setdefault(3, HALTS)
    return sorted(found.items())


def _is_gerund(word: str) -> bool:
    return len(word) > 4 and word.endswith("ing") and word not in NO_GERUNDS


def _cut(text: str) -> str:
    return text if len(text) <= MAX_READ_CHARACTERS else text[:MAX_READ_CHARACTERS].rpartition(" ")[0]


def _sentences(words: Sequence[str]) -> List[List[str]]:
    """The words between the breaks; at least one list."""
    sentences: List[List[str]] = [[]]
    for word in words:
        if word == _BREAK:
            sentences.append([])
        else:
            sentences[-1].append(word)
    return [sentence for sentence in sentences if sentence] or [[]]


def _words(text: str) -> List[str]:
    """Plain words, and a comma where signs part them."""
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    text = "".join(c for c in text if unicodedata.category(c) not in ("Mn", "Cf"))
    text = re.sub(r"['’‘ʼ´`′‵＇]", "", text)
    text = re.sub(r"[.,!?;…—–\n¡¿‼⁉]|\s-+\s", f" {_BREAK} ", text)
    plain: List[str] = []
    for word in re.findall(rf"{_BREAK}|[^\W_]+", text):
        word = re.sub(r"(.)\1{2,}", r"\1", word)  # "stoppp", "nooo"
        if word == _BREAK and plain[-1:] == [_BREAK]:
            continue
        if word == "t" and plain[-1:] == ["don"]:
            plain[-1] = "dont"
        elif word == "nt" and plain[-1:] == ["do"]:
            plain[-1] = "dont"
        else:
            again = re.fullmatch(r"(?:(stop){2,}|(no){2,}|(wait){2,})", word)
            plain.append(next(filter(None, again.groups())) if again else word)
    while plain[:1] == [_BREAK]:
        plain = plain[1:]
    while plain[-1:] == [_BREAK]:
        plain = plain[:-1]
    return plain


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
