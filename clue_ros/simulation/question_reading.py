"""What a person understands of a robot's question: the things that it offers, as references.

Made for the teacher's questions, for those of the embedded model, which are sometimes odd, and for the stock mode's.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Dict, Optional, Tuple

from clue_ros.simulation.referring import Reference
from clue_ros.simulation.words import ANY_NOUN, COLOR_WORDS, NOUNS, ORDINALS, PLURALS, SIZE_WORDS, is_noun

POSITION_WORDS = {
    "left": "left",
    "leftmost": "left",
    "right": "right",
    "rightmost": "right",
    "middle": "middle",
    "center": "middle",
    "front": "front",
    "closest": "front",
    "nearest": "front",
    "back": "back",
    "farthest": "back",
    "furthest": "back",
    "behind": "back",
}
_SPLIT = re.compile(r"\s*,\s*or\s+|\s*,\s*|\s+or\s+")
_LEAD = re.compile(r"^.*?\b(?:mean|want|need|is it|like)\s+", re.DOTALL)
# Longer first: "on the left of" is no position.
_LINKS = (
    ("on the left side of", "left_of"),
    ("on the right side of", "right_of"),
    ("to the left of", "left_of"),
    ("to the right of", "right_of"),
    ("on the left of", "left_of"),
    ("on the right of", "right_of"),
    ("left of", "left_of"),
    ("right of", "right_of"),
    ("next to", "next_to"),
    ("close to", "next_to"),
    ("beside", "next_to"),
    ("near", "next_to"),
    ("by", "next_to"),
    ("in front of", "in_front_of"),
    ("behind", "behind"),
)


def _lookup(table: Dict[str, Tuple[str, ...]]) -> Dict[str, str]:
    return {phrase: name for name, phrases in table.items() for phrase in phrases}


_COLOR_OF, _SIZE_OF = _lookup(COLOR_WORDS), _lookup(SIZE_WORDS)


def _nouns() -> Dict[str, str]:
    """Noun -> category; own objects' nouns come first, because 'cracker box' also holds 'box'."""
    known = {**_lookup(NOUNS), **_lookup(PLURALS)}
    return dict(sorted(known.items(), key=lambda pair: -len(pair[0].split())))


def offered(question: str) -> Tuple[Reference, ...]:
    """The things that a question names, in order: two for "do you mean the red mug or the blue mug ?", one for "do you
    mean the red mug ?", none for "which one do you mean ?"."""
    text = " ".join(question.lower().replace("?", " ").split())
    if re.search(r"\b(?:which|what)\b", text):
        return ()
    parts = [reference_of(part) for part in _SPLIT.split(_LEAD.sub("", text, count=1)) if part.strip()]
    return tuple(_completed(parts, text))


def _completed(parts, text: str):
    """'the first , second or third mug from the left': what only the last part says holds for the others too."""
    side = next((p.ordinal[1] for p in reversed(parts) if p.ordinal), None)
    last = parts[-1].category if parts else None
    for part in parts:
        if part == Reference():
            continue
        if part.ordinal and side:
            part = replace(part, ordinal=(part.ordinal[0], side))
        yield replace(part, category=last) if part.category is None and last and " one" not in text else part


def reference_of(text: str) -> Reference:
    """'the small red mug next to the bowl' as a reference; attributes that it does not name are None."""
    anchor: Optional[Reference] = None
    relation: Optional[str] = None
    for link, name in _LINKS:
        found = re.search(rf"\b{link}\b (?=the |a |an )", text)
        if found:
            text, anchor, relation = text[: found.start()], reference_of(text[found.end() :]), name
            break
    words = text.split()
    category_of = _nouns()
    longer = [p for p in category_of if " " in p and f" {p} " in f" {text} "]
    nouns = longer[:1] or [w for n, w in enumerate(words) if w in category_of and is_noun(words, n)]
    position = next((POSITION_WORDS[w] for w in words if w in POSITION_WORDS), None)
    number = next((ORDINALS.index(w) for w in words if w in ORDINALS[1:]), 0)
    ordinal = (number, position if position == "right" else "left") if number else None
    return Reference(
        category_of[nouns[-1]] if nouns else None,
        next((_COLOR_OF[w] for w in words if w in _COLOR_OF and w not in nouns), None),
        None if ordinal else position,
        next((_SIZE_OF[w] for w in words if w in _SIZE_OF), None),
        relation,
        anchor,
        ordinal,
    )


def asks_for(question: str) -> Optional[str]:
    """The attribute that an open question asks for: 'color', 'size', 'position', 'category', or None."""
    words = set(question.lower().replace("?", " ").replace(",", " ").split())
    for name, hints in (
        ("color", {"color", "colour", *_COLOR_OF}),
        ("size", {"size", *_SIZE_OF}),
        ("position", {"where", "side", "position", "counted", *POSITION_WORDS}),
        ("category", {"kind", "type", "object", *_nouns()} - set(ANY_NOUN)),
    ):
        if words & hints:
            return name
    return None
