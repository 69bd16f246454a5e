"""The seam between a model and everything that asks it: what a Grounder is, and what one may lack.

The node, bags, evaluation, console and command line know a Grounder only through this Protocol. Implementers:
`clue_ros.grounder.Grounder` (a trained checkpoint), `BeliefGrounder` and `TaughtGrounder` (around others),
`StockGrounder` (an untrained download), `RemoteGrounder` (on a server), `ScriptedGrounder` and `ScenarioGrounder` (no
model). The other seam,
`Backbone`, is in vlm/backbone.py.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, FrozenSet, Optional, Protocol, Sequence

import numpy as np

from clue_ros.types import Ambiguity, Box, ClueError, Decision, Readings, StopTest, Turn

if TYPE_CHECKING:
    from clue_ros.chat.answer import GroundedAnswer
    from clue_ros.vlm.backbone import Backbone


class Capability(str, Enum):
    """What not every Grounder can do; the methods that belong to it raise MissingCapabilityError where it lacks."""

    MASKS = "masks"  # the pixels of a target: `ground(mask=True)` fills Decision.mask, `target_mask`
    RELEVANCE = "relevance"  # how much each pixel matters to an instruction: `relevance`
    READINGS = "readings"  # the detector's reading and the first token's apart, for calibration: `readings`
    BACKBONE = "backbone"  # a model is behind it that can be asked directly: `backbone`
    BELIEF = "belief"  # that model was trained on dialogues, so a belief over candidates can be read from it
    OWN_BELIEF = "own_belief"  # it keeps the belief itself: `ground` takes BeliefGrounder's pointing, question_policy
    TAUGHT = "taught"  # things can be shown and named (taught/grounder.py)


_REMEDIES = {
    Capability.MASKS: "this model directory has no masks: clue train mask, or clue mask decoder for PaliGemma 2's own",
    Capability.RELEVANCE: "this model directory has no mask head (mask.safetensors); train one: clue train mask "
    "--base MODEL --data SCENES --output RUN",
    Capability.READINGS: "only a checkpoint trained for CLUE has a detector whose reading can be taken apart: "
    "clue train calibrate is for those",
    Capability.BACKBONE: "no model is behind it: load a model directory with Grounder.from_pretrained",
    Capability.OWN_BELIEF: "wrap it in BeliefGrounder, which keeps one",
    Capability.BELIEF: "only a checkpoint trained on dialogues can be read for a belief: ask by numbers instead",
    Capability.TAUGHT: "nothing can be taught here: name a folder for what is taught (the node's parameter taught)",
}


class MissingCapabilityError(ClueError):
    """A Grounder was asked for what it lacks. `capability` names it, the text says what to do."""

    def __init__(self, capability: Capability):
        super().__init__(capability)
        self.capability = capability

    def __str__(self) -> str:
        return f"{_REMEDIES[self.capability]} (capability '{self.capability.value}')"


class SeenImage(Protocol):
    """What `Grounder.encode` returns, to be passed on instead of the image; its inside is the implementer's own."""

    @property
    def width(self) -> int:
        """Of the original image, in pixels."""
        ...

    @property
    def height(self) -> int:
        """Of the original image, in pixels."""
        ...


