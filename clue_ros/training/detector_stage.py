"""Stage 3, `clue train detector`: adapter A on the tap layer, and the CNN that reads its map, on ambiguous or not.

Half-Last-Detect (CNN) of the paper: layers 0 … k, only layer k adapted. The map depends on layer k through its queries
and keys alone, so of adapter A only q and k of that layer receive a gradient; no other layer is run with gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np
import torch
import torch.nn.functional as F

from clue_ros.ambiguity.detector import AmbiguityDetector
from clue_ros.prompt import DETECT
from clue_ros.training.adapters import LoraSettings, NamedParameters, add_adapter, named_adapter_parameters
from clue_ros.training.features import FeatureData
from clue_ros.training.loop import Run
from clue_ros.training.optimizer import Optimizer
from clue_ros.training.packing import Pack, Packer
from clue_ros.training.queries import query_of, scene_states
from clue_ros.vlm.attention import to_map
from clue_ros.vlm.decoder import attention_scores, image_keys, run_layers, text_queries

NAME = "detector"


@dataclass(frozen=True)
class DetectorSettings:
    """lr: of the CNN; adapter_lr: of adapter A. The paper's 5e-6 and 1e-4 belong to a pretrained 3B model."""

    steps: int = 400
    batch: int = 16
    queries: int = 8
    length: int = 160
    lr: float = 2e-3
    adapter_lr: float = 2e-4
    tap: int = 2
    seed: int = 0


class DetectorTrainer:
    """Adapter A and the CNN on a base model whose own weights stay as they are."""

    def __init__(self, model, tokenizer, source: FeatureData, folder: Path, settings: DetectorSettings,
                 lora: LoraSettings = LoraSettings()):
        self.model, self.source, self.settings = model, source, settings
        add_adapter(model, NAME, [settings.tap], lora)
        self.detector = AmbiguityDetector()
        self.packer = Packer(tokenizer, source.features.shape[1])
        adapter = [(k, p) for k, p in named_adapter_parameters(model, NAME)]
        self._run = Run(folder, {"detector": self.detector, "adapter": NamedParameters(adapter)},
                        _TwoRates(self.detector, [p for _, p in adapter], settings), settings, settings.seed)

    def train(self) -> Run:
        self.model.train()
        self.detector.train()
        self._run.train(self.settings.steps, self._loss, title="detector", report_every=25)
        self.model.eval()
        self.detector.eval()
        return self._run

    def _loss(self, step: int, rng: np.random.Generator) -> Tuple[torch.Tensor, Dict[str, float]]:
        pack, maps = self.maps(*self.source.draw(self.settings.batch, rng), rng=rng)
        label = torch.tensor([float(q.ambiguous) for q in pack.queries])
        logits = self.detector(_shaken(maps, rng))
        loss = F.binary_cross_entropy_with_logits(logits, label)
        guess = (logits > 0).float()
        hit = float((guess * label).sum())
        return loss, {"accuracy": float((guess == label).float().mean()),
                      "f1": 2 * hit / max(1.0, float(guess.sum() + label.sum())), "share": float(label.mean())}

    def maps(self, features, patches, objects, sizes, rng) -> Tuple[Pack, torch.Tensor]:
        """The pack of a batch's detect queries and its maps float32[Q,g,g]."""
        s = self.settings
        per_image = [[query_of(state, DETECT, o, z, rng) for state in scene_states(o, z, rng, s.queries)]
                     for o, z in zip(objects, sizes)]
        pack = self.packer.pack(per_image, patches, s.length)
        return pack, packed_maps(self.model, features, pack, s.tap)


def packed_maps(model, features: torch.Tensor, pack: Pack, tap: int) -> torch.Tensor:
    """float32[Q,g,g]: the tap's map of every packed query, from its closing row. Gradients reach layer `tap` only."""
    language = model.model.language_model
    with torch.no_grad():
        embedded = model.model.multi_modal_projector(features)
        count, tokens = embedded.shape[:2]
        positions = torch.arange(1, tokens + 1)[None].expand(count, -1)
        image = run_layers(language, embedded, positions, stop=tap)
        text = run_layers(language, language.embed_tokens(pack.ids), pack.positions, past=image.cache, mask=pack.mask,
                          stop=tap)
    keys = image_keys(language, tap, image.hidden, positions)
    queries = text_queries(language, tap, text.hidden, pack.positions)
    scores = attention_scores(language.layers[tap].self_attn, queries, keys).transpose(1, 2)
    vectors = scores[pack.closing[:, 0], pack.closing[:, 1]].softmax(-1).mean(1)
    grid = int(round(tokens ** .5))
    return to_map(vectors, grid, grid)


def _shaken(maps: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Maps rolled by up to two patches and mirrored at random: how many regions there are does not depend on where."""
    shift = tuple(int(v) for v in rng.integers(-2, 3, 2))
    maps = torch.roll(maps, shift, (1, 2))
    if rng.random() < .5:
        maps = maps.flip(2)
    return maps.flip(1) if rng.random() < .3 else maps


class _TwoRates(Optimizer):
    """AdamW with the paper's two learning rates, behind the interface of `Optimizer`."""

    def __init__(self, detector, adapter: List[torch.nn.Parameter], settings: DetectorSettings):
        self.parameters = [*detector.parameters(), *adapter]
        self.lr = 1.0
        self._rates = (settings.lr, settings.adapter_lr)
        self._parts = [torch.optim.AdamW(detector.parameters(), settings.lr, weight_decay=1e-4),
                       torch.optim.AdamW(adapter, settings.adapter_lr, weight_decay=1e-4)]

    def step(self, scale: float, clip: float = 1.0) -> float:
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, clip))
        for part, rate in zip(self._parts, self._rates):
            for group in part.param_groups:
                group["lr"] = rate * scale
            part.step()
            part.zero_grad(set_to_none=True)
        return norm
