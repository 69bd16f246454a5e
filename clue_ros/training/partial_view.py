"""Training the tower on a part of each image's patches: the others are left out before the encoder.

A step then costs less, so more images fit into the same time (masked training as in MAE, He et al. 2021, and FLIP, Li
et al. 2022); the labels are dense, so every patch that is seen still teaches. The last steps see whole images, as
serving does. What it brought: docs/log.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np
import torch

from clue_ros.simulation.scene_data import MIXED


def partial_features(tower, images: torch.Tensor, share: float) -> Tuple[torch.Tensor, np.ndarray]:
    """(features float32[B,N,D], zero where nothing was seen; seen bool[B,P,P]) of images float32[B,3,S,S]. share: of
    the patches that the encoder sees, in (0, 1], drawn anew for each image from torch's generator."""
    embedded = tower.embeddings(images)
    count, patches, width = embedded.shape
    side = round(patches**0.5)
    if share >= 1:
        return tower.post_layernorm(tower.encoder(inputs_embeds=embedded).last_hidden_state), np.ones(
            (count, side, side), bool
        )
    chosen = torch.rand(count, patches).argsort(1)[:, : max(1, round(patches * share))]
    index = chosen.to(embedded.device)[..., None].expand(-1, -1, width)
    encoded = tower.post_layernorm(tower.encoder(inputs_embeds=embedded.gather(1, index)).last_hidden_state)
    seen = np.zeros((count, patches), bool)
    np.put_along_axis(seen, chosen.numpy(), True, 1)
    return torch.zeros_like(embedded).scatter(1, index, encoded), seen.reshape(count, side, side)


def labels_of_seen(patches: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """int8[B,P,P] patch owners with what was not seen marked as without a label."""
    return np.where(seen, patches, MIXED).astype(np.int8)
