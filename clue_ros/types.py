"""The value types that flow through the core: one way, from an image and words to a decision.

All pixel coordinates refer to the ORIGINAL image that the caller gave: x to the right, y down, origin at the
top-left corner of the top-left pixel, in pixels (float). Nothing here imports torch or ROS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Callable, Mapping, NamedTuple, Optional, Tuple

import numpy as np


class ClueError(Exception):
    """Base of every error that the core raises on purpose; its text says what to do."""


class InvalidImageError(ClueError):
    """The image is empty, of a wrong shape or type."""


class InvalidExpressionError(ClueError):
    """The instruction is empty, or it or the dialogue about it is too long."""


class InvalidAnswerError(ClueError):
    """An answer cannot be taken: empty, too long, or a click or box that is nowhere; the text says what was given."""


class ModelLoadError(ClueError):
    """A model directory is missing, incomplete, corrupt or does not match; the text names the file."""


class OutOfMemoryError(ClueError):
    """Device or host memory ran out while the model was loading or working; a loaded model stays usable."""


class ModelFailedError(ClueError):
    """The model raised an error of its own while it worked."""


class ModelUnavailableError(ClueError):
    """The model is on a server that does not answer, or is too busy; the text says for how long it was tried."""


class Cancelled(ClueError):
    """The caller's `should_stop` returned True while the model was working."""


StopTest = Optional[Callable[[], bool]]  # asked between steps: True ends the work with Cancelled


def stop_if(should_stop: StopTest) -> None:
    """Raises Cancelled if the caller wants the work to end."""
    if should_stop is not None and should_stop():
        raise Cancelled("stopped on request")


class Box(NamedTuple):
    """Axis-aligned box in pixels of the original image; x0 <= x1, y0 <= y1, half-open like array slices."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def center(self) -> Tuple[float, float]:
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    @property
    def area(self) -> float:
        return max(0.0, self.x1 - self.x0) * max(0.0, self.y1 - self.y0)


class Outcome(str, Enum):
    """What the robot should do next."""

    FOUND = "found"  # `box` holds the target
    ASK = "ask"  # `question` must be put to the person
    NOT_FOUND = "not_found"  # nothing in the image fits the words
    UNKNOWN_WORDS = "unknown_words"  # the model's vocabulary lacks words; `unknown_words` lists them


@dataclass(frozen=True)
class Answer:
    """A person's reply to a question: text, or a click / a drawn box in pixels of the original image.

    Raises InvalidAnswerError if the text is no text or a coordinate no finite number."""

    text: str = ""
    point: Optional[Tuple[float, float]] = None
    box: Optional[Box] = None

    def __post_init__(self):
        if not isinstance(self.text, str):
            raise InvalidAnswerError(f"the text of an answer must be text, got {type(self.text).__name__}")
        for name, value, count in (("point", self.point, 2), ("box", self.box, 4)):
            if value is not None and not _are_finite(value, count):
                raise InvalidAnswerError(
                    f"the {name} of an answer must be {count} finite numbers in pixels, got {str(value)[:80]}"
                )
        if self.box is not None:
            object.__setattr__(self, "box", Box(*self.box))


@dataclass(frozen=True)
class Turn:
    """One finished exchange of the dialogue."""

    question: str
    answer: Answer


@dataclass(frozen=True)
class Region:
    """A competing region of the attention map. `box` and `peak` in pixels of the original image, `strength` in [0,
    1].
    """

    box: Box
    peak: Tuple[float, float]
    strength: float


@dataclass(frozen=True)
class Ambiguity:
    """The detector's reading of one instruction in one image.

    probability: P(ambiguous) in [0, 1]; is_ambiguous: probability >= threshold;
    attention_map: float32[h, w] in [0, 1], min-max normalised text-to-image attention of layer k, row 0 at the image's
    top;
    regions: competing regions, strongest first.
    """

    probability: float
    threshold: float
    is_ambiguous: bool
    attention_map: np.ndarray
    regions: Tuple[Region, ...] = ()


class Readings(NamedTuple):
    """What a model says of an instruction before anything fitted weighs it. ambiguous: P(ambiguous) in [0, 1] by the
    detector alone; question: log-odds of a question against a box, by the first token; nothing: log-odds of "nothing
    fits" against the likelier of both, by the same."""

    ambiguous: float
    question: float
    nothing: float


@dataclass(frozen=True)
class Decision:
    """What `Grounder.ground` returns. `confidence` in [0, 1] belongs to `box`; `latency_s` maps stage name to seconds;
    mask: bool[H,W], the pixels of the target in the original image, where they were asked for and the model has masks;
    belief: a probability for each of `candidates`, where one was kept (belief/); unsure: `confidence` is below what was
    wanted, so the robot says that it is not sure."""

    outcome: Outcome
    expression: str
    ambiguity: Optional[Ambiguity] = None
    box: Optional[Box] = None
    confidence: float = 0.0
    question: str = ""
    unknown_words: Tuple[str, ...] = ()
    candidates: Tuple[Box, ...] = ()
    latency_s: Mapping[str, float] = field(default_factory=dict)
    mask: Optional[np.ndarray] = None
    belief: Tuple[float, ...] = ()
    unsure: bool = False

    def doubted_below(self, least: float) -> Decision:
        """The same, `unsure` where it is a box of less confidence than `least` in [0, 1]."""
        doubted = self.outcome is Outcome.FOUND and self.confidence < least
        return replace(self, unsure=True) if doubted else self


def _are_finite(values: Any, count: int) -> bool:
    try:
        return len(values) == count and all(math.isfinite(v) for v in values)
    except (TypeError, OverflowError):
        return False
