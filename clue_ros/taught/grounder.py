"""`TaughtGrounder`: a Grounder that also knows what it was shown once.

    grounder = TaughtGrounder.around(Grounder.from_pretrained(FOLDER), Path("taught"))
    teach(grounder.memory, "my thermos", image, Answer(box=(212, 60, 260, 171)))
    grounder.ground(another, "hand me my thermos").box

Words without a taught name go to the Grounder that it wraps, call for call. Words with one are decided by the rules of
stock/: candidates of a taught name come from the store (matching.py), those of other words from the model's `detect`;
positions, relations and replies are geometry. So a taught name costs no pass of the decoder, a known word one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Sequence, Tuple

import numpy as np

from clue_ros.belief.around import GrounderAround
from clue_ros.belief.grounder import POINTED, BeliefGrounder
from clue_ros.belief.pointing import is_pointed
from clue_ros.eyes.sight import Sight
from clue_ros.geometry import as_rgb
from clue_ros.perception.perception import StockImage
from clue_ros.prompt import check_expression, check_turns
from clue_ros.seams import Capability, Grounder, require
from clue_ros.stock.interpreter import Interpreter, Understanding, wants_to_ask
from clue_ros.taught.matching import Rule
from clue_ros.taught.memory import TaughtMemory
from clue_ros.taught.names import Names
from clue_ros.taught.perception import TaughtImage, TaughtPerception
from clue_ros.taught.store import Limits, TaughtStore
from clue_ros.timing import Times, timed
from clue_ros.types import (
    Ambiguity,
    Answer,
    Box,
    ClueError,
    Decision,
    InvalidExpressionError,
    Outcome,
    Readings,
    Region,
    StopTest,
    Turn,
)
from clue_ros.vlm.memory import memory_guard

if TYPE_CHECKING:
    from clue_ros.chat.answer import GroundedAnswer

ASKS_FROM = 0.5  # P(ambiguous) of candidates from which it asks, where a call names no other
MAP_SIDE = 16  # cells of the map that shows where taught things are
THING = "thing"  # stands for a taught name where the model itself has to be told one


class NoEyesError(ClueError):
    """A model without second glances cannot be taught; the text says what to do."""


class TaughtGrounder(GrounderAround):
    """A BeliefGrounder with names of its own (`memory.store.names`); `vocabulary` is the model's. Not thread-safe."""

    def __init__(self, grounder: BeliefGrounder, memory: TaughtMemory, rule: Rule = Rule()):
        """Raises MissingCapabilityError for a grounder without a model behind it."""
        require(grounder.capabilities, Capability.BACKBONE)
        super().__init__(grounder)
        self._believing, self.memory = grounder, memory
        self._see = TaughtPerception(grounder.backbone, memory, rule)
        self._dialogue = Interpreter(self._see)
        self._know()

    @classmethod
    def around(
        cls, grounder: Grounder, folder: Path, sight: Optional[Sight] = None, limits: Limits = Limits()
    ) -> "TaughtGrounder":
        """With the things of a folder.

        grounder: any with a model behind it; folder: of the store, made when the first thing is taught; sight: eyes for
        a model that has none of its own (Sight.open of another model's folder); limits: of the store.

        Raises MissingCapabilityError, NoEyesError, TaughtStoreError.
        """
        require(grounder.capabilities, Capability.BACKBONE)
        eyes = grounder.backbone.sight or sight
        if eyes is None:
            raise NoEyesError(
                "this model has no eyes.safetensors, so nothing can be taught: use a model folder with eyes, or give "
                "the eyes of one beside it"
            )
        if eyes.glances < 1:
            raise NoEyesError("glances is 0, so nothing can be taught or found: give 1 or more, 8 is usual")
        believing = grounder if isinstance(grounder, BeliefGrounder) else BeliefGrounder(grounder)
        return cls(believing, TaughtMemory(TaughtStore(folder, limits), eyes))

    def encode(self, image: Any) -> TaughtImage:
        return self._seen(image, self._grounder.encode)

    def look(self, image: Any) -> TaughtImage:
        return self._seen(image, self._grounder.look)

    def ground(
        self,
        image: Any,
        expression: str,
        turns: Sequence[Turn] = (),
        *,
        pointing: Optional[Answer] = None,
        may_ask: bool = True,
        threshold: Optional[float] = None,
        candidates: Sequence[Box] = (),
        min_confidence: Optional[float] = 0.0,
        should_stop: StopTest = None,
        mask: bool = False,
    ) -> Decision:
        """As BeliefGrounder.ground. Where the words or an answer say a taught name, `latency_s` has image and detect,
        and `Decision.ambiguity` a map of the candidates in the place of the attention map."""
        words, turns = check_expression(expression), check_turns(turns)
        self._know()
        if not self._names_one(words, turns):
            return self._believing.ground(
                self.encode(image).seen, expression, turns, pointing=pointing, may_ask=may_ask, threshold=threshold,
                candidates=candidates, min_confidence=min_confidence, should_stop=should_stop, mask=mask,
            )  # fmt: skip
        times: Times = {}
        least = self.min_confidence if min_confidence is None else min_confidence
        with timed(times, "image"):
            seen = self.encode(image)
        if pointing is not None and is_pointed(pointing):
            turns = (Turn(POINTED, pointing), *turns)
        with memory_guard("deciding about a taught thing"):
            decision = self._decide(seen, expression, turns, may_ask, threshold, candidates, least, times, should_stop)
        if mask and decision.box is not None and Capability.MASKS in self.capabilities:
            with timed(times, "mask"):
                pixels = self.target_mask(seen, expression, turns, decision.box)
            decision = replace(decision, mask=pixels)
        return decision

    def detect_ambiguity(
        self,
        image: Any,
        expression: str,
        turns: Sequence[Turn] = (),
        *,
        threshold: Optional[float] = None,
        should_stop: StopTest = None,
    ) -> Ambiguity:
        words, turns = check_expression(expression), check_turns(turns)
        self._know()
        seen = self.encode(image)
        if not self._names_one(words, turns):
            return self._grounder.detect_ambiguity(
                seen.seen, expression, turns, threshold=threshold, should_stop=should_stop
            )
        state = self._understood(seen, words, turns, (), {}, should_stop)
        if state.unknown:
            raise InvalidExpressionError(f"the model does not know {', '.join(state.unknown)} in '{expression}'")
        return _ambiguity(seen, state, threshold)

    def target_mask(self, image: Any, expression: str, turns: Sequence[Turn], box: Box) -> np.ndarray:
        """As Grounder.target_mask; the model is told "thing" in the place of a taught name."""
        words, turns = check_expression(expression), check_turns(turns)
        if self._names_one(words, turns):
            words, turns = f"the {THING}", ()
        return self._grounder.target_mask(self.encode(image).seen, words, turns, box)

    def relevance(self, image: Any, instruction: str, turns: Sequence[Turn] = ()) -> np.ndarray:
        """As Grounder.relevance; with a taught name 1 in the boxes of what is asked for and what it relates to."""
        words, turns = check_expression(instruction), check_turns(turns)
        self._know()
        seen = self.encode(image)
        if not self._names_one(words, turns):
            return self._grounder.relevance(seen.seen, instruction, turns)
        require(self.capabilities, Capability.RELEVANCE)
        state = self._understood(seen, words, turns, (), {}, None)
        found = np.zeros((seen.height, seen.width), np.float32)
        for box in (*state.boxes, *self._related(seen, state, None)):
            found[int(box.y0) : int(np.ceil(box.y1)), int(box.x0) : int(np.ceil(box.x1))] = 1
        return found

    def chat(self, image: Any, question: str, *, should_stop: StopTest = None) -> "GroundedAnswer":
        return self._grounder.chat(self.encode(image).seen, question, should_stop=should_stop)

    def readings(self, image: Any, expression: str, turns: Sequence[Turn] = ()) -> Readings:
        return self._grounder.readings(self.encode(image).seen, expression, turns)

    def _seen(self, image: Any, see: Any) -> TaughtImage:
        if isinstance(image, TaughtImage):
            return image
        rgb = as_rgb(image)
        inner = see(rgb)
        encoded = inner.encoded if isinstance(inner, StockImage) else inner
        things = self.memory.sight.things(rgb) if self.memory.things else None  # now, while the eyes remember them
        return TaughtImage(rgb, encoded, things=things, seen=inner)

    def _know(self) -> None:
        self.memory.reload()
        names = self.memory.store.names
        if names != self._see.names.all:
            self._see.names = Names(names, self.vocabulary)

    def _names_one(self, words: str, turns: Sequence[Turn]) -> bool:
        return any(self._see.names.said_in(text) for text in (words, *(turn.answer.text for turn in turns)))

    def _understood(
        self,
        seen: TaughtImage,
        words: str,
        turns: Sequence[Turn],
        given: Sequence[Box],
        times: Times,
        should_stop: StopTest,
    ) -> Understanding:
        """Nothing where the words relate to a taught thing that is not there: "the cup left of my thermos"."""
        hide = self._see.names.hidden
        hidden = [
            Turn(hide(turn.question).text, replace(turn.answer, text=hide(turn.answer.text).text)) for turn in turns
        ]
        state = self._dialogue.understand(seen, hide(words).text, hidden, given, times, should_stop)
        relation = state.request.relation
        for phrase in (relation.phrase, relation.second) if relation else ():
            if self._see.names.name_of(phrase) and not self._see.detect(seen, phrase, should_stop):
                return replace(state, candidates=())
        return state

    def _related(self, seen: TaughtImage, state: Understanding, should_stop: StopTest) -> Tuple[Box, ...]:
        relation = state.request.relation
        phrases = [p for p in (relation.phrase, relation.second) if p] if relation else []
        return tuple(c.box for phrase in phrases for c in self._see.detect(seen, phrase, should_stop))

    def _decide(
        self,
        seen: TaughtImage,
        expression: str,
        turns: Sequence[Turn],
        may_ask: bool,
        threshold: Optional[float],
        given: Sequence[Box],
        min_confidence: float,
        times: Times,
        should_stop: StopTest,
    ) -> Decision:
        state = self._understood(seen, expression, turns, given, times, should_stop)
        if state.unknown:
            return Decision(Outcome.UNKNOWN_WORDS, expression, unknown_words=state.unknown, latency_s=times)
        limit = ASKS_FROM if threshold is None else float(threshold)
        asks = may_ask and wants_to_ask(state, limit, min_confidence)
        if asks and not state.useless:
            state = self._dialogue.by_color(seen, state, times, should_stop)
            asks = wants_to_ask(state, limit, min_confidence)
        ambiguity = _ambiguity(seen, state, threshold)
        boxes = tuple(given) or state.boxes
        if not state.candidates:
            return Decision(Outcome.NOT_FOUND, expression, ambiguity, latency_s=times, candidates=boxes)
        if asks:
            question, _ = self._dialogue.question(seen, state, not ambiguity.is_ambiguous, times, should_stop)
            said = self._see.names.shown(question)
            return Decision(Outcome.ASK, expression, ambiguity, question=said, latency_s=times, candidates=boxes)
        best = state.candidates[0]
        return Decision(
            Outcome.FOUND, expression, ambiguity, best.box, best.confidence, latency_s=times, candidates=boxes
        )


def _ambiguity(seen: TaughtImage, state: Understanding, threshold: Optional[float]) -> Ambiguity:
    limit = ASKS_FROM if threshold is None else float(threshold)
    strongest = max((c.confidence for c in state.candidates), default=1.0)
    regions = tuple(Region(c.box, c.box.center, c.confidence / max(strongest, 1e-9)) for c in state.candidates)
    grid = np.zeros((MAP_SIDE, MAP_SIDE), np.float32)
    across, down = MAP_SIDE / seen.width, MAP_SIDE / seen.height
    for region in regions:
        box = region.box
        cells = grid[
            int(box.y0 * down) : int(np.ceil(box.y1 * down)), int(box.x0 * across) : int(np.ceil(box.x1 * across))
        ]
        np.maximum(cells, region.strength, out=cells)
    return Ambiguity(state.probability, limit, state.probability >= limit, grid, regions)
