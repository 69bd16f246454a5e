"""`TaughtGrounder`: a Grounder that also knows what it was shown once.

    grounder = TaughtGrounder.around(Grounder.from_pretrained(FOLDER), Path("taught"))
    grounder.teach(image, "my thermos", Answer(box=(212, 60, 260, 171)))
    grounder.ground(another, "hand me my thermos").box

Words without a taught name go to the Grounder that it wraps, call for call. Words with one are decided by the rules of
stock/: candidates of a taught name come from the store (matching.py), those of other words from the model's `detect`;
positions, relations and replies are geometry. So a taught name costs no pass of the decoder, a known word one.
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, FrozenSet, Optional, Sequence, Tuple

import numpy as np

from clue_ros.belief.around import GrounderAround
from clue_ros.belief.grounder import POINTED, BeliefGrounder
from clue_ros.belief.marks import numbered
from clue_ros.belief.pointing import is_pointed, pointed_place
from clue_ros.dialogue.phrases import choice
from clue_ros.eyes.sight import Sight
from clue_ros.geometry import as_rgb
from clue_ros.language.owners import spoken
from clue_ros.perception.candidates import Candidate
from clue_ros.perception.perception import StockImage
from clue_ros.prompt import check_expression, check_turns
from clue_ros.seams import Capability, Grounder, require
from clue_ros.stock.interpreter import Interpreter, Understanding, wants_to_ask
from clue_ros.taught.chatting import answer_about
from clue_ros.taught.matching import Rule, rule_of
from clue_ros.taught.memory import TaughtMemory
from clue_ros.taught.names import Names
from clue_ros.taught.perception import SURE_THING, TaughtImage, TaughtPerception
from clue_ros.taught.reading import ASKS_FROM, ambiguity_of
from clue_ros.taught.store import Limits, TaughtStore, Thing
from clue_ros.taught.views import holds, only_thing, smallest_around, view_of
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
    StopTest,
    Turn,
)
from clue_ros.vlm.memory import memory_guard
from clue_ros.vlm.passes import EncodedImage

if TYPE_CHECKING:
    from clue_ros.chat.answer import GroundedAnswer

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

        Raises MissingCapabilityError, NoEyesError, TaughtStoreError, ModelLoadError.
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
        return cls(believing, TaughtMemory(TaughtStore(folder, limits), eyes), rule_of(eyes.folder))

    @property
    def capabilities(self) -> FrozenSet[Capability]:
        """Those of the grounder that it wraps, and TAUGHT."""
        return super().capabilities | {Capability.TAUGHT}

    def asking(self, question_policy: str) -> "TaughtGrounder":
        """Another one with a belief of its own that knows the same things. Raises ValueError for an unknown policy."""
        other = copy(self)
        other._grounder = other._believing = self._believing.asking(question_policy)
        return other

    def encode(self, image: Any) -> TaughtImage:
        return self._seen(image, self._grounder.encode)

    def look(self, image: Any) -> TaughtImage:
        if isinstance(image, TaughtImage):
            image.seen = self._grounder.look(image.seen)
            image.encoded = _encoded(image.seen)
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
            decision = numbered(
                lambda turns, may_ask: self._decide(
                    seen, expression, turns, may_ask, threshold, candidates, least, times, should_stop
                ),
                turns, may_ask, self._believing.question_policy == "numbers",
            )  # fmt: skip
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
        return ambiguity_of(seen, state, threshold)

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
        """As Grounder.chat. A question that says a taught name is answered from the store; what else it asks is not."""
        check_expression(question)
        self._know()
        seen = self.encode(image)
        if not self._names_one(question, ()):
            return self._grounder.chat(seen.seen, question, should_stop=should_stop)
        return answer_about(self._see, seen, question, should_stop)

    def teach(self, image: Any, name: str, shown: Optional[Answer], shadow: bool = False) -> Tuple[Thing, Box]:
        """Keep a view of what a box or a scribble is around, or a click is on; None: the only thing in the picture.

        image: as for `ground`; name: as a person says it; shown: in pixels; shadow: the name may hide words that the
        model knows. Returns the thing with all its views, and the box that was taken.

        Raises NothingToTeachError, NameRefusedError (KnownNameError without shadow), TaughtStoreError.
        """
        seen = self.encode(image)
        if shown is None:
            box = only_thing(self._see.things_in(seen, SURE_THING), seen.size)
        else:
            sure = [box for box in self._see.things_in(seen, SURE_THING) if shown.box or holds(box, shown.point)]
            box = shown.box or smallest_around(sure or self._see.things_in(seen), shown.point)
        return self.memory.add(name, view_of(seen.rgb, box), self.vocabulary, shadow), box

    # Everything else is the grounder's own.

    def readings(self, image: Any, expression: str, turns: Sequence[Turn] = ()) -> Readings:
        return self._grounder.readings(self.encode(image).seen, expression, turns)

    def warm_up(self) -> None:
        super().warm_up()
        self.memory.warm_up()

    def _seen(self, image: Any, see: Any) -> TaughtImage:
        if isinstance(image, TaughtImage):
            return image
        rgb = as_rgb(image)
        inner = see(rgb)
        free = self.memory.sight is self._grounder.backbone.sight  # now, while the eyes remember them
        things = self.memory.sight.things(rgb) if free or self.memory.things else None
        return TaughtImage(rgb, _encoded(inner), things=things, seen=inner)

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
            if self._see.names.names_of(phrase) and not self._see.detect(seen, phrase, should_stop):
                return replace(state, candidates=())
        if turns and not given and is_pointed(turns[-1].answer):
            return self._pointed(seen, state, turns[-1].answer, should_stop)
        return state

    def _pointed(self, seen: TaughtImage, state: Understanding, answer: Answer, stop: StopTest) -> Understanding:
        """A click or box on a thing of the name that the words themselves leave out: "the left thermos", the right."""
        x, y = pointed_place(answer)
        on = [c for c in self._rivals(seen, state, stop) if c.box.x0 <= x <= c.box.x1 and c.box.y0 <= y <= c.box.y1]
        return replace(state, candidates=(min(on, key=lambda c: c.box.area),), confirmed=True) if on else state

    def _rivals(self, seen: TaughtImage, state: Understanding, stop: StopTest) -> Tuple[Candidate, ...]:
        """What goes by the name that the words say, wherever it is."""
        phrase = state.request.phrase
        return self._see.detect(seen, phrase, stop) if self._see.names.names_of(phrase) else ()

    def _related(self, seen: TaughtImage, state: Understanding, should_stop: StopTest) -> Tuple[Box, ...]:
        relation = state.request.relation
        phrases = [p for p in (relation.phrase, relation.second) if p] if relation else []
        return tuple(c.box for phrase in phrases for c in self._see.detect(seen, phrase, should_stop))

    def _question(
        self, seen: TaughtImage, state: Understanding, confirm: bool, times: Times, should_stop: StopTest
    ) -> str:
        """Of several taught names that were said at once, by these names while there is one thing of each."""
        names, boxes = self._see.names.names_of(state.request.phrase), set(state.boxes)
        found = [self._see.detect(seen, self._see.names.noun_of(name), should_stop) for name in names]
        kept = [(name, thing) for name, things in zip(names, found) for thing in things if thing.box in boxes]
        if len(kept) > 1 and len({name for name, _ in kept}) == len(kept):
            return choice([spoken(name) for name, _ in kept])
        return self._see.names.shown(self._dialogue.question(seen, state, confirm, times, should_stop)[0])

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
        ambiguity = ambiguity_of(seen, state, threshold, self._rivals(seen, state, should_stop))
        boxes = tuple(given) or state.boxes
        if not state.candidates:
            return Decision(Outcome.NOT_FOUND, expression, ambiguity, latency_s=times, candidates=boxes)
        if asks:
            said = self._question(seen, state, not ambiguity.is_ambiguous, times, should_stop)
            return Decision(Outcome.ASK, expression, ambiguity, question=said, latency_s=times, candidates=boxes)
        best = state.candidates[0]
        return Decision(
            Outcome.FOUND, expression, ambiguity, best.box, best.confidence, latency_s=times, candidates=boxes
        )


def _encoded(seen: Any) -> EncodedImage:
    """What the model itself made of an image."""
    return seen.encoded if isinstance(seen, StockImage) else seen
