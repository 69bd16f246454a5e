"""`clue train neck`: both glances are brought onto the decoder's grid (eyes/neck.py), by what each patch of it shows.

The dense labels are those of the vision stage (training/dense.py): name, colour, size, and the box read off through the
<loc> embeddings. On sets with a teacher the features also imitate a finished model's tower, so that its decoder finds
the code that it knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from clue_ros.eyes.layout import cell_pixels, centres
from clue_ros.eyes.neck import Glances, Neck
from clue_ros.location import BINS
from clue_ros.training.dense import location_loss
from clue_ros.training.device import Device
from clue_ros.training.eye_settings import NeckSettings
from clue_ros.training.eyes.cache import Cache
from clue_ros.training.eyes.drawing import Drawing
from clue_ros.training.eyes.glances import Glanced
from clue_ros.training.eyes.labels import COLORS, SIZES, UNKNOWN, Dense, Labels, dense_labels
from clue_ros.training.loop import Run
from clue_ros.training.optimizer import Optimizer
from clue_ros.training.slot import Slot

SIGMA = 4.0  # of the location smoothing, bins
_NOTHING = 0.3  # weight of patches of no thing


@dataclass
class Source:
    """A set as the neck reads it. taught: features of a finished tower float16[N,T,W], None for none."""

    glanced: Glanced
    second: Cache
    said: Cache
    taught: Optional[Cache] = None


@dataclass
class NeckBatch:
    """B pictures as Neck.forward takes them."""

    features: torch.Tensor
    pixels: torch.Tensor
    thing: torch.Tensor
    boxes: torch.Tensor
    glances: Glances

    def forgotten(self, settings: NeckSettings, rng: np.random.Generator) -> Glances:
        """The second glances of which some were not made."""
        things = self.glances.things
        kept = rng.random(tuple(things.shape)) >= settings.missing
        kept &= rng.random((len(things), 1)) >= settings.blind
        return self.glances._replace(things=things * torch.from_numpy(kept).to(things.device))


class DenseHeads(nn.Module):
    """Linear heads over the features float[B,T,D]; used in training only."""

    def __init__(self, width: int, names: int, text_width: int):
        super().__init__()
        self.name, self.color = nn.Linear(width, names + 1), nn.Linear(width, len(COLORS) + 1)
        self.size, self.code, self.box = (nn.Linear(width, n) for n in (len(SIZES), 4 * text_width, 4))


def train_neck(
    sources: Sequence[Source],
    weights: Sequence[float],
    labels: Labels,
    locations: torch.Tensor,
    neck: Neck,
    folder: Path,
    settings: NeckSettings = NeckSettings(),
    slot: Slot = Slot(),
    device: Device = Device(),
) -> Run:
    """Train (or go on training) the neck; the run folder holds 'neck' and 'heads'.

    weights: of the sources; locations: float32[1024,W], the rows of the <loc> tokens of the decoder that will read.
    Raises SlotOver.
    """
    width = neck.norm.normalized_shape[0]
    heads = DenseHeads(width, len(labels.names), locations.shape[1])
    for module in (neck, heads):
        module.train().to(device.name)
    locations = locations.detach().to(device.name)
    named = [*neck.named_parameters(), *((f"heads.{k}", p) for k, p in heads.named_parameters())]
    optimizer = Optimizer(named, settings.lr, settings.weight_decay, settings.optimizer)
    run = Run(folder, {"neck": neck, "heads": heads}, optimizer, settings, settings.seed)
    drawing = Drawing(weights, [source.glanced.pictures.shares() for source in sources])
    scale = next((spread_of(source.taught) for source in sources if source.taught is not None), 1.0)

    def loss_of(step: int, rng: np.random.Generator) -> Tuple[torch.Tensor, Dict[str, float]]:
        drawn = drawing.draw(settings.batch, rng)
        batch = neck_batch(sources, drawn, neck.seen, device.name)
        glances = batch.forgotten(settings, rng)
        features = neck(batch.features, batch.pixels, batch.thing, batch.boxes, glances)
        told = told_of(sources, drawn, labels)
        loss, readings = dense_loss(heads, features, told, locations, settings.boxes)
        taught, of = taught_of(sources, drawn)
        if len(of) and settings.imitate:
            target = torch.from_numpy(taught).to(features.device)
            imitation = F.smooth_l1_loss(features[torch.from_numpy(of)] / scale, target / scale)
            loss, readings["imitation"] = loss + settings.imitate * imitation, float(imitation.detach())
        return loss, readings

    run.train(settings, loss_of, title="neck", slot=slot)
    return run


def neck_batch(sources: Sequence[Source], drawn: Sequence[np.ndarray], seen: int, device: str = "cpu") -> NeckBatch:
    """drawn: rows of each source; seen: patches a side of the first glance."""

    def joined(parts: List[np.ndarray]) -> torch.Tensor:
        return torch.from_numpy(np.concatenate(parts)).to(device)

    read = [(source, rows) for source, rows in zip(sources, drawn) if len(rows)]
    pixels = joined([source.glanced.first["pixels"][rows] for source, rows in read])
    said = (
        joined([source.said[name][rows] for source, rows in read]).float() for name in ("vectors", "boxes", "things")
    )
    return NeckBatch(
        joined([source.glanced.first["features"][rows] for source, rows in read]).float(),
        cell_pixels(pixels, seen),
        joined([source.second["thing"][rows] for source, rows in read]).float().sigmoid(),
        joined([source.second["boxes"][rows] for source, rows in read]),
        Glances(*said),
    )


def told_of(sources: Sequence[Source], drawn: Sequence[np.ndarray], labels: Labels) -> Dense:
    """What each patch of the batch shows."""
    parts = [
        dense_labels(source.glanced.first["grid"][rows], [source.glanced.pictures.photo(i) for i in rows], labels)
        for source, rows in zip(sources, drawn)
        if len(rows)
    ]
    return Dense(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("name", "color", "size", "bins")))


def taught_of(sources: Sequence[Source], drawn: Sequence[np.ndarray]) -> Tuple[np.ndarray, np.ndarray]:
    """(float32[M,T,W], int64[M]): the teacher's features and the pictures of the batch that they are of."""
    parts, of, at = [], [], 0
    for source, rows in zip(sources, drawn):
        if source.taught is not None and len(rows):
            parts.append(source.taught["features"][rows].astype(np.float32))
            of.append(np.arange(at, at + len(rows)))
        at += len(rows)
    return (np.concatenate(parts), np.concatenate(of)) if parts else (np.zeros((0, 0, 0), np.float32), np.zeros(0, int))


