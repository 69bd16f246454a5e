"""What a finished model's tower makes of a set of pictures, for a neck that imitates it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from clue_ros.geometry import to_square
from clue_ros.simulation.scene_data import plain
from clue_ros.training.eyes.cache import Cache
from clue_ros.training.eyes.glances import rows_left
from clue_ros.training.eyes.pictures import Pictures, fingerprint_of
from clue_ros.training.features import fingerprint

_BATCH = 16


def taught_features(pictures: Pictures, tower: Any, folder: Path, device: str = "cpu") -> Cache:
    """Compute, or read back, `features` float16[N,T,W] of a SigLIP tower, which is on the device."""
    config = tower.config
    tokens = (config.image_size // config.patch_size) ** 2
    cache = Cache(
        Path(folder),
        fingerprint_of([pictures.mark(), fingerprint(tower)]),
        len(pictures),
        {"features": (np.float16, (tokens, config.hidden_size))},
    )
    tower.eval()
    for at in rows_left(cache, pictures.name, "the teacher's features", _BATCH):
        index = range(at, min(at + _BATCH, len(pictures)))
        squares = np.stack([to_square(pictures.read(i), config.image_size) for i in index])
        with torch.no_grad():
            seen = tower(torch.from_numpy(plain(squares)).to(device)).last_hidden_state
        cache["features"][at : at + len(index)] = seen.half().cpu().numpy()
    return cache
