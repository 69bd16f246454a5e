"""`clue train joint`: one-pass CLUE, one adapter that speaks and whose own attention says when to ask.

    clue train joint --base clue_ros/models/tabletop --output runs/joint

The paper runs two prefixes through two adapters. Here one adapter on all layers is trained on the dialogue pairs
(`clarify ‖ C`, loss on the suffix only) plus an auxiliary loss: the CNN reads the map of layer k of that very pass,
from the closing row, and its binary cross-entropy, weighted by `ambiguity_weight`, reaches the adapter too. At serving
time the tap then costs nothing beyond the prefill that goes on to generate.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F

from clue_ros.ambiguity.detector import FILE as CNN_FILE
from clue_ros.ambiguity.detector import AmbiguityDetector
from clue_ros.measures.classification import best_threshold, figures_at
from clue_ros.photographs.annotations import Photograph
from clue_ros.photographs.queries import photo_states, sayable_objects
from clue_ros.prompt import CLARIFY
from clue_ros.simulation.queries import Query, query_of, scene_states
from clue_ros.training.adapters import (
    LoraSettings,
    NamedParameters,
    add_adapter,
    load_adapter_weights,
    named_adapter_parameters,
)
from clue_ros.training.detector_stage import shaken, verdict_readings
from clue_ros.training.device import Device, moved
from clue_ros.training.features import FeatureData
from clue_ros.training.language_stage import LanguageSettings, suffix_loss, supervised_layers
from clue_ros.training.loop import Run
from clue_ros.training.optimizer import Optimizer
from clue_ros.training.packed import closing_maps, pack_pass
from clue_ros.training.packing import IGNORE, Pack, Packer
from clue_ros.training.parallel import gathered, rank, world
from clue_ros.training.settings import MeasuredSettings
from clue_ros.training.slot import Slot
from clue_ros.training.validation import chosen_scenes, evaluating, mean_of_batches

NAME = "dialogue"  # the folder under adapters/: one adapter does both


@dataclass(frozen=True)
class JointSettings(MeasuredSettings):
    """lr: of the adapter; cnn_lr: of the CNN; ambiguity_weight: of the auxiliary loss; tap: layer whose map is read;
    start_from: an adapter folder of the base (adapters/NAME) to start from, with the base's CNN if it has one (a map of
    another layer is still a map); empty for fresh ones; metric: loss, auc, f1, ambiguity, iou50, branch, …; keep: what
    the export takes; precision: as of the language stage."""

    steps: int = 500
    batch: int = 12
    queries: int = 8
    length: int = 200
    cnn_lr: float = 2e-3
    tap: int = 3
    ambiguity_weight: float = 0.5
    start_from: str = "dialogue"
    precision: str = "fp32"
    warmup: int = 25
    validate_every: int = 50
    validation: int = 60


class JointTrainer:
    """One adapter on all layers and the CNN on a base model whose own weights stay as they are.

    base_folder: where `start_from` is looked for, None for no model directory.
    """

    def __init__(
        self,
        model,
        tokenizer,
        source: FeatureData,
        folder: Path,
        language: LanguageSettings,
        settings: JointSettings = JointSettings(),
        lora: LoraSettings = LoraSettings(),
        base_folder: "Path | None" = None,
        device: Device = Device(),
    ):
        self.model, self.source, self.settings, self._device = model, source, settings, device.name
        self._context = device.decoder
        add_adapter(model, NAME, None, lora)
        self.detector = AmbiguityDetector()
        start = Path(base_folder or "") / "adapters" / settings.start_from
        if base_folder and settings.start_from and start.is_dir():
            load_adapter_weights(model, NAME, start)
            if (Path(base_folder) / CNN_FILE).is_file():
                self.detector = AmbiguityDetector.load(base_folder)
        model.to(self._device)
        self.detector.to(self._device)
        named = named_adapter_parameters(model, NAME)
        self.packer = Packer(tokenizer, source.features.shape[1])
        self._speech = replace(language, length=settings.length, tap=settings.tap)
        optimizer = Optimizer(named, settings.lr, settings.weight_decay, settings.optimizer)
        optimizer.add(self.detector.named_parameters(), settings.cnn_lr, settings.weight_decay, "adamw")
        self.run = Run(
            folder,
            {"adapter": NamedParameters(named), "detector": self.detector},
            optimizer,
            {"stage": "joint", **asdict(settings), "lora": asdict(lora)},
            settings.seed,
        )

    def train(self, held: Optional[FeatureData] = None, slot: Slot = Slot()) -> Run:
        """held: features of the held-out scenes to measure, None for no measurement. Raises SlotOver."""
        self.model.train()
        self.detector.train()
        watch = None
        if held is not None:
            watch = partial(self.measure, held, chosen_scenes(len(held), self.settings.validation))
        self.run.train(self.settings, self._loss, title="joint", measure=watch, slot=slot)
        self.model.eval()
        self.detector.eval()
        return self.run

    def measure(self, held: FeatureData, chosen: np.ndarray) -> Dict[str, float]:
        """Loss, the readings of the language stage, and F1 (at its best threshold) and AUC of the map, on held-out
        scenes by index."""
        s, scores = self.settings, []

        def one(index: np.ndarray, rng: np.random.Generator) -> Dict[str, float]:
            features, patches, objects, sizes = held.take(chosen[index])
            pack = clarify_pack(self.packer, objects, sizes, patches, s.queries, s.length, rng)
            loss, readings, logits, label = self._both(features, pack)
            if rank() == 0 or index[0]:  # every process runs the first batch; its scores count once
                scores.append(torch.stack([logits, label], 1).cpu())
            return {**readings, "loss": float(loss)}

        with evaluating(self.model, self.detector):
            values = mean_of_batches(len(chosen), s.batch, one)
        rows = gathered(torch.cat([torch.zeros(0, 2), *scores]))
        probability, label = rows[:, 0].sigmoid().numpy(), rows[:, 1].numpy() > 0.5
        figures = figures_at(probability, label, ["all"] * len(label), best_threshold(probability, label))
        values.update({k: float("nan") if figures[k] is None else figures[k] for k in ("f1", "accuracy", "auc")})
        return values

    def _loss(self, step: int, rng: np.random.Generator) -> Tuple[torch.Tensor, Dict[str, float]]:
        features, pack = self.draw(self.settings.batch // world(), rng)
        with self._context(self.settings.precision):
            loss, readings, _, _ = self._both(features, pack, rng)
        return loss, readings

    def _both(self, features: torch.Tensor, pack: Pack, shake: Optional[np.random.Generator] = None):
        """(loss, readings, log-odds float32[Q], label float32[Q]) of a pack; `shake`: draws the maps' augmentation."""
        pack = moved(pack, self._device)
        language, tap = self.model.model.language_model, self.settings.tap
        embedded = self.model.model.multi_modal_projector(features)
        image, text = pack_pass(language, embedded, pack, None, supervised_layers(self._speech))
        loss, readings = suffix_loss(self.model, image, text, pack, self.packer.first_location, self._speech)
        maps = closing_maps(language, tap, text.queries[tap], image.cache[tap][0], pack)
        label = torch.tensor([float(q.ambiguous) for q in pack.queries], device=maps.device)
        logits = self.detector(maps if shake is None else shaken(maps, shake))
        auxiliary = F.binary_cross_entropy_with_logits(logits, label)
        readings.update(ambiguity=float(auxiliary.detach()), **verdict_readings(logits.detach(), label))
        return loss + self.settings.ambiguity_weight * auxiliary, readings, logits.detach(), label

    def draw(self, count: int, rng: np.random.Generator) -> Tuple[torch.Tensor, Pack]:
        """(features float32[B,N,D], pack of `clarify` pairs) of random scenes."""
        s = self.settings
        index = self.source.pick(count, rng)
        features, patches, objects, sizes = self.source.take(index)
        photographs = [self.source.photograph(i) for i in index]
        return features, clarify_pack(self.packer, objects, sizes, patches, s.queries, s.length, rng, photographs)

    @torch.no_grad()
    def scores(self, batches: int, seed: int = 1) -> Tuple[np.ndarray, np.ndarray, list]:
        """(probability by the map float64[Q], label bool[Q], expression type[Q]) on batches drawn from the source."""
        self.model.eval()
        self.detector.eval()
        probability, label, kinds = [], [], []
        language, tap = self.model.model.language_model, self.settings.tap
        for n in range(batches):
            features, pack = moved(self.draw(self.settings.batch, np.random.default_rng([seed, n])), self._device)
            image, text = pack_pass(language, self.model.model.multi_modal_projector(features), pack, tap + 1, (tap,))
            maps = closing_maps(language, tap, text.queries[tap], image.cache[tap][0], pack)
            probability += self.detector(maps).sigmoid().tolist()
            label += [q.ambiguous for q in pack.queries]
            kinds += [q.kind for q in pack.queries]
        return np.array(probability), np.array(label), kinds


