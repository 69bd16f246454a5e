"""What frozen eyes see in a set of pictures, kept on disk: training the parts behind them then costs no look at all.

first/   of the whole picture: features, pixels beside them, who owns each patch
second/  of the first glance's best proposals: crops, and what the patches themselves proposed
said/    what a trained CropHead says about these crops

Serving sees the same way (eyes/sight.py): cut, averaged and written as numbers by the same functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

import cv2
import numpy as np
import torch
from tqdm import tqdm

from clue_ros.eyes.crops import CELLS, cells, cut
from clue_ros.eyes.layout import CELL, cell_pixels
from clue_ros.eyes.proposals import PatchHead, best_boxes
from clue_ros.eyes.second_glance import CropHead
from clue_ros.eyes.sight import SightShape, resized
from clue_ros.training.eyes.cache import Cache
from clue_ros.training.eyes.pictures import Pictures, fingerprint_of
from clue_ros.training.features import fingerprint
from clue_ros.training.frozen_eyes import LazyEyes
from clue_ros.training.validation import evaluating

NONE = -1.0  # the score of a place for a proposal that stayed empty
_FLUSH = 32  # pictures between two marks
_BATCH = 4  # first glances at once


@dataclass
class Glanced:
    """A set of pictures and what was seen in it. first: features float16[N,P,F], pixels uint8[N,S,S,3], owners
    int8[N,P], owners of the neck's grid int8[N,T] (`grid`); P: patches of the first glance, T: of the neck."""

    pictures: Pictures
    first: Cache

    def __len__(self) -> int:
        return len(self.pictures)


def first_glances(pictures: Pictures, eyes: LazyEyes, shape: SightShape, folder: Path) -> Cache:
    """Compute, or read back, the first glances. Raises BrokenImageError, ModelLoadError."""
    made_of = fingerprint_of([pictures.mark(), eyes.mark, shape.first])
    patches, side = shape.seen**2, CELL * shape.seen
    cache = Cache(
        Path(folder),
        made_of,
        len(pictures),
        {
            "features": (np.float16, (patches, shape.features)),
            "pixels": (np.uint8, (side, side, 3)),
            "owners": (np.int8, (patches,)),
            "grid": (np.int8, (shape.grid**2,)),
        },
    )
    for at in rows_left(cache, pictures.name, "first glances", _BATCH):
        index = range(at, min(at + _BATCH, len(pictures)))
        rgb = [pictures.read(i) for i in index]
        look = eyes.opened.glance(np.stack([resized(p, shape.first) for p in rgb]))
        cache["features"][at : at + len(rgb)] = look.patches.half().cpu().numpy()
        for i, picture in zip(index, rgb):
            cache["pixels"][i] = resized(picture, side)
            cache["owners"][i] = pictures.owners(i, shape.seen).ravel()
            cache["grid"][i] = pictures.owners(i, shape.grid).ravel()
    return cache


def second_glances(
    glanced: Glanced, head: PatchHead, eyes: LazyEyes, shape: SightShape, folder: Path, device: str = "cpu"
) -> Cache:
    """Compute, or read back, the second glances at what a trained head proposes, `shape.glances` of each picture:
    cells float16[N,K,64,F], summary float16[N,K,D], small uint8[N,K,32,32,3], rough and window float32[N,K,4] (shares
    of the picture), score float32[N,K]; and of the first one thing float16[N,P] (logits), boxes float32[N,P,4].

    head: on the device."""
    pictures, count, patches = glanced.pictures, shape.glances, shape.seen**2
    made_of = fingerprint_of([pictures.mark(), eyes.mark, shape.first, fingerprint(head)])
    side = CELL * CELLS
    cache = Cache(
        Path(folder),
        made_of,
        len(pictures),
        {
            "cells": (np.float16, (count, CELLS**2, shape.features)),
            "summary": (np.float16, (count, shape.summary)),
            "small": (np.uint8, (count, side, side, 3)),
            "rough": (np.float32, (count, 4)),
            "window": (np.float32, (count, 4)),
            "score": (np.float32, (count,)),
            "thing": (np.float16, (patches,)),
            "boxes": (np.float32, (patches, 4)),
        },
    )
    for i in rows_left(cache, pictures.name, "second glances"):
        with evaluating(head), torch.no_grad():
            features = torch.from_numpy(glanced.first["features"][i][None].astype(np.float32)).to(device)
            pixels = torch.from_numpy(np.array(glanced.first["pixels"][i][None])).to(device)
            found = head(features, cell_pixels(pixels, shape.seen))
        boxes, scores = found.boxes[0].clamp(0, 1).cpu().numpy(), found.scores()[0].cpu().numpy()
        cache["thing"][i], cache["boxes"][i] = found.thing[0].cpu().numpy(), found.boxes[0].cpu().numpy()
        best = best_boxes(boxes, scores, count)
        cache["score"][i] = NONE
        if len(best):
            _look_closer(cache, i, pictures.read(i), boxes[best], eyes)
            cache["score"][i, : len(best)] = scores[best]
    return cache


