"""One pass: the CNN reads the map of the very prefill that goes on to speak, through the dialogue's adapter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Collection, Optional, Tuple, cast

import torch

from clue_ros.ambiguity.cnn import Cnn
from clue_ros.ambiguity.reading import DIALOGUE, PrefixOf
from clue_ros.prompt import CLARIFY, DETECT
from clue_ros.types import ModelLoadError
from clue_ros.vlm.backbone import Backbone
from clue_ros.vlm.passes import EncodedImage, Prefill
from clue_ros.vlm.settings import ClueSettings


class Joint(Cnn):
    name, folder, one_pass = "joint", DIALOGUE, True

    def check(self, folder: Path, clue: ClueSettings, adapters: Collection[str]) -> None:
        if clue.dialogue_adapter and clue.dialogue_adapter not in adapters:
            raise ModelLoadError(
                f"{Path(folder) / 'adapters' / clue.dialogue_adapter} is missing: the joint detector "
                "reads the map through it"
            )

    def word(self, clue: ClueSettings) -> str:
        return CLARIFY

    def adapter(self, clue: ClueSettings) -> str:
        return clue.dialogue_adapter

    def reached(self, depth: str, tap: int) -> Optional[int]:
        return None

    def stop(self, depth: str, tap: int) -> Optional[int]:
        return None

    def observe(
        self, backbone: Backbone, image: EncodedImage, prefix_of: PrefixOf, start: Optional[Prefill]
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """start: None for the map on a pass of its own, which the bench times."""
        if start is None:
            return super().observe(backbone, image, prefix_of, start)
        read = cast(torch.Tensor, start.attention_map)  # a prefill for this kind reads it on the way
        return read, read

    def written(self, clue: ClueSettings, *, threshold: float, tap: int, prefix: str, depth: str) -> ClueSettings:
        own = super().written(clue, threshold=threshold, tap=tap, prefix=DETECT, depth="half")
        return replace(own, detector_adapter="")  # one adapter does both