class Grounder(Protocol):
    """Image + instruction -> a box, a question, or "not there". Not thread-safe: one caller at a time.

    Wherever a method takes `image`, that is uint8[H,W,3] RGB, a PIL image, or what `encode` returned. Pixel
    coordinates are those of the original image. Every method may raise InvalidImageError for an image that is none of
    these, and OutOfMemoryError, after which the Grounder stays usable.
    """

    @property
    def capabilities(self) -> FrozenSet[Capability]:
        """What it can do beyond the rest of this Protocol; the same as long as it lives."""
        ...

    @property
    def threshold(self) -> float:
        """P(ambiguous) in [0, 1] from which the robot asks, unless a call names another."""
        ...

    @property
    def min_confidence(self) -> float:
        """Confidence in [0, 1] of a box from which it need not be asked about; where it counts, a call says."""
        ...

    @property
    def vocabulary(self) -> Optional[FrozenSet[str]]:
        """The words that the model understands; None for an open vocabulary."""
        ...

    @property
    def backbone(self) -> "Backbone":
        """The model itself, for readers of their own. Raises MissingCapabilityError (BACKBONE)."""
        ...

    def encode(self, image: Any) -> SeenImage:
        """The part of the work that depends on the image only. Pass the result for later turns."""
        ...

    def look(self, image: Any) -> SeenImage:
        """`encode`, and everything else that can be done before anybody speaks. The decisions are the same."""
        ...

    def detect_ambiguity(
        self,
        image: Any,
        expression: str,
        turns: Sequence[Turn] = (),
        *,
        threshold: Optional[float] = None,
        should_stop: StopTest = None,
    ) -> Ambiguity:
        """P(ambiguous), the attention map and the competing regions, without a decision.

        image: see above.
        expression: the instruction.
        turns: the dialogue so far, oldest first.
        threshold: P(ambiguous) in [0, 1] from which `Ambiguity.is_ambiguous` is True; None: the checkpoint's own.
        should_stop: asked between steps; True raises Cancelled.

        Raises InvalidExpressionError, InvalidAnswerError, Cancelled.
        """
        ...

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
        """Decide what to do about an instruction: FOUND with a box, ASK with a question, NOT_FOUND, or UNKNOWN_WORDS.

        image: see above.
        expression: the instruction.
        turns: the dialogue so far, oldest first; clicks and boxes in pixels.
        may_ask: False gives the best guess instead of a question.
        threshold: P(ambiguous) in [0, 1] from which to ask; None: the checkpoint's own.
        candidates: another system's detections in pixels; the box is then one of them, or NOT_FOUND.
        min_confidence: in [0, 1]; with may_ask, a box that is less sure than this is asked about instead; None: the
            checkpoint's own.
        should_stop: asked between steps and before every token; True raises Cancelled.
        mask: also the pixels of what was found, bool[H,W], where MASKS is among the capabilities.

        Raises InvalidExpressionError, InvalidAnswerError, Cancelled.
        """
        ...

    def chat(self, image: Any, question: str, *, should_stop: StopTest = None) -> "GroundedAnswer":
        """An answer in words whose phrases carry boxes; says nothing about a dialogue and changes none.

        image: see above.
        question: in words, as "what is on the table?".
        should_stop: asked before every token; True raises Cancelled.

        Raises InvalidExpressionError, Cancelled.
        """
        ...

    def target_mask(self, image: Any, expression: str, turns: Sequence[Turn], box: Box) -> np.ndarray:
        """bool[H,W], the pixels of what the instruction means.

        image, expression, turns: as for `ground`.
        box: where it was found, in pixels.

        Raises MissingCapabilityError (MASKS), InvalidExpressionError.
        """
        ...

    def relevance(self, image: Any, instruction: str, turns: Sequence[Turn] = ()) -> np.ndarray:
        """float32[H,W] in [0, 1]: how much each pixel matters to an instruction; several things may, or none.

        image, instruction, turns: as for `ground`.

        Raises MissingCapabilityError (RELEVANCE), InvalidExpressionError, InvalidAnswerError.
        """
        ...

    def readings(self, image: Any, expression: str, turns: Sequence[Turn] = ()) -> Readings:
        """What the detector and the first token say, before anything fitted weighs it.

        image, expression, turns: as for `ground`.

        Raises MissingCapabilityError (READINGS), InvalidExpressionError.
        """
        ...

    def warm_up(self) -> None:
        """Run every step once on a blank image, so that the first real goal is not the slow one."""
        ...

    def close(self) -> None:
        """Free the model's memory. The Grounder cannot be used afterwards."""
        ...


def require(capabilities: FrozenSet[Capability], capability: Capability) -> None:
    """Raises MissingCapabilityError unless it is among them: before work that would be in vain without."""
    if capability not in capabilities:
        raise MissingCapabilityError(capability)
