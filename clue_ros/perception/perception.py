"""What a stock checkpoint is asked, and how its answers are kept: `detect mug`, whether there is one at all, what color
it is, a short caption. wording.py has the prompts.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Dict, Optional, Sequence, Tuple

import numpy as np

from clue_ros.language.describe import attribute_of, caption_of
from clue_ros.language.phrase import GENERIC_NOUN
from clue_ros.perception.candidates import Candidate, parse_detections, says_something_else, suppress
from clue_ros.perception.presence import Presence
from clue_ros.perception.wording import WORDINGS
from clue_ros.prompt import DETECT
from clue_ros.types import Box, StopTest, stop_if
from clue_ros.vlm.backbone import Backbone
from clue_ros.vlm.passes import EncodedImage

DETECT_TOKENS = 96  # a box with its label and separator takes 6 to 8: about a dozen boxes
ANSWER_TOKENS, CAPTION_TOKENS = 8, 24
CROP_MARGIN = 0.15  # of the box's side, on each side: what stands around helps to see what it is
WEAKEST = 0.3  # of the surest box's confidence: weaker ones are not offered to the person
# P(<eos>) from which a list of boxes is over: a further one as likely as WEAKEST is heard. Of 120 lists of several
# things the embedded base ended 5 after one, with P(<eos>) 0.06, 0.85, 0.94, 0.97 and 1.00.
ENDS_FROM = 1 - WEAKEST
IS_THERE = 0.5  # P(the picture shows it) below which boxes for a thing are of something else


@dataclass
class StockImage:
    """rgb: uint8[H,W,3], kept for crops; encoded: the vision features; the rest: answers that were already got about
    this image, by phrase or by (box, noun). Not shared between threads."""

    rgb: np.ndarray
    encoded: EncodedImage
    detections: Dict[str, Tuple[Candidate, ...]] = field(default_factory=dict)
    maps: Dict[str, np.ndarray] = field(default_factory=dict)
    colors: Dict[Tuple[Box, str], str] = field(default_factory=dict)
    captions: Dict[Box, str] = field(default_factory=dict)
    presence: Dict[str, float] = field(default_factory=dict)

    @classmethod
    def of_features(cls, encoded: EncodedImage) -> "StockImage":
        """Without pixels, for questions about the whole image; answers to `detect` are kept with the features."""
        return cls(np.empty((0, 0, 3), np.uint8), encoded, encoded.detections)

    @property
    def width(self) -> int:
        return self.encoded.width

    @property
    def height(self) -> int:
        return self.encoded.height

    @property
    def size(self) -> Tuple[float, float]:
        return float(self.width), float(self.height)


class Perception:
    """The questions, put to one backbone. Not thread-safe."""

    def __init__(self, backbone: Backbone):
        #: The model that is asked.
        self.backbone = backbone
        #: How it is asked in free words.
        self.wording = WORDINGS[backbone.settings.questions]
        #: False for a closed vocabulary without the words of the questions: such a model can only detect.
        self.can_describe = not backbone.unknown_words(self.wording.color_of("").rstrip("? "))
        self._presence = Presence(backbone, self.wording)

    def respelled(self, text: str) -> str:
        """The text with slips of the keyboard repaired for a closed vocabulary; untouched for an open one."""
        return self.backbone.respelled(text)

    def unknown_words(self, phrase: str) -> Tuple[str, ...]:
        """Words of a phrase that a closed vocabulary lacks; always empty for an open one."""
        return tuple(self.backbone.unknown_words(phrase))

    def detect(
        self, image: StockImage, phrase: str, should_stop: StopTest = None, otherwise: str = ""
    ) -> Tuple[Candidate, ...]:
        """Candidates for a phrase after non-maximum suppression, surest first; empty if the model sees none.

        otherwise: a wording to try once more if the model answers the first one in words, neither with a box nor with
        an immediate end. Raises Cancelled.
        """
        if phrase not in image.detections:
            found, other = self._detect(image, phrase, should_stop)
            if other and otherwise and otherwise != phrase:
                found, _ = self._detect(image, otherwise, should_stop)
            image.detections[phrase] = found
        return image.detections[phrase]

    def found(
        self, image: StockImage, phrase: str, should_stop: StopTest = None, otherwise: str = ""
    ) -> Tuple[Candidate, ...]:
        """As `detect`, but nothing where the model says, asked in words, that there is no such thing; confidences are
        times P(there is). One prefill more where `detect` gave a box, none in a closed vocabulary. Raises Cancelled."""
        boxed = self.detect(image, phrase, should_stop, otherwise)
        if not boxed:
            return ()
        there = self.presence(image, phrase, should_stop)
        return tuple(replace(c, confidence=c.confidence * there) for c in boxed) if there >= IS_THERE else ()

    def presence(self, image: StockImage, phrase: str, should_stop: StopTest = None) -> float:
        """P(the picture shows a thing) in [0, 1] by the model's own yes or no; 1 for what cannot be asked: in a closed
        vocabulary, of a model that cannot tell (presence.py), for "object". Raises Cancelled."""
        if not self.can_describe or GENERIC_NOUN in phrase.split():
            return 1.0
        if phrase not in image.presence:
            image.presence[phrase] = self._presence.probability(image.encoded, phrase, should_stop)
        return image.presence[phrase]

    def warm_up(self) -> None:
        """Measure ahead what the first question would have to wait for."""
        if self.can_describe:
            self._presence.floor()

    def attention_map(self, image: StockImage, phrase: str) -> np.ndarray:
        """float32[g,g] in [0, 1]: the tap's map for `detect {phrase}`."""
        if phrase not in image.maps:
            grid = self.backbone.attention_map(image.encoded, f"{DETECT} {phrase}")
            image.maps[phrase] = grid.float().cpu().numpy()
        return image.maps[phrase]

    def colors(
        self,
        image: StockImage,
        boxes: Sequence[Box],
        noun: str,
        should_stop: StopTest = None,
        crops: Optional[Dict[Box, EncodedImage]] = None,
    ) -> Tuple[str, ...]:
        """The colour of the thing in each box in words, '' where the model gives none. One vision pass, one prefill and
        a few tokens a box that was not asked about before. Raises Cancelled."""
        question = self.wording.color_of(noun)
        for box in boxes:
            if (box, noun) not in image.colors:
                stop_if(should_stop)
                said = self.backbone.complete(self._crop(image, box, crops), question, ANSWER_TOKENS, should_stop)
                image.colors[box, noun] = attribute_of(said.text)
        return tuple(image.colors[box, noun] for box in boxes)

    def captions(
        self,
        image: StockImage,
        boxes: Sequence[Box],
        should_stop: StopTest = None,
        crops: Optional[Dict[Box, EncodedImage]] = None,
    ) -> Tuple[str, ...]:
        """A few words on the thing in each box, '' where the model gives none; cost as for `colors`. Raises
        Cancelled."""
        for box in boxes:
            if box not in image.captions:
                stop_if(should_stop)
                said = self.backbone.complete(
                    self._crop(image, box, crops), self.wording.caption, CAPTION_TOKENS, should_stop
                )
                image.captions[box] = caption_of(said.text)
        return tuple(image.captions[box] for box in boxes)

    def _detect(self, image: StockImage, phrase: str, should_stop: StopTest) -> Tuple[Tuple[Candidate, ...], bool]:
        stop_if(should_stop)
        said = self.backbone.complete(
            image.encoded, f"{DETECT} {phrase}", DETECT_TOKENS, should_stop, ends_from=ENDS_FROM
        )
        found = suppress(parse_detections(said.bins, said.certainty, said.ends, image.width, image.height))
        kept = tuple(c for c in found if c.confidence >= WEAKEST * found[0].confidence)
        return kept, not found and says_something_else(said.text)

    def _crop(self, image: StockImage, box: Box, crops: Optional[Dict[Box, EncodedImage]]) -> EncodedImage:
        if crops is None:
            return self.backbone.encode(crop(image.rgb, box))
        if box not in crops:
            crops[box] = self.backbone.encode(crop(image.rgb, box))
        return crops[box]


def crop(rgb: np.ndarray, box: Box, margin: float = CROP_MARGIN) -> np.ndarray:
    """uint8[h,w,3] of a box in uint8[H,W,3] with `margin` of its sides around, cut at the image's edge; at least
    1 × 1 pixel."""
    height, width = rgb.shape[:2]
    dx, dy = (box.x1 - box.x0) * margin, (box.y1 - box.y0) * margin
    x0 = int(min(max(0, np.floor(box.x0 - dx)), width - 1))
    y0 = int(min(max(0, np.floor(box.y0 - dy)), height - 1))
    x1 = int(min(max(x0 + 1, np.ceil(box.x1 + dx)), width))
    y1 = int(min(max(y0 + 1, np.ceil(box.y1 + dy)), height))
    return np.ascontiguousarray(rgb[y0:y1, x0:x1])
