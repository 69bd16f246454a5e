"""Photographs as the arrays that training reads: squares of pixels, and who owns each patch, read off the boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Sequence

import cv2
import numpy as np

from clue_ros.geometry import to_square
from clue_ros.images.files import read_image
from clue_ros.photographs.annotations import Photograph
from clue_ros.simulation.scene_data import BACKGROUND, MIXED, SceneData, patch_owners

CORE = 0.8  # of a box's half sides: the ellipse in it that is surely the thing


def box_patches(photo: Photograph, grid: int) -> np.ndarray:
    """int8[grid,grid] over the picture squeezed into a square: the index of the object whose box's inner ellipse holds
    the patch's centre, smaller boxes on top; at least the patch under the middle of each box. MIXED in the rest of a
    box, and everywhere else too where the line is not exhaustive; else BACKGROUND."""
    width, height = photo.image.size
    owners = np.full((grid, grid), BACKGROUND if photo.exhaustive else MIXED, np.int8)
    y, x = np.mgrid[0:grid, 0:grid] + 0.5
    scaled = [
        (o.visible_box.x0 * grid / width, o.visible_box.y0 * grid / height)
        + (o.visible_box.x1 * grid / width, o.visible_box.y1 * grid / height)
        for o in photo.objects
    ]
    order = sorted(range(len(scaled)), key=lambda k: -photo.objects[k].visible_box.area)
    for x0, y0, x1, y1 in scaled:
        owners[(x > x0 - 0.5) & (x < x1 + 0.5) & (y > y0 - 0.5) & (y < y1 + 0.5)] = MIXED
    for k in order:
        x0, y0, x1, y1 = scaled[k]
        across, along = (x - (x0 + x1) / 2) / (x1 - x0), (y - (y0 + y1) / 2) / (y1 - y0)
        owners[across**2 + along**2 < (CORE / 2) ** 2] = k
    for k in order:  # once more, so that a box below the size of a patch keeps one
        x0, y0, x1, y1 = scaled[k]
        if not (owners == k).any():
            owners[min(int((y0 + y1) / 2), grid - 1), min(int((x0 + x1) / 2), grid - 1)] = k
    return owners


def photo_patches(photo: Photograph, grid: int) -> np.ndarray:
    """int8[grid,grid]: who owns each patch, by the mask where there is one, else by the boxes. Raises
    BrokenImageError."""
    if photo.mask is None:
        return box_patches(photo, grid)
    cell = 8
    mask = read_image(photo.mask.path, photo.mask.size)[..., 0]
    mask = cv2.resize(mask, (grid * cell, grid * cell), interpolation=cv2.INTER_NEAREST)
    return patch_owners(mask.astype(np.int16) - 1, grid, cell)


def photo_data(
    photographs: Sequence[Photograph], side: int, patch: int, cache: Optional[Path] = None, progress: bool = False
) -> SceneData:
    """Photographs as `simulation.scene_data.load` gives scenes, index by index, for eyes that look at `side` pixels in
    patches of `patch`. cache: a folder that holds the pixels as a memory-mapped file, else they are in memory. Raises
    BrokenImageError."""
    from tqdm import tqdm

    shape = (len(photographs), side, side, 3)
    if cache is None:
        images = np.zeros(shape, np.uint8)
    else:
        Path(cache).mkdir(parents=True, exist_ok=True)
        images = np.lib.format.open_memmap(Path(cache) / "images.npy", "w+", np.uint8, shape)
    patches = np.zeros((len(photographs), side // patch, side // patch), np.int8)
    for n, photo in enumerate(tqdm(photographs, desc="reading photographs", disable=not progress)):
        images[n] = to_square(photo.pixels(), side)
        patches[n] = photo_patches(photo, side // patch)
    return SceneData(images, patches, [p.objects for p in photographs], [p.size for p in photographs])