def clarify_pack(
    packer: Packer,
    objects: Sequence,
    sizes: Sequence,
    patches: np.ndarray,
    queries: int,
    length: int,
    rng: np.random.Generator,
    photographs: Optional[Sequence[Optional[Photograph]]] = None,
) -> Pack:
    """The dialogue pairs of some scenes, ambiguous states that no question resolves included. photographs: those of
    which less may be said than of a scene, None for a scene.

    Of those states only the first token is a target: that a question must follow is certain, which one is not.
    """
    per_image: List[List[Query]] = []
    for o, z, photo in zip(objects, sizes, photographs or [None] * len(objects)):
        own = []
        states = scene_states(o, z, rng, queries) if photo is None else photo_states(photo, rng, queries)
        o = o if photo is None else sayable_objects(photo)
        for state in states:
            query = query_of(state, CLARIFY, o, z, rng)
            if len(state.step.remaining) > 1 and state.step.question is None:
                query = replace(query, segments=((QUESTION_START, ()),))
            own.append(query)
        per_image.append(own)
    pack = packer.pack(per_image, patches, length)
    for (b, row), query in zip(pack.closing.tolist(), pack.queries):
        if query.segments == ((QUESTION_START, ()),):
            pack.targets[b, row + 1] = IGNORE
    return pack


QUESTION_START = "do"  # the first word of every question of the teacher
