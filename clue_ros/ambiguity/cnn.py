"""The paper's choice: a CNN reads the attention map of layer k, on a pass of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Tuple, Union

import torch

from clue_ros.ambiguity.detector import FILE, AmbiguityDetector
from clue_ros.ambiguity.reading import DetectorKind
from clue_ros.vlm.settings import ClueSettings


class Cnn(DetectorKind):
    name, file = "cnn", FILE

    def new_head(self, tokenizer, channels: Tuple[int, int, int] = (16, 32, 64)) -> AmbiguityDetector:
        return AmbiguityDetector(channels)

    def load_head(
        self, folder: Path, clue: ClueSettings, tokenizer, device: Union[str, torch.device] = "cpu"
    ) -> AmbiguityDetector:
        return AmbiguityDetector.load(folder, clue.detector_channels, device)
