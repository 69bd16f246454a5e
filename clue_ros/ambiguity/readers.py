"""How a loaded checkpoint reads ambiguity: the kind that its clue.json names (kinds.py), with that kind's head."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from clue_ros.ambiguity.head import Head
from clue_ros.ambiguity.kinds import kind_of
from clue_ros.ambiguity.reading import PrefixOf, Reading
from clue_ros.vlm.backbone import Backbone
from clue_ros.vlm.passes import EncodedImage, Prefill
from clue_ros.vlm.settings import FILE


class AmbiguityReader:
    """One checkpoint's detector. `tapped`: the dialogue's prefill has to read the map on its way."""

    def __init__(self, backbone: Backbone, head: Head):
        """Raises ModelLoadError if clue.json names no kind that there is."""
        self._backbone, self._head = backbone, head
        self.kind = kind_of(backbone.settings)
        self.tapped = self.kind.one_pass

    @classmethod
    def load(cls, folder: Path, backbone: Backbone) -> "AmbiguityReader":
        """Raises ModelLoadError naming what the directory lacks for the detector of its clue.json."""
        clue = backbone.settings
        kind = kind_of(clue, Path(folder) / FILE)
        kind.check(folder, clue, backbone.adapters)
        return cls(backbone, kind.load_head(folder, clue, backbone.tokenizer, backbone.device))

    def look(self, image: EncodedImage) -> None:
        """What the detector's own pass can do with an image before anybody speaks."""
        clue = self._backbone.settings
        if not self.kind.one_pass:
            layers = self.kind.reached(clue.detector_depth, clue.tap_layer)
            self._backbone.look(image, self.kind.adapter(clue), layers)

    def read(self, image: EncodedImage, prefix_of: PrefixOf, start: Optional[Prefill]) -> Reading:
        """start: the dialogue's prefill with its map, where `tapped`."""
        observed, attention_map = self.kind.observe(self._backbone, image, prefix_of, start)
        return Reading(self._head.probability(observed), attention_map)
