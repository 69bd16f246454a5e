"""`clue train crop`: the second glance learns what stands in a rough box, its colour and its box.

Names and colours are read off the vector by heads that only training has, so that the vector says them. Half of the
crops are mirrored, by their cells.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from clue_ros.eyes.crops import CELLS
from clue_ros.eyes.layout import CELL, overlap
from clue_ros.eyes.second_glance import CropHead, Seen
from clue_ros.training.device import Device
from clue_ros.training.eye_settings import CropSettings
from clue_ros.training.eyes.cache import Cache
from clue_ros.training.eyes.crop_labels import CropLabels, crop_labels
from clue_ros.training.eyes.drawing import Drawing
from clue_ros.training.eyes.glances import Crops, Glanced, crops_of, in_crops
from clue_ros.training.eyes.labels import COLORS, Labels
from clue_ros.training.eyes.patch_stage import generalized_overlap
from clue_ros.training.loop import Run
from clue_ros.training.optimizer import Optimizer
from clue_ros.training.slot import Slot

GAIN = (0.75, 1.25)  # of the pixels: the light changes, the colour's name does not


class CropNames(nn.Module):
    """What a glance's vector float[B,D] says: (names float[B,N], colours float[B,C]), logits."""

    def __init__(self, vector: int, names: int):
        super().__init__()
        self.name, self.color, self.drop = nn.Linear(vector, names), nn.Linear(vector, len(COLORS)), nn.Dropout(0.2)

    def forward(self, vector: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        vector = self.drop(vector)
        return self.name(vector), self.color(vector)


def train_crop(
    sets: Sequence[Glanced],
    seconds: Sequence[Cache],
    weights: Sequence[float],
    labels: Labels,
    head: CropHead,
    folder: Path,
    settings: CropSettings = CropSettings(),
    slot: Slot = Slot(),
    device: Device = Device(),
) -> Run:
    """Train (or go on training) the head; the run folder holds 'crops' and 'heads'. seconds, weights: of the sets.
    Raises SlotOver."""
    names = CropNames(head.vector.out_features, len(labels.names))
    for module in (head, names):
        module.train().to(device.name)
    named = [*head.named_parameters(), *((f"heads.{k}", p) for k, p in names.named_parameters())]
    optimizer = Optimizer(named, settings.lr, settings.weight_decay, settings.optimizer)
    run = Run(folder, {"crops": head, "heads": names}, optimizer, settings, settings.seed)
    told = [crop_labels(one, second, labels) for one, second in zip(sets, seconds)]
    drawing = Drawing(weights, [own.shares(one, settings) for one, own in zip(sets, told)])

    def loss_of(step: int, rng: np.random.Generator) -> Tuple[torch.Tensor, Dict[str, float]]:
        batch = crop_batch(seconds, told, drawing.draw(settings.batch, rng), device.name)
        batch.shake(rng)
        crops = batch.crops
        seen = head(crops.cells, crops.summary, crops.pixels, crops.rough)
        return crop_loss(seen, names(seen.vector), batch, settings)

    run.train(settings, loss_of, title="crop", slot=slot)
    return run


class CropBatch:
    """crops; name, color: int64[B]; thing: float[B]; box: float[B,4], shares of the crops."""

    def __init__(self, crops: Crops, name: torch.Tensor, color: torch.Tensor, thing: torch.Tensor, box: torch.Tensor):
        self.crops, self.name, self.color, self.thing, self.box = crops, name, color, thing, box

    def shake(self, rng: np.random.Generator) -> None:
        """Mirror half of the crops, and let the light on each change."""
        crops, device = self.crops, self.box.device
        flips = torch.from_numpy(rng.random(len(self.box)) < 0.5).to(device)
        crops.cells[flips] = mirrored_cells(crops.cells[flips])
        crops.pixels[flips] = mirrored_cells(crops.pixels[flips]).unflatten(2, (CELL, CELL, 3)).flip(3).flatten(2)
        for boxes in (crops.rough, self.box):
            x0, x1 = boxes[flips, 0], boxes[flips, 2]
            boxes[flips, 0], boxes[flips, 2] = 1 - x1, 1 - x0
        gain = torch.from_numpy(rng.uniform(*GAIN, (len(self.box), 1, 1)).astype(np.float32)).to(device)
        crops.pixels = ((crops.pixels + 1) * gain - 1).clamp(-1, 1)


def mirrored_cells(cells: torch.Tensor) -> torch.Tensor:
    """float[B,CELLS²,F] with left and right changed."""
    return cells.unflatten(1, (CELLS, CELLS)).flip(2).flatten(1, 2)


def crop_batch(
    seconds: Sequence[Cache], told: Sequence[CropLabels], drawn: Sequence[np.ndarray], device: str = "cpu"
) -> CropBatch:
    """drawn: int64 numbers of each set's crops, N·K of them."""
    parts: List[CropBatch] = []
    for second, own, rows in zip(seconds, told, drawn):
        if len(rows):
            i, k = np.divmod(rows, second["score"].shape[1])
            window = torch.from_numpy(second["window"][i, k])
            box = in_crops(torch.from_numpy(own.box[i, k]), window)
            name, color, thing = (torch.from_numpy(a[i, k]).to(device) for a in (own.name, own.color, own.thing))
            parts.append(CropBatch(crops_of(second, i, k, device), name, color, thing, box.to(device)))

    def joined(name: str) -> torch.Tensor:
        return torch.cat([getattr(p, name) for p in parts])

    crops = Crops(*(torch.cat([getattr(p.crops, n) for p in parts]) for n in ("cells", "summary", "pixels", "rough")))
    return CropBatch(crops, joined("name"), joined("color"), joined("thing"), joined("box"))


def crop_loss(
    seen: Seen, said: Tuple[torch.Tensor, torch.Tensor], batch: CropBatch, settings: CropSettings
) -> Tuple[torch.Tensor, Dict[str, float]]:
    """Loss and readings: shares of right names and colours, and the mean overlap before (`rough`) and after."""
    name, color = said
    named, colored, known = batch.name >= 0, batch.color >= 0, batch.thing >= 0
    loss = 0 * seen.thing.sum()
    if known.any():
        thing = F.binary_cross_entropy_with_logits(seen.thing[known], batch.thing[known])
        loss = loss + settings.thing * thing
    readings: Dict[str, float] = {}
    if named.any():
        box, target = seen.box[named], batch.box[named]
        loss = loss + F.cross_entropy(name[named], batch.name[named], label_smoothing=settings.smoothing)
        loss = loss + (1 - generalized_overlap(box, target)).mean() + 5 * F.smooth_l1_loss(box, target, beta=0.03)
        readings["name"] = _right(name[named], batch.name[named])
        readings["rough"] = float(overlap(batch.crops.rough[named], target)[0].mean())
        readings["iou"] = float(overlap(box.detach(), target)[0].mean())
    if colored.any():
        loss = loss + F.cross_entropy(color[colored], batch.color[colored], label_smoothing=settings.smoothing)
        readings["color"] = _right(color[colored], batch.color[colored])
    return loss, readings


def _right(logits: torch.Tensor, target: torch.Tensor) -> float:
    return float((logits.argmax(-1) == target).float().mean())
