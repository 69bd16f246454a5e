"""The frozen tower's features of a whole data set, computed once: the later stages then cost only the decoder.

Half of the images are mirrored (which half is drawn from the seed), so that left and right are not tied to a scene.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import cv2
import numpy as np
import torch

from clue_ros.eyes.tower import SightTower
from clue_ros.photographs.annotations import Photograph
from clue_ros.simulation.scene import ImageSize, SceneObject
from clue_ros.simulation.scene_data import SceneData, augment, mirrored, plain
from clue_ros.training.device import Device


@dataclass
class FeatureData:
    """features: float16[N,T,D], before the projector; patches, objects, sizes as in SceneData, mirrored alike."""

    features: np.ndarray
    patches: np.ndarray
    objects: List[Tuple[SceneObject, ...]]
    sizes: List[ImageSize]
    device: Device = Device()
    resident: Optional[torch.Tensor] = None  # the features on the device, if they fit
    photographs: Optional[List[Optional[Photograph]]] = None  # None in it: a rendered scene, of which all is known
    chances: Optional[np.ndarray] = None  # float64[N], sum 1: how often each is drawn, None for evenly

    def on(self, device: Device) -> "FeatureData":
        """The same, whose `take` and `draw` give features on a device, where they are kept if there is room."""
        resident = torch.from_numpy(self.features[:]).to(device.name) if device.fits(self.features.nbytes) else None
        return replace(self, device=device, resident=resident)

    def __len__(self) -> int:
        return len(self.objects)

    def take(self, index: np.ndarray):
        """(features float32[B,T,D], patches, objects, sizes) of some scenes."""
        return self.rows(index), self.patches[index], [self.objects[i] for i in index], [self.sizes[i] for i in index]

    def rows(self, index: np.ndarray) -> torch.Tensor:
        """float32[B,T,D] of some scenes, on the device."""
        if self.resident is not None:
            return self.resident[torch.from_numpy(index).to(self.resident.device)].float()
        return torch.from_numpy(self.features[index].astype(np.float32)).to(self.device.name)

    def draw(self, count: int, rng: np.random.Generator):
        """(features float32[B,T,D], patches, objects, sizes) of random scenes; of photographs none is drawn, as less
        may be said about them (photographs/queries.py)."""
        chances = self.chances
        if chances is not None and self.photographs is not None:
            scene = np.array([photo is None for photo in self.photographs])
            chances = chances * scene / (chances * scene).sum()
        return self.take(picked(len(self), count, rng, chances))

    def pick(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """int64[B], in order: random scenes and photographs."""
        return picked(len(self), count, rng, self.chances)

    def photograph(self, index: int) -> Optional[Photograph]:
        """As mirrored as the features; None for a rendered scene."""
        return self.photographs[index] if self.photographs is not None else None


def picked(available: int, count: int, rng: np.random.Generator, chances: Optional[np.ndarray] = None) -> np.ndarray:
    """int64[<=count], in order, none twice. chances: float64[available], sum 1, None for evenly."""
    there = available if chances is None else int((chances > 0).sum())
    return np.sort(rng.choice(available, min(count, there), replace=False, p=chances))


def fingerprint(tower) -> str:
    """A name for a tower's weights in float16: an exported model's tower has the name of the run's it comes from."""
    digest = hashlib.sha256()
    for _, value in sorted(tower.state_dict().items()):
        digest.update(value.detach().cpu().half().numpy().tobytes())
    return digest.hexdigest()[:16]


def mirrored_ones(count: int, seed: int) -> np.ndarray:
    """bool[count]: which images of a data set `compute_features` mirrors."""
    return np.random.default_rng([seed, 77]).random(count) < 0.5


def made_with(folder: Path) -> str:
    """The fingerprint of the tower whose features a folder holds in full or in part, empty for none."""
    mark = Path(folder) / "features.done"
    return (mark.read_text().split() + [""])[1] if mark.is_file() else ""


