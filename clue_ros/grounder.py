"""Image + instruction -> a box, a question, or "not there". Start reading here.

    from clue_ros.grounder import Grounder
    grounder = Grounder.from_pretrained()                    # the embedded tabletop model
    decision = grounder.ground(image, "hand me the mug")     # uint8[H,W,3] RGB
    decision.outcome, decision.question, decision.box

The steps are those of CLUE: `detect ‖ C` through adapter A gives an attention map, the CNN reads it; P(ambiguous) (the
detector's reading, for some checkpoints combined with the dialogue adapter's first token, ambiguity/gate.py) decides
whether `clarify ‖ C` through adapter B may ask or must answer with a box; adapter B says itself when nothing fits. A
checkpoint may read ambiguity in other ways (ambiguity/reading.py), among them the one-pass form, where the map comes
from the very prefill that goes on to speak. A plain PaliGemma 2 download, without adapters, is driven by stock/.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, FrozenSet, Optional, Sequence, Tuple, Union

import numpy as np
import torch

from clue_ros import seams
from clue_ros.ambiguity.kinds import is_stock
from clue_ros.ambiguity.readers import AmbiguityReader
from clue_ros.deciding import Decider, Options, known_turns, prefix_of, says_something
from clue_ros.dialogue.correction import check_wanted
from clue_ros.dialogue.phrases import names_nothing
from clue_ros.geometry import as_rgb
from clue_ros.masks.masker import Masker
from clue_ros.perception.perception import Perception, StockImage
from clue_ros.prompt import CLARIFY, check_expression, check_turns
from clue_ros.seams import Capability, require
from clue_ros.timing import Times, timed
from clue_ros.types import Ambiguity, Box, Decision, InvalidExpressionError, Outcome, Readings, StopTest, Turn, stop_if
from clue_ros.vlm.backbone import Backbone
from clue_ros.vlm.memory import memory_guard, release
from clue_ros.vlm.paligemma import PaliGemmaBackbone
from clue_ros.vlm.passes import EncodedImage

if TYPE_CHECKING:
    from clue_ros.chat.answer import GroundedAnswer

EMBEDDED_MODEL = Path(__file__).parent / "models" / "tabletop"

Image = Union[np.ndarray, EncodedImage, Any]


class Grounder:
    """Owns the model. Not thread-safe: one caller at a time."""

    def __init__(self, backbone: Backbone, reader: AmbiguityReader, masker: Optional[Masker] = None):
        self._backbone, self._masker = backbone, masker or Masker(backbone, None, None)
        self._decider = Decider(backbone, reader)
        self._see = Perception(backbone)

    @classmethod
    def from_pretrained(
        cls,
        path: Union[str, Path, None] = None,
        device: str = "cpu",
        dtype: Union[str, torch.dtype, None] = None,
        *,
        quantization: str = "none",
        merge: str = "auto",
        glances: Optional[int] = None,
    ) -> seams.Grounder:
        """Load a model directory. One without adapters and detector (a plain PaliGemma 2 download) gives a
        `StockGrounder` (stock/), which has the same methods.

        path: the directory; None: the embedded tabletop model.
        device: a torch device.
        dtype: of the weights, 'float32', 'bfloat16'; 'auto' or None: bfloat16, but on a CPU float32 where that is
            cheap (vlm.dense.Precision.choose).
        quantization: of the weights, 'none', 'int8' or 'int4'.
        merge: adapters into the weights, 'auto', 'yes' or 'no'.
        glances: second glances a picture, 0 to 64; None: the model's own. A model without eyes for them logs a warning.

        Raises ModelLoadError naming what is wrong, OutOfMemoryError.
        """
        folder = Path(path) if path else EMBEDDED_MODEL
        backbone = PaliGemmaBackbone.from_pretrained(
            folder, device, dtype, quantization=quantization, merge=merge, glances=glances
        )
        return cls.with_backbone(backbone, folder)

    @classmethod
    def with_backbone(cls, backbone: Backbone, folder: Union[str, Path]) -> seams.Grounder:
        """A model that is loaded already, with what else its directory holds.

        backbone: any model behind the protocol (vlm/backbone.py).
        folder: of the detector, mask head and clue.json; without adapters and detector it gives a `StockGrounder`.

        Raises ModelLoadError naming what is wrong.
        """
        folder = Path(folder)
        if is_stock(folder):
            from clue_ros.stock.grounder import StockGrounder

            return StockGrounder(backbone, Masker.load(folder, backbone))
        return cls(backbone, AmbiguityReader.load(folder, backbone), Masker.load(folder, backbone))

    @property
    def capabilities(self) -> FrozenSet[Capability]:
        """What this checkpoint can do: MASKS and RELEVANCE depend on the files in its directory."""
        return self._masker.capabilities | {Capability.READINGS, Capability.BACKBONE, Capability.BELIEF}

    @property
    def backbone(self) -> Backbone:
        """The model itself, for readers of their own (belief/reader.py)."""
        return self._backbone

    @property
    def threshold(self) -> float:
        """P(ambiguous) from which the robot asks, as fitted for this checkpoint."""
        return self._backbone.settings.threshold

    @property
    def min_confidence(self) -> float:
        """Confidence of a box from which it need not be asked about, as fitted for this checkpoint."""
        return self._backbone.settings.min_confidence

    @property
    def vocabulary(self) -> Optional[FrozenSet[str]]:
        """The words that the model understands; None for an open vocabulary."""
        return self._backbone.words

    def encode(self, image: Image) -> EncodedImage:
        """The part of the work that depends on the image only; pass the result instead of the image for later turns.

        image: uint8[H,W,3] RGB or a PIL image.

        Raises InvalidImageError, OutOfMemoryError.
        """
        if isinstance(image, EncodedImage):
            return image
        rgb = as_rgb(image)
        with memory_guard("encoding an image"):
            return self._backbone.encode(rgb)

    def look(self, image: Image) -> EncodedImage:
        """`encode`, and everything else that can be done before anybody speaks: with query-blind checkpoints a later
        instruction, answer or adapter then costs its own few tokens only. The decisions are the same."""
        encoded = self.encode(image)
        with memory_guard("looking ahead"):
            self._decider.look(encoded)
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
        """P(ambiguous), the attention map and the competing regions of an instruction with its dialogue so far.
        Unknown words are left out.

        image, expression, turns: as for `ground`.
        threshold: P(ambiguous) in [0, 1] from which it is ambiguous; None: the checkpoint's own.
        should_stop: asked before the model begins; True raises Cancelled.

        Raises InvalidImageError, InvalidExpressionError, InvalidAnswerError, Cancelled.
        """
        words, turns = check_expression(expression), check_turns(turns)
        encoded = self.encode(image)
        stop_if(should_stop)
        known = self._backbone.without_unknown(words)
        if not known:
            raise InvalidExpressionError(f"the model knows none of the words in '{expression}'")
        with memory_guard("detecting ambiguity"):
            return self._decider.detect(encoded, known, known_turns(self._backbone, turns)[0], threshold)

    def readings(self, image: Image, expression: str, turns: Sequence[Turn] = ()) -> Readings:
        """What the detector and the first token say, before anything fitted weighs it."""
        encoded, words = self.encode(image), self._backbone.without_unknown(check_expression(expression))
        return self._decider.readings(encoded, words, turns)

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
        """Decide what to do about an instruction: FOUND with a box, ASK with a question, NOT_FOUND, or UNKNOWN_WORDS.

        For a closed vocabulary slips of the keyboard ("the yelow botle") and other forms of a word ("the 2nd one") are
        mended in instruction and answers (vlm/spelling.py, short_forms.py); Decision.expression stays as it was said.

        image: uint8[H,W,3] RGB, a PIL image, or what `encode` returned.
        expression: the instruction.
        turns: the dialogue so far, oldest first; clicks and boxes in pixels of the image.
        may_ask: False gives the best guess instead of a question.
        threshold: P(ambiguous) in [0, 1] from which to ask; None: the checkpoint's own.
        candidates: detections of another system in pixels; the box is then one of them, or NOT_FOUND where none
            overlaps the model's own (perception/selection.py).
        min_confidence: in [0, 1]; with may_ask, a box that is less sure than this is asked about instead; None: the
            checkpoint's own.
        should_stop: asked between steps and before every token; True raises Cancelled.
        mask: also the pixels of what was found (Decision.mask), where the model has masks.

        Raises InvalidImageError, InvalidExpressionError, InvalidAnswerError, OutOfMemoryError, Cancelled.
        """
        times: Times = {}
        least = self.min_confidence if min_confidence is None else min_confidence
        words, turns = check_expression(expression), check_turns(turns)
        check_wanted(expression)
        with timed(times, "image"):
            encoded = self.encode(image)
        stop_if(should_stop)
        unknown = self._backbone.unknown_words(words)
        turns, unknown_answer = known_turns(self._backbone, turns)
        if unknown or unknown_answer:
            return Decision(Outcome.UNKNOWN_WORDS, expression, unknown_words=unknown or unknown_answer, latency_s=times)
        words = self._backbone.without_unknown(words)
        if names_nothing(words) or not says_something(words):  # "yes", "hello": or what is skipped, and no more
            raise InvalidExpressionError(
                f"'{expression.strip()}' names nothing to look for: say, for example, \"the red mug\""
            )
        with memory_guard("grounding an instruction"):
            options = Options(expression, may_ask, threshold, tuple(candidates), least, should_stop)
            decision = self._decider.decide(encoded, words, turns, options, times)
            if not mask or decision.box is None or not self._masker.can_segment:
                return decision
            with timed(times, "mask"):
                prefix = prefix_of(CLARIFY, encoded, words, turns)
                return replace(decision, mask=self._masker.target(encoded, prefix, words, decision.box))

    def target_mask(self, image: Image, expression: str, turns: Sequence[Turn], box: Box) -> np.ndarray:
        """bool[H,W], the pixels of what the instruction means in a box that is known.

        image, expression, turns: as for `ground`.
        box: in pixels of the image.

        Raises MissingCapabilityError without masks, InvalidImageError, InvalidExpressionError, OutOfMemoryError.
        """
        require(self.capabilities, Capability.MASKS)
        words, turns = self._known(expression, turns)
        encoded = self.encode(image)
        with memory_guard("finding the target's pixels"):
            return self._masker.target(encoded, prefix_of(CLARIFY, encoded, words, turns), words, box)

    def relevance(self, image: Image, instruction: str, turns: Sequence[Turn] = ()) -> np.ndarray:
        """float32[H,W] in [0, 1]: how much each pixel matters to an instruction; several things may, or none.
        Unknown words are left out.

        image, instruction, turns: as for `ground`.

        Raises MissingCapabilityError if the model has no mask head, InvalidImageError, InvalidExpressionError,
        InvalidAnswerError, OutOfMemoryError.
        """
        require(self.capabilities, Capability.RELEVANCE)
        words, turns = self._known(instruction, turns)
        encoded = self.encode(image)
        if not says_something(words):
            raise InvalidExpressionError(f"the model knows none of the words in '{instruction}'")
        with memory_guard("finding what matters to an instruction"):
            return self._masker.relevance(encoded, prefix_of(CLARIFY, encoded, words, turns))

    def chat(self, image: Image, question: str, *, should_stop: StopTest = None) -> "GroundedAnswer":
        """An answer in words whose phrases carry boxes: "what is on the table?" -> "I see a red mug and two bowls."

        Says nothing about a dialogue and changes none (clue_ros/chat).

        image: as for `ground`.
        question: in words.
        should_stop: asked before every token; True raises Cancelled.

        Raises InvalidImageError, InvalidExpressionError, OutOfMemoryError, Cancelled.
        """
        from clue_ros.chat.run import chat

        encoded = self.encode(image)
        return chat(self._see, StockImage.of_features(encoded), question, should_stop)

    def warm_up(self) -> None:
        """Run every step once on a blank image, so that the first real goal is not the slow one."""
        blank = np.full((240, 320, 3), 127, np.uint8)
        encoded, words = self.encode(blank), "the object" if self.vocabulary is None else "the mug"
        self.detect_ambiguity(encoded, words)
        self.ground(encoded, words, may_ask=False)

    def close(self) -> None:
        """Free the model's memory. The Grounder cannot be used afterwards."""
        del self._backbone, self._decider, self._masker, self._see
        release()

    def _known(self, expression: str, turns: Sequence[Turn]) -> Tuple[str, Tuple[Turn, ...]]:
        """Instruction and dialogue in words that the model knows."""
        words = self._backbone.without_unknown(check_expression(expression))
        return words, known_turns(self._backbone, check_turns(turns))[0]
