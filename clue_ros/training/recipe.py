"""The recipe of a training run: one YAML file, checked at load."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import List

from clue_ros.configuration import ConfigurationError, from_mapping
from clue_ros.training.adapters import LoraSettings
from clue_ros.training.detector_stage import DetectorSettings
from clue_ros.training.dialogue_stage import DialogueSettings
from clue_ros.training.joint_stage import JointSettings
from clue_ros.training.language_stage import LanguageSettings
from clue_ros.training.sweep import SweepSettings
from clue_ros.training.tabletop_model import TabletopSize
from clue_ros.training.variants import setting_problems
from clue_ros.training.vision import VisionSettings
from clue_ros.types import ClueError


class TrainingError(ClueError):
    """A stage cannot run; the text says what is missing."""


@dataclass(frozen=True)
class DataSettings:
    """Scenes rendered for training and for fitting the threshold, and their seeds."""

    train_scenes: int = 7000
    train_seed: int = 1
    validation_scenes: int = 400
    validation_seed: int = 2


@dataclass(frozen=True)
class TrainConfig:
    """size: of a model trained from nothing; with a base directory the base's own size counts."""

    data: DataSettings = field(default_factory=DataSettings)
    size: TabletopSize = field(default_factory=TabletopSize)
    vision: VisionSettings = field(default_factory=VisionSettings)
    language: LanguageSettings = field(default_factory=LanguageSettings)
    detector: DetectorSettings = field(default_factory=DetectorSettings)
    dialogue: DialogueSettings = field(default_factory=DialogueSettings)
    joint: JointSettings = field(default_factory=JointSettings)
    sweep: SweepSettings = field(default_factory=SweepSettings)
    lora: LoraSettings = field(default_factory=LoraSettings)

    def problems(self) -> List[str]:
        """What is wrong beyond the types, all of it."""
        found: List[str] = []
        for name in ("vision", "language", "detector", "dialogue", "joint", "sweep"):
            found += setting_problems(getattr(self, name), name)
        if self.lora.r < 1:
            found.append(f"'lora.r' is {self.lora.r}, must be 1 or more")
        return found


def read_config(file: Path) -> TrainConfig:
    """Read a YAML recipe. Raises TrainingError listing every problem in it."""
    import yaml

    try:
        config = from_mapping(TrainConfig, yaml.safe_load(Path(file).read_text(encoding="utf-8")) or {})
        if config.problems():
            raise ConfigurationError("; ".join(config.problems()))
        return config
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ConfigurationError) as error:
        raise TrainingError(f"the recipe {file} cannot be used: {error}") from error
