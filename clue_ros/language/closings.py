"""Courtesies at the end of a dialogue, when what is meant was settled: "OK, here you are." – "Thank you!".

An exchange closes a dialogue if neither side says or asks anything that could tell things apart. The robot only nods,
hands over, takes leave, or offers more help; the person only thanks, praises, agrees, or wants "it" handed over.
Whatever names a thing (a noun, a colour, a place, "the …", "the other one") leaves an exchange as it is, and so do
unknown words. English only: a dialogue in another language is never cut.
"""

from __future__ import annotations

import re
from typing import FrozenSet, List, Sequence

from clue_ros.language.coco_words import COCO
from clue_ros.language.kinds import noun_of
from clue_ros.language.phrase import ATTRIBUTES
from clue_ros.language.positions import DIRECTION_OF

_THANKS = frozenset(
    "thanks thank thankyou thx thnx ty tysm ta cheers appreciate appreciated grateful obliged kudos".split()
)
_NODS = frozenset(
    "ok okay okey k yes yeah yep yup ya sure right alright fine good great nice perfect cool wonderful excellent "
    "awesome lovely super fantastic brilliant amazing terrific sweet neat splendid beautiful beautifully well oh "
    "ah aha hm hmm mm wow yay then indeed really absolutely exactly definitely certainly gotcha got understood "
    "understand see know roger copy noted affirmative agreed correct clear course totally righto acknowledged".split()
)
_LEAVES = frozenset(
    "bye goodbye byebye welcome pleasure glad happy enjoy wish moment coming done ready careful anytime problem "
    "worries service farewell help helped day night evening morning afternoon later soon yours".split()
)
_SERVES = frozenset(
    f"{verb}{end}"
    for verb in "get bring fetch take pass hand give send grab pick wrap pack put hold deliver carry catch".split()
    for end in ("", "s", "ing")
) | {"getting", "taking", "giving", "grabbing", "wrapping", "putting", "retrieve", "retrieving", "do", "go", "going"}
_SMALL = frozenset(
    "i we you me my your it they them this that these those is are am be been was were s ll re ve m d im ill "
    "youre heres thats lets its will would can could have has had do did does to for over up down out back now "
    "immediately away at once a an and so very much many lot lots bunch million ton again too all here there let "
    "just please with of as want wanted need needs like mean meant found find which able any time times way "
    "own everything job work robot next see seeing waiting wait hand gonna mind rush hurry mention quickly slowly "
    "fun care kind look looks yourself more best nothing ahead quick sounds sir madam buddy mate pal friend dude "
    "dear man king star hero legend consider".split()
)
_PERSONS = _THANKS | _NODS | _LEAVES | _SERVES | _SMALL
_ROBOTS = _PERSONS | {"one"}
_KNOWS = frozenset("got know see understand understood found roger copy".split()) | _SERVES
_NO = frozenset("no not nope never t don isn doesn wrong other others another instead else but except actually".split())
_TELLS = (ATTRIBUTES - {"clear", "clean", "open"}) | (set(DIRECTION_OF) - {"right", "back"}) | _NO
_TELLS |= frozenset(
    "one ones two three big bigger small smaller large larger tall short with next beside near behind between under "
    "above first second third last in on".split()
)
_NAMED = frozenset(word for words in COCO.values() for word in words if " " not in word) | frozenset(COCO)

# What would be read as naming or denying something, and does neither.
_PHRASES = tuple(
    (re.compile(pattern), said)
    for pattern, said in (
        (r"\b(?:no|not a|without any) (?:problem|worries|worry|trouble|rush|hurry|need|big deal|doubt)\b", "welcome"),
        (r"\b(?:not at all|don t mention it|can t wait|my pleasure|with pleasure|no biggie)\b", "welcome"),
        (r"\b(?:a|one|just a|for a) (?:moment|minute|second|sec|bit|while|few seconds)\b", "moment"),
        (r"\b(?:on (?:the|its|my) way|on it|right away|at once)\b", "coming"),
        (
            r"\bfor (?:the|your|all your) (?:\w+ )?(?:help|clarification|information|info|answer|confirmation|details?|"
            r"reply|patience|service|trouble|time|feedback|response|assistance|work|effort|kindness)\b",
            "",
        ),
        (r"\b(?:the|a) (?:best|man|greatest|star|hero|legend|life ?saver|king|gem)\b", "best"),
        (r"\b(?:enjoy|have|take) (?:your|a|the|some) (?:\w+ )?\w+$", "enjoy"),
        (r"\b(?:sure thing|good (?:boy|girl|bot))\b", "great"),
        (r"\b(?:that|this|it) (?:is|s|was) (?:the|that) (?:one|thing)\b", "right"),  # an answer, and nothing new
        (r"\bwhat i (?:want|wanted|need|needed|meant|mean)\b", "right"),
    )
)
_MORE = re.compile(
    r"\b(?:(?:any|some)thing else(?= (?:you|i|we|for you|that|today|please)\b|$)|what else|(?:help|assist) you|"
    r"that (?:be )?(?:all|everything))\b"
)
_ASKS = re.compile(
    r"(?:which|what|where|who|whose|how|do (?:you|i|we|they)|does|did|is|are|was|were|can|could|shall|should|"
    r"would|may)\b|"
    r".*\b(?:tell|describe|specify|point|show me|let me know|confirm|choose|clarify|you (?:want|mean)\b.* or)\b"
)
_HANDS_OVER = re.compile(
    r"(?:\w+ )*?(?:here|there) (?:(?:you|we|it|they) (?:are|go|is|comes?|have it)|(?:is|are) it)\b|"
    r"(?:\w+ )*?(?:i|we|let me)(?: (?:ll|will|m|am|going to|just|go|and|now|have|ve|can|already))* "
    rf"(?:{'|'.join(sorted(_SERVES))})(?: (?:you|me))? (?:it|this|that|them|these|those)\b"
)
# What the robot brings may be named again; then only thanks tell that nobody was asked to confirm it.
_OFFER = re.compile(
    r"here (?:is|are|s|comes|come) .+|"
    rf"(?:i|we|let me)(?: (?:ll|will|m|am|going to|just|go|and|now))* (?:{'|'.join(sorted(_SERVES))}) .+"
)
_SPOT = re.compile(r"(?:(?:it|this|that|s|is|over|up|down|back|out|right|just|yes|ok) )*(?:there|here)")
_CLAUSE = re.compile(r"[.,;:!?~…]+|\band\b|\bso\b(?! much)")
_NOT_A_LETTER = re.compile(r"[^\w]+")
_ADDRESS = re.compile(r"(?<!\bthe )(?<!\bthat )(?<!\ba )\b(?:my )?(?:friend|man|sir|madam|buddy|mate|pal|dude)$")


