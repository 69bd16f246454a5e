"""Stage 2, `clue train language`: the decoder learns to look and to speak, on packed queries over a frozen tower.

Loss: cross-entropy of the suffix (smoothed over neighbouring bins for locations) + attention supervision: the row that
closes the prefix should look at every object that matches (layer `tap`), a row about one object at that object.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch
import torch.nn.functional as F

from clue_ros.eyes.tower import SightTower
from clue_ros.location import BINS
from clue_ros.photographs.annotations import Photograph
from clue_ros.photographs.queries import photo_queries
from clue_ros.simulation.queries import Query, scene_queries
from clue_ros.simulation.scene_data import SceneData
from clue_ros.training.ahead import Ahead
from clue_ros.training.checkpoint import load_modules
from clue_ros.training.dense import location_loss
from clue_ros.training.device import Device, moved
from clue_ros.training.features import FeatureData, compute_features, features_of, picked
from clue_ros.training.loop import Run
from clue_ros.training.optimizer import Optimizer
from clue_ros.training.packed import pack_pass
from clue_ros.training.packing import IGNORE, Pack, Packer, location_targets
from clue_ros.training.parallel import world
from clue_ros.training.settings import MeasuredSettings
from clue_ros.training.slot import Slot
from clue_ros.training.tabletop_model import TabletopSize
from clue_ros.training.validation import evaluating, held_out, mean_of_batches
from clue_ros.training.vision import start
from clue_ros.vlm.decoder import Pass, attention_scores, logits_of


@dataclass(frozen=True)
class LanguageSettings(MeasuredSettings):
    """tap: the layer whose map the detector will read; also: further layers whose closing row should look at every
    match; look: layers whose rows look at the one object that the next token is about.
    precision: of the decoder's steps on a CPU, 'fp32', 'bf16', or 'auto' for bf16 where the processor has units for it;
    metric: loss, branch, iou50, bins_off, mass, word_accuracy, …
    For ablations: scenes: how many of the training scenes are used, 0 for all; pick: how many of an image's queries, 0
    for all; freeze_locations: the rows of the <loc> tokens stay as they are; pretrained_tower: the vision run's."""

    steps: int = 2000
    queries: int = 12
    length: int = 176  # rows of text an image
    lr: float = 3e-3
    sigma: float = 4.0  # of the location smoothing, bins
    attention_weight: float = 0.3
    tap: int = 2
    also: Tuple[int, ...] = ()
    look: Tuple[int, ...] = (3, 4)
    optimizer: str = "muon"
    precision: str = "fp32"
    weight_decay: float = 0.02
    scenes: int = 0
    pick: int = 0
    freeze_locations: bool = True
    pretrained_tower: bool = True


def train_language(
    data: Union[SceneData, FeatureData],
    vision_folder: Path,
    folder: Path,
    settings: LanguageSettings = LanguageSettings(),
    size: TabletopSize = TabletopSize(),
    validation: Optional[SceneData] = None,
    slot: Slot = Slot(),
    device: Device = Device(),
    features: Optional[Path] = None,
    start_from: str = "",
    eyes: Optional[SightTower] = None,
) -> Run:
    """Train (or go on training) the decoder from a vision run; the run folder holds 'model'. data: scenes, or features
    of scenes and photographs that are there already; validation: held-out scenes, None for no measurement; features:
    folder of the tower's features, None for the run folder; start_from: model directory to begin with, empty for
    nothing; eyes: in the place of the vision run's tower. Raises SlotOver."""
    tokenizer, model = language_start(vision_folder, folder, settings, size, start_from, eyes)
    model.to(device.name)
    if isinstance(data, FeatureData):
        source = data.on(device)
    else:
        with slot.interrupting():
            source = compute_features(model.model.vision_tower, data, features or folder, settings.seed, device=device)
    model.train()
    model.model.vision_tower.requires_grad_(False)
    optimizer = Optimizer(
        ((n, p) for n, p in model.named_parameters() if p.requires_grad),
        settings.lr,
        settings.weight_decay,
        settings.optimizer,
    )
    run = Run(folder, {"model": model}, optimizer, settings, settings.seed)
    packer = Packer(tokenizer, size.image_tokens)
    if settings.freeze_locations:
        _freeze_locations(model.model.language_model.embed_tokens.weight, packer.first_location)
    draw = LanguageBatches(
        packer,
        source.patches,
        source.objects,
        source.sizes,
        settings,
        settings.batch // world(),
        source.photographs,
        source.chances,
    )

    def loss_of(step: int, rng: np.random.Generator):
        index, pack = ahead.batch(step)
        with device.decoder(settings.precision):
            embedded = model.model.multi_modal_projector(source.rows(index))
            return pack_loss(model, embedded, moved(pack, device.name), packer.first_location, settings)

    def measure() -> Dict[str, float]:
        with evaluating(model):
            return mean_of_batches(len(scenes), settings.batch, loss_on)

    def loss_on(index: np.ndarray, rng: np.random.Generator) -> Dict[str, float]:
        features, patches, objects, sizes = scenes.take(index)
        pack = packer.pack(
            [scene_queries(o, s, rng, settings.queries) for o, s in zip(objects, sizes)], patches, settings.length
        )
        loss, readings = pack_loss(
            model,
            model.model.multi_modal_projector(features),
            moved(pack, device.name),
            packer.first_location,
            settings,
        )
        return {**readings, "loss": float(loss)}

    if validation is not None and settings.validate_every:
        scenes = features_of(model.model.vision_tower, held_out(validation, settings.validation), device=device)
    watch = None if validation is None else measure
    with Ahead(draw, run.seeds, settings.steps, device.workers) as ahead:
        run.train(settings, loss_of, title="language", measure=watch, slot=slot)
    return run


