"""The frozen tower's features of a whole data set, computed once: the later stages then cost only the decoder.

Half of the images are mirrored (which half is drawn from the seed), so that left and right are not tied to a scene.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import List, Tuple

import numpy as np
import torch

from clue_ros.simulation.referring import ImageSize
from clue_ros.simulation.scene import SceneObject
from clue_ros.training.scene_data import SceneData, augment, mirrored, plain


@dataclass
class FeatureData:
    """features: float16[N,T,D], before the projector; patches, objects, sizes as in SceneData, mirrored alike."""

    features: np.ndarray
    patches: np.ndarray
    objects: List[Tuple[SceneObject, ...]]
    sizes: List[ImageSize]

    def __len__(self) -> int:
        return len(self.objects)

    def take(self, index: np.ndarray):
        """(features float32[B,T,D], patches, objects, sizes) of some scenes."""
        return (torch.from_numpy(self.features[index].astype(np.float32)), self.patches[index],
                [self.objects[i] for i in index], [self.sizes[i] for i in index])

    def draw(self, count: int, rng: np.random.Generator):
        """(features float32[B,T,D], patches, objects, sizes) of random scenes."""
        return self.take(np.sort(rng.choice(len(self), min(count, len(self)), replace=False)))


def fingerprint(tower) -> str:
    """A name for a tower's weights in float16: an exported model's tower has the name of the run's it comes from."""
    digest = hashlib.sha256()
    for _, value in sorted(tower.state_dict().items()):
        digest.update(value.detach().cpu().half().numpy().tobytes())
    return digest.hexdigest()[:16]


def features_of(tower, data: SceneData, batch: int = 32) -> FeatureData:
    """The features of a few scenes as they are, neither mirrored nor jittered, in memory."""
    with torch.no_grad():
        parts = [tower(torch.from_numpy(plain(data.images[at:at + batch]))).last_hidden_state.half()
                 for at in range(0, len(data), batch)]
    return FeatureData(torch.cat(parts).numpy(), data.patches, list(data.objects), list(data.sizes))


def compute_features(tower, data: SceneData, folder: Path, seed: int = 0, mirror: bool = True,
                     batch: int = 32) -> FeatureData:
    """Compute (or read back) `features.npy` in a folder; an interrupted computation goes on where it stopped, one of
    another tower starts again."""
    from tqdm import tqdm

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    flips = np.random.default_rng([seed, 77]).random(len(data)) < (.5 if mirror else 0)
    shape = (len(data), tower.config.image_size // tower.config.patch_size, tower.config.hidden_size)
    shape = (shape[0], shape[1] ** 2, shape[2])
    file, mark = folder / "features.npy", folder / "features.done"
    own = fingerprint(tower)
    done, made_by = (mark.read_text().split() + [own])[:2] if mark.exists() else ("0", own)
    done = int(done) if made_by == own else 0
    array = np.lib.format.open_memmap(file, "r+" if done else "w+", np.float16, None if done else shape)
    if array.shape != shape:
        raise ValueError(f"{file} holds {array.shape}, expected {shape}: delete it and run again")
    tower.eval()
    with torch.no_grad(), tqdm(total=len(data), initial=done, desc="features", unit="image", mininterval=5) as bar:
        for start in range(done, len(data), batch):
            index = np.arange(start, min(start + batch, len(data)))
            images = augment(data.images[index], flips[index], np.random.default_rng([seed, 78, start]))
            array[index] = tower(torch.from_numpy(images)).last_hidden_state.numpy()
            array.flush()
            mark.write_text(f"{int(index[-1]) + 1} {own}")
            bar.update(len(index))
    patches = data.patches.copy()
    patches[flips] = patches[flips][:, :, ::-1]
    objects = [mirrored(o, s.width) if f else o for o, s, f in zip(data.objects, data.sizes, flips)]
    return FeatureData(array, patches, objects, list(data.sizes))
