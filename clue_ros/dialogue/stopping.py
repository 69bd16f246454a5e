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
from functools import lru_cache
from typing import List, NamedTuple, Optional, Sequence

from clue_ros.dialogue.complaints import asks, complains, denies, endangers, goes_wrong
from clue_ros.dialogue.covering import HALTS, NOTHING, cover, is_gerund, reach
from clue_ros.dialogue.plain_words import BREAK, beginning, in_sentences, plain_words
from clue_ros.dialogue.stopping_words import FILLERS, GREETINGS, NO_NAMES, NO_TAILS, TAKES_OBJECT, TURNING
from clue_ros.language.kinds import noun_of
from clue_ros.language.phrase import ATTRIBUTES
from clue_ros.language.positions import DIRECTION_OF

_HARD = frozenset("stop stopp halt freeze abort whoa woah quit terminate emergency estop".split())
_CALLED = frozenset("stop halt freeze wait whoa dont cancel abort quit".split())  # "Anna wait", but "large enough"
_NAMING = frozenset("the that this a an my other another take pick give get hand bring".split())
_TAKING = frozenset("take pick give get hand bring".split())
_SAYS_WHERE = frozenset("there here what look you".split())
_NO_VERBS = frozenset("stop halt wait whoa woah".split())  # of things: "wait the left one", but "hold the mug"

_QUOTES = re.compile(r"\b(?:says|saying|say|reads|labeled|labelled|called|named|marked|word|words|not|or|and)$")
_ALARMED = re.compile(
    r"(?:^| )(?:(?:me|it|him|us|them|one|that|wrong|hurts?|enough|know|to (?:fall|break|spill|burn|tip over))"
    r"|(?:its|thats|is|are|youre|you|was|too|so|very|going|keeps) (?:hot|fast|close|far|bad|dangerous|\w\w+ing))$"
)
_REPEATED = frozenset("stop stopp halt freeze abort whoa woah wait dont".split())
# Of things and of what is done: "stop sign", "stop when done", "stop motion", "stop asking".
_BESIDE_STOP = frozenset(
    """sign signs light lights lamp button buttons lever switch key knob valve symbol sticker card board bar block ring
    cock gap motion codon loss order press over work payment bit word words mark logo icon label handle pedal clock
    timer line watch watches signal sound sounds set volume side cap screw collar plug list when if until till before
    after unless while for with without near next behind beside under on in at to from by is was were are has and or
    one ones first second third last big bigger biggest small smaller smallest large larger tall short""".split()
)
_TAIL_PHRASES = (
    "never mind", "nevermind", "forget it", "forget about it", "cancel", "hold on", "holdon", "hang on", "stop it",
    "scratch that", "i changed my mind", "wait a", "one moment", "just a moment", "just a second", "thats enough",
    "abort", "whoa",
)  # fmt: skip
_MAX_TAIL = 12  # words


def is_stop(text: str) -> bool:
    """True if the utterance stops: it ends a dialogue, or takes its target back. Any text."""
    return _effect(beginning(text)) > NOTHING


def halts(text: str) -> bool:
    """True if the robot must not go on at all ("stop", "wait"), so that what waits behind the dialogue ends as well;
    False for words that only drop what is being talked about ("never mind"), and for any other."""
    return _effect(beginning(text)) == HALTS


def same_words(text: str, other: str) -> bool:
    """True if both say the same, whatever signs and case a recogniser gives them."""
    said, again = (plain_words(beginning(one)) for one in (text, other))
    return [word for word in said if word != BREAK] == [word for word in again if word != BREAK]


