"""How serving's plans get their weights: matrix by matrix, each fused, adapted and brought into the form that stays
before the next is read, so that a model is never in memory twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Collection, Optional, Sequence

import torch

from clue_ros.vlm.dense import Dense
from clue_ros.vlm.memory import trim
from clue_ros.vlm.quantization import fits, quantize
from clue_ros.vlm.skeleton import Filler


@dataclass(frozen=True)
class Assembly:
    """filler: of a model without weights, None for one that has them; quantization: of the layers' matrices."""

    filler: Optional[Filler] = None
    quantization: str = "none"

    def fill(self, module: torch.nn.Module) -> None:
        """Gives a module the weights that it lacks."""
        if self.filler is not None:
            self.filler(module)

    def fused(self, parts: Sequence[torch.nn.Linear]) -> torch.Tensor:
        """The weights of several Linear modules below each other; the modules' own become views of it, so that they
        keep working."""
        if self.filler is not None:
            outputs, inputs = sum(part.out_features for part in parts), parts[0].in_features
            return self.filler.together(parts, for_now=fits(self.quantization, outputs, inputs))
        plain = [getattr(part, "base_layer", part) for part in parts]
        if len(plain) == 1:
            return plain[0].weight.detach()
        weight = torch.cat([part.weight.detach() for part in plain])
        for part, rows in zip(plain, weight.split([part.weight.shape[0] for part in plain])):
            part.weight.data = rows
        return weight

    def finish(self, parts: Sequence[torch.nn.Linear], matrices: Collection[Dense]) -> None:
        """Bring what was fused of these parts (a matrix under every adapter) into the form that stays. Where that is
        another one the parts lose their weights."""
        if self.quantization != "none":
            for part in parts:
                weight = getattr(part, "base_layer", part).weight
                weight.data = weight.data.new_empty(0)
            quantize(matrices, self.quantization, next(iter(matrices)).weight.device)
        trim()  # what this matrix needed for a moment is not to stand beside all others
