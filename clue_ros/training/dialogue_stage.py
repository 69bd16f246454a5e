"""Stage 4, `clue train dialogue`: adapter B on dialogues by cumulative revealing, U -> R1, U‖R1H1 -> R2, …, -> G
(CLUE, section III-A.1), loss on the suffix only."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Dict, Tuple

import numpy as np
import torch

from clue_ros.prompt import CLARIFY
from clue_ros.simulation.queries import query_of, scene_states
from clue_ros.training.adapters import LoraSettings, NamedParameters, add_adapter, named_adapter_parameters
from clue_ros.training.device import Device, moved
from clue_ros.training.features import FeatureData
from clue_ros.training.language_stage import LanguageSettings, pack_loss
from clue_ros.training.loop import Run
from clue_ros.training.optimizer import Optimizer
from clue_ros.training.packing import Packer
from clue_ros.training.parallel import world
from clue_ros.training.settings import LoopSettings
from clue_ros.training.slot import Slot

NAME = "dialogue"


@dataclass(frozen=True)
class DialogueSettings(LoopSettings):
    steps: int = 300
    batch: int = 12
    queries: int = 8
    length: int = 200


def train_dialogue(
    model,
    tokenizer,
    source: FeatureData,
    folder: Path,
    language: LanguageSettings,
    settings: DialogueSettings = DialogueSettings(),
    lora: LoraSettings = LoraSettings(),
    slot: Slot = Slot(),
    device: Device = Device(),
) -> Run:
    """Train adapter B on a base model; `language` gives the loss its smoothing, tap and attention layers."""
    add_adapter(model, NAME, None, lora)
    model.set_adapter(NAME)
    model.to(device.name)
    named = named_adapter_parameters(model, NAME)
    for _, parameter in named:
        parameter.requires_grad_(True)
    packer = Packer(tokenizer, source.features.shape[1])
    optimizer = Optimizer(named, settings.lr, settings.weight_decay, settings.optimizer)
    run = Run(
        folder,
        {"adapter": NamedParameters(named)},
        optimizer,
        {"stage": NAME, **asdict(settings), "lora": asdict(lora)},
        settings.seed,
    )
    loss_settings = replace(language, length=settings.length)

    def loss_of(step: int, rng: np.random.Generator) -> Tuple[torch.Tensor, Dict[str, float]]:
        features, patches, objects, sizes = source.draw(settings.batch // world(), rng)
        per_image = []
        for o, z in zip(objects, sizes):
            states = [
                s
                for s in scene_states(o, z, rng, settings.queries + 2)
                if len(s.step.remaining) <= 1 or s.step.question is not None
            ]
            per_image.append([query_of(s, CLARIFY, o, z, rng) for s in states[: settings.queries]])
        pack = moved(packer.pack(per_image, patches, settings.length), device.name)
        return pack_loss(model, model.model.multi_modal_projector(features), pack, packer.first_location, loss_settings)

    model.train()
    run.train(settings, loss_of, title="dialogue", slot=slot)
    model.eval()
    return run