def spread_of(taught: Cache) -> float:
    """Of the teacher's features, measured on a few pictures."""
    return float(np.asarray(taught["features"][:32], np.float32).std()) or 1.0


def dense_loss(
    heads: DenseHeads, features: torch.Tensor, told: Dense, locations: torch.Tensor, boxes: int
) -> Tuple[torch.Tensor, Dict[str, float]]:
    """Loss and readings: accuracy of name, colour and size on patches of things, median box error as a share of the
    picture's side. boxes: patches of a picture whose box is learnt from, at most."""
    name, color, size, bins = (
        torch.from_numpy(a).to(features.device) for a in (told.name, told.color, told.size, told.bins)
    )
    logits = {"name": heads.name(features), "color": heads.color(features), "size": heads.size(features)}
    loss = _over_patches(logits["name"], name) + _over_patches(logits["color"], color)
    readings = {
        key: _right(logits[key], target, count)
        for key, target, count in (
            ("name", name, logits["name"].shape[-1] - 1),
            ("color", color, len(COLORS)),
            ("size", size, len(SIZES)),
        )
    }
    if (size != UNKNOWN).any():
        loss = loss + 0.3 * F.cross_entropy(logits["size"].flatten(0, 1), size.flatten(), ignore_index=UNKNOWN)
    index = ((name >= 0) & (name < logits["name"].shape[-1] - 1)).nonzero()
    index = index[torch.randperm(len(index), device=index.device)[: boxes * len(features)]]
    if len(index):
        picked, target = features[index[:, 0], index[:, 1]], bins[index[:, 0], index[:, 1]]
        code = heads.code(picked).unflatten(1, (4, -1))
        spoken = 30 * torch.tanh(F.rms_norm(code, (code.shape[-1],)) @ locations.T / 30)
        loss = loss + 0.4 * location_loss(spoken.flatten(0, 1), target.flatten(), SIGMA).mean()
        middle = centres(int(round(features.shape[1] ** 0.5))).to(features.device)[index[:, 1]].flip(1).repeat(1, 2)
        regressed = heads.box(picked) * 0.2 + middle
        loss = loss + 10 * F.smooth_l1_loss(regressed, target.float() / (BINS - 1), beta=0.02)
        readings["box"] = float((spoken.argmax(-1) - target).abs().float().median()) / BINS
    return loss, {k: v for k, v in readings.items() if v is not None}


def _over_patches(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    weight = torch.ones(logits.shape[-1], device=logits.device)
    weight[-1] = _NOTHING
    if not (target != UNKNOWN).any():
        return 0 * logits.sum()
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), weight, ignore_index=UNKNOWN)


def _right(logits: torch.Tensor, target: torch.Tensor, things: int) -> Optional[float]:
    of = (target >= 0) & (target < things)
    return float((logits.argmax(-1) == target)[of].float().mean()) if of.any() else None
