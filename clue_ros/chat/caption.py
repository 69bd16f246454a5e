"""Grounded chat with an open vocabulary (PaliGemma 2): its own words first, then `detect` for each thing they name.

    "what is on the table?"       -> a description (a caption if that says nothing), every noun phrase grounded
    "which cups do you see?"      -> detect cup: "I see two cups."
    "what colour is the cup?"     -> the model's answer, and the thing of the question grounded in it

perception/wording.py has the prompts. The base without adapters speaks. A phrase for which `detect` gives nothing stays
plain text: that is how a model's own hallucination loses its box. A refusal is "I do not know".
**Never run on the real checkpoint**: no weights were available (as in stock/grounder.py).
"""

from __future__ import annotations

import re
from typing import List, Sequence, Tuple

from clue_ros.chat.answer import GroundedAnswer, Writer
from clue_ros.chat.question import Kind
from clue_ros.chat.question import understand as understand_tabletop
from clue_ros.chat.tabletop import NUMBERS
from clue_ros.language.describe import refuses
from clue_ros.language.noun_phrases import noun_phrases
from clue_ros.language.phrase import COLORS
from clue_ros.language.plurals import plural, singular
from clue_ros.perception.candidates import Candidate
from clue_ros.perception.perception import Perception, StockImage
from clue_ros.prompt import clean
from clue_ros.types import Box, StopTest, stop_if

DESCRIBE_TOKENS, ANSWER_TOKENS = 96, 24
MAX_PHRASES = 16  # grounded in one answer: each costs one `detect`
_GENERAL = re.compile(
    r"^(?:(?:please )?(?:what (?:is|are|do you see|can you see|objects|things)|describe|tell me what|list|"
    r"what's|which (?:things|objects))\b)"
)
_ASKED_NOUN = re.compile(
    r"\b(?:which|what|how many|is there|are there|do you see|can you see|any)\s+"
    r"((?:(?!do\b|are\b|is\b|can\b|there\b|you\b|on\b|in\b|color\b|colour\b)[\w-]+\s?){1,3})"
)
_SENTENCES = re.compile(r".*[.!?](?=\s)")
_SPECIAL = re.compile(r"<[^>]*>")


def chat(see: Perception, image: StockImage, question: str, should_stop: StopTest = None) -> GroundedAnswer:
    """Raises Cancelled."""
    said = " ".join(re.sub(r"[^\w\s'-]", " ", clean(question)).split())
    noun = _noun_of(said)
    kind = understand_tabletop(question).kind
    if noun and kind in (Kind.LIST, Kind.COUNT, Kind.EXISTS):
        return _listed(see, image, question, kind, noun, should_stop)
    if kind is Kind.LIST and _GENERAL.match(said):
        text = _speak(see, image, see.wording.describe, DESCRIBE_TOKENS, should_stop)
        text = text or _speak(see, image, see.wording.caption, DESCRIBE_TOKENS, should_stop)
        return _grounded(see, image, question, text, should_stop)
    reply = _speak(see, image, see.wording.question(clean(question)), ANSWER_TOKENS, should_stop)
    return _about(see, image, question, reply, should_stop)


def _noun_of(said: str) -> str:
    """The kind of thing that a question asks for, in the singular: 'which red cups do you see' -> 'red cup'; '' where
    it asks for everything or for something else."""
    found = _ASKED_NOUN.search(said)
    if found is None:
        return ""
    words = [w for w in found[1].split() if w not in ("a", "an", "the", "any", "all", "of")]
    if (
        not words
        or words[-1] in COLORS
        or words[-1] in ("things", "objects", "thing", "object", "else", "kind", "kinds")
    ):
        return ""
    return " ".join([*words[:-1], singular(words[-1])])


def _listed(
    see: Perception, image: StockImage, question: str, kind: Kind, noun: str, should_stop: StopTest
) -> GroundedAnswer:
    found = see.found(image, noun, should_stop)
    write = Writer()
    if not found:
        return write.plain("no, " if kind is Kind.EXISTS else "").plain(f"I see no {plural(noun)}.").answer(question)
    count = NUMBERS[len(found)] if len(found) < len(NUMBERS) else str(len(found))
    words = f"{count} {noun if len(found) == 1 else plural(noun)}"
    write.plain(
        "there is "
        if kind is Kind.COUNT and len(found) == 1
        else "there are "
        if kind is Kind.COUNT
        else "yes, I see "
        if kind is Kind.EXISTS
        else "I see "
    )
    return write.grounded(words, _things(found)).plain(".").answer(question)


def _grounded(see: Perception, image: StockImage, question: str, text: str, should_stop: StopTest) -> GroundedAnswer:
    """The model's own sentence with every noun phrase that `detect` finds."""
    write, at = Writer(), 0
    if not text:
        return write.plain("I can not say what this shows.").answer(question)
    taken: List[Box] = []
    for phrase in noun_phrases(text)[:MAX_PHRASES]:
        stop_if(should_stop)
        words = phrase.head.split()
        many = singular(words[-1]) != words[-1]
        found = see.detect(image, " ".join([*words[:-1], singular(words[-1])]), should_stop)
        found = found if many else _first_free(found, taken)
        if not found:
            continue
        write.plain(text[at : phrase.start]).grounded(text[phrase.start : phrase.end], _things(found))
        taken += [c.box for c in found]
        at = phrase.end
    return write.plain(text[at:]).answer(question)


def _about(see: Perception, image: StockImage, question: str, reply: str, should_stop: StopTest) -> GroundedAnswer:
    """'The red cup: on the left.': what the question names is grounded, the model's reply follows."""
    write = Writer()
    for phrase in noun_phrases(question)[:MAX_PHRASES]:
        found = see.detect(image, phrase.head, should_stop)
        if found:
            write.grounded(question[phrase.start : phrase.end], _things(found)).plain(": ")
            break
    return write.plain(reply or "I do not know").plain("" if reply.endswith((".", "!", "?")) else ".").answer(question)


def _first_free(found: Sequence[Candidate], taken: Sequence[Box]) -> Tuple[Candidate, ...]:
    """One thing of several: the surest that no phrase has named yet, else the surest."""
    free = [c for c in found if c.box not in taken]
    return tuple((free or list(found))[:1])


def _things(found: Sequence[Candidate]) -> List[Tuple[Box, float]]:
    return [(c.box, c.confidence) for c in found]


def _speak(see: Perception, image: StockImage, prompt: str, limit: int, should_stop: StopTest) -> str:
    """Free text without locations and other special tokens, on one line; whole sentences where the limit cut it off, ''
    for a refusal."""
    stop_if(should_stop)
    said = see.backbone.complete(image.encoded, prompt, limit, should_stop)
    text = " ".join(_SPECIAL.sub(" ", said.text).split())
    whole = _SENTENCES.match(text)
    text = whole[0] if whole is not None and len(said.tokens) >= limit else text
    return "" if refuses(text) else text
