"""The frozen eyes as training uses them: opened when the first picture is to be seen, and known by their file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from clue_ros.eyes.frozen import SHIPPED, FrozenEyes


@dataclass(frozen=True)
class LazyEyes:
    """folder: of the eyes (eyes/weights.py); device: as torch names it."""

    folder: Path = SHIPPED
    device: str = "cpu"

    @cached_property
    def opened(self) -> FrozenEyes:
        """Raises ModelLoadError."""
        return FrozenEyes.open(self.folder, self.device)

    @cached_property
    def mark(self) -> str:
        """A name for the weights. Precision is left out: it changes less than a picture's noise does."""
        digest = hashlib.sha256()
        for file in sorted(Path(self.folder).glob("*.safetensors")):
            digest.update(file.read_bytes())
        return digest.hexdigest()[:16]
