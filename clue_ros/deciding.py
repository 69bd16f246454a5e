"""The steps of CLUE on one image: prefix -> attention map and P(ambiguous) -> a question, a box, or "nothing there".

`grounder.py` checks what comes in and hands it here; nothing here knows of files, messages or cameras.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from clue_ros.ambiguity.gate import Gate, calibrated, nothing_logit, speech_logit
from clue_ros.ambiguity.readers import AmbiguityReader
from clue_ros.ambiguity.reading import Reading
from clue_ros.ambiguity.regions import competing_regions
from clue_ros.geometry import clip_box
from clue_ros.language.questions import OPEN_QUESTION, is_broken, misleading_words, tidy
from clue_ros.location import bins_to_box
from clue_ros.perception.selection import choose_candidate
from clue_ros.prompt import CLARIFY, build_prefix, clean
from clue_ros.timing import Times, timed
from clue_ros.types import Ambiguity, Answer, Box, Decision, Outcome, Readings, StopTest, Turn, stop_if
from clue_ros.vlm.backbone import Backbone
from clue_ros.vlm.decoding import Branch, ConstrainedSequence
from clue_ros.vlm.passes import EncodedImage, Prefill


class Options(NamedTuple):
    """How `Grounder.ground` was called, past the checks."""

    expression: str
    may_ask: bool
    threshold: Optional[float]
    candidates: Tuple[Box, ...]
    min_confidence: float
    should_stop: StopTest


class Decider:
    """Words and turns are those that the model knows (Grounder sees to it). Not thread-safe."""

    def __init__(self, backbone: Backbone, reader: AmbiguityReader):
        self._backbone, self._reader = backbone, reader
        self._gate = Gate.from_weights(backbone.settings.gate)

    def look(self, image: EncodedImage) -> None:
        """What a decision needs of an image and can have before anybody speaks."""
        self._backbone.look(image)
        self._reader.look(image)

    def decide(
        self, image: EncodedImage, words: str, turns: Sequence[Turn], options: Options, times: Times
    ) -> Decision:
        """times: gets the seconds of each step by name. Raises Cancelled."""
        with timed(times, "prefill"):
            start = self._prefill(image, words, turns)
        stop_if(options.should_stop)
        with timed(times, "detect"):
            ambiguity = self._ambiguity(image, words, turns, start, options.threshold)
        stop_if(options.should_stop)
        say = lambda *branches: self._backbone.generate(start, frozenset(branches), options.should_stop)  # noqa: E731
        ask = ambiguity.is_ambiguous and options.may_ask
        with timed(times, "generate"):
            said = say(Branch.QUESTION if ask else Branch.BOX, Branch.NOTHING)
        if said.branch is Branch.BOX and options.may_ask and self._confidence(said) < options.min_confidence:
            # Something was found; that "nothing" beats a question says no word against it.
            with timed(times, "doubt"):
                said = say(Branch.QUESTION)
        common: Dict[str, Any] = dict(
            expression=options.expression,
            ambiguity=ambiguity,
            latency_s=times,
            candidates=options.candidates or tuple(r.box for r in ambiguity.regions),
        )
        if said.branch is Branch.NOTHING:
            return Decision(Outcome.NOT_FOUND, **common)
        if said.branch is Branch.QUESTION:
            with timed(times, "rephrase"):
                question = self._sensible(said, start, options.should_stop)
            return Decision(Outcome.ASK, question=tidy(question), **common)
        box = clip_box(bins_to_box(said.bins, image.width, image.height), image.width, image.height)
        if options.candidates:
            index = choose_candidate(box, options.candidates, ambiguity.attention_map, (image.width, image.height))
            if index is None:  # what the model means is none of them
                return Decision(Outcome.NOT_FOUND, **common)
            box = Box(*options.candidates[index])
        if box.area <= 0:  # nothing to grasp: a detector's empty candidate
            return Decision(Outcome.NOT_FOUND, **common)
        return Decision(Outcome.FOUND, box=box, confidence=self._confidence(said), **common)

    def detect(self, image: EncodedImage, words: str, turns: Sequence[Turn], threshold: Optional[float]) -> Ambiguity:
        """P(ambiguous), map and regions alone. threshold: None for the checkpoint's own."""
        # A detector on its own pass needs nothing of the layers above it.
        alone = not self._reader.tapped and not self._gate.speech_weight
        start = None if alone else self._prefill(image, words, turns)
        return self._ambiguity(image, words, turns, start, threshold)

    def readings(self, image: EncodedImage, words: str, turns: Sequence[Turn]) -> Readings:
        """What the detector and the first token say, before anything fitted weighs it."""
        start = self._prefill(image, words, turns)
        detector = self._read(image, words, turns, start).probability
        return Readings(detector, speech_logit(start.branches), nothing_logit(start.branches))

    def _prefill(self, image: EncodedImage, words: str, turns: Sequence[Turn]) -> Prefill:
        return self._backbone.prefill(image, prefix_of(CLARIFY, image, words, turns), tap=self._reader.tapped)

    def _read(self, image: EncodedImage, words: str, turns: Sequence[Turn], start: Optional[Prefill]) -> Reading:
        size = (image.width, image.height)
        return self._reader.read(image, partial(build_prefix, expression=words, turns=turns, size=size), start)

    def _ambiguity(
        self,
        image: EncodedImage,
        words: str,
        turns: Sequence[Turn],
        start: Optional[Prefill],
        threshold: Optional[float],
    ) -> Ambiguity:
        limit = self._backbone.settings.threshold if threshold is None else float(threshold)
        reading = self._read(image, words, turns, start)
        probability = self._gate.probability(reading.probability, start.branches if start else {})
        grid = reading.attention_map.float().cpu().numpy().astype(np.float32)
        return Ambiguity(
            probability, limit, probability >= limit, grid, competing_regions(grid, image.width, image.height)
        )

    def _confidence(self, said: ConstrainedSequence) -> float:
        return calibrated(said.confidence, self._backbone.settings.confidence)

    def _sensible(self, said: ConstrainedSequence, start: Prefill, should_stop: StopTest) -> str:
        """The question, or a second attempt without the word that it offers twice as if it told things apart; an open
        one where the model's is noise or has no end."""
        question = self._backbone.text_of(said)
        if self._is_noise(said):
            return OPEN_QUESTION
        useless = misleading_words(question)
        if not useless:
            return question
        other = self._backbone.generate(start, frozenset({Branch.QUESTION}), should_stop, useless)
        again = self._backbone.text_of(other)
        return question if self._is_noise(other) or misleading_words(again) else again

    def _is_noise(self, said: ConstrainedSequence) -> bool:
        return not said.complete or is_broken(self._backbone.text_of(said))


def prefix_of(task: str, image: EncodedImage, words: str, turns: Sequence[Turn]) -> str:
    """The model's prefix for a task about an image that has been encoded."""
    return build_prefix(task, words, turns, (image.width, image.height))


def says_something(text: str) -> bool:
    """False for what is left of words of which the model knew none."""
    return any(c.isalnum() for c in text)


def known_turns(backbone: Backbone, turns: Sequence[Turn]) -> Tuple[Tuple[Turn, ...], Tuple[str, ...]]:
    """The turns without words that the model lacks, and the words of an answer that left nothing to go by."""
    kept = []
    for turn in turns:
        answer = turn.answer
        text = backbone.without_unknown(clean(answer.text))
        if not says_something(text) and answer.point is None and answer.box is None:
            return tuple(kept), backbone.unknown_words(clean(answer.text)) or (answer.text.strip(),)
        kept.append(Turn(backbone.without_unknown(clean(turn.question)), Answer(text, answer.point, answer.box)))
    return tuple(kept), ()