def _look_closer(cache: Cache, i: int, rgb: np.ndarray, rough: np.ndarray, eyes: LazyEyes) -> None:
    """rough: float32[K,4], shares of the picture."""
    height, width = rgb.shape[:2]
    whole = np.array((width, height, width, height), np.float32)
    pictures, squares = zip(*(cut(rgb, box * whole) for box in rough))
    look, count = eyes.opened.glance(np.stack(pictures)), len(rough)
    cache["cells"][i, :count] = cells(look.patches).half().cpu().numpy()
    cache["summary"][i, :count] = look.cls.half().cpu().numpy()
    cache["rough"][i, :count] = rough
    for k, (picture, (x, y, side)) in enumerate(zip(pictures, squares)):
        cache["window"][i, k] = np.array((x, y, x + side, y + side), np.float32) / whole
        cache["small"][i, k] = cv2.resize(picture, (CELL * CELLS,) * 2, interpolation=cv2.INTER_AREA)


def said_of(
    glanced: Glanced, second: Cache, head: CropHead, shape: SightShape, folder: Path, device: str = "cpu"
) -> Cache:
    """Compute, or read back, what a trained head says about the second glances, as neck.Glances without the batch:
    vectors float16[N,K,V], boxes float32[N,K,4], things float32[N,K], 0 where there was no glance. head: on the
    device."""
    count = shape.glances
    made_of = fingerprint_of([second.made_of, fingerprint(head)])
    cache = Cache(
        Path(folder),
        made_of,
        len(glanced),
        {
            "vectors": (np.float16, (count, shape.vector)),
            "boxes": (np.float32, (count, 4)),
            "things": (np.float32, (count,)),
        },
    )
    for at in rows_left(cache, glanced.pictures.name, "what they say", _FLUSH):
        part = slice(at, min(at + _FLUSH, len(glanced)))
        crops = crops_of(second, *np.divmod(np.arange(part.start * count, part.stop * count), count), device)
        with evaluating(head), torch.no_grad():
            seen = head(crops.cells, crops.summary, crops.pixels, crops.rough)
        rows = (part.stop - part.start, count)
        there = second["score"][part] >= 0
        window = second["window"][part]
        corner, size = window[..., [0, 1, 0, 1]], np.tile(window[..., 2:] - window[..., :2], 2)
        cache["vectors"][part] = seen.vector.half().cpu().numpy().reshape(*rows, -1)
        cache["boxes"][part] = seen.box.cpu().numpy().reshape(*rows, 4) * size + corner
        cache["things"][part] = seen.thing.sigmoid().cpu().numpy().reshape(rows) * there
    return cache


@dataclass
class Crops:
    """B second glances as CropHead takes them."""

    cells: torch.Tensor
    summary: torch.Tensor
    pixels: torch.Tensor
    rough: torch.Tensor


def crops_of(second: Cache, picture: np.ndarray, place: np.ndarray, device: str = "cpu") -> Crops:
    """The crops at these places, int64[B] each, of these pictures."""

    def rows(name: str) -> torch.Tensor:
        array = second[name]
        return torch.from_numpy(np.stack([array[i, k] for i, k in zip(picture, place)])).to(device)

    return Crops(
        rows("cells").float(),
        rows("summary").float(),
        cell_pixels(rows("small"), CELLS),
        in_crops(rows("rough"), rows("window")),
    )


def in_crops(boxes: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
    """float32[...,4]: shares of the picture as shares of a crop. window: float32[...,4], the crop in the picture."""
    corner, size = window[..., [0, 1, 0, 1]], (window[..., 2:] - window[..., :2]).clamp(min=1e-6)
    return (boxes - corner) / torch.cat([size, size], -1)


def rows_left(cache: Cache, name: str, what: str, step: int = 1) -> Iterator[int]:
    """The rows that a cache lacks, every `step`th; each is filled when the next one is asked for."""
    if cache.whole:
        return
    with tqdm(total=cache.count, initial=cache.done, desc=f"{name}: {what}", unit="picture", mininterval=5) as bar:
        for at in range(cache.done, cache.count, step):
            yield at
            done = min(at + step, cache.count)
            bar.update(done - at)
            if done - cache.done >= _FLUSH or done == cache.count:
                cache.filled(done)