def after_stop(text: str) -> Optional[str]:
    """What is said after words of stopping that begin the utterance: "Stop! Take the left one." -> "Take the left one."

    None if the utterance does not begin so ("stop sign"), or if it stops as a whole.
    """
    text = beginning(text)
    words = plain_words(text)
    head = _head(words)
    if head is None or head.after == len(words) or _effect(text) > NOTHING:
        return None
    begins, last = head.after, words[head.end - 1]
    while begins > head.end and words[begins - 1] in _SAYS_WHERE:  # fillers, but not before "... is a blue one"
        begins -= 1
    rest = words[begins:]
    while rest[0] == BREAK:
        rest = rest[1:]
    goes_on = (
        rest[0] in ("i", "not") or (rest[0] in _NAMING and last in _NO_VERBS)
        or (rest[0] in _TAKING and last not in ("dont", "not"))
    )  # fmt: skip
    if not head.set_off and not goes_on:
        return None
    starts = (match.start() for match in re.finditer(r"\w\S*", text) if plain_words(match[0])[:1] == rest[:1])
    return next((text[start:].strip() for start in starts if plain_words(text[start:]) == rest), " ".join(rest))


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
    words = plain_words(text)
    if not words:
        return NOTHING
    effect = _stops(words)
    if effect > NOTHING:
        return effect
    sentences = in_sentences(words)
    name = _name_at_the_end(text)
    if name and cover(words[: -len(plain_words(name))]) == HALTS:
        return HALTS
    for end in range(1, min(len(sentences), 4)):  # "the mug. No, stop! That's hot!"
        tail = [word for sentence in sentences[-end:] for word in (BREAK, *sentence)][1:]
        effect = NOTHING if _goes_with_request(tail) else _stops(tail)
        if effect > NOTHING and not _QUOTES.search(" ".join(sentences[-end - 1])):
            return effect
    return _tail(sentences[-1])


def _goes_with_request(words: Sequence[str]) -> bool:
    """Whether a last sentence says how to do what was asked, and takes nothing back: "bring the mug, then stop"."""
    plain = " ".join(words)
    return plain.startswith(("then ", "and then ")) or any(plain.endswith(end) for end in NO_TAILS)


def _tail(words: Sequence[str]) -> int:
    """The effect of words of stopping at the end of a sentence, where a recogniser left the sign out.

    "Give me the mug no stop", "the red one wait wait", "that's hot stop"; but one word alone is part of a thing ("the
    bus stop"), and what follows "the one that says" is what it says.
    """
    for begin in range(max(1, len(words) - _MAX_TAIL), len(words)):
        tail, before = list(words[begin:]), words[begin - 1]
        effect = cover(tail)
        if effect == NOTHING:
            said_twice = tail[0] in TURNING | _REPEATED and tail[1:2] and tail[1] in _REPEATED
            effect = _stops(tail) if said_twice and before not in TAKES_OBJECT else NOTHING
            if effect > NOTHING:  # "the red one no stop anna stop"
                return effect
            continue
        if before in TAKES_OBJECT or tail[0] in ("and", "then", "or") or _goes_with_request(tail):
            return NOTHING
        reached, ends = reach(tail)
        first = max(at for at in range(min(ends)) if reached[at] == NOTHING and cover(tail[at:]) > NOTHING)
        own = [word for word in tail[first : max(ends)] if word not in FILLERS]
        turned = any(word in TURNING for word in tail[:first])
        repeated = len(own) > 1 and own[0] in _REPEATED and own[1] in _REPEATED
        named = " ".join(own).startswith(_TAIL_PHRASES)
        alarmed = own[0] in _REPEATED and _ALARMED.search(" ".join(words[: begin + first]))
        return effect if turned or repeated or named or alarmed else NOTHING
    return NOTHING


def _stops(words: Sequence[str]) -> int:
    """The effect of words that begin with words of stopping, a name in front apart, and ask for nothing after them."""
    for said in (words, *_after_names(words)):
        effect = cover(said) or _complaint(said) or _to_somebody(said)
        if effect > NOTHING:
            return effect
    return NOTHING


