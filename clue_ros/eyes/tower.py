"""The eyes in the place of a PaliGemma's vision tower: what reads `vision_tower(pixel_values).last_hidden_state` goes
on doing so."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from clue_ros.eyes.sight import Sight


class SightTower(nn.Module):
    """Unlike a SigLIP tower it takes pictures as they are: of any size and aspect, not squeezed into a square, as the
    second glances cut their crops from the whole picture. Frozen: no gradient goes through it.

    dtype: of the features, what the model's projector has; the eyes choose their own precision."""

    def __init__(self, sight: Sight, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.sight, self._dtype = sight, dtype
        self.trained = sight.trained  # registered, so that it is counted, moved and given a fingerprint

    def forward(self, pixel_values: torch.Tensor, **_: object) -> Any:
        """transformers' BaseModelOutputWithPooling with last_hidden_state [B,grid²,width].

        pixel_values: float[B,3,H,W] in [-1, 1], whole numbers of 255ths, as SigLIP's processor gives them.
        """
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        pictures = ((pixel_values + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        features = torch.cat([self.sight.see(picture) for picture in pictures]).clone()
        return BaseModelOutputWithPooling(last_hidden_state=features.to(self._dtype))
