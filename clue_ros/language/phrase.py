"""From an instruction to what `detect` should be asked: "could you hand me the red mug on the left, please?" -> "red
mug", with the position kept apart, to be decided by geometry. Rules for English, pure functions; whatever the rules do
not understand is passed on whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import List, Optional, Tuple

from clue_ros.language.plurals import singular
from clue_ros.language.positions import DIRECTION_OF, Place, extract_place
from clue_ros.prompt import clean

COLORS = frozenset(
    "red green blue yellow orange purple violet white black brown gray grey pink golden gold silver "
    "beige "
    "turquoise cyan magenta maroon navy teal tan cream transparent clear dark light bright pale".split()
)
ATTRIBUTES = COLORS | frozenset(
    "wooden wood plastic metal metallic steel paper cardboard ceramic leather rubber woolen striped dotted spotted "
    "checkered "
    "plain patterned floral round square rectangular oval flat empty full half-full open closed broken new old clean "
    "dirty shiny matte thin thick wide narrow long colored coloured colourful colorful".split()
)
GENERIC = frozenset("one ones thing things object objects item items it something anything stuff".split())
GENERIC_NOUN = "object"  # what a mix checkpoint is asked to detect when the person named no kind of thing

_DETERMINER = (
    r"(?:the|a|an|my|your|our|his|her|their|this|that|these|those|some|any|both|all|"
    r"one of (?:the|my|your|these|those))"
)
_PRONOUN = r"(?:me|us|him|her|them|it)"
_SURE_VERBS = (
    "get give bring take fetch find grab reach select locate choose collect grasp retrieve carry deliver "
    "identify detect search put keep point look"
).split()
_UNSURE_VERBS = (
    "hand pick pass show place set move hold catch watch drop clean open close press push pull turn "
    "throw use touch go see want need stand try start slide lift pour toss insert stack hang store stow return shake "
    "rotate flip"
).split()  # nouns or parts of names as well
_PARTICLE = r"(?:up|out|over|back|down|away|at|for|on|to|toward|towards|off)"
_PREFIXES = [
    re.compile(rf"^(?:{p})(?:\s+|$)")
    for p in (
        r"please|kindly|hey|hi|hello|ok|okay|robot|so|now|then|well|um|uh|uhm|ah|oh|hm|hmm|just|actually|and|also|yes|yeah|"
        r"sorry|thanks|thank you|excuse me|quickly|maybe|perhaps|go ahead and|no|nope|but|like|rather|instead|i "
        r"said|sure",
        r"(?:can|could|would|will|may|might|shall|should) (?:you|i|we)(?: please| kindly| just| also| quickly)?",
        r"would you mind|do me a favou?r and|be so kind as to|make sure to|try to|go (?:and )?(?=get\b|fetch\b|find\b|"
        r"grab\b)",
        r"(?:i|we)(?: really| just| also| actually)* (?:need|want|like|wish|think|mean|meant|have|choose|take|see|am "
        r"looking for|would like|would love|would prefer|prefer|was thinking of|am talking about)(?: you)?(?: to)?",
        r"(?:i'd|we'd)(?: really| just)? (?:like|love|prefer)(?: you)?(?: to)?",
        r"i'll (?:take|have)",
        r"i'm (?:looking for|after)",
        r"(?:let me|let us|let's) (?:have|get|see|take)",
        r"have",
        r"(?:where|what|which|who)(?: is|'s| are)|where",
        r"(?:is|are) there|do you see|there(?: is|'s| are)",
        r"(?:it|that|this)(?: is|'s)",
        r"it(?= was\b)|was",
        rf"(?:{'|'.join(_SURE_VERBS)})(?: {_PARTICLE})*(?: {_PRONOUN}(?! \w+ one\b))*(?: {_PARTICLE})*(?: {_PRONOUN})*",
        rf"(?:{'|'.join(_UNSURE_VERBS)})(?=(?: {_PARTICLE}| {_PRONOUN})+\b| {_DETERMINER}\b)(?: {_PARTICLE})*(?: "
        rf"{_PRONOUN})*"
        rf"(?: {_PARTICLE})*",
        rf"(?:to|for|with|of) {_PRONOUN}",
        r"to|for",
    )
]
_DETERMINED = re.compile(rf"^{_DETERMINER}(?:\s+|$)")
_SUFFIXES = re.compile(
    r"(?:^|\s+)(?:please|kindly|thanks|thank you(?: very much| so much)?|right now|now|right away|immediately|quickly|"
    r"robot|"
    r"to me|for me|for us|to us|to him|to her|over here|over there|here|there|if you can|if possible|if you please|"
    r"will you|would you|can you|could you|instead|again|too|as well|back|you see|that you see|then|though)$"
)
_SCENE_NOUN = (
    r"(?:table|tabletop|desk|counter|countertop|picture|image|photo|scene|room|floor|ground|workbench|"
    r"workspace|view|camera|kitchen)"
)
_OF_SCENE = re.compile(rf"\s+(?:on|in|at|from|off|onto) (?:top of )?(?:the|this|my|your|our) {_SCENE_NOUN}\b")
_PREDICATE = re.compile(
    r"\b(\w+) (?:(?:that|which)(?:'s| is| are)(?: the)?|(?:which|whose)(?:'s)? colou?r is|of (?:the )?colou?r) "
    r"([\w-]+)$"
)
_BETWEEN = re.compile(
    r"\s+(?:in )?between (?:(?:the|a|an|my|your) (?P<one>.+?) and (?:the |a |an |my |your |another )+(?P<other>.+)|"
    r"(?:the |two |both )*(?P<many>.+))$"
)
_AMONG_OTHERS = re.compile(r"\s+(?:among|amongst|between) (?:the )?(?:others?|all)(?: \w+)?$")
_THAT_IS = re.compile(
    r"\b(?:that|which|who)(?:'s| is| are| stands| lies| sits)\b|\b(?:standing|lying|sitting|"
    r"located)\b"
)
_DESTINATION = re.compile(
    r"\s+(?:into|onto|(?<!next )(?<!close )(?<!closest )(?<!nearest )(?<!nearer )(?<!closer )to"
    rf"(?! (?:the |my |your )?(?:{'|'.join(DIRECTION_OF)}))) .+$"
)
_PUT = re.compile(r"\b(?:put|place|move|set|drop|throw|keep)\b")
_PUT_DESTINATION = re.compile(r"\s+(?:on|in|inside|under|next to|beside|near|behind|in front of|on top of) .+$")
_DIRECTION_WORD = rf"(?:(?:far |very )?(?:{'|'.join(DIRECTION_OF)})(?! of\b))"
_RELATION = re.compile(
    r"\s+(?P<how>(?:to |on |at )?(?:the )?(?:left|right)(?: hand)?(?: side)? of|next to|close to|closest to|nearest to|"
    r"near|"
    r"beside|besides|by|in front of|in back of|behind|on top of|on|inside|in|under|underneath|below|beneath|above|over)"
    rf" (?:the|a|an|my|your|that|this) (?!{_DIRECTION_WORD}\b)(?P<what>.+)$"
)
_HEAD = re.compile(r"\s+(?:with|without|that|which|who|holding|wearing|between|from|of|for)\b.*$")
_AND = re.compile(r"^(?P<first>.*?\S) and (?P<second>\S.*)$")
_KINDS = (
    ("left of", "left_of"),
    ("right of", "right_of"),
    ("side of", ""),
    ("front of", "in_front_of"),
    ("back of", "behind"),
    ("behind", "behind"),
    ("under", "below"),
    ("below", "below"),
    ("beneath", "below"),
    ("above", "above"),
    ("over", "above"),
)


@dataclass(frozen=True)
class Relation:
    """kind: 'beside' (also on and in), 'left_of', 'right_of', 'in_front_of', 'behind', 'above', 'below', 'between';
    phrase: the other thing, as `detect` wants it; second: the third one of 'between', '' if that is of the same words.
    """

    kind: str
    phrase: str
    second: str = ""


@dataclass(frozen=True)
class Request:
    """What an instruction asks for.

    phrase: for `detect`, attributes included ('red mug'); noun: the kind of thing, for sentences ('mug'; 'one' if none
    was named); attributes: the words in front ('red',); place: position, rank and size, not in the phrase; relation: to
    another thing; understood: False where the rules found no noun phrase and the phrase is the text as it came.
    """

    phrase: str
    noun: str = "one"
    attributes: Tuple[str, ...] = ()
    place: Place = Place()
    relation: Optional[Relation] = None
    understood: bool = True

    @property
    def generic(self) -> bool:
        """Whether no kind of thing was named ("the red one")."""
        return self.noun == "one"

    @property
    def label(self) -> str:
        """How the thing is called in a sentence, without article: 'red mug'."""
        return " ".join([*self.attributes, self.noun])


def parse_instruction(text: str) -> Request:
    """The request of an instruction; the whole text as the phrase where the rules find nothing in it."""
    whole = clean(text)
    found = parse_description(whole)
    if found is None or (found.generic and not found.attributes and not found.place and found.relation is None):
        plain = " ".join(re.sub(r"[^\w\s'-]", " ", whole).split()) or whole
        if found is not None and plain.split()[-1] in GENERIC:  # "give me the thing": whatever there is
            return replace(found, phrase=GENERIC_NOUN)
        return Request(plain, understood=False)
    return found


def parse_description(text: str) -> Optional[Request]:
    """The thing that a text describes, or None. "the red one, on the left" -> red, generic, left."""
    parts = [_clause(part) for part in re.split(r"[,;:!?]|\.(?!\d)", clean(text))]
    parts = [p for p in parts if p is not None]
    if not parts:
        return None
    named = [p for p in parts if not p.generic and p.noun not in ATTRIBUTES]
    main = named[0] if named else parts[0]
    attributes, place, relation = list(main.attributes), main.place, main.relation
    for part in parts:
        if part is main:
            continue
        if part.generic or part.noun in ATTRIBUTES:  # "the mug, the red one"; "the red, striped mug"
            attributes += [*part.attributes, *([] if part.generic else [part.noun])]
            place, relation = place.joined(part.place), relation or part.relation
    return _request(main.noun, tuple(dict.fromkeys(attributes)), place, relation, main.phrase)


def _clause(text: str) -> Optional[Request]:
    text = " ".join(re.sub(r"[^\w\s'-]", " ", text).split())
    moved = bool(_PUT.search(text))
    text, determined = without_front(text)
    text = _strip_back(text)
    text = _OF_SCENE.sub(" ", f" {text}").strip()
    if moved:
        text = _PUT_DESTINATION.sub("", text)
    predicate = _PREDICATE.search(text)
    if predicate and predicate[2] in ATTRIBUTES:
        text = f"{text[: predicate.start()]}{predicate[2]} {predicate[1]}"
    text = " ".join(_THAT_IS.sub(" ", text).split())
    text = _AMONG_OTHERS.sub("", text)
    relation = None
    between = _BETWEEN.search(text)
    if between:
        relation, text = _between(between), text[: between.start()]
    text = _first_of_two(text)
    found = None if relation else _RELATION.search(text)
    if found and not re.match(r"(?:me|you|us|camera|robot|middle|center)\b", found["what"]):
        other = parse_description(found["what"])
        if other is not None and not other.generic:
            relation, text = Relation(_kind(found["how"]), other.phrase), text[: found.start()]
    place, text = extract_place(text)
    text = _strip_back(_DESTINATION.sub("", f" {text}").strip())
    text = _DETERMINED.sub("", text).strip()
    words = re.sub(r"\s(?:on|in|at|of|from|to|by)$", "", f" {text}").split()
    if not words:
        return Request("", place=place, relation=relation) if place or relation or determined else None
    attributes: List[str] = []
    while len(words) > 1 and (words[0] in ATTRIBUTES or (words[0] == "and" and attributes)):
        attributes.append(words.pop(0))
    noun = " ".join(words)
    if noun in GENERIC or words[0] in GENERIC:
        if noun in GENERIC:
            return _request("one", tuple(attributes), place, relation, "")
        noun = " ".join([GENERIC_NOUN, *words[1:]])  # "the one with a handle"
    return _request(noun, tuple(attributes), place, relation, "")


def _between(found: "re.Match[str]") -> Optional[Relation]:
    """'between the red block and the cup', 'between two cups'; None where no things are named."""
    if found["many"]:
        *words, last = found["many"].split()
        many = parse_description(" ".join([*words, singular(last)]))
        return None if many is None or many.generic else Relation("between", many.phrase)
    one, other = parse_description(found["one"]), parse_description(found["other"])
    if one is None or other is None or one.generic or other.generic:
        return None
    return Relation("between", one.phrase, other.phrase if other.phrase != one.phrase else "")


def _request(
    noun: str, attributes: Tuple[str, ...], place: Place, relation: Optional[Relation], phrase: str
) -> Request:
    asked = " ".join([*attributes, GENERIC_NOUN if noun == "one" else phrase_noun(noun, phrase)])
    head = _HEAD.sub("", noun) or noun
    return Request(asked, head, attributes, place, relation)


def phrase_noun(noun: str, phrase: str) -> str:
    """The noun with what follows it, which the head noun of a merged clause has already lost ('mug with a handle')."""
    at = phrase.find(noun) if phrase else -1
    return phrase[at:] if at >= 0 else noun


def without_front(text: str) -> Tuple[str, bool]:
    """(text without politeness, verbs and article, whether there was an article)."""
    while True:
        if _DETERMINED.match(text) and not re.match(r"(?:that|this)(?: is|'s)\b", text):
            rest = _DETERMINED.sub("", text)
            if rest:
                return rest, True
        for pattern in _PREFIXES:
            found = pattern.match(text)
            if found and found.end():
                text = text[found.end() :].strip()
                break
        else:
            return text, False


def _strip_back(text: str) -> str:
    while True:
        shorter = text
        if not re.search(r"(?:^|\b(?:the|on|in|at|left|right)) ?back$|right here$|^(?:here|there)$", text):
            shorter = _SUFFIXES.sub("", text).strip()
        if shorter == text:
            return text
        text = shorter


def _first_of_two(text: str) -> str:
    """'mug and the bowl' -> 'mug'; 'black and white mug' stays."""
    found = _AND.match(text)
    if not found or (found["first"].split()[-1] in ATTRIBUTES and found["second"].split()[0] in ATTRIBUTES):
        return text
    if all(word in ATTRIBUTES for word in found["first"].split()):  # 'red and the blue mug': either is a mug
        return " ".join(w for w in _DETERMINED.sub("", found["second"]).split() if w not in ATTRIBUTES)
    return found["first"]


def _kind(how: str) -> str:
    for words, kind in _KINDS:
        if words in how:
            return kind or ("left_of" if "left" in how else "right_of")
    return "beside"
