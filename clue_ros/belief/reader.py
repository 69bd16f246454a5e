"""What the model itself says about candidates: which there are, how well words fit each, what is at a point.

All through the `detect` prefix, under which the embedded model lists every match, boxes separated by ";". How well
words fit a box is the probability of its four location tokens as the answer, smoothed over neighbouring bins: a box
that is a little off is still the same thing.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from clue_ros.ambiguity.kinds import kind_of
from clue_ros.geometry import clip_box
from clue_ros.location import bins_to_box, box_to_bins, point_to_text
from clue_ros.prompt import DETECT, build_prefix
from clue_ros.types import Box, StopTest, Turn
from clue_ros.vlm.backbone import Backbone
from clue_ros.vlm.memory import memory_guard
from clue_ros.vlm.passes import EncodedImage

LISTED = 8  # boxes of one answer at most
TOLERANCE = 24  # bins: 2.3 % of the image's side


class Seen(NamedTuple):
    """A box that the model named; certainty: geometric mean of the mass around its coordinates, in [0, 1]."""

    box: Box
    certainty: float


class ModelReader:
    """Reads one backbone. A checkpoint with a one-pass detector reads through its dialogue adapter, whose keys and
    values of the image are there already; others through the base, which knows `detect` by itself."""

    def __init__(self, backbone: Backbone):
        self._backbone = backbone
        settings = backbone.settings
        self._adapter = settings.dialogue_adapter if kind_of(settings).one_pass else ""

    def listed(
        self,
        image: EncodedImage,
        words: str,
        turns: Sequence[Turn] = (),
        should_stop: StopTest = None,
        limit: int = LISTED,
    ) -> List[Seen]:
        """What the words with their dialogue fit, in the model's order; words and turns without unknown words.

        Raises Cancelled, OutOfMemoryError."""
        return self._boxes(image, build_prefix(DETECT, words, turns, (image.width, image.height)), limit, should_stop)

    def at_point(self, image: EncodedImage, point: Tuple[float, float], should_stop: StopTest = None) -> Optional[Seen]:
        """What stands at a point in pixels, None if the model sees nothing there. Raises Cancelled,
        OutOfMemoryError.
        """
        x, y = min(max(point[0], 0.0), image.width), min(max(point[1], 0.0), image.height)
        found = self._boxes(image, f"{DETECT} {point_to_text((x, y), image.width, image.height)}", 1, should_stop)
        return found[0] if found else None

    def scores(
        self, image: EncodedImage, words: Sequence[str], boxes: Sequence[Box], turns: Sequence[Turn] = ()
    ) -> np.ndarray:
        """float64[W, N]: log P(box | words, turns), smoothed, for each of W words and N boxes.

        Raises OutOfMemoryError."""
        size = (image.width, image.height)
        prefixes = [build_prefix(DETECT, w, turns, size) for w in words]
        bins = [box_to_bins(clip_box(Box(*box), *size), *size) for box in boxes]
        with memory_guard("scoring candidates"):
            return self._backbone.box_scores(image, prefixes, bins, TOLERANCE, self._adapter)

    def _boxes(self, image: EncodedImage, prefix: str, limit: int, should_stop: StopTest) -> List[Seen]:
        with memory_guard("looking for candidates"):
            # A separator may be several tokens (" ; "): three each are room enough.
            said = self._backbone.complete(image, prefix, 4 * limit + 3 * (limit - 1), should_stop, self._adapter)
        found: List[Seen] = []
        bins: List[int] = []
        sure: List[float] = []
        for index, certainty in zip(said.bins, said.certainty):
            if index < 0:
                bins, sure = [], []
                continue
            bins, sure = [*bins, index], [*sure, certainty]
            if len(bins) == 4:
                box = clip_box(bins_to_box(bins, image.width, image.height), image.width, image.height)
                if box.area > 0 and len(found) < limit:
                    found.append(Seen(box, float(np.prod(sure)) ** 0.25))
                bins, sure = [], []
        return found
