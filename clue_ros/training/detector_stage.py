"""Stage 3, `clue train detector`: adapter A, and the CNN that reads its map or the answer it gives: ambiguous or not.

    clue train detector --base clue_ros/models/tabletop --variant half-full-disambig-ar --output runs/hfd

The variants of the paper are four settings (training/variants.py); which weights a loss reaches: training/packed.py.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Dict, Tuple

import numpy as np
import torch
import torch.nn.functional as F

from clue_ros.ambiguity.kinds import KINDS
from clue_ros.simulation.queries import query_of, scene_states
from clue_ros.training.adapters import LoraSettings, NamedParameters, add_adapter, named_adapter_parameters
from clue_ros.training.device import Device, moved
from clue_ros.training.features import FeatureData
from clue_ros.training.loop import Run
from clue_ros.training.optimizer import Optimizer
from clue_ros.training.packed import packed_logits, packed_maps
from clue_ros.training.packing import Pack, Packer
from clue_ros.training.settings import LoopSettings
from clue_ros.training.slot import Slot
from clue_ros.training.variants import adapted_layers

NAME = "detector"


@dataclass(frozen=True)
class DetectorSettings(LoopSettings):
    """reading, prefix, depth, finetune: the variant (training/variants.py); lr: of the CNN; adapter_lr: of adapter A
    below a CNN; answer_lr: of adapter A where it answers itself. The paper's rates, 1e-4 and 5e-6 with AdamW, weight
    decay 1e-4 and a linear schedule (paper.yaml), belong to a pretrained model of 3 billion parameters."""

    steps: int = 400
    queries: int = 8
    length: int = 160
    lr: float = 2e-3
    adapter_lr: float = 2e-4
    answer_lr: float = 2e-3
    tap: int = 2
    reading: str = "cnn"
    prefix: str = "detect"
    depth: str = "half"
    finetune: str = "last"


class DetectorTrainer:
    """Adapter A, and the CNN if there is one, on a base model whose own weights stay as they are."""

    def __init__(
        self,
        model,
        tokenizer,
        source: FeatureData,
        folder: Path,
        settings: DetectorSettings,
        lora: LoraSettings = LoraSettings(),
        device: Device = Device(),
    ):
        self.model, self.source, self.settings, self._device = model, source, settings, device.name
        s, layers = settings, model.config.get_text_config().num_hidden_layers
        add_adapter(model, NAME, adapted_layers(s, layers), lora)
        model.to(self._device)
        named = named_adapter_parameters(model, NAME)
        self.packer = Packer(tokenizer, source.features.shape[1])
        self.kind = KINDS[s.reading]
        self.head = self.kind.new_head(tokenizer).to(self._device)
        modules: Dict[str, torch.nn.Module] = {"adapter": NamedParameters(named)}
        learns = any(True for _ in self.head.parameters())
        optimizer = Optimizer(named, s.adapter_lr if learns else s.answer_lr, s.weight_decay, s.optimizer)
        if learns:
            modules["detector"] = self.head
            optimizer.add(self.head.named_parameters(), s.lr, s.weight_decay, "adamw")
        self.run = Run(folder, modules, optimizer, {"stage": NAME, **asdict(s), "lora": asdict(lora)}, s.seed)

    def train(self, slot: Slot = Slot()) -> Run:
        self._mode(True)
        self.run.train(self.settings, self._loss, title="detector", slot=slot)
        self._mode(False)
        return self.run

    def _mode(self, training: bool) -> None:
        self.model.train(training)
        self.head.train(training)

    def _loss(self, step: int, rng: np.random.Generator) -> Tuple[torch.Tensor, Dict[str, float]]:
        features, pack = self.draw(rng)
        label = torch.tensor([float(q.ambiguous) for q in pack.queries], device=self._device)
        logits = self.logits(features, pack, rng)
        return F.binary_cross_entropy_with_logits(logits, label), verdict_readings(logits, label)

    def draw(self, rng: np.random.Generator) -> Tuple[torch.Tensor, Pack]:
        """(features float32[B,N,D], pack of the batch's queries) of random scenes."""
        s = self.settings
        features, patches, objects, sizes = self.source.draw(s.batch, rng)
        per_image = [
            [query_of(state, s.prefix, o, z, rng) for state in scene_states(o, z, rng, s.queries)]
            for o, z in zip(objects, sizes)
        ]
        return features, moved(self.packer.pack(per_image, patches, s.length), self._device)

    def logits(self, features: torch.Tensor, pack: Pack, shake: "np.random.Generator | None" = None) -> torch.Tensor:
        """float32[Q]: log-odds that each query is ambiguous; `shake`: draws the augmentation of the maps."""
        s = self.settings
        if not self.kind.reads_map:
            return self.head(packed_logits(self.model, features, pack, self.kind.stop(s.depth, s.tap)))
        maps = packed_maps(self.model, features, pack, s.tap)
        return self.head(maps if shake is None else shaken(maps, shake))

    @torch.no_grad()
    def scores(self, batches: int, seed: int = 1) -> Tuple[np.ndarray, np.ndarray, list]:
        """(probability float64[Q], label bool[Q], expression type[Q]) on batches drawn from the source."""
        self._mode(False)
        probability, label, kinds = [], [], []
        for n in range(batches):
            features, pack = self.draw(np.random.default_rng([seed, n]))
            probability += self.logits(features, pack).sigmoid().tolist()
            label += [q.ambiguous for q in pack.queries]
            kinds += [q.kind for q in pack.queries]
        return np.array(probability), np.array(label), kinds


def verdict_readings(logits: torch.Tensor, label: torch.Tensor) -> Dict[str, float]:
    """Accuracy and F1 of log-odds float32[Q] at 0.5 against float32[Q], and the share of ambiguous ones."""
    guess = (logits > 0).float()
    hit = float((guess * label).sum())
    return {
        "accuracy": float((guess == label).float().mean()),
        "f1": 2 * hit / max(1.0, float(guess.sum() + label.sum())),
        "share": float(label.mean()),
    }


def shaken(maps: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Maps rolled by up to two patches and mirrored at random: how many regions there are does not depend on where."""
    shift = tuple(int(v) for v in rng.integers(-2, 3, 2))
    maps = torch.roll(maps, shift, (1, 2))
    if rng.random() < 0.5:
        maps = maps.flip(2)
    return maps.flip(1) if rng.random() < 0.3 else maps
