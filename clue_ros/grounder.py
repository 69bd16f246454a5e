"""Image + instruction -> a box, a question, or "not there". Start reading here.

    from clue_ros.grounder import Grounder
    grounder = Grounder.from_pretrained()                    # the embedded tabletop model
    decision = grounder.ground(image, "hand me the mug")     # uint8[H,W,3] RGB
    decision.outcome, decision.question, decision.box

The steps are those of CLUE: `detect ‖ C` through adapter A gives an attention map, the CNN reads it; P(ambiguous) (the
map's reading, for some checkpoints combined with the dialogue adapter's first token, ambiguity/gate.py) decides whether
`clarify ‖ C` through adapter B may ask or must answer with a box; adapter B says itself when nothing fits.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Callable, Dict, FrozenSet, Optional, Sequence, Tuple, Union

import numpy as np
import torch

from clue_ros.ambiguity.detector import AmbiguityDetector
from clue_ros.ambiguity.gate import Gate, speech_logit
from clue_ros.ambiguity.regions import competing_regions
from clue_ros.dialogue.questions import misleading_words
from clue_ros.geometry import as_rgb, clip_box
from clue_ros.location import bins_to_box
from clue_ros.prompt import CLARIFY, DETECT, build_prefix, check_expression, clean
from clue_ros.types import Ambiguity, Answer, Box, Decision, InvalidExpressionError, ModelLoadError, Outcome, Turn
from clue_ros.vlm.decoding import Branch
from clue_ros.vlm.paligemma import EncodedImage, PaliGemmaBackbone, Prefill, stop_if

EMBEDDED_MODEL = Path(__file__).parent / "models" / "tabletop"

Image = Union[np.ndarray, EncodedImage, Any]
StopTest = Optional[Callable[[], bool]]


class Grounder:
    """Owns the model. Not thread-safe: one caller at a time."""

    def __init__(self, backbone: PaliGemmaBackbone, detector: AmbiguityDetector):
        self._backbone, self._detector = backbone, detector
        self._gate = Gate.from_weights(backbone.settings.gate)

    @classmethod
    def from_pretrained(cls, path: Union[str, Path, None] = None, device: str = "cpu",
                        dtype: Optional[torch.dtype] = None) -> "Grounder":
        """Load a model directory; None: the embedded tabletop model.

        dtype: None for float32 on CPU and bfloat16 on a GPU. Raises ModelLoadError naming what is wrong.
        """
        folder = Path(path) if path else EMBEDDED_MODEL
        if not folder.is_dir():
            raise ModelLoadError(f"the model directory {folder} does not exist")
        backbone = PaliGemmaBackbone.from_pretrained(folder, device, dtype)
        return cls(backbone, AmbiguityDetector.load(folder, backbone.settings.detector_channels, device))

    @property
    def threshold(self) -> float:
        """P(ambiguous) from which the robot asks, as fitted for this checkpoint."""
        return self._backbone.settings.threshold

    @property
    def vocabulary(self) -> Optional[FrozenSet[str]]:
        """The words that the model understands; None for an open vocabulary."""
        if not self._backbone.settings.closed_vocabulary:
            return None
        return frozenset(w for w in self._backbone.tokenizer.get_vocab() if w[:1].isalpha())

    def encode(self, image: Image) -> EncodedImage:
        """The part of the work that depends on the image only; pass the result instead of the image for later turns.

        image: uint8[H,W,3] RGB or a PIL image. Raises InvalidImageError.
        """
        return image if isinstance(image, EncodedImage) else self._backbone.encode(as_rgb(image))

    def detect_ambiguity(self, image: Image, expression: str, turns: Sequence[Turn] = (), *,
                         threshold: Optional[float] = None, should_stop: StopTest = None) -> Ambiguity:
        """P(ambiguous), the attention map and the competing regions of an instruction with its dialogue so far.

        Unknown words are left out. Raises InvalidImageError, InvalidExpressionError, Cancelled.
        """
        words = check_expression(expression)
        encoded = self.encode(image)
        stop_if(should_stop)
        known = self._backbone.without_unknown(words)
        if not known:
            raise InvalidExpressionError(f"the model knows none of the words in '{expression}'")
        known_turns = self._known_turns(turns)[0]
        start = self._backbone.prefill(encoded, self._prefix(CLARIFY, encoded, known, known_turns))
        return self._detect(encoded, known, known_turns, start, threshold)

    def readings(self, image: Image, expression: str, turns: Sequence[Turn] = ()) -> Tuple[float, float]:
        """(P(ambiguous) by the map alone, log-odds of a question by the first token): what the gate combines."""
        encoded, words = self.encode(image), self._backbone.without_unknown(check_expression(expression))
        start = self._backbone.prefill(encoded, self._prefix(CLARIFY, encoded, words, turns))
        attention = self._backbone.attention_map(encoded, self._prefix(DETECT, encoded, words, turns))
        return self._detector.probability(attention), speech_logit(start.branches)

    def ground(self, image: Image, expression: str, turns: Sequence[Turn] = (), *, may_ask: bool = True,
               threshold: Optional[float] = None, candidates: Sequence[Box] = (),
               should_stop: StopTest = None) -> Decision:
        """Decide what to do about an instruction: FOUND with a box, ASK with a question, NOT_FOUND, or UNKNOWN_WORDS.

        image: uint8[H,W,3] RGB, a PIL image, or what `encode` returned; turns: the dialogue so far, oldest first, clicks
        in pixels of the image; may_ask: False gives the best guess instead of a question; threshold: P(ambiguous) from
        which to ask, None for the checkpoint's own; candidates: detections of another system in pixels, of which the box
        is then one; should_stop: asked between steps and before every token.
        Raises InvalidImageError, InvalidExpressionError, Cancelled.
        """
        times: Dict[str, float] = {}
        words = check_expression(expression)
        encoded = _timed(times, "image", lambda: self.encode(image))
        stop_if(should_stop)
        unknown = self._backbone.unknown_words(words)
        turns, unknown_answer = self._known_turns(turns)
        if unknown or unknown_answer:
            return Decision(Outcome.UNKNOWN_WORDS, expression, unknown_words=unknown or unknown_answer, latency_s=times)
        words = self._backbone.without_unknown(words)
        prefix = self._prefix(CLARIFY, encoded, words, turns)
        start = _timed(times, "prefill", lambda: self._backbone.prefill(encoded, prefix))
        stop_if(should_stop)
        ambiguity = _timed(times, "detect", lambda: self._detect(encoded, words, turns, start, threshold))
        stop_if(should_stop)
        ask = ambiguity.is_ambiguous and may_ask
        allowed = frozenset({Branch.QUESTION if ask else Branch.BOX, Branch.NOTHING})
        said = _timed(times, "generate", lambda: self._backbone.generate(start, allowed, should_stop))
        common = dict(expression=expression, ambiguity=ambiguity, latency_s=times,
                      candidates=tuple(candidates) or tuple(r.box for r in ambiguity.regions))
        if said.branch is Branch.NOTHING:
            return Decision(Outcome.NOT_FOUND, **common)
        if said.branch is Branch.QUESTION:
            question = _timed(times, "rephrase", lambda: self._sensible(self._backbone.text_of(said), start, should_stop))
            return Decision(Outcome.ASK, question=tidy(question), **common)
        box = clip_box(bins_to_box(said.bins, encoded.width, encoded.height), encoded.width, encoded.height)
        if candidates:
            box = nearest_candidate(box, candidates)
        return Decision(Outcome.FOUND, box=box, confidence=said.confidence, **common)

    def warm_up(self) -> None:
        """Run every step once on a blank image, so that the first real goal is not the slow one."""
        blank = np.full((240, 320, 3), 127, np.uint8)
        words = "the mug" if self.vocabulary is not None else "the object"
        encoded = self.encode(blank)
        self.detect_ambiguity(encoded, words)
        self.ground(encoded, words, may_ask=False)

    def close(self) -> None:
        """Free the model's memory. The Grounder cannot be used afterwards."""
        del self._backbone, self._detector
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _prefix(self, task: str, image: EncodedImage, words: str, turns: Sequence[Turn]) -> str:
        return build_prefix(task, words, turns, (image.width, image.height))

    def _detect(self, image: EncodedImage, words: str, turns: Sequence[Turn], start: Prefill,
                threshold: Optional[float]) -> Ambiguity:
        limit = self.threshold if threshold is None else float(threshold)
        attention = self._backbone.attention_map(image, self._prefix(DETECT, image, words, turns))
        probability = self._gate.probability(self._detector.probability(attention), start.branches)
        grid = attention.float().cpu().numpy().astype(np.float32)
        return Ambiguity(probability, limit, probability >= limit, grid,
                         competing_regions(grid, image.width, image.height))

    def _sensible(self, question: str, start: Prefill, should_stop: StopTest) -> str:
        """The question, or a second attempt without the word that it offers twice as if it told things apart."""
        useless = misleading_words(question)
        if not useless:
            return question
        again = self._backbone.text_of(self._backbone.generate(start, frozenset({Branch.QUESTION}), should_stop, useless))
        return question if misleading_words(again) else again

    def _known_turns(self, turns: Sequence[Turn]) -> Tuple[Tuple[Turn, ...], Tuple[str, ...]]:
        """The turns without words that the model lacks, and the words of an answer that left nothing to go by."""
        kept = []
        for turn in turns:
            answer = turn.answer
            text = self._backbone.without_unknown(clean(answer.text))
            if not any(c.isalnum() for c in text) and answer.point is None and answer.box is None:
                return tuple(kept), self._backbone.unknown_words(clean(answer.text)) or (answer.text.strip(),)
            kept.append(Turn(self._backbone.without_unknown(clean(turn.question)),
                             Answer(text, answer.point, answer.box)))
        return tuple(kept), ()


def tidy(text: str) -> str:
    """Generated words as a sentence: 'do you mean the red mug , or … ?' -> 'Do you mean the red mug, or …?'."""
    text = " ".join(text.split())
    for sign in ("?", ",", ".", "!"):
        text = text.replace(f" {sign}", sign)
    if text and text[-1] not in "?!.":
        text += "?"
    return text[:1].upper() + text[1:]


def nearest_candidate(box: Box, candidates: Sequence[Box]) -> Box:
    """The candidate that overlaps a box most; without any overlap the one whose centre is nearest."""
    def key(candidate: Box):
        x = min(box.x1, candidate.x1) - max(box.x0, candidate.x0)
        y = min(box.y1, candidate.y1) - max(box.y0, candidate.y0)
        shared = max(0.0, x) * max(0.0, y)
        (ax, ay), (bx, by) = box.center, candidate.center
        return shared / max(1e-9, box.area + candidate.area - shared), -((ax - bx) ** 2 + (ay - by) ** 2)

    return Box(*max(candidates, key=key))


def _timed(times: Dict[str, float], name: str, work: Callable):
    start = time.perf_counter()
    result = work()
    times[name] = time.perf_counter() - start
    return result
