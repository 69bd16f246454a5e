"""Questions about taught things: "where is my thermos?", "do you see part 17?", "what colour is the thermos?"."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Sequence

from clue_ros.chat.answer import GroundedAnswer, Writer
from clue_ros.chat.question import Kind, kind_of
from clue_ros.language.owners import spoken, without_owner
from clue_ros.language.plurals import plural
from clue_ros.language.positions import place_in_image
from clue_ros.perception.candidates import Candidate
from clue_ros.taught.perception import TaughtImage, TaughtPerception
from clue_ros.types import StopTest


def answer_about(
    see: TaughtPerception, image: TaughtImage, question: str, should_stop: StopTest = None
) -> GroundedAnswer:
    """The answer about each taught name that a question says. Raises Cancelled."""
    begun = time.perf_counter()
    hidden, write = see.names.hidden(question), Writer()
    kind = kind_of(hidden.text.strip("?!. "))
    for n, name in enumerate(hidden.names):
        write.plain(". " if n else "")
        _one(see, image, write, kind, name, see.detect(image, see.names.noun_of(name), should_stop))
    return replace(write.plain(".").answer(question), latency_s={"chat": time.perf_counter() - begun})


def _one(
    see: TaughtPerception, image: TaughtImage, write: Writer, kind: Kind, name: str, found: Sequence[Candidate]
) -> None:
    things, noun = [(c.box, c.confidence) for c in found], without_owner(name)
    if not found:
        write.plain(("no, " if kind is Kind.EXISTS else "") + f"I do not see {spoken(name)}")
    elif kind in (Kind.WHERE, Kind.COLOR):
        told = see.colors(image, [c.box for c in found], noun) if kind is Kind.COLOR else ()
        for n, thing in enumerate(things):
            write.plain(" and " if n else "").grounded(f"one {noun}" if len(found) > 1 else spoken(name), [thing])
            said = place_in_image(thing[0], image.size) if not told else told[n] or "of no clear colour"
            write.plain(f" is {said}")
    else:
        write.plain("yes, I see " if kind is Kind.EXISTS else "I see ")
        write.grounded(f"{len(found)} {plural(noun)}" if len(found) > 1 else spoken(name), things)
