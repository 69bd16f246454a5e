"""`ScriptedGrounder`: the Grounder's API with decisions from a script. No torch, no weights, no surprises.

    grounder = ScriptedGrounder({"the mug": [Say.ask("Which mug?"), Say.found(Box(10, 20, 60, 80))]})

The n-th entry of a script answers a call with n finished turns, the last one every later call. What the script does
not name is found in the middle of the image. Of given candidates the one that the scripted box means is chosen, by the
rule of the real Grounder (perception/selection.py): none of them overlaps it, not found.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, FrozenSet, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from clue_ros.chat.answer import GroundedAnswer, Writer
from clue_ros.perception.selection import choose_candidate
from clue_ros.seams import Capability, MissingCapabilityError
from clue_ros.types import (
    Ambiguity,
    Box,
    Cancelled,
    Decision,
    InvalidExpressionError,
    InvalidImageError,
    Outcome,
    Readings,
    Region,
    StopTest,
    Turn,
)  # fmt: skip

if TYPE_CHECKING:
    from clue_ros.vlm.backbone import Backbone

MAP_SIZE = 16


@dataclass(frozen=True)
class Say:
    """One scripted decision; `delay_s` is worked off in small steps that look at should_stop, like a token loop."""

    outcome: Outcome
    box: Optional[Box] = None
    question: str = ""
    unknown_words: Tuple[str, ...] = ()
    probability: float = 0.1
    confidence: float = 0.9
    delay_s: float = 0.0
    error: Optional[Exception] = None
    candidates: Tuple[Box, ...] = ()
    belief: Tuple[float, ...] = ()  # of the candidates

    @classmethod
    def found(cls, box: Optional[Box] = None, **rest) -> "Say":
        return cls(Outcome.FOUND, box=box, **rest)

    @classmethod
    def ask(cls, question: str = "Which one do you mean?", probability: float = 0.9, **rest) -> "Say":
        return cls(Outcome.ASK, question=question, probability=probability, **rest)

    @classmethod
    def not_found(cls, **rest) -> "Say":
        return cls(Outcome.NOT_FOUND, **rest)

    @classmethod
    def unknown(cls, *words: str, **rest) -> "Say":
        return cls(Outcome.UNKNOWN_WORDS, unknown_words=words, **rest)

    @classmethod
    def failure(cls, error: Exception, **rest) -> "Say":
        return cls(Outcome.NOT_FOUND, error=error, **rest)


@dataclass(frozen=True)
class ScriptedImage:
    """What `encode` and `look` return."""

    rgb: np.ndarray
    width: int
    height: int


@dataclass
class ScriptedGrounder:
    """Same methods and errors as clue_ros.grounder.Grounder.

    `calls` records (expression, turns, may_ask), `used` the image of each call, `images` what was encoded, `looks` what
    was run ahead, `limits` the min_confidence of each call, `questions` what `chat` was asked.
    """

    script: Mapping[str, Union[Say, Sequence[Say]]] = field(default_factory=dict)
    delay_s: float = 0.0  # of decisions that name none
    look_s: float = 0.0  # how long `look` takes
    look_error: Optional[Exception] = None
    threshold: float = 0.5
    min_confidence: float = 0.5
    vocabulary: Optional[frozenset] = None
    chats: Mapping[str, Union[GroundedAnswer, Exception]] = field(default_factory=dict)
    questions: List[str] = field(default_factory=list)
    calls: List[Tuple[str, Tuple[Turn, ...], bool]] = field(default_factory=list)
    limits: List[Optional[float]] = field(default_factory=list)
    used: List[np.ndarray] = field(default_factory=list)
    images: List[np.ndarray] = field(default_factory=list)
    looks: List[np.ndarray] = field(default_factory=list)
    closed: bool = False
    # Set as soon as a call has begun, and when a call was stopped: tests wait for them instead of sleeping.
    working: threading.Event = field(default_factory=threading.Event)
    stopped: threading.Event = field(default_factory=threading.Event)
    looking: threading.Event = field(default_factory=threading.Event)

    @property
    def capabilities(self) -> FrozenSet[Capability]:
        """MASKS: every pixel of the box."""
        return frozenset({Capability.MASKS})

    @property
    def backbone(self) -> "Backbone":
        """Raises MissingCapabilityError: no model is behind it."""
        raise MissingCapabilityError(Capability.BACKBONE)

    def encode(self, image: Any) -> ScriptedImage:
        if isinstance(image, ScriptedImage):
            return image
        rgb = np.asarray(image)
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or rgb.size == 0:
            raise InvalidImageError(f"the image is {rgb.dtype}{rgb.shape}: give uint8[H, W, 3]")
        self.images.append(rgb)
        return ScriptedImage(rgb, rgb.shape[1], rgb.shape[0])

    def look(self, image: Any) -> ScriptedImage:
        seen = self._encoded(image)
        self.looking.set()
        self.looks.append(seen.rgb)
        self._work(self.look_s, None)
        if self.look_error is not None:
            raise self.look_error
        return seen

    def ground(
        self,
        image: Any,
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
        _check(expression)
        seen = self._encoded(image)
        self.calls.append((expression, tuple(turns), may_ask))
        self.limits.append(min_confidence)
        self.used.append(seen.rgb)
        say = self._line(expression, turns)
        self.working.set()
        self._work(say.delay_s or self.delay_s, should_stop)
        if say.error is not None:
            raise say.error
        box = say.box or Box(seen.width * 0.4, seen.height * 0.4, seen.width * 0.6, seen.height * 0.6)
        outcome = say.outcome
        if outcome is Outcome.ASK and not may_ask:
            outcome = Outcome.FOUND
        if (
            outcome is Outcome.FOUND
            and may_ask
            and say.confidence < (self.min_confidence if min_confidence is None else min_confidence)
        ):
            outcome = Outcome.ASK
        if outcome is Outcome.FOUND and candidates:
            index = choose_candidate(box, candidates)
            outcome = Outcome.NOT_FOUND if index is None else outcome
            box = box if index is None else Box(*candidates[index])
        found = outcome is Outcome.FOUND
        return Decision(
            outcome=outcome,
            expression=expression,
            ambiguity=None if outcome is Outcome.UNKNOWN_WORDS else self._ambiguity(say, seen, threshold),
            box=box if found else None,
            confidence=say.confidence if found else 0.0,
            question=(say.question or "Is it this one?") if outcome is Outcome.ASK else "",
            unknown_words=say.unknown_words,
            candidates=say.candidates or ((box,) if found else ()),
            latency_s={"scripted": say.delay_s},
            mask=_filled(box, seen) if mask and found else None,
            belief=say.belief,
        )

    def detect_ambiguity(
        self,
        image: Any,
        expression: str,
        turns: Sequence[Turn] = (),
        *,
        threshold: Optional[float] = None,
        should_stop: StopTest = None,
    ) -> Ambiguity:
        _check(expression)
        seen = self._encoded(image)
        self.used.append(seen.rgb)
        say = self._line(expression, turns)
        self.working.set()
        self._work(say.delay_s or self.delay_s, should_stop)
        if say.error is not None:
            raise say.error
        return self._ambiguity(say, seen, threshold)

    def chat(self, image: Any, question: str, *, should_stop: StopTest = None) -> GroundedAnswer:
        """What `chats` has for the question; else one thing in the middle of the image."""
        _check(question)
        seen = self._encoded(image)
        self.used.append(seen.rgb)
        self.questions.append(question)
        self.working.set()
        self._work(self.delay_s, should_stop)
        answer = self.chats.get(question)
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            middle = Box(seen.width / 4, seen.height / 4, seen.width * 3 / 4, seen.height * 3 / 4)
            answer = Writer().plain("I see ").grounded("one thing", [(middle, 0.9)]).plain(".").answer(question)
        return answer

    def target_mask(self, image: Any, expression: str, turns: Sequence[Turn], box: Box) -> np.ndarray:
        """bool[H,W]: every pixel of the box."""
        return _filled(box, self._encoded(image))

    def relevance(self, image: Any, instruction: str, turns: Sequence[Turn] = ()) -> np.ndarray:
        """Raises MissingCapabilityError."""
        raise MissingCapabilityError(Capability.RELEVANCE)

    def readings(self, image: Any, expression: str, turns: Sequence[Turn] = ()) -> Readings:
        """Raises MissingCapabilityError."""
        raise MissingCapabilityError(Capability.READINGS)

    def warm_up(self) -> None:
        """Nothing to warm."""

    def close(self) -> None:
        self.closed = True

    def _encoded(self, image: Any) -> ScriptedImage:
        return image if isinstance(image, ScriptedImage) else self.encode(image)

    def _line(self, expression: str, turns: Sequence[Turn]) -> Say:
        lines = self.script.get(expression, Say.found())
        return lines if isinstance(lines, Say) else lines[min(len(turns), len(lines) - 1)]

    def _work(self, seconds: float, should_stop: StopTest) -> None:
        end = time.monotonic() + seconds
        while True:
            if should_stop is not None and should_stop():
                self.stopped.set()
                raise Cancelled("stopped")
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.01))

    def _ambiguity(self, say: Say, image: ScriptedImage, threshold: Optional[float]) -> Ambiguity:
        threshold = self.threshold if threshold is None else threshold
        heat = np.zeros((MAP_SIZE, MAP_SIZE), np.float32)
        heat[4, 4], heat[12, 12] = 1.0, 0.5
        cell_w, cell_h = image.width / MAP_SIZE, image.height / MAP_SIZE
        regions = tuple(
            Region(
                Box(column * cell_w, row * cell_h, (column + 1) * cell_w, (row + 1) * cell_h),
                ((column + 0.5) * cell_w, (row + 0.5) * cell_h),
                float(heat[row, column]),
            )
            for row, column in ((4, 4), (12, 12))
        )
        return Ambiguity(say.probability, threshold, say.probability >= threshold, heat, regions)


def _check(words: str) -> None:
    if not words.strip():
        raise InvalidExpressionError("the words are empty: say what to look for")


def _filled(box: Box, image: ScriptedImage) -> np.ndarray:
    """bool[H,W]: every pixel of a box."""
    mask = np.zeros((image.height, image.width), bool)
    mask[int(box.y0) : int(np.ceil(box.y1)), int(box.x0) : int(np.ceil(box.x1))] = True
    return mask
