"""The light CNN that reads an attention map and says how likely the instruction is ambiguous (CLUE, Fig. 4)."""

from __future__ import annotations

from pathlib import Path
from typing import Tuple, Union

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from clue_ros.ambiguity.head import Head
from clue_ros.types import ModelLoadError

FILE = "ambiguity.safetensors"


class AmbiguityDetector(Head):
    """float[B,h,w] maps in [0, 1] -> float[B] logits; any h, w >= 8, because the last maps are pooled globally.

    channels: width of the three convolutions; a power of two each in the shipped model.
    """

    def __init__(self, channels: Tuple[int, int, int] = (16, 32, 64), dropout: float = 0.2):
        super().__init__()
        a, b, c = channels
        self.body = nn.Sequential(
            nn.Conv2d(1, a, 3, padding=1),
            nn.BatchNorm2d(a),
            nn.ReLU(),
            nn.Conv2d(a, b, 3, padding=1),
            nn.BatchNorm2d(b),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(b, c, 3, padding=1),
            nn.BatchNorm2d(c),
            nn.ReLU(),
            nn.Conv2d(c, c, 3, padding=1),
            nn.BatchNorm2d(c),
            nn.ReLU(),
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * c, 1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        features = self.body(maps[:, None])
        # The mean measures how much of the table is lit up, the maximum how many things are; both are needed to count.
        pooled = torch.cat([features.amax((2, 3)), features.mean((2, 3))], 1)
        return self.head(self.dropout(pooled))[:, 0]

    @torch.no_grad()
    def probability(self, attention_map: torch.Tensor) -> float:
        """P(ambiguous) in [0, 1] of one map float[h,w]."""
        return float(self(attention_map[None].float()).sigmoid()[0])

    def save(self, folder: Path) -> None:
        save_file({k: v.contiguous() for k, v in self.state_dict().items()}, str(Path(folder) / FILE))

    @classmethod
    def load(
        cls, folder: Path, channels: Tuple[int, int, int] = (16, 32, 64), device: Union[str, torch.device] = "cpu"
    ) -> "AmbiguityDetector":
        """Raises ModelLoadError naming the file if it is missing, corrupt or of another architecture."""
        file = Path(folder) / FILE
        if not file.is_file():
            raise ModelLoadError(
                f"{file} is missing: this model directory has no ambiguity detector; train one with "
                "clue train detector, or point the model argument at a complete directory"
            )
        detector = cls(channels)
        try:
            detector.load_state_dict(load_file(str(file)))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise ModelLoadError(f"{file} is corrupt or does not match channels {channels}: {error}") from error
        return detector.eval().to(device)
