"""Stage 1, `clue train vision`: the vision tower learns from dense labels (training/dense.py)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import numpy as np
import torch

from clue_ros.eyes.tower import SightTower
from clue_ros.location import token
from clue_ros.simulation.scene_data import SceneData, augment, augmented, mirrored, plain
from clue_ros.simulation.words import all_words
from clue_ros.training.base import copy_weights, open_base
from clue_ros.training.dense import DenseHeads
from clue_ros.training.device import Device
from clue_ros.training.loop import Run
from clue_ros.training.optimizer import Optimizer
from clue_ros.training.parallel import world
from clue_ros.training.partial_view import labels_of_seen, partial_features
from clue_ros.training.settings import MeasuredSettings
from clue_ros.training.slot import Slot
from clue_ros.training.tabletop_model import TabletopSize, build_model, build_tokenizer, location_rows
from clue_ros.training.validation import evaluating, held_out, mean_of_batches


@dataclass(frozen=True)
class VisionSettings(MeasuredSettings):
    """seen: share of each image's patches that the encoder sees, until `whole_from` of the steps are done
    (training/partial_view.py); metric: loss, category, color, size or box; scenes: how many of the training scenes are
    used, 0 for all; precision: of the encoder on the CPU, 'bf16', 'fp32' or 'auto', bf16 where the processor has units
    for it (on a card: the section gpu)."""

    steps: int = 3000
    lr: float = 2e-3
    weight_decay: float = 0.02
    optimizer: str = "muon"
    seen: float = 1.0
    whole_from: float = 0.75
    validation: int = 96
    scenes: int = 0
    precision: str = "auto"


def start(
    size: TabletopSize = TabletopSize(), seed: int = 0, start_from: str = "", eyes: Optional[SightTower] = None
) -> Tuple[Any, Any, DenseHeads]:
    """(tokenizer, model, untrained dense heads). start_from: the directory whose weights the model has; empty for an
    untrained one; eyes: in the place of the vision tower. Raises UnsupportedBaseError if that is a model of another
    size."""
    tokenizer = build_tokenizer(all_words())
    model = build_model(tokenizer, size, seed)
    if eyes is not None:
        model.model.vision_tower = eyes
    if start_from:
        copy_weights(model, tokenizer, open_base(Path(start_from)))
    return tokenizer, model, DenseHeads(size.vision_width, size.text_width)


def train_vision(
    data: SceneData,
    folder: Path,
    settings: VisionSettings = VisionSettings(),
    size: TabletopSize = TabletopSize(),
    validation: Optional[SceneData] = None,
    slot: Slot = Slot(),
    device: Device = Device(),
    start_from: str = "",
) -> Run:
    """Train (or go on training) the vision tower; the run folder holds 'tower' and 'heads'. validation: held-out
    scenes, None for no measurement; start_from: model directory to begin with, empty for nothing. Raises SlotOver."""
    tokenizer, model, heads = start(size, settings.seed, start_from)
    tower, heads = model.model.vision_tower.train().to(device.name), heads.to(device.name)
    named = [*tower.named_parameters(), *heads.named_parameters()]
    optimizer = Optimizer(named, settings.lr, settings.weight_decay, settings.optimizer)
    run = Run(folder, {"tower": tower, "heads": heads}, optimizer, settings, settings.seed)
    locations = location_rows(model, tokenizer.convert_tokens_to_ids(token(0))).detach().to(device.name)
    resident = torch.from_numpy(data.images[:]).to(device.name) if device.fits(data.images.nbytes) else None

    def loss_of(step: int, rng: np.random.Generator):
        images, patches, objects, sizes = draw_batch(data, settings.batch // world(), rng, settings.scenes, resident)
        share = settings.seen if step < settings.whole_from * settings.steps else 1.0
        with device.tower(settings.precision):
            features, seen = partial_features(tower, images.to(device.name), share)
        return heads.loss(features.float(), labels_of_seen(patches, seen), objects, sizes, locations)

    def measure() -> Dict[str, float]:
        with evaluating(tower, heads):
            return mean_of_batches(len(scenes), settings.batch, loss_on)

    def loss_on(index: np.ndarray, rng: np.random.Generator) -> Dict[str, float]:
        images = torch.from_numpy(plain(scenes.images[index])).to(device.name)
        with device.tower(settings.precision):
            features = tower(images).last_hidden_state
        loss, readings = heads.loss(
            features.float(),
            scenes.patches[index],
            [scenes.objects[i] for i in index],
            [scenes.sizes[i] for i in index],
            locations,
        )
        return {**readings, "loss": float(loss)}

    if validation is not None and settings.validate_every:
        scenes = held_out(validation, settings.validation)
    watch = None if validation is None else measure
    run.train(settings, loss_of, title="vision", report_every=50, measure=watch, slot=slot)
    return run


def draw_batch(
    data: SceneData, count: int, rng: np.random.Generator, scenes: int = 0, resident: Optional[torch.Tensor] = None
):
    """(float32[B,3,S,S], int8[B,P,P], objects, sizes) of random scenes, half of them mirrored. scenes: of how many of
    the first ones, 0 for all; resident: the images on a device, where the batch then is made."""
    index = np.sort(rng.choice(min(len(data), scenes or len(data)), count, replace=False))
    flips = rng.random(count) < 0.5
    if resident is None:
        images = torch.from_numpy(augment(data.images[index], flips, rng))
    else:
        images = augmented(resident[torch.from_numpy(index).to(resident.device)], flips, rng)
    patches = data.patches[index].copy()
    patches[flips] = patches[flips][:, :, ::-1]
    sizes = [data.sizes[i] for i in index]
    objects = [mirrored(data.objects[i], s.width) if f else data.objects[i] for i, s, f in zip(index, sizes, flips)]
    return images, patches, objects, sizes
