"""Whether what `detect` has boxed is there at all.

A model that is asked for a kettle boxes the likeliest thing, and only the question "is there a kettle?" shows that it
knows better.

How readily a model says yes is its own: a floor of even odds would take the word of one that always does. So the floor
is measured, once a model, on a picture of which we know what it shows (three shapes), by questions for these and for
things that are not there. A model that does not tell them apart is not asked again. This costs six prefills; `presence`
in clue.json states the floor instead.
"""

from __future__ import annotations

import math
from statistics import median
from typing import Optional

import numpy as np

from clue_ros.perception.wording import Wording
from clue_ros.types import StopTest, stop_if
from clue_ros.vlm.backbone import Backbone
from clue_ros.vlm.passes import EncodedImage

YES, NO = ("yes", "Yes"), ("no", "No")
HEARD = 0.1  # P(yes or no) below which the model says something else: "unanswerable", a refusal
GAP = 1.0  # nats between yes to what is there and yes to what is not, from which a model is believed
THERE, ABSENT = ("red circle", "blue square", "yellow triangle"), ("dog", "bicycle", "banana")


class Presence:
    """The question, put to one backbone. Not thread-safe."""

    def __init__(self, backbone: Backbone, wording: Wording):
        self._backbone, self._wording = backbone, wording
        stated = backbone.settings.presence
        self._floor: Optional[float] = stated[0] if stated else None
        self._measured = bool(stated)

    def floor(self, should_stop: StopTest = None) -> Optional[float]:
        """Log-odds of yes from which a thing is there; None for a model that cannot tell. Measured when first asked
        for. Raises Cancelled."""
        if not self._measured:
            image = self._backbone.encode(shapes())
            self._floor = self._between(image, should_stop)
            self._measured = True
        return self._floor

    def probability(self, image: EncodedImage, phrase: str, should_stop: StopTest = None) -> float:
        """P(the picture shows a thing) in [0, 1], 0.5 at the floor; 1 where the model does not say yes or no. One
        prefill. Raises Cancelled."""
        floor = self.floor(should_stop)
        if floor is None:
            return 1.0
        stop_if(should_stop)
        odds = self._odds(image, phrase)
        return 1.0 if odds is None else 1 / (1 + math.exp(min(50.0, floor - odds)))

    def _between(self, image: EncodedImage, should_stop: StopTest) -> Optional[float]:
        middle = []
        for phrases in (THERE, ABSENT):
            said = []
            for phrase in phrases:
                stop_if(should_stop)
                said.append(self._odds(image, phrase))
            heard = [odds for odds in said if odds is not None]
            if len(heard) < len(phrases) - 1:
                return None
            middle.append(median(heard))
        there, absent = middle
        return (there + absent) / 2 if there - absent >= GAP else None

    def _odds(self, image: EncodedImage, phrase: str) -> Optional[float]:
        """log P(yes) / P(no); None where the model would rather say neither."""
        found = self._backbone.likelihoods(image, self._wording.is_there(phrase), (*YES, *NO), "")
        yes = sum(math.exp(f.log_probability) for f in found[: len(YES)])
        no = sum(math.exp(f.log_probability) for f in found[len(YES) :])
        return math.log(max(yes, 1e-9) / max(no, 1e-9)) if yes + no >= HEARD else None


def shapes() -> np.ndarray:
    """uint8[448,448,3] RGB: a red circle, a blue square and a yellow triangle on white."""
    picture = np.full((448, 448, 3), 255, np.uint8)
    y, x = np.mgrid[:448, :448]
    picture[(x - 110) ** 2 + (y - 130) ** 2 < 60**2] = 220, 30, 30
    picture[(abs(x - 330) < 55) & (abs(y - 130) < 55)] = 30, 60, 200
    picture[(y > 260) & (y < 380) & (abs(x - 224) < (y - 260) / 2)] = 240, 210, 40
    return picture
