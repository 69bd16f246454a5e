"""Who says what in a dialogue made by machine: the captioner's first words and the oracle's answers.

The questioner and the guesser are the model's own `ground`, as on the robot.
"""

from __future__ import annotations

from typing import Any, Optional, Protocol, Sequence

import numpy as np

from clue_ros.data.instances import Instance
from clue_ros.evaluation.oracle import UNSURE
from clue_ros.evaluation.subject import Subject, features_of
from clue_ros.geometry import box_iou
from clue_ros.language.questions import options
from clue_ros.perception.inventory import look_around
from clue_ros.perception.perception import Perception, StockImage
from clue_ros.simulation.utterances import INSTRUCTIONS
from clue_ros.simulation.words import NOUNS
from clue_ros.types import Box, Outcome

SAME = 0.5  # IoU from which two boxes are one thing
WHOLE_CAPTION = 0.5  # how often the captioner says all that it sees, not the bare noun


class Captioner(Protocol):
    def __call__(self, rgb: np.ndarray, seen: Any, target: Instance, rng: np.random.Generator) -> str:
        """An instruction for the target; '' where there are no words for it."""
        ...


class NamingCaptioner:
    """The name of the target's box, or, of boxes without names, what the model itself calls it: the kind that a closed
    vocabulary's inventory finds there, or an open one's caption of the crop. Names make ambiguous instructions."""

    def __init__(self, subject: Subject):
        self._subject, self._see = subject, Perception(subject.backbone)

    def __call__(self, rgb: np.ndarray, seen: Any, target: Instance, rng: np.random.Generator) -> str:
        words = self._name(rgb, seen, target, rng)
        return INSTRUCTIONS[int(rng.integers(len(INSTRUCTIONS)))].format(n=words) if words else ""

    def _name(self, rgb: np.ndarray, seen: Any, target: Instance, rng: np.random.Generator) -> str:
        if target.names:
            return str(target.names[int(rng.integers(len(target.names)))])
        if self._subject.grounder.vocabulary is not None:
            return self.describe(rgb, seen, target.box, False)
        caption = self.describe(rgb, seen, target.box, True)
        return caption if rng.random() < WHOLE_CAPTION or not caption else caption.split()[-1]

    def describe(self, rgb: np.ndarray, seen: Any, box: Box, colored: bool) -> str:
        """What the model calls the thing in a box, '' if it has no words for it."""
        encoded, vocabulary = features_of(seen), self._subject.grounder.vocabulary
        image = StockImage(rgb, encoded, encoded.detections)
        if vocabulary is None:
            return self._see.captions(image, (box,))[0]
        things = [t for t in look_around(self._see, image, vocabulary) if t.category and box_iou(t.box, box) >= SAME]
        if not things:
            return ""
        best = max(things, key=lambda t: box_iou(t.box, box))
        return " ".join(w for w in (best.color if colored else "", NOUNS[best.category][0]) if w)


class OptionPerson:
    """An oracle that nobody trained: of what a question offers it takes what the model grounds at the target.
    Its words are true as far as the model's boxes are; where none fits it says "neither", or describes the thing."""

    def __init__(self, subject: Subject, captioner: NamingCaptioner, rgb: np.ndarray, seen: Any, target: Box):
        self._subject, self._captioner = subject, captioner
        self._rgb, self._seen, self._target = rgb, seen, target

    def answer(self, question: str) -> str:
        offered = options(question)
        if not offered:
            words = self._captioner.describe(self._rgb, self._seen, self._target, True)
            return f"the {words}" if words else UNSURE
        fits = [self._overlap(words) for words in offered]
        best = max(range(len(offered)), key=lambda n: fits[n])
        if len(offered) == 1:
            return "yes" if fits[0] >= SAME else "no"
        return offered[best] if fits[best] >= SAME else "neither"

    def _overlap(self, words: str) -> float:
        found = self._subject.grounder.ground(self._seen, words, may_ask=False)
        if found.outcome is not Outcome.FOUND or found.box is None:
            return 0.0
        return box_iou(found.box, self._target)


def draw_targets(instances: Sequence[Instance], count: int, rng: np.random.Generator) -> Sequence[int]:
    """Up to `count` different instances, each drawn with a weight of its area ("larger objects will be more likely
    selected", section III-D)."""
    areas = np.array([i.box.area for i in instances], float)
    possible = int((areas > 0).sum())
    if not possible:
        return ()
    return [int(n) for n in rng.choice(len(areas), min(count, possible), replace=False, p=areas / areas.sum())]


def chosen(target: Optional[Box], found: Optional[Box]) -> bool:
    """Whether the guesser found the target again."""
    return target is not None and found is not None and box_iou(target, found) >= SAME
