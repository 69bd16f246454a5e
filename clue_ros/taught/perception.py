"""What is asked about a picture where taught names may be meant: theirs go to the store, all others to the model.

It answers as Perception does, so that the rules of stock/ for questions, replies, places and relations hold for taught
names too. Phrases hold names hidden as made-up nouns (names.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from clue_ros.eyes.sight import Things
from clue_ros.language.phrase import COLORS, GENERIC_NOUN
from clue_ros.perception.candidates import Candidate
from clue_ros.perception.perception import Perception, StockImage
from clue_ros.simulation.color_names import dominant_color
from clue_ros.taught.looks import looks
from clue_ros.taught.matching import Rule, matching, one_thing
from clue_ros.taught.memory import TaughtMemory
from clue_ros.taught.names import Names
from clue_ros.types import Box, StopTest
from clue_ros.vlm.backbone import Backbone
from clue_ros.vlm.passes import EncodedImage

CORE = 0.6  # of a box's sides, about its middle: pixels that are the thing's own
SURE_THING = 0.5  # from which a second glance is counted among the things of "the thing left of my thermos"


@dataclass
class TaughtImage(StockImage):
    """A StockImage with the things that second glances see in it. boxes: theirs, pixels, and looks:
    float32[K,·] (looks.py), once a taught name was asked for; seen: what the wrapped Grounder encoded."""

    things: Optional[Things] = None
    boxes: Tuple[Box, ...] = ()
    looks: Optional[np.ndarray] = None
    seen: Any = None


class TaughtPerception(Perception):
    """Perception with names. Not thread-safe."""

    def __init__(self, backbone: Backbone, memory: TaughtMemory, rule: Rule = Rule()):
        super().__init__(backbone)
        self._memory, self._rule = memory, rule
        self.names = Names([])
        self._asks_in_words = self.can_describe
        self.can_describe = True  # colours are read from pixels

    def unknown_words(self, phrase: str) -> Tuple[str, ...]:
        """As Perception's; a hidden name is a known word, and so is what stands for anything."""
        return tuple(w for w in super().unknown_words(phrase) if w != GENERIC_NOUN and not self.names.names_of(w))

    def respelled(self, text: str) -> str:
        """The text, of which the model's spelling never touches a hidden name."""
        return " ".join(
            w if self.names.names_of(w) else super(TaughtPerception, self).respelled(w) for w in text.split()
        )

    def detect(
        self, image: StockImage, phrase: str, should_stop: StopTest = None, otherwise: str = ""
    ) -> Tuple[Candidate, ...]:
        """As Perception's. A colour in front of a name ("red taughtthing0") chooses among several of that name."""
        names, words = self.names.names_of(phrase), phrase.split()
        if not names and words[-1:] != [GENERIC_NOUN]:
            return super().detect(image, phrase, should_stop)  # `otherwise` is the instruction, with hidden names in it
        if phrase not in image.detections:
            found = tuple(c for name in names for c in self._taught(image, name)) if names else self._things(image)
            wanted = COLORS & set(words)
            if wanted and (not names or len(found) > 1):
                said = self.colors(image, [c.box for c in found], phrase)
                fitting = tuple(c for c, color in zip(found, said) if color in wanted)
                found = fitting or (found if names else ())
            image.detections[phrase] = found
        return image.detections[phrase]

    def presence(self, image: StockImage, phrase: str, should_stop: StopTest = None) -> float:
        """1: what the store finds is there, and a closed vocabulary is not asked."""
        asked = self._asks_in_words and not self.names.names_of(phrase)
        return super().presence(image, phrase, should_stop) if asked else 1.0

    def colors(
        self,
        image: StockImage,
        boxes: Sequence[Box],
        noun: str,
        should_stop: StopTest = None,
        crops: Optional[Dict[Box, EncodedImage]] = None,
    ) -> Tuple[str, ...]:
        """The word for most pixels in the middle of each box, '' where no colour is clear."""
        return tuple(dominant_color(_core(image.rgb, box)) for box in boxes)

    def captions(
        self,
        image: StockImage,
        boxes: Sequence[Box],
        should_stop: StopTest = None,
        crops: Optional[Dict[Box, EncodedImage]] = None,
    ) -> Tuple[str, ...]:
        """None: no caption tells two things of one name apart better than their places."""
        return ("",) * len(boxes)

    def _taught(self, image: StockImage, name: str) -> Tuple[Candidate, ...]:
        known = self._looked(image)
        shown = {thing.name: thing.looks for thing in self._memory.things}
        if name not in shown:  # forgotten since the names were read
            return ()
        others = [views for other, views in shown.items() if other != name]
        assert known.looks is not None
        return matching(known.boxes, known.looks, shown[name], others, self._rule)

    def _things(self, image: StockImage) -> Tuple[Candidate, ...]:
        known = self._looked(image)
        assert known.things is not None
        found = [
            Candidate(box, float(sure))
            for box, sure in zip(known.boxes, known.things.sure)
            if sure >= SURE_THING and box.area > 0
        ]
        return tuple(sorted(found, key=lambda c: -c.confidence))

    def things_in(self, image: TaughtImage, sure: float = 0.0) -> Tuple[Box, ...]:
        """Boxes of whatever second glances see, each thing once, the surest first. sure: from which they count."""
        kept: List[Box] = []
        known = self._looked(image)
        assert known.things is not None
        for n in np.argsort(-known.things.sure):
            box = known.boxes[n]
            if known.things.sure[n] >= sure and box.area > 0 and not any(one_thing(box, other) for other in kept):
                kept.append(box)
        return tuple(kept)

    def _looked(self, image: StockImage) -> TaughtImage:
        assert isinstance(image, TaughtImage)
        if image.looks is None:
            image.things = image.things or self._memory.sight.things(image.rgb)
            pixels = image.things.boxes * np.array((*image.size, *image.size), np.float32)
            image.boxes = tuple(Box(*(float(v) for v in box)) for box in pixels)
            image.looks = looks(image.things.vectors, image.rgb, pixels)
        return image


def _core(rgb: np.ndarray, box: Box) -> np.ndarray:
    """float[N,3] in [0, 1]: pixels in the middle of a box."""
    (x, y), across, down = box.center, (box.x1 - box.x0) * CORE / 2, (box.y1 - box.y0) * CORE / 2
    x0, y0 = max(0, int(x - across)), max(0, int(y - down))
    inside = rgb[y0 : max(y0 + 1, int(np.ceil(y + down))), x0 : max(x0 + 1, int(np.ceil(x + across)))]
    return inside.reshape(-1, 3).astype(np.float32) / 255
