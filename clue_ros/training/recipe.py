"""The recipe of a training run: one YAML file, checked at load."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import List, Sequence, Tuple

from clue_ros.configuration import choice_problems, range_problems
from clue_ros.eyes.sight import SightShape
from clue_ros.training.adapters import LoraSettings
from clue_ros.training.detector_stage import DetectorSettings
from clue_ros.training.device import CPU_PRECISIONS, GpuSettings, gpu_problems, scaled
from clue_ros.training.dialogue_stage import DialogueSettings
from clue_ros.training.eye_settings import (
    EYES,
    PARTS,
    CropSettings,
    NeckSettings,
    PatchSettings,
    SetSettings,
    set_problems,
)
from clue_ros.training.joint_stage import JointSettings
from clue_ros.training.language_stage import LanguageSettings
from clue_ros.training.mask_stage import MaskSettings
from clue_ros.training.recipe_file import read_recipe
from clue_ros.training.sweep import SweepSettings
from clue_ros.training.tabletop_model import TabletopSize
from clue_ros.training.validation import HIGHER_IS_BETTER, KEEP, LOWER_IS_BETTER
from clue_ros.training.variants import setting_problems
from clue_ros.training.vision import VisionSettings

# Of a model from nothing, in order.
DEFAULT_CONFIG = Path(__file__).parent / "tabletop.yaml"
STAGES = ("vision", "language", "detector", "dialogue", "export", "joint", "calibrate", "mask")
EYE_STAGES = (*PARTS, EYES)  # of a model whose eyes are frozen


@dataclass(frozen=True)
class DataSettings:
    """Scenes rendered for training and for fitting the threshold, and their seeds. varied: the training scenes' shapes
    are bent in every second shard (simulation/variety.py); the validation scenes' never are. sets: the pictures that
    the eyes (stages patch, crop, neck), language and joint learn from, in the place of the rendered ones; photographs:
    data sets of labelled instructions about photographs that the gate, the thresholds and the confidence are fitted on
    as well."""

    train_scenes: int = 7000
    train_seed: int = 1
    varied: bool = False
    validation_scenes: int = 400
    validation_seed: int = 2
    sets: Tuple[SetSettings, ...] = ()
    photographs: Tuple[str, ...] = ()


@dataclass(frozen=True)
class StartSettings:
    """model: directory of a model of the same size whose weights vision and language begin with, and the eyes if it has
    some; empty for a model from nothing."""

    model: str = ""


@dataclass(frozen=True)
class TrainConfig:
    """stages: what `clue train all` runs, in this order; size: of a model trained from nothing (with a base directory
    the base's own size counts)."""

    stages: Tuple[str, ...] = STAGES
    data: DataSettings = field(default_factory=DataSettings)
    start: StartSettings = field(default_factory=StartSettings)
    size: TabletopSize = field(default_factory=TabletopSize)
    sight: SightShape = field(default_factory=SightShape)
    patch: PatchSettings = field(default_factory=PatchSettings)
    crop: CropSettings = field(default_factory=CropSettings)
    neck: NeckSettings = field(default_factory=NeckSettings)
    vision: VisionSettings = field(default_factory=VisionSettings)
    language: LanguageSettings = field(default_factory=LanguageSettings)
    detector: DetectorSettings = field(default_factory=DetectorSettings)
    dialogue: DialogueSettings = field(default_factory=DialogueSettings)
    joint: JointSettings = field(default_factory=JointSettings)
    mask: MaskSettings = field(default_factory=MaskSettings)
    sweep: SweepSettings = field(default_factory=SweepSettings)
    lora: LoraSettings = field(default_factory=LoraSettings)
    gpu: GpuSettings = field(default_factory=GpuSettings)

    def problems(self) -> List[str]:
        """What is wrong beyond the types, all of it."""
        known = (*STAGES, *EYE_STAGES)
        found = [f"'stages' names '{s}', must be one of {', '.join(known)}" for s in self.stages if s not in known]
        found += set_problems(self.data.sets) + range_problems(self.sight, "sight", ("glances",), 1)
        for name in (*PARTS, "vision", "language", "detector", "dialogue", "joint", "mask", "sweep"):
            found += setting_problems(getattr(self, name), name)
        for name in ("vision", "language", "joint", "mask"):
            settings = getattr(self, name)
            found += range_problems(settings, name, ("validate_every",), 0)
            found += range_problems(settings, name, ("validation",), 1)
            found += choice_problems(settings, name, {"keep": KEEP, "metric": (*LOWER_IS_BETTER, *HIGHER_IS_BETTER)})
        found += gpu_problems(self.gpu)
        for name in ("vision", "language", "joint"):
            found += choice_problems(getattr(self, name), name, {"precision": CPU_PRECISIONS})
        return found + range_problems(self.lora, "lora", ("r",), 1)


def read_config(file: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a YAML recipe; overrides: 'section.key=value' each. Raises TrainingError listing every problem in them."""
    return read_recipe(TrainConfig, file, overrides)


def on_card(config: TrainConfig) -> TrainConfig:
    """The recipe as a CUDA card runs it: batches and learning rates by `gpu.batch` and `gpu.rate`."""
    stages = (*PARTS, "vision", "language", "detector", "dialogue", "joint", "mask", "sweep")
    return replace(config, **{name: scaled(getattr(config, name), config.gpu) for name in stages})


# What may change when a stage goes on: none of it touches the loss curve of the steps that were made.
FREE = ("steps", "validate_every", "validation", "keep", "keep_best", "wandb")
