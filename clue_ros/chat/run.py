"""One question about one image, by the way that fits the model. Start reading here."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import FrozenSet

from clue_ros.chat import caption, tabletop
from clue_ros.chat.answer import GroundedAnswer, Writer
from clue_ros.chat.question import understand
from clue_ros.language.plurals import plural
from clue_ros.perception.inventory import look_around
from clue_ros.perception.perception import Perception, StockImage
from clue_ros.prompt import check_expression
from clue_ros.types import StopTest
from clue_ros.vlm.memory import memory_guard


def chat(see: Perception, image: StockImage, question: str, should_stop: StopTest = None) -> GroundedAnswer:
    """The answer of a model, whose base without adapters is asked: a closed vocabulary by kinds and colours, an open
    one in its own words. Raises InvalidExpressionError for an empty or endless question, Cancelled, OutOfMemoryError.
    """
    check_expression(question)
    begun = time.perf_counter()
    with memory_guard("answering a question"):
        words = see.backbone.words
        if words is None:
            said = caption.chat(see, image, question, should_stop)
        else:
            said = _closed(see, words, image, question, should_stop)
    return replace(said, latency_s={"chat": time.perf_counter() - begun})


def _closed(
    see: Perception, words: FrozenSet[str], image: StockImage, question: str, should_stop: StopTest
) -> GroundedAnswer:
    asked = understand(see.respelled(question))
    unknown = asked.unknown
    if not set(asked.noun.split()) <= words:
        said = {*asked.noun.split(), *plural(asked.noun).split()}
        unknown += tuple(w for w in see.unknown_words(question) if w in said)
    if unknown:
        listed = ", ".join(f'"{w}"' for w in unknown[:5])
        return Writer().plain(f"I do not know {listed}.").answer(question, unknown)
    things = look_around(see, image, words, should_stop, asked.category or "")
    return tabletop.answer(asked, things, image.size, question)
