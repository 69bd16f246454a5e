"""A rendered data set as arrays in memory-mapped files: images at the model's resolution and the patch labels.

The cache lies beside the data set (`cache-<side>-<patch>/`) and is built once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import List, Tuple

import cv2
import numpy as np
import torch

from clue_ros.geometry import to_square
from clue_ros.simulation.dataset import object_from_dict, read_scenes
from clue_ros.simulation.scene import ImageSize, SceneObject
from clue_ros.simulation.shapes import CATEGORIES, COLORS
from clue_ros.types import Box, ClueError

BACKGROUND, MIXED = -1, -2  # patch labels besides object indices


@dataclass
class SceneData:
    """images: uint8[N,S,S,3] RGB; patches: int8[N,P,P], object index, BACKGROUND, or MIXED (no clear owner);
    objects: per image, boxes in pixels of a render of `sizes[i]` (width, height)."""

    images: np.ndarray
    patches: np.ndarray
    objects: List[Tuple[SceneObject, ...]]
    sizes: List[ImageSize]

    def __len__(self) -> int:
        return len(self.objects)


def first_scenes(data: SceneData, count: int) -> SceneData:
    """The first `count` scenes of a data set, all for 0."""
    count = count or len(data)
    return SceneData(data.images[:count], data.patches[:count], data.objects[:count], data.sizes[:count])


class UnknownThingsError(ClueError):
    """The scenes hold things that the embedded model has no label for; the text names them."""


def load(folder: Path, side: int, patch: int, progress: bool = True) -> SceneData:
    """Read a data set made by `clue scenes`. Raises FileNotFoundError if there is none, UnknownThingsError if it holds
    categories or colours (of own meshes) beyond the built-in ones."""
    folder = Path(folder)
    lines = list(read_scenes(folder))
    seen = {(o["category"], o["color"]) for line in lines for o in line["objects"]}
    unknown = sorted({c for c, _ in seen} - set(CATEGORIES) | {q or "(no colour)" for _, q in seen if q not in COLORS})
    if unknown:
        raise UnknownThingsError(
            f"{folder} holds things that clue train has no labels for: {', '.join(unknown)}. The embedded model learns "
            f"{', '.join(CATEGORIES)} in {', '.join(COLORS)}; finetune PaliGemma 2 on such scenes "
            "(docs/training.md), or "
            "give the objects these words in objects.yaml"
        )
    cache = folder / f"cache-{side}-{patch}"
    ready = cache / f"ready-{len(lines)}.json"
    if not ready.exists():
        _build(folder, cache, lines, side, patch, progress)
        ready.write_text(json.dumps({"scenes": len(lines)}))
    return SceneData(
        np.load(cache / "images.npy", mmap_mode="r", allow_pickle=False),
        np.load(cache / "patches.npy", allow_pickle=False),
        [tuple(object_from_dict(o) for o in line["objects"]) for line in lines],
        [ImageSize(line["width"], line["height"]) for line in lines],
    )


def _build(folder: Path, cache: Path, lines: list, side: int, patch: int, progress: bool) -> None:
    from tqdm import tqdm

    cache.mkdir(exist_ok=True)
    grid = side // patch
    images = np.lib.format.open_memmap(cache / "images.npy", "w+", np.uint8, (len(lines), side, side, 3))
    patches = np.zeros((len(lines), grid, grid), np.int8)
    for n, line in enumerate(tqdm(lines, desc="reading scenes", unit="scene", disable=not progress)):
        picture = cv2.imread(str(folder / "images" / f"{line['id']}.webp"))
        mask = cv2.imread(str(folder / "masks" / f"{line['id']}.png"), cv2.IMREAD_GRAYSCALE)
        if picture is None or mask is None:
            raise FileNotFoundError(
                f"{folder}: image or mask of scene {line['id']} is missing or broken; delete the "
                "shard's scenes-*.jsonl and run clue scenes again"
            )
        images[n] = to_square(picture, side)[..., ::-1]
        mask = cv2.resize(mask, (side, side), interpolation=cv2.INTER_NEAREST)
        patches[n] = patch_owners(mask.astype(np.int16) - 1, grid, patch)
    images.flush()
    np.save(cache / "patches.npy", patches)


def patch_owners(segmentation: np.ndarray, grid: int, patch: int) -> np.ndarray:
    """int8[grid,grid] of an instance segmentation int[S,S] (index or -1): who owns at least a quarter of the patch."""
    cells = segmentation.reshape(grid, patch, grid, patch).transpose(0, 2, 1, 3).reshape(grid, grid, -1)
    count = np.stack([(cells == k).sum(-1) for k in range(max(1, int(segmentation.max()) + 1))], -1)
    best, share = count.argmax(-1), count.max(-1) / patch**2
    foreground = count.sum(-1) / patch**2
    return np.where(share >= 0.25, best, np.where(foreground < 0.1, BACKGROUND, MIXED)).astype(np.int8)


def augment(images: np.ndarray, flips: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """float32[B,3,S,S] in [-1, 1] of uint8[B,S,S,3]: mirrored where `flips`, with a jitter of exposure and tint."""
    x = images.astype(np.float32) / 255
    x[flips] = x[flips][:, :, ::-1]
    gain, offset = _jitter(len(x), rng)
    x = np.clip(x * gain + offset, 0, 1)
    return np.ascontiguousarray((x * 2 - 1).transpose(0, 3, 1, 2))


def augmented(images: torch.Tensor, flips: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    """`augment` on the device of uint8[B,S,S,3]: the same draws, the same result to rounding."""
    gain, offset = (torch.from_numpy(a).to(images.device) for a in _jitter(len(images), rng))
    x = images.float() / 255
    x = torch.where(torch.from_numpy(flips).to(x.device)[:, None, None, None], x.flip(2), x)
    return ((x * gain + offset).clamp(0, 1) * 2 - 1).permute(0, 3, 1, 2).contiguous()


def _jitter(count: int, rng: np.random.Generator) -> Tuple[np.ndarray, np.ndarray]:
    """(gain float32[B,1,1,3], offset float32[B,1,1,1])."""
    gain = rng.uniform(0.55, 1.3, (count, 1, 1, 1)) * rng.uniform(0.87, 1.13, (count, 1, 1, 3))
    return gain.astype(np.float32), rng.normal(0, 0.02, (count, 1, 1, 1)).astype(np.float32)


def plain(images: np.ndarray) -> np.ndarray:
    """float32[B,3,S,S] in [-1, 1] of uint8[B,S,S,3], as serving sees them."""
    return np.ascontiguousarray((images.astype(np.float32) / 127.5 - 1).transpose(0, 3, 1, 2))


def mirrored(objects: Tuple[SceneObject, ...], width: float) -> Tuple[SceneObject, ...]:
    """The objects of a mirrored image."""
    from dataclasses import replace

    return tuple(
        o if o.box is None else replace(o, box=Box(width - o.box.x1, o.box.y0, width - o.box.x0, o.box.y1))
        for o in objects
    )
