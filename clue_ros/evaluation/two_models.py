"""A questioner and a guesser that were trained apart, as one partner of a dialogue (InViG-Base, section IV).

The questioner decides whether to ask, and what; wherever a box is wanted, it is the guesser's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, NamedTuple, Optional, Sequence

import numpy as np

from clue_ros.data.sample import Sample
from clue_ros.evaluation.subject import Subject
from clue_ros.types import Decision, Outcome, Turn


class SeenTwice(NamedTuple):
    """The image as each of the two has encoded it."""

    questioner: Any
    guesser: Any


@dataclass
class TwoModels:
    """In place of a Subject in played dialogues, and its own grounder."""

    questioner: Subject
    guesser: Subject
    can_answer = False

    @property
    def grounder(self) -> "TwoModels":
        return self

    def about(self) -> Dict[str, Any]:
        """As Subject.about, of both."""
        asks, boxes = self.questioner.about(), self.guesser.about()
        return {**asks, **{key: f"{asks[key]}, guesser {boxes[key]}" for key in ("model", "fingerprint")}}

    def close(self) -> None:
        self.questioner.close()
        self.guesser.close()

    def knows(self, task: str, sample: Sample, turns: Sequence[Turn] = ()) -> bool:
        return True

    def look_at(self, sample: Sample, rgb: np.ndarray) -> SeenTwice:
        return SeenTwice(self.questioner.look_at(sample, rgb), self.guesser.look_at(sample, rgb))

    def encode(self, seen: SeenTwice) -> SeenTwice:
        return seen

    def ground(
        self,
        image: SeenTwice,
        expression: str,
        turns: Sequence[Turn] = (),
        *,
        may_ask: bool = True,
        threshold: Optional[float] = None,
    ) -> Decision:
        """threshold: of the questioner. Raises ClueError as `Grounder.ground` does."""
        if may_ask:
            asked = self.questioner.grounder.ground(image.questioner, expression, turns, threshold=threshold)
            if asked.outcome is Outcome.ASK:
                return asked
        return self.guesser.grounder.ground(image.guesser, expression, turns, may_ask=False)