def is_closing(robot: str, person: str) -> bool:
    """Whether an exchange settles nothing: the robot asks nothing and offers no thing to confirm, and the person only
    thanks, agrees, takes leave, or wants "it" handed over. person: '' where nothing was said any more."""
    said = _clauses(robot)
    more = any(_MORE.search(clause) for clause in said)
    if not said or ("?" in robot and not more) or not _person_closes(person, more):
        return False
    thanked = not person.strip() or bool(_words(person) & _THANKS)
    handed = any(_HANDS_OVER.match(clause) for clause in said)
    for clause in said:
        if _MORE.search(clause):
            continue
        words = clause.split()
        plain = words[next((n for n, w in enumerate(words) if w not in _NODS), len(words)) :]
        rest = " ".join(plain)
        if _ASKS.match(rest):
            return False
        if not (_is_courtesy(clause) or (handed and _is_beside_the_point(clause))):
            if not (thanked and _OFFER.fullmatch(rest)):
                return False
    return True


def closings(exchanges: Sequence[Sequence[str]]) -> int:
    """How many of the last exchanges (robot's words, person's words) are closings."""
    count = 0
    for robot, person in reversed(exchanges):
        if not is_closing(robot, person):
            break
        count += 1
    return count


def _is_courtesy(clause: str) -> bool:
    """Of the robot: known words only, among them one that nods, serves or takes leave; not "OK, this one"."""
    words = set(clause.split())
    pointing = words & {"one", "this", "that", "these", "those"}
    cues = _THANKS | _NODS | _LEAVES | {"i", "we", "let", "im", "ill", "heres", "will", "please"}
    return (
        words <= _ROBOTS
        and bool(words & cues or _HANDS_OVER.match(clause) or words & _SERVES)
        and (not pointing or bool(words & (_KNOWS | _LEAVES)) or bool(re.search(r"(?:that|this) (?:is|s) ", clause)))
    )


def _person_closes(person: str, offered: bool) -> bool:
    """offered: whether the robot asked for another wish, which may be declined."""
    clauses = _clauses(person)
    if not clauses:
        return not person.strip()
    known = _PERSONS | ({"no", "nope"} if offered else set())
    thanks = bool(_words(person) & _THANKS) and "?" not in person
    for clause in clauses:
        words = set(clause.split())
        if words <= {"this", "that", "these", "those", "it"} or _is_place(clause):
            return False
        if not words <= known and not (thanks and _is_beside_the_point(clause)):
            return False
    return True


def _is_beside_the_point(clause: str) -> bool:
    """A remark of unknown words that names nothing: "it looks delicious"."""
    words = clause.split()
    for n, word in enumerate(words):
        if word in _TELLS or word in _NAMED or noun_of(word) is not None or _is_place(clause):
            return False
        if word in ("the", "a", "an", "my", "that", "this") and n + 1 < len(words) and words[n + 1] not in _PERSONS:
            return False
    return bool(set(words) & (_THANKS | {"i", "it", "you", "that", "this", "be", "is", "s"}))


def _is_place(clause: str) -> bool:
    """Right and back are places after "the" and "to" ("to the right"), else an answer and a way; so is "over there"."""
    return bool(
        re.search(r"\b(?:the|far|on|to|upper|lower) (?:right|back)\b(?! away)", clause) or _SPOT.fullmatch(clause)
    )


def _clauses(text: str) -> List[str]:
    """Lower-case words without signs, phrases that mean a courtesy replaced by one."""
    found = []
    for part in _CLAUSE.split(text.lower()):
        plain = _NOT_A_LETTER.sub(" ", part).strip()
        for pattern, said in _PHRASES:
            plain = pattern.sub(said, plain)
        plain = " ".join(_ADDRESS.sub("", plain).split())
        if plain:
            found.append(plain)
    return found


def _words(text: str) -> FrozenSet[str]:
    return frozenset(word for clause in _clauses(text) for word in clause.split())
