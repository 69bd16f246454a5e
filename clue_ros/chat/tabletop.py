"""Answers in the tabletop's words, made of what `inventory` found."""

from __future__ import annotations

from typing import Dict, List, Sequence, Tuple

from clue_ros.chat.answer import GroundedAnswer, Writer
from clue_ros.chat.question import Kind, Question
from clue_ros.language.kinds import fits
from clue_ros.language.plurals import plural
from clue_ros.language.positions import place_in_image
from clue_ros.perception.inventory import THING, Thing
from clue_ros.simulation.words import NOUNS

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
OUTER_THIRD = 1 / 3  # of the image: what lies there is "on the left"


def answer(asked: Question, things: Sequence[Thing], size: Tuple[float, float], question: str) -> GroundedAnswer:
    """The answer to a question about the things of an image of `size` (width, height) pixels."""
    fitting = select(asked, things, size)
    many = plural(asked.noun or THING)
    said = " ".join(w for w in (asked.color, many) if w)
    side = {None: "", "middle": " in the middle", "front": " in front", "back": " in the back"}.get(
        asked.side, f" on the {asked.side}"
    )
    write = Writer()
    if asked.kind is Kind.COUNT:
        noun = said if len(fitting) != 1 else " ".join(w for w in (asked.color, asked.noun or THING) if w)
        write.plain(f"{'there is' if len(fitting) == 1 else 'there are'} {_number(len(fitting))} {noun}{side}")
        if fitting:
            _list(write.plain(": "), fitting, asked.noun)
    elif not fitting:
        write.plain("no, " if asked.kind is Kind.EXISTS else "").plain(f"I see no {said}{side}")
    elif asked.kind is Kind.COLOR and all(t.color for t in fitting):
        _colors(write, fitting, asked)
    elif asked.kind is Kind.WHERE:
        _places(write, fitting, asked, size)
    else:
        write.plain("yes, I see " if asked.kind is Kind.EXISTS else "I see ")
        _list(write, fitting, asked.noun)
        write.plain(side)
    return write.plain(".").answer(question)


def select(asked: Question, things: Sequence[Thing], size: Tuple[float, float]) -> List[Thing]:
    """The things that a question is about."""
    return [
        t
        for t in things
        if (asked.category is None or fits(asked.category, t.category))
        and asked.color in (None, t.color)
        and (asked.side is None or _stands(asked.side, t, size))
    ]


def _stands(side: str, thing: Thing, size: Tuple[float, float]) -> bool:
    x, y = thing.box.center[0] / size[0], thing.box.center[1] / size[1]
    return {
        "left": x < OUTER_THIRD,
        "right": x > 1 - OUTER_THIRD,
        "middle": OUTER_THIRD <= x <= 1 - OUTER_THIRD,
        "front": y > 1 - OUTER_THIRD,
        "back": y < OUTER_THIRD,
    }[side]


def _list(write: Writer, things: Sequence[Thing], noun: str) -> None:
    """'a red mug, two black plates and a ball', things of one kind and colour together."""
    groups: Dict[Tuple[str, str], List[Thing]] = {}
    for t in things:
        groups.setdefault((t.color, t.category), []).append(t)
    for n, ((color, category), members) in enumerate(groups.items()):
        write.plain("" if n == 0 else " and " if n == len(groups) - 1 else ", ")
        word = noun or _word(category)
        name = " ".join(w for w in (color, word if len(members) == 1 else plural(word)) if w)
        count = _article(name) if len(members) == 1 else _number(len(members))
        write.grounded(f"{count} {name}", [(t.box, t.confidence) for t in members])


def _colors(write: Writer, things: Sequence[Thing], asked: Question) -> None:
    for n, t in enumerate(things):
        write.plain("" if n == 0 else " and " if n == len(things) - 1 else ", ")
        word = asked.noun or _word(t.category)
        write.grounded(f"{'the' if len(things) == 1 else 'one'} {word}", [(t.box, t.confidence)]).plain(
            f" is {t.color}"
        )


def _places(write: Writer, things: Sequence[Thing], asked: Question, size: Tuple[float, float]) -> None:
    for n, t in enumerate(things):
        write.plain("" if n == 0 else " and " if n == len(things) - 1 else ", ")
        name = " ".join(w for w in (t.color, asked.noun or _word(t.category)) if w)
        write.grounded(f"{'the' if len(things) == 1 else _article(name)} {name}", [(t.box, t.confidence)])
        write.plain(f" is {place_in_image(t.box, size)}")


def _word(category: str) -> str:
    return NOUNS[category][0] if category else THING


def _number(count: int) -> str:
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def _article(words: str) -> str:
    return "an" if words[:1] in "aeio" else "a"