def features_of(tower, data: SceneData, batch: int = 32, device: Device = Device()) -> FeatureData:
    """The features of a few scenes as they are, neither mirrored nor jittered, in memory. The tower is on the
    device."""
    parts = []
    tower.eval()
    with torch.no_grad(), device.tower():
        for at in range(0, len(data), batch):
            images = plain(data.images[at : at + batch])
            parts.append(_seen(tower, images, data.sizes[at : at + batch], device).half().cpu())
    return FeatureData(torch.cat(parts).numpy(), data.patches, list(data.objects), list(data.sizes)).on(device)


def compute_features(
    tower, data: SceneData, folder: Path, seed: int = 0, mirror: bool = True, batch: int = 32, device: Device = Device()
) -> FeatureData:
    """Compute (or read back) `features.npy` in a folder; an interrupted computation goes on where it stopped, one
    of another tower starts again. The tower is on the device."""
    from tqdm import tqdm

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    flips = mirrored_ones(len(data), seed) if mirror else np.zeros(len(data), bool)
    shape = (len(data), *_form(tower))
    file, mark = folder / "features.npy", folder / "features.done"
    own = fingerprint(tower)
    done, made_by = (mark.read_text().split() + [own])[:2] if mark.exists() else ("0", own)
    done = int(done) if made_by == own else 0
    array = np.lib.format.open_memmap(file, "r+" if done else "w+", np.float16, None if done else shape)
    if array.shape != shape:
        raise ValueError(f"{file} holds {array.shape}, expected {shape}: delete it and run again")
    tower.eval()
    bar = tqdm(total=len(data), initial=done, desc="features", unit="image", mininterval=5)
    with torch.no_grad(), device.tower(), bar:
        for start in range(done, len(data), batch):
            index = np.arange(start, min(start + batch, len(data)))
            images = augment(data.images[index], flips[index], np.random.default_rng([seed, 78, start]))
            sizes = [data.sizes[i] for i in index]
            array[index] = _seen(tower, images, sizes, device).half().cpu().numpy()
            array.flush()
            mark.write_text(f"{int(index[-1]) + 1} {own}")
            bar.update(len(index))
    patches = data.patches.copy()
    patches[flips] = patches[flips][:, :, ::-1]
    objects = [mirrored(o, s.width) if f else o for o, s, f in zip(data.objects, data.sizes, flips)]
    return FeatureData(array, patches, objects, list(data.sizes)).on(device)


def _form(tower) -> Tuple[int, int]:
    """(tokens, channels) of a tower's features."""
    if isinstance(tower, SightTower):
        return tower.sight.shape.grid**2, tower.sight.shape.width
    return (tower.config.image_size // tower.config.patch_size) ** 2, tower.config.hidden_size


def _seen(tower, images: np.ndarray, sizes: Sequence[ImageSize], device: Device) -> torch.Tensor:
    """float[B,T,D]. images: float32[B,3,S,S] in [-1, 1], squeezed squares of pictures of these sizes."""
    if not isinstance(tower, SightTower):
        return tower(torch.from_numpy(images).to(device.name)).last_hidden_state
    squares = ((images.transpose(0, 2, 3, 1) + 1) * 127.5).round().clip(0, 255).astype(np.uint8)
    return torch.cat([tower.sight.see(unsqueezed(square, size)) for square, size in zip(squares, sizes)])


def unsqueezed(square: np.ndarray, size: ImageSize) -> np.ndarray:
    """uint8[H,W,3] of the aspect of `size`: the eyes know things in their own proportions. Not larger than it was, and
    its shorter side no longer than the square's. square: uint8[S,S,3]."""
    scale = min(1.0, len(square) / min(size.width, size.height))
    wanted = round(size.width * scale), round(size.height * scale)
    how = cv2.INTER_AREA if max(wanted) <= len(square) else cv2.INTER_LINEAR
    return cv2.resize(square, wanted, interpolation=how)
