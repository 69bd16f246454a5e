"""Words that forbid a thing: "don't take the red one", "leave the mug alone", "I don't want the blue one".

A robot that looks for what somebody forbade does the opposite of what was said, so that these words never begin a
dialogue. Requests that only hold such words are none of them: "don't forget the red one", "why don't you take the red
one", "can't you take the red one", "I can't reach the red one", "leave it and take the red one". Pure functions.
"""

from __future__ import annotations

import re
from typing import Optional, Tuple

from clue_ros.dialogue.stopping_words import FILLERS

GOES_FOR = (
    "(?:take|pick up|pick|grab|get me|get|give me|give us|give|hand me|bring me|bring|pass me|pass|fetch me|fetch|want"
    "|mean|touch|use|grasp|lift|move|select|choose|reach for|go for|go near|come near|approach)"
)
_GOING = (
    r"(?:taking|picking up|picking|grabbing|getting|giving me|handing me|bringing me|touching|using|moving|lifting)"
)
# As it is heard, without apostrophes; "can't you" and "don't you want" ask, and so are left as they are.
_LONG = (
    (re.compile(r"\bdont\b(?! (?:you|we) (?:want|think|see|have|need|like|know|mean)\b)"), "do not"),
    (re.compile(r"\b(did|does|is|are|was|were|must|should|could|would|need|may)nt\b(?! (?:you|we) )"), r"\1 not"),
    (re.compile(r"\bcan(?:t|not)\b(?! (?:you|we) )"), "can not"),
    (re.compile(r"\bwont\b(?! (?:you|we) )"), "will not"),
    (re.compile(r"\byoure\b"), "you are"),
    (re.compile(r"\byoud\b"), "you would"),
    (re.compile(r"\bid\b"), "i would"),
)
_LEAD = (
    rf"(?:(?:{'|'.join(sorted(FILLERS))}|,|i said|i told you(?: to)?|i asked you(?: to)?|i want you(?: to)?"
    r"|i need you(?: to)?|i would like you(?: to)?|i would (?:rather|prefer)(?: it| that)?(?: if)?(?: you did(?= not))?"
    r"|can you|could you|would you|will you|you have to|you need to|you must|you should|lets) )*?"
)
_NOT = (
    r"(?:you )?(?:(?:do|can|could|would|will|must|should|may|shall|need|had better|better|are)"
    r" (?:you )?)?(?:to )?(?:not|never)"
    r"(?: (?:you|ever|even|to|dare|allowed|supposed|going|meant|think about|think of|try|have to|need to|want you"
    r"|need you))*"
)
_OURS = (
    r"(?:(?:(?:i|we)(?: (?:really|just))? (?:(?:do|did|would) not|no longer|never)(?: really)?"
    r" (?:wanted|want|needed|need|liked|like|meant|mean|said|say|asked for|ask for)"
    r"|(?:nobody|no one) (?:wants|needs|wanted|needed|asked for)) )"
)
_LEAVES = (
    r"(?:(?:leave|avoid|skip|ignore|cancel|release|let go of|(?:keep|stay)(?: \w+ \w+)? (?:away|off|clear|out)"
    rf"(?: (?:from|of))?|(?:keep )?(?:your |the )?hands off|get away from|no need (?:for|to {GOES_FOR})"
    rf"|(?:stop|quit|cease|no) {_GOING}|never mind|forget|forget about|(?:do not|no longer need)) )"
)
_FORBIDS = re.compile(
    rf"{_LEAD}(?:{_OURS}|{_NOT} (?:{GOES_FOR}|{_GOING}) |{_LEAVES})"
    r"(?=(?:the|that|this|those|these|my|your|his|her|our|their|a|an|any) )(.+)$"
)
_REPAIR = r"(?:i (?:mean|meant|said|asked for|wanted|want|need))"
_INSTEAD = re.compile(rf" ?, (?:but |and )?| but | (?=(?:and )?(?:{_REPAIR}|{GOES_FOR}) (?:the|that|this|my|a|an)\b)")
_BEHIND = re.compile(
    r"(?: (?:alone|there|here|be|where (?:it is|its|they are|theyre)|as it is|in peace|any ?more|any longer|at all|ever"
    r"|yet|please|now|today|up|thanks|thank you|either))+$"
)
_COURTESIES = frozenset(
    "oh ok okay well please actually sorry hey robot so ah um uh er hmm thanks now then wait".split()
)


def forbidden(text: str) -> Optional[Tuple[str, str]]:
    """What a person forbids, and what is wanted instead, empty if nothing: "don't take the red one, take the blue
    one" -> ("the red one", "the blue one"). None for words that forbid nothing, as "don't forget the red one"."""
    plain = re.sub(r"[.!?;,]+", " , ", re.sub("[’']", "", text.lower()))
    said = " ".join(re.sub(r"[^\w\s,]", " ", plain).split())
    for short, long in _LONG:
        said = short.sub(long, said)
    found = _FORBIDS.match(said)
    if found is None:
        return None
    first, *then = _INSTEAD.split(found[1], maxsplit=1)
    instead = _bare(" ".join(then).replace(",", " "))
    return _bare(_BEHIND.sub("", first)), re.sub(rf"^(?:and |but )?(?:{_REPAIR} )?(?:{GOES_FOR} )?", "", instead)


def _bare(words: str) -> str:
    """Without what says nothing at both ends; not without "right", which FILLERS has."""
    kept = words.split()
    while kept and kept[0] in _COURTESIES:
        kept = kept[1:]
    while kept and kept[-1] in _COURTESIES:
        kept = kept[:-1]
    return " ".join(kept)
