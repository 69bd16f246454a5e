"""What to bench: a model on a device, and whether now is a good time. Light, so that the command line starts at
once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

EMBEDDED, THREE_B = "embedded", "3b"
BUSY = 0.5  # load average a core above which other programs' work shows in the figures
EMBEDDED_MODEL = Path(__file__).resolve().parents[2] / "models" / "tabletop"


@dataclass(frozen=True)
class Order:
    """model: 'embedded', '3b' (random weights) or a model directory; dtype: of the weights, None for float32 on a CPU
    and bfloat16 on a GPU and for 3b; quantization: of our weights; all_logits: plain.PlainPath; glances: second ones
    a picture, None for the model's own."""

    model: str
    device: str = "cpu"
    dtype: Optional[str] = None
    quantization: str = "none"
    all_logits: bool = True
    glances: Optional[int] = None

    @property
    def folder(self) -> Path:
        return EMBEDDED_MODEL if self.model == EMBEDDED else Path(self.model)

    @property
    def has_eyes(self) -> bool:
        """Whether the model sees with frozen eyes in the place of a vision tower."""
        from clue_ros.eyes.sight import has_sight

        return self.model != THREE_B and has_sight(self.folder)

    @property
    def precision(self):
        """The vlm.dense.Precision."""
        import torch

        from clue_ros.vlm.dense import Precision

        name = self.dtype or ("bfloat16" if self.model == THREE_B else None)
        return Precision.choose(self.device, getattr(torch, name) if name else None)

    def configuration(self):
        """The PaliGemmaConfig, before anything is loaded. Raises ModelLoadError."""
        from clue_ros.types import ModelLoadError

        if self.model == THREE_B:
            from clue_ros.lab.bench.paligemma2_3b import configuration

            return configuration()
        from transformers import PaliGemmaConfig

        from clue_ros.vlm.model_folder import check_config

        if not (self.folder / "config.json").is_file():
            raise ModelLoadError(
                f"{self.folder / 'config.json'} is missing: '{self.model}' is neither embedded, nor 3b, nor "
                "a model directory"
            )
        check_config(self.folder / "config.json")
        return PaliGemmaConfig.from_pretrained(self.folder)


def busy() -> str:
    """A warning when other programs use the machine, or an empty text."""
    try:
        load = os.getloadavg()[0]
    except (OSError, AttributeError):
        return ""
    cores = os.cpu_count() or 1
    if load < BUSY * cores:
        return ""
    return f"the machine is busy (load average {load:.1f} on {cores} cores): times are too long, ratios hold better"