@dataclass
class LanguageBatches:
    """Draws scenes and photographs and packs their queries: (index int64[B], Pack) from a generator. photographs,
    chances: of features.FeatureData."""

    packer: Packer
    patches: np.ndarray
    objects: Sequence
    sizes: Sequence
    settings: LanguageSettings
    count: int
    photographs: Optional[Sequence[Optional[Photograph]]] = None
    chances: Optional[np.ndarray] = None

    def __call__(self, rng: np.random.Generator) -> Tuple[np.ndarray, Pack]:
        s, available = self.settings, len(self.objects)
        if self.chances is None:
            available = min(available, s.scenes or available)
        index = picked(available, self.count, rng, self.chances)
        per_image = [self._queries(i, rng) for i in index]
        if s.pick:
            per_image = [[own[k] for k in rng.permutation(len(own))[: s.pick]] for own in per_image]
        return index, self.packer.pack(per_image, self.patches[index], s.length)

    def _queries(self, i: int, rng: np.random.Generator) -> List[Query]:
        photo = self.photographs[i] if self.photographs is not None else None
        if photo is not None:
            return photo_queries(photo, rng, self.settings.queries)
        return scene_queries(self.objects[i], self.sizes[i], rng, self.settings.queries)


def language_start(
    vision_folder: Path,
    folder: Path,
    settings: LanguageSettings,
    size: TabletopSize,
    start_from: str = "",
    eyes: Optional[SightTower] = None,
) -> Tuple[Any, Any]:
    """(tokenizer, model) before the first step: the tower is the vision run's, the one this run started from, or
    eyes."""
    tokenizer, model, _ = start(size, settings.seed, start_from, eyes)
    if (Path(folder) / "state.json").exists():
        load_modules(folder, {"model": model}, keep="last")
    elif settings.pretrained_tower and eyes is None:
        load_modules(vision_folder, {"tower": model.model.vision_tower})
    return tokenizer, model


def _freeze_locations(embedding: torch.Tensor, first: int) -> None:
    """Keep the Fourier rows of the <loc> tokens as they are."""

    def hook(gradient: torch.Tensor) -> torch.Tensor:
        gradient = gradient.clone()
        gradient[first : first + BINS] = 0
        return gradient

    embedding.register_hook(hook)


def pack_loss(
    model, embedded: torch.Tensor, pack: Pack, first_location: int, settings: LanguageSettings
) -> Tuple[torch.Tensor, Dict[str, float]]:
    """Loss and readings of one pack. embedded: float[B,N,W], projected image features."""
    image, text = pack_pass(model.model.language_model, embedded, pack, None, supervised_layers(settings))
    return suffix_loss(model, image, text, pack, first_location, settings)


