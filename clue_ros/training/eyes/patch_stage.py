"""`clue train patch`: the first glance learns where things are, whatever they are (eyes/proposals.py).

Loss: objectness of every patch that is known, GIoU of the owning thing's box, and the overlap that the patch's own box
reaches as its quality. Every thing weighs nearly alike, however many patches it has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F

from clue_ros.eyes.layout import area, cell_pixels, overlap
from clue_ros.eyes.proposals import PatchBoxes, PatchHead
from clue_ros.simulation.scene_data import BACKGROUND
from clue_ros.training.device import Device
from clue_ros.training.eye_settings import PatchSettings
from clue_ros.training.eyes.drawing import Drawing
from clue_ros.training.eyes.glances import Glanced
from clue_ros.training.eyes.labels import own_boxes
from clue_ros.training.loop import Run
from clue_ros.training.optimizer import Optimizer
from clue_ros.training.slot import Slot


def train_patch(
    sets: Sequence[Glanced],
    weights: Sequence[float],
    head: PatchHead,
    folder: Path,
    settings: PatchSettings = PatchSettings(),
    slot: Slot = Slot(),
    device: Device = Device(),
) -> Run:
    """Train (or go on training) the head; the run folder holds 'patches'. weights: of the sets. Raises SlotOver."""
    head.train().to(device.name)
    optimizer = Optimizer(head.named_parameters(), settings.lr, settings.weight_decay, settings.optimizer)
    run = Run(folder, {"patches": head}, optimizer, settings, settings.seed)
    drawing = Drawing(weights, [one.pictures.shares() for one in sets])

    def loss_of(step: int, rng: np.random.Generator) -> Tuple[torch.Tensor, Dict[str, float]]:
        batch = PatchBatch.of(sets, drawing.draw(settings.batch, rng), device.name)
        found = head(batch.features, cell_pixels(batch.pixels, head.grid))
        return patch_loss(found, batch, settings)

    run.train(settings, loss_of, title="patch", slot=slot)
    return run


class PatchBatch:
    """B pictures. features: float[B,P,F]; pixels: uint8[B,S,S,3]; owners: int8[B,P]; boxes: float[B,P,4]."""

    def __init__(self, features: torch.Tensor, pixels: torch.Tensor, owners: torch.Tensor, boxes: torch.Tensor):
        self.features, self.pixels, self.owners, self.boxes = features, pixels, owners, boxes

    @classmethod
    def of(cls, sets: Sequence[Glanced], drawn: Sequence[np.ndarray], device: str = "cpu") -> "PatchBatch":
        parts: Dict[str, List[np.ndarray]] = {name: [] for name in ("features", "pixels", "owners", "boxes")}
        for one, rows in zip(sets, drawn):
            if len(rows):
                for name in ("features", "pixels", "owners"):
                    parts[name].append(one.first[name][rows])
                parts["boxes"].append(own_boxes(parts["owners"][-1], [one.pictures.photo(i) for i in rows]))
        whole = {name: torch.from_numpy(np.concatenate(p)).to(device) for name, p in parts.items()}
        return cls(whole["features"].float(), whole["pixels"], whole["owners"], whole["boxes"])


def patch_loss(found: PatchBoxes, batch: PatchBatch, settings: PatchSettings) -> Tuple[torch.Tensor, Dict[str, float]]:
    """Loss and readings: of the three losses, and the mean overlap of owned patches' boxes."""
    own, known = batch.owners >= 0, batch.owners >= BACKGROUND
    weight = torch.where(own, 1.0, settings.nothing)
    there = F.binary_cross_entropy_with_logits(found.thing, own.float(), reduction="none")
    thing = (there * weight)[known].sum() / max(1, int(known.sum()))
    readings = {"thing": float(thing.detach())}
    if not own.any():
        return thing, readings
    each = _evenly(batch.owners, own, settings.evenly)
    box = ((1 - generalized_overlap(found.boxes[own], batch.boxes[own])) * each).sum()
    reached = overlap(found.boxes[own].detach(), batch.boxes[own])[0]
    quality = (F.binary_cross_entropy_with_logits(found.quality[own], reached, reduction="none") * each).sum()
    readings.update(box=float(box.detach()), quality=float(quality.detach()), iou=float((reached * each).sum()))
    return thing + box + settings.quality * quality, readings


def _evenly(owners: torch.Tensor, own: torch.Tensor, power: float) -> torch.Tensor:
    """float[M], sum 1: of each owned patch its weight, n ** -power in a thing of n patches."""
    picture = torch.arange(len(owners), device=owners.device)[:, None].expand_as(owners)
    thing = (picture * 128 + owners.long())[own]  # owners are int8
    weight = torch.bincount(thing)[thing].float().pow(-power)
    return weight / weight.sum()


def generalized_overlap(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """float[...] in (-1, 1]: GIoU (Rezatofighi et al. 2019) of boxes float[...,4], also of boxes far apart."""
    shared, union = overlap(a, b)
    hull = torch.cat([torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])], -1)
    around = area(hull).clamp(min=1e-9)
    return shared - (around - union) / around
