"""The frozen tower's features: once an image and pass, and on disk where a folder is given.

LoRA leaves tower and projector alone, so features are exact for every prompt, turn and adapter. What is kept is the
tower's output, before the projector, because it is half as wide: 2.4 MB an image of 448 px in bfloat16.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Optional, Sequence, Union

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from clue_ros.data import ImageArray, ImageFile
from clue_ros.eyes.tower import SightTower

GIGABYTE = 1e9


class FeatureCache:
    """Features by image file; a folder named after the tower's weights keeps those of other checkpoints apart.

    folder: '' for no cache; limit: bytes from which nothing more is written. Several processes may share it.
    """

    def __init__(self, folder: Union[str, Path], model, dtype: torch.dtype, limit: float = 50 * GIGABYTE):
        self._folder: Optional[Path] = None
        if str(folder):
            self._folder = Path(folder) / f"{fingerprint(model)}-{str(dtype).split('.')[-1]}"
            self._folder.mkdir(parents=True, exist_ok=True)
            self._left = limit - sum(f.stat().st_size for f in self._folder.glob("*/*.safetensors"))

    def read(self, image: Union[ImageFile, ImageArray]) -> Optional[torch.Tensor]:
        """float[N,D] in the model's dtype, or None. A file that cannot be read counts as none."""
        file = self._file(image)
        if file is None or not file.is_file():
            return None
        try:
            return load_file(str(file))["features"]
        except (OSError, SafetensorError, KeyError):
            return None

    def write(self, image: Union[ImageFile, ImageArray], features: torch.Tensor) -> None:
        file = self._file(image)
        if file is None or self._left <= 0 or file.is_file():
            return
        file.parent.mkdir(exist_ok=True)
        partial = file.with_suffix(f".partial{os.getpid()}")
        save_file({"features": features.detach().cpu().contiguous()}, str(partial))
        self._left -= partial.stat().st_size
        partial.replace(file)

    def _file(self, image: Union[ImageFile, ImageArray]) -> Optional[Path]:
        if self._folder is None or not isinstance(image, ImageFile):
            return None
        try:
            about = os.stat(image.path)
        except OSError:
            return None
        # Size and time of change: an image that was replaced by another one of the same name is another image.
        key = f"{os.path.abspath(image.path)}\n{about.st_size}\n{about.st_mtime_ns}"
        name = hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
        return self._folder / name[:2] / f"{name}.safetensors"


class FrozenVision:
    """Projected features of a batch's images from a model whose tower and projector are frozen."""

    def __init__(self, model, cache: FeatureCache):
        self._model, self._cache = model.model, cache

    @torch.no_grad()
    def features(self, batch) -> torch.Tensor:
        """float[B,N,W]: of every row of a Batch, on the model's device."""
        weight = self._model.multi_modal_projector.linear.weight
        fresh = [n for n, s in enumerate(batch.seen) if s.features is None]
        held = {n: s.features.to(weight.device) for n, s in enumerate(batch.seen) if s.features is not None}
        if fresh:
            made = self._seen([batch.seen[n].pixels for n in fresh], weight)
            for n, features in zip(fresh, made):
                held[n] = features
                self._cache.write(batch.seen[n].image, features)
        every = torch.stack([held[n] for n in range(len(batch.seen))])
        return self._model.multi_modal_projector(every)[batch.image]

    def _seen(self, pictures: Sequence[torch.Tensor], weight: torch.Tensor) -> torch.Tensor:
        """float[B,N,D] of uint8[3,H,W], in the place and dtype of a weight."""
        tower = self._model.vision_tower
        # Eyes take one picture at a time, each of its own size.
        batches = [p[None] for p in pictures] if isinstance(tower, SightTower) else [torch.stack(list(pictures))]
        seen = [tower(b.to(weight.device).to(weight.dtype) / 127.5 - 1).last_hidden_state for b in batches]
        return torch.cat(seen).to(weight.dtype)


def side_of(model) -> Optional[int]:
    """Pixels of the squares that a model's tower takes, None for eyes: they take pictures as they are."""
    return None if isinstance(model.model.vision_tower, SightTower) else model.config.vision_config.image_size


def fingerprint(model) -> str:
    """16 hexadecimal digits that differ between towers: of the configuration and of two of the weights; of eyes, of all
    that was trained."""
    tower = model.model.vision_tower
    digest = hashlib.blake2b(
        json.dumps(model.config.vision_config.to_dict(), sort_keys=True, default=str).encode(), digest_size=8
    )
    if isinstance(tower, SightTower):
        weights = list(tower.trained.parameters())
    else:
        weights = [tower.embeddings.patch_embedding.weight, tower.encoder.layers[-1].mlp.fc2.weight]
    for weight in weights:
        digest.update(weight.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()