def _to_somebody(words: Sequence[str]) -> int:
    """The effect of "stop" before a word or two that name no thing, so a name or what nobody foresaw: "stop dave"."""
    head = _head(words)
    if head is None or words[head.end - 1] not in ("stop", "halt"):
        return NOTHING
    for length in (1,) if BREAK in words[head.end : head.after] else (1, 2):
        name, rest = words[head.after : head.after + length], words[head.after + length :]
        known = any(w in _BESIDE_STOP or w in ATTRIBUTES or w in DIRECTION_OF or noun_of(w) for w in name)
        if (
            len(name) == length
            and not known
            and BREAK not in name
            and name[0] not in NO_NAMES
            and reach(rest)[0][-1] is not None
        ):
            return HALTS
    return NOTHING


def _complaint(words: Sequence[str]) -> int:
    """The effect of words of stopping after which somebody goes on without asking for anything."""
    head = _head(words)
    if head is None:
        return NOTHING
    if goes_wrong(" ".join(words[head.end - 1 :])):  # "stop it hurts" is "stop, it hurts"
        return max(_goes_on(words, head, head.end), _goes_on(words, head, head.end - 1))
    return _goes_on(words, head, head.end)


def _goes_on(words: Sequence[str], head: _Head, begin: int) -> int:
    """The effect of the head where what begins at `begin` complains, and asks for nothing."""
    rest = words[begin:]
    said = " ".join(word for word in rest if word != BREAK)
    if not rest or asks(said):
        return NOTHING
    if begin > 1 and words[begin - 2] == "stop" and is_gerund(words[begin - 1]):  # "stop grabbing my cup"
        return NOTHING if BREAK in rest else head.effect
    for sentence in in_sentences(rest):
        says_nothing = reach(sentence)[0][-1] is not None
        if says_nothing or complains(" ".join(sentence)):
            continue
        if not (len(sentence) < len(words) and _stops(sentence)):
            return NOTHING
    # "Wait, that's not it" denies one thing and may mean another; "wait, I have it" is no stop.
    asks_for_time = (
        head.soft and not endangers(said) and (not head.set_off or denies(said) or rest[0] == "i" or rest[1:2] == ["i"])
    )
    return NOTHING if asks_for_time else head.effect


def _after_names(words: Sequence[str]) -> List[Sequence[str]]:
    """What follows "Anna", "hey Anna," or "hey little one"; one word that is nobody's name is "bus" in "bus stop"."""
    begin = max(at for at, effect in enumerate(reach(words)[0]) if effect is not None)
    if begin == len(words) or words[begin] in NO_NAMES:
        return []
    greeted = begin > 0 and words[begin - 1] in GREETINGS
    own = [word for word in words[begin + 1 :] if word != BREAK and word not in FILLERS]
    if not greeted and words[begin + 1 : begin + 2] != [BREAK] and len(own) == 1 and own[0] not in _CALLED:
        return []
    return [words[begin + length :] for length in ((1, 2) if greeted else (1,)) if begin + length < len(words)]


def _name_at_the_end(text: str) -> str:
    """A word with a capital that ends it: "Stop, Anna!", "please stop Anna"; but not "STOP, RED!", "Stop Sign"."""
    found = re.search(r"(?:,\s*|\b[a-z]+\s+)(\w[\w-]*)\W*$", text)
    called = found is not None and found[1][0].isupper() and not text.isupper() and found[1].lower() not in NO_NAMES
    return found[1] if found is not None and called else ""


def _head(words: Sequence[str]) -> Optional[_Head]:
    """The words of stopping that it begins with; None if there are none."""
    reached, ends = reach(words)
    if not ends:
        return None
    end = max(ends)
    after = max(at for at, effect in enumerate(reached) if effect is not None and at >= end)
    effect = reached[end]
    if effect is None:  # an end was reached, so that it has one
        return None
    own = [word for word in words[:end] if word != BREAK and word not in FILLERS]
    repeated = len(own) > 1 and len(set(own)) == 1
    set_off = repeated or BREAK in words[end : after + 1]
    soft = effect == HALTS and not any(word in _HARD for word in own)
    return _Head(end, after, effect, set_off, soft)