def suffix_loss(
    model, image: Pass, text: Pass, pack: Pack, first_location: int, settings: LanguageSettings
) -> Tuple[torch.Tensor, Dict[str, float]]:
    """Loss and readings of a pack's passes, which recorded the queries of `settings.tap` and `settings.look`; the
    cross-entropy is of the suffix only."""
    chosen = pack.targets != IGNORE
    logits, target, weight = logits_of(model, text.hidden[chosen]), pack.targets[chosen], pack.weights[chosen]
    located = location_targets(pack, first_location)[chosen]
    losses = torch.zeros_like(weight)
    if located.any():
        losses[located] = location_loss(
            logits[located], target[located] - first_location, settings.sigma, first_location
        )
    losses[~located] = F.cross_entropy(logits[~located], target[~located], reduction="none")
    loss = (losses * weight).sum() / weight.sum()
    looking, mass = _attention_loss(model.model.language_model, text.queries, image.cache, pack, settings)
    readings = _readings(logits, target, located, losses, pack, first_location)
    readings.update(attention=float(looking.detach()), mass=mass)
    return loss + settings.attention_weight * looking, readings


def supervised_layers(settings: LanguageSettings) -> List[int]:
    """The layers whose queries the loss on the attention needs."""
    return sorted({settings.tap, *settings.also, *settings.look})


def _attention_loss(language, queries, cache, pack: Pack, settings: LanguageSettings):
    total, mass = [], 0.0
    sets = sorted({settings.tap, *settings.also})
    jobs = [(layer, pack.set_rows, pack.set_maps) for layer in sets]
    # A closing row cannot look at all matches and at the first of them in one layer.
    after = ~(pack.one_rows[:, None] == pack.closing[None]).all(-1).any(1)
    later = pack.one_rows[after], pack.one_maps[after]
    jobs += [(layer, *(later if layer in sets else (pack.one_rows, pack.one_maps))) for layer in settings.look]
    for layer, rows, maps in jobs:
        if not len(rows):
            continue
        scores = attention_scores(language.layers[layer].self_attn, queries[layer], cache[layer][0])
        looks = scores.transpose(1, 2)[rows[:, 0], rows[:, 1]].softmax(-1).mean(1)
        total.append(-(maps * (looks + 1e-6).log()).sum(-1).mean())
        if rows is pack.set_rows:
            there = maps.amax(-1) > 1.5 / maps.shape[-1]  # absent targets have nowhere to look
            mass = float((looks * (maps > 0)).sum(-1)[there].mean().detach())
    return torch.stack(total).mean(), mass


@torch.no_grad()
def _readings(logits, target, located, losses, pack: Pack, first_location: int) -> Dict[str, float]:
    guess = logits.argmax(-1)
    error = (guess - target)[located].abs().float()
    first = torch.zeros_like(pack.targets, dtype=torch.bool)
    first[pack.closing[:, 0], pack.closing[:, 1]] = True
    first = first[pack.targets != IGNORE]
    is_location = (guess >= first_location) & (guess < first_location + BINS)
    right = torch.where(located, is_location, guess == target)
    # A box is four locations in a row, each said after the true ones before it.
    boxes = guess[located] - first_location, target[located] - first_location
    return {
        "iou50": _share_found(*boxes) if len(boxes[0]) % 4 == 0 else float("nan"),
        "location": float(losses[located].mean()),
        "word": float(losses[~located].mean()),
        "word_accuracy": float((guess == target)[~located].float().mean()),
        "bins_off": float(error.median()),
        "branch": float(right[first].float().mean()),
    }


def _share_found(guess: torch.Tensor, target: torch.Tensor) -> float:
    """Share of boxes int64[4·K] (ymin, xmin, ymax, xmax in bins) with an IoU of 0.5 or more; nan if there are none."""
    a, b = (x.clamp(0, BINS - 1).view(-1, 2, 2).float() for x in (guess, target))
    inside = (torch.minimum(a[:, 1], b[:, 1]) - torch.maximum(a[:, 0], b[:, 0])).clamp(0).prod(1)
    area = [(x[:, 1] - x[:, 0]).clamp(0).prod(1) for x in (a, b)]
    return float((inside >= 0.5 * (area[0] + area[1] - inside).clamp(1e-6)).float().mean())
