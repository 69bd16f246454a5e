"""What somebody says beside words of stopping: a complaint ("that's hot!"), or what is asked for ("that blue one").

For `stopping`, which reads the words of stopping themselves. All words in its form: lower case, no signs.
"""

from __future__ import annotations

import re

from clue_ros.dialogue.stopping_words import FILLERS

_SHOULD = r"(?:should|must|can|could|have to|need to|need|were supposed to|are supposed to|would)"
_TAKE = r"(?:take|pick|grab|fetch|get|give|bring|pass|hand)"
_EMPTY = "|".join(
    sorted(FILLERS | {"stop", "halt", "wait", "dont", "i", "to"})
)  # "I said please" and "I said stop" name nothing
_COLORS = (
    "red|green|blue|yellow|orange|purple|violet|pink|white|black|gr[ae]y|brown|silver|golden|beige|turquoise|striped"
)
_SIDE = r"(?:far |very |other )?(?:left|right|middle|cent(?:er|re)|top|bottom|back|front|corner|side|end|table|shelf)"
_BE = r"(?:its|it is|it was|it (?:should|must|has to|would|could|might|may) (?:be|have been)|theyre|they are)"
_REQUEST = re.compile(
    rf"\b(?:i (?:mean|meant|want|wanted|need|needed|said|asked|asked for|would like|prefer)(?= (?!(?:{_EMPTY})\b)\w)"
    r"|instead|id like|i did mean|(?:the|an)other(?: one)?"
    rf"|{_TAKE}(?: up)? (?:me|us|the|a|an|my|one|another)"
    r"|(?:wrong|it|one|thing|that|this) (?:but )?(?:the|a|an)\b(?! (?:wrong|other way))"
    rf"|you {_SHOULD} (?:{_TAKE}|want|mean)"
    rf"|{_BE} (?:the|a|an|my)\b(?! wrong)|{_BE} (?:{_COLORS})\b"
    rf"|{_BE} (?:(?:on|to|at|in) (?:the|your|my) {_SIDE}|next to|beside|in front of|(?:left|right) of)"
    r"|(?:what|how) about|why not|help me (?:with|to|find|get|take|bring|pick))\b"
)
_WANTED = re.compile(
    r"\b(?:(?:want|need|prefer|rather have)s? (?:the|a|an|my|another|some|that|this)"
    r"|(?:it|he|she|we|they|there)(?:s| \w+)*? (?:the|a|an) (?:\w+ ){0,2}ones?)\b"
)
_DENIED = re.compile(r"\b(?:dont|doesnt|didnt|isnt|wasnt|arent|wont|cant|not|never|wrong)\b")
_LEAD_IN = r"(?:and |but |or |because |cause |before |if |for |oh |no |hey |please |careful |watch out )*"
_ALARM = re.compile(
    _LEAD_IN + r"(?:(?:it|there|he|she|they|you|we|who|why|what|where)(?:s|re|ll|ve|d)?\b|(?:i|im|ive|ill|id)\b"
    r"|(?:that|this|somebody|someone|something|everybody|everything|nobody)(?:s|ll|d)\b"
    r"|not (?:that|this|it|there|like that|so fast)\b|(?:the )?wrong\b|too (?:fast|close|hard|hot|far|late|dangerous)\b"
    r"|(?:careful|help|ouch|look)\b(?! sign| at the| for the)"
    r"|(?:my|your|his|her) (?:hand|finger|arm|hair|foot|leg|face|head|eye)s?$"
    r"|(?:danger|dangerous|hot|fire)(?: (?:there|here|now|behind|in|on|over|up|stuff|for|to)\b.*)?$)"
)
# "That hurts" complains where "that mug" names a thing.
_POINTER = re.compile(
    _LEAD_IN
    + r"(?:that|this|these|those|your|my|his|her|somebody|someone|something|everybody|everything|nobody)\b(.*)$"
)
_VERB = re.compile(
    r"\b(?:is|are|was|were|am|isnt|arent|wasnt|will|wont|can|cant|could|would|has|have|had|does|doesnt|did|didnt|going"
    r"|gonna|hurts?|burns?|burning|breaks?|breaking|falls?|falling|fell|broke|looks?|seems?|smells?|moves?|moving|goes"
    r"|belongs?|sucks|works?|leaks?|tips?|spills?|stinks|came|comes|coming|needs?|got|gets?|stuck|wrong)\b"
)
_IN_THE_WAY = re.compile(
    _LEAD_IN + r"(?:(?:there(?:s| is| are)?|he|shes?|hes|they|theyre|its|thats|a|the|my|your|his|her)\b.*?)?"
    r"\b(?:someone|somebody|people|person|child|children|kids?|baby|dog|fire|smoke|hands?|fingers?|danger)(?:s|\b)"
    r"(?! (?:towel|cream|soap|drill|saw|truck|food))"
)


def asks(said: str) -> bool:
    """True if the words ask for a thing, whatever they complain about: "you should take the red one"."""
    wanted = (said[max(0, found.start() - 12) : found.end()] for found in _WANTED.finditer(said))
    return _REQUEST.search(said) is not None or any(not _DENIED.search(words) for words in wanted)


def complains(sentence: str) -> bool:
    """True for a sentence of somebody who is alarmed or rejects; False for one that names a thing."""
    if _ALARM.match(sentence):
        return True
    found = _POINTER.match(sentence)
    return found is not None and (not found[1] or _VERB.search(found[1]) is not None)


def endangers(said: str) -> bool:
    """True if the words tell of somebody or something in the way: "there's a child", "my hand is in there"."""
    return _IN_THE_WAY.match(said) is not None


def denies(said: str) -> bool:
    """True if the words deny a thing, and so may mean another: "that's not it"."""
    return re.search(r"\b(?:wrong|not)\b", said) is not None


def goes_wrong(words: str) -> bool:
    """True if "it", "that", "this" or "there" does something: "that hurts", but not "it now" or "that mug"."""
    found = re.match(r"(?:it|that|this|there(?= (?:is|are|was)\b))( \w+)", words)
    return found is not None and _VERB.search(found[1]) is not None
