"""How a checkpoint reads ambiguity: the detector variants of the paper (section IV-A.3) and the one-pass form beyond
it.

kind             prefix                  layers that run                      what is read
cnn              detect or disambiguate  0 … k-1 under adapter A              the attention map of layer k, by a CNN
autoregressive   detect or disambiguate  0 … k (half) or all (full), A        P(yes) against P(no) of the next token
joint            clarify                 the dialogue's own prefill           layer k's map in that prefill, by a CNN

Every kind gives the map too, for the debug image and the competing regions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Callable, NamedTuple, Optional

import torch

from clue_ros.ambiguity.detector import AmbiguityDetector
from clue_ros.types import ModelLoadError
from clue_ros.vlm.answers import answer_tokens
from clue_ros.vlm.paligemma import PaliGemmaBackbone
from clue_ros.vlm.passes import EncodedImage, Prefill

PrefixOf = Callable[[str], str]  # conditioning word -> the whole prefix


class Reading(NamedTuple):
    """probability: P(ambiguous) in [0, 1] by the detector alone; attention_map: float32[g,g] in [0, 1]."""

    probability: float
    attention_map: torch.Tensor


class AmbiguityReader:
    """One checkpoint's detector. `tapped`: the dialogue's prefill has to read the map on its way."""

    def __init__(self, backbone: PaliGemmaBackbone, detector: Optional[AmbiguityDetector]):
        self._backbone, self._detector = backbone, detector
        self._settings = backbone.settings
        self.tapped = self._settings.detector == "joint"

    @classmethod
    def load(cls, folder: Path, backbone: PaliGemmaBackbone) -> "AmbiguityReader":
        """Raises ModelLoadError naming what the directory lacks for the detector of its clue.json."""
        settings = backbone.settings
        if settings.detector == "autoregressive":
            answer_tokens(backbone.tokenizer)
            return cls(backbone, None)
        if (
            settings.detector == "joint"
            and settings.dialogue_adapter
            and settings.dialogue_adapter not in backbone.adapters
        ):
            raise ModelLoadError(
                f"{Path(folder) / 'adapters' / settings.dialogue_adapter} is missing: the joint detector "
                "reads the map through it"
            )
        return cls(backbone, AmbiguityDetector.load(folder, settings.detector_channels, backbone.device))

    def read(self, image: EncodedImage, prefix_of: PrefixOf, start: Optional[Prefill]) -> Reading:
        """start: the dialogue's prefill with its map, where `tapped`."""
        if self._settings.detector == "autoregressive":
            return Reading(*self._backbone.answer_odds(image, prefix_of(self._settings.detector_prefix)))
        if self.tapped:
            attention = start.attention_map
        else:
            attention = self._backbone.attention_map(image, prefix_of(self._settings.detector_prefix))
        return Reading(self._detector.probability(attention), attention)
