"""`GrounderAround`: a Grounder that does as another one does. What extends it says what it does otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, FrozenSet, Optional, Sequence

import numpy as np

from clue_ros.seams import Capability, Grounder, SeenImage
from clue_ros.types import Ambiguity, Box, Readings, StopTest, Turn

if TYPE_CHECKING:
    from clue_ros.chat.answer import GroundedAnswer
    from clue_ros.vlm.backbone import Backbone


class GrounderAround:
    """The Grounder's methods but `ground`, each as the one inside has it (seams.py says what they do)."""

    def __init__(self, grounder: Grounder):
        self._grounder = grounder

    @property
    def capabilities(self) -> FrozenSet[Capability]:
        return self._grounder.capabilities

    @property
    def threshold(self) -> float:
        return self._grounder.threshold

    @property
    def min_confidence(self) -> float:
        return self._grounder.min_confidence

    @property
    def vocabulary(self) -> Optional[FrozenSet[str]]:
        return self._grounder.vocabulary

    @property
    def backbone(self) -> "Backbone":
        return self._grounder.backbone

    def encode(self, image: Any) -> SeenImage:
        return self._grounder.encode(image)

    def look(self, image: Any) -> SeenImage:
        return self._grounder.look(image)

    def detect_ambiguity(
        self,
        image: Any,
        expression: str,
        turns: Sequence[Turn] = (),
        *,
        threshold: Optional[float] = None,
        should_stop: StopTest = None,
    ) -> Ambiguity:
        return self._grounder.detect_ambiguity(image, expression, turns, threshold=threshold, should_stop=should_stop)

    def chat(self, image: Any, question: str, *, should_stop: StopTest = None) -> "GroundedAnswer":
        return self._grounder.chat(image, question, should_stop=should_stop)

    def target_mask(self, image: Any, expression: str, turns: Sequence[Turn], box: Box) -> np.ndarray:
        return self._grounder.target_mask(image, expression, turns, box)

    def relevance(self, image: Any, instruction: str, turns: Sequence[Turn] = ()) -> np.ndarray:
        return self._grounder.relevance(image, instruction, turns)

    def readings(self, image: Any, expression: str, turns: Sequence[Turn] = ()) -> Readings:
        return self._grounder.readings(image, expression, turns)

    def warm_up(self) -> None:
        self._grounder.warm_up()

    def close(self) -> None:
        self._grounder.close()
