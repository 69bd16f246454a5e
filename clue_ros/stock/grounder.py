"""A robot that asks and points with a checkpoint on which nothing was trained: download, start, use.

    from clue_ros.grounder import Grounder
    grounder = Grounder.from_pretrained("paligemma2-3b-mix-448")     # no adapters, no detector: a StockGrounder
    decision = grounder.ground(grounder.encode(image), "hand me the mug")

Candidates come from `detect mug`; several that survive non-maximum suppression make an instruction ambiguous; the
question offers what tells them apart (colour, short caption, position, asked about a crop of each); the reply is
resolved by geometry, by those descriptions, or by a refined `detect red mug`. Positions in the instruction ("the left
mug") are decided by geometry, not by the model.

**Never run on the real checkpoint.** No pretrained weights were available while this was written: prompts and answer
formats follow Google's documentation, and behaviour was tested with scripted answers and, for everything but colours
and captions, with the embedded model's base without its adapters (test/core/stock/test_stock_grounder.py).

What a decision costs: one `detect` (prefill of the whole prefix, 6 to 8 tokens a box), one prefill to ask whether there
is such a thing at all (perception/presence.py) and one pass over the layers below the tap for the map; a question about
n things adds n crops, each a vision pass, a prefill and a few tokens (twice the prefills if colours do not suffice), at
most MAX_DESCRIBED of them, none where positions are asked for. Everything is kept with the encoded image: pass on what
`encode` returned, or each turn of a dialogue pays again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Dict, FrozenSet, Optional, Sequence, Union

import numpy as np

from clue_ros.dialogue.correction import check_wanted
from clue_ros.dialogue.phrases import speaks_of_likeness
from clue_ros.geometry import as_rgb
from clue_ros.language.phrase import GENERIC_NOUN, parse_instruction
from clue_ros.masks.masker import Masker
from clue_ros.perception.perception import Perception, StockImage
from clue_ros.prompt import CLARIFY, build_prefix, check_expression, check_turns
from clue_ros.seams import Capability, MissingCapabilityError, require
from clue_ros.stock.interpreter import Interpreter, Understanding, wants_to_ask
from clue_ros.timing import Times, timed
from clue_ros.types import (
    Ambiguity,
    Box,
    Decision,
    InvalidExpressionError,
    Outcome,
    Readings,
    Region,
    StopTest,
    Turn,
    stop_if,
)
from clue_ros.vlm.backbone import Backbone
from clue_ros.vlm.memory import memory_guard, release
from clue_ros.vlm.passes import EncodedImage

if TYPE_CHECKING:
    from clue_ros.chat.answer import GroundedAnswer

Image = Union[np.ndarray, StockImage, Any]


class StockGrounder:
    """The interface of clue_ros.grounder.Grounder on a checkpoint without adapters and detector. Not thread-safe."""

    def __init__(self, backbone: Backbone, masker: Optional[Masker] = None):
        self._backbone, self._masker = backbone, masker or Masker(backbone, None, None)
        self._see = Perception(backbone)
        self._dialogue = Interpreter(self._see)

    @property
    def capabilities(self) -> FrozenSet[Capability]:
        """BACKBONE, MASKS with PaliGemma's mask decoder (masks/segment_codes.py) or a mask head in the model directory,
        and RELEVANCE with a head."""
        return self._masker.capabilities | {Capability.BACKBONE}

    @property
    def backbone(self) -> Backbone:
        """The model itself, untrained for dialogues: it has no BELIEF."""
        return self._backbone

    @property
    def threshold(self) -> float:
        """P(ambiguous) from which the robot asks: of clue.json, 0.5 without one."""
        return self._backbone.settings.threshold

    @property
    def min_confidence(self) -> float:
        """Confidence of a box from which it need not be asked about: of clue.json, 0.5 without one."""
        return self._backbone.settings.min_confidence

    @property
    def vocabulary(self) -> Optional[FrozenSet[str]]:
        """The words that the model understands; None for an open vocabulary."""
        return self._backbone.words

    def encode(self, image: Image) -> StockImage:
        """The part of the work that depends on the image only, with room for the answers about it; pass the result
        instead of the image for later turns. image: uint8[H,W,3] RGB or a PIL image. Raises InvalidImageError."""
        if isinstance(image, StockImage):
            return image
        rgb = as_rgb(image)
        with memory_guard("encoding an image"):
            return StockImage(rgb, self._backbone.encode(rgb))

    def look(self, image: Image) -> StockImage:
        """`encode`, and for query-blind checkpoints the decoder's pass over the image before anybody speaks."""
        encoded = self.encode(image)
        with memory_guard("looking ahead"):
            self._backbone.look(encoded.encoded)
        return encoded

    def detect_ambiguity(
        self,
        image: Image,
        expression: str,
        turns: Sequence[Turn] = (),
        *,
        threshold: Optional[float] = None,
        should_stop: StopTest = None,
    ) -> Ambiguity:
        """P(ambiguous) (perception/candidates.py), the attention map of `detect` and the candidates as
        regions.

        Raises InvalidImageError, InvalidExpressionError, InvalidAnswerError, Cancelled.
        """
        check_expression(expression)
        turns = check_turns(turns)
        encoded = self.encode(image)
        times: Times = {}
        with memory_guard("detecting ambiguity"):
            state = self._dialogue.understand(encoded, expression, turns, (), times, should_stop)
            if state.unknown:
                raise InvalidExpressionError(f"the model does not know {', '.join(state.unknown)} in '{expression}'")
            return self._ambiguity(encoded, state, threshold, times, should_stop)

    def ground(
        self,
        image: Image,
        expression: str,
        turns: Sequence[Turn] = (),
        *,
        may_ask: bool = True,
        threshold: Optional[float] = None,
        candidates: Sequence[Box] = (),
        min_confidence: Optional[float] = 0.0,
        should_stop: StopTest = None,
        mask: bool = False,
    ) -> Decision:
        """Decide what to do about an instruction: FOUND with a box, ASK with a question, NOT_FOUND, or UNKNOWN_WORDS
        (closed vocabularies only, whose slips of the keyboard are repaired; the Decision's expression stays as said).

        The decision's candidates are those still in question, or the ones that were given; its latency_s has image,
        detect, describe (crops) and map.

        image: uint8[H,W,3] RGB, a PIL image, or what `encode` returned.
        expression: the instruction.
        turns: the dialogue so far, oldest first; clicks and boxes in pixels of the image.
        may_ask: False gives the surest candidate instead of a question.
        threshold: P(ambiguous) in [0, 1] from which to ask; None: the checkpoint's own.
        candidates: detections of another system in pixels; the box is then one of them.
        min_confidence: in [0, 1]; with may_ask, a box that is less sure is offered for a yes or no first, unless the
            person has already chosen it; None: the checkpoint's own.
        should_stop: asked between steps and before every token; True raises Cancelled.
        mask: also the pixels of what was found, where the model has masks.

        Raises InvalidImageError, InvalidExpressionError, InvalidAnswerError, Cancelled.
        """
        check_expression(expression)
        check_wanted(expression)
        if speaks_of_likeness(expression):  # a click would be taken for the target itself
            raise InvalidExpressionError(
                'an untrained model cannot tell what is "like this": say what it is, as in "the red mug"'
            )
        turns = check_turns(turns)
        times: Times = {}
        with timed(times, "image"):
            encoded = self.encode(image)
        stop_if(should_stop)
        with memory_guard("deciding"):
            decision = self._decide(
                encoded, expression, turns, may_ask, threshold, candidates, min_confidence, times, should_stop
            )
            if mask and decision.box is not None and Capability.MASKS in self.capabilities:
                with timed(times, "mask"):
                    pixels = self.target_mask(encoded, expression, turns, decision.box)
                decision = replace(decision, mask=pixels)
            return decision

    def chat(self, image: Image, question: str, *, should_stop: StopTest = None) -> "GroundedAnswer":
        """An answer in words whose phrases carry boxes (clue_ros/chat), about the image alone. Raises
        InvalidImageError, InvalidExpressionError, OutOfMemoryError, Cancelled."""
        from clue_ros.chat.run import chat

        return chat(self._see, self.encode(image), question, should_stop)

    def target_mask(self, image: Image, expression: str, turns: Sequence[Turn], box: Box) -> np.ndarray:
        """bool[H,W], the pixels of what the instruction means in a box that is known; the dialogue changes nothing for
        PaliGemma's mask decoder. Raises MissingCapabilityError without masks, InvalidImageError,
        InvalidExpressionError."""
        require(self.capabilities, Capability.MASKS)
        phrase, encoded = parse_instruction(check_expression(expression)).phrase, self.encode(image).encoded
        prefix = build_prefix(CLARIFY, expression, turns, (encoded.width, encoded.height))
        return self._masker.target(encoded, prefix, phrase, box)

    def relevance(self, image: Image, instruction: str, turns: Sequence[Turn] = ()) -> np.ndarray:
        """float32[H,W] in [0, 1], as Grounder's. Raises MissingCapabilityError without a mask head, InvalidImageError,
        InvalidExpressionError."""
        require(self.capabilities, Capability.RELEVANCE)
        words, encoded = self._backbone.without_unknown(check_expression(instruction)), self.encode(image).encoded
        return self._masker.relevance(encoded, build_prefix(CLARIFY, words, turns, (encoded.width, encoded.height)))

    def readings(self, image: Image, expression: str, turns: Sequence[Turn] = ()) -> Readings:
        """Raises MissingCapabilityError: there is no detector."""
        raise MissingCapabilityError(Capability.READINGS)

    def warm_up(self) -> None:
        """Run every step once on a blank image, so that the first real goal is not the slow one."""
        image = self.look(np.full((240, 320, 3), 127, np.uint8))
        self.ground(image, "the mug" if self.vocabulary is not None else "the object", may_ask=False)
        self._see.warm_up()
        if self._see.can_describe:
            box = (Box(40, 40, 160, 160),)
            crops: Dict[Box, EncodedImage] = {}
            self._see.colors(image, box, GENERIC_NOUN, None, crops)
            self._see.captions(image, box, None, crops)

    def close(self) -> None:
        """Free the model's memory. The StockGrounder cannot be used afterwards."""
        del self._backbone, self._see, self._dialogue, self._masker
        release()

    def _decide(
        self,
        image: StockImage,
        expression: str,
        turns: Sequence[Turn],
        may_ask: bool,
        threshold: Optional[float],
        given: Sequence[Box],
        min_confidence: Optional[float],
        times: Times,
        should_stop: StopTest,
    ) -> Decision:
        state = self._dialogue.understand(image, expression, turns, given, times, should_stop)
        if state.unknown:
            return Decision(Outcome.UNKNOWN_WORDS, expression, unknown_words=state.unknown, latency_s=times)
        limit = self.threshold if threshold is None else float(threshold)
        least = self.min_confidence if min_confidence is None else min_confidence
        asks = may_ask and wants_to_ask(state, limit, least)
        if asks and not state.useless:
            state = self._dialogue.by_color(image, state, times, should_stop)
            asks = wants_to_ask(state, limit, least)
        ambiguity = self._ambiguity(image, state, threshold, times, should_stop)
        common: Dict[str, Any] = dict(
            expression=expression, ambiguity=ambiguity, latency_s=times, candidates=tuple(given) or state.boxes
        )
        if not state.candidates:
            return Decision(Outcome.NOT_FOUND, **common)
        if asks:
            question, _ = self._dialogue.question(image, state, not ambiguity.is_ambiguous, times, should_stop)
            return Decision(Outcome.ASK, question=question, **common)
        best = state.candidates[0]
        return Decision(Outcome.FOUND, box=best.box, confidence=best.confidence, **common)

    def _ambiguity(
        self, image: StockImage, state: Understanding, threshold: Optional[float], times: Times, should_stop: StopTest
    ) -> Ambiguity:
        limit = self.threshold if threshold is None else float(threshold)
        stop_if(should_stop)
        with timed(times, "map"):
            grid = self._see.attention_map(image, state.request.phrase)
        strongest = max((c.confidence for c in state.candidates), default=0.0)
        regions = tuple(
            Region(c.box, c.box.center, c.confidence / strongest if strongest > 0 else 1.0) for c in state.candidates
        )
        return Ambiguity(state.probability, limit, state.probability >= limit, grid, regions)
