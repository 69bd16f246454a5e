"""The recipe of a training run: one YAML file, checked at load."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

from clue_ros.configuration import ConfigurationError, from_mapping
from clue_ros.training.adapters import LoraSettings
from clue_ros.training.detector_stage import DetectorSettings
from clue_ros.training.device import CPU_PRECISIONS, GpuSettings, gpu_problems, scaled
from clue_ros.training.dialogue_stage import DialogueSettings
from clue_ros.training.joint_stage import JointSettings
from clue_ros.training.language_stage import LanguageSettings
from clue_ros.training.mask_stage import MaskSettings
from clue_ros.training.sweep import SweepSettings
from clue_ros.training.tabletop_model import TabletopSize
from clue_ros.training.validation import HIGHER_IS_BETTER, KEEP, LOWER_IS_BETTER
from clue_ros.training.variants import setting_problems
from clue_ros.training.vision import VisionSettings
from clue_ros.types import ClueError

# Of a model from nothing, in order.
DEFAULT_CONFIG = Path(__file__).parent / "tabletop.yaml"
STAGES = ("vision", "language", "detector", "dialogue", "export", "joint", "calibrate", "mask")


class TrainingError(ClueError):
    """A stage cannot run; the text says what is missing."""


@dataclass(frozen=True)
class DataSettings:
    """Scenes rendered for training and for fitting the threshold, and their seeds. varied: the training scenes' shapes
    are bent in every second shard (simulation/variety.py); the validation scenes' never are."""

    train_scenes: int = 7000
    train_seed: int = 1
    varied: bool = False
    validation_scenes: int = 400
    validation_seed: int = 2


@dataclass(frozen=True)
class StartSettings:
    """model: directory of a model of the same size and words whose weights vision and language begin with; empty for a
    model from nothing."""

    model: str = ""


@dataclass(frozen=True)
class TrainConfig:
    """stages: what `clue train all` runs, in this order; size: of a model trained from nothing (with a base directory
    the base's own size counts)."""

    stages: Tuple[str, ...] = STAGES
    data: DataSettings = field(default_factory=DataSettings)
    start: StartSettings = field(default_factory=StartSettings)
    size: TabletopSize = field(default_factory=TabletopSize)
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
        found = [f"'stages' names '{s}', must be one of {', '.join(STAGES)}" for s in self.stages if s not in STAGES]
        for name in ("vision", "language", "detector", "dialogue", "joint", "mask", "sweep"):
            found += setting_problems(getattr(self, name), name)
        for name in ("vision", "language", "joint", "mask"):
            found += _validation_problems(getattr(self, name), name)
        found += gpu_problems(self.gpu)
        if self.vision.precision not in CPU_PRECISIONS:
            found.append(f"'vision.precision' is '{self.vision.precision}', must be one of {', '.join(CPU_PRECISIONS)}")
        if self.lora.r < 1:
            found.append(f"'lora.r' is {self.lora.r}, must be 1 or more")
        return found


def read_config(file: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a YAML recipe; overrides: 'section.key=value' each. Raises TrainingError listing every problem in them."""
    import yaml

    try:
        values = yaml.safe_load(Path(file).read_text(encoding="utf-8")) or {}
        config = from_mapping(TrainConfig, overridden(values, overrides) if overrides else values)
        if config.problems():
            raise ConfigurationError("; ".join(config.problems()))
        return config
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ConfigurationError) as error:
        raise TrainingError(f"the recipe {file} cannot be used: {error}") from error


def overridden(values: Any, overrides: Sequence[str]) -> Dict:
    """A recipe's mapping with 'section.key=value' put in, values written as in YAML (1e-3 is a number too). Raises
    ConfigurationError naming all that are no such thing; what they mean is checked with the recipe."""
    import yaml

    found = json.loads(json.dumps(values))  # a copy, lists and mappings included
    wrong = [text for text in overrides if not re.fullmatch(r"\w+(\.\w+)+=.*", text, re.DOTALL)]
    if wrong or not isinstance(found, dict):
        raise ConfigurationError(
            "--set takes section.key=value, got " + ", ".join(f"'{w}'" for w in wrong)
            if wrong
            else "the file must be a mapping of names to values"
        )
    for text in overrides:
        path, _, written = text.partition("=")
        value = yaml.safe_load(written)
        if isinstance(value, str) and re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+", value):
            value = float(value)
        *sections, key = path.split(".")
        place = found
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise ConfigurationError(f"--set {text}: '{section}' is no section")
        place[key] = value
    return found


def on_card(config: TrainConfig) -> TrainConfig:
    """The recipe as a CUDA card runs it: batches and learning rates by `gpu.batch` and `gpu.rate`."""
    stages = ("vision", "language", "detector", "dialogue", "joint", "mask", "sweep")
    return replace(config, **{name: scaled(getattr(config, name), config.gpu) for name in stages})


# What may change when a stage goes on: none of it touches the loss curve of the steps that were made.
FREE = ("steps", "validate_every", "validation", "keep")
RECORD = "recipe.yaml"


def hold_recipe(folder: Path, command: str, sections: Dict[str, Any]) -> None:
    """Write the sections of a recipe that a stage uses into its run folder; sections: dataclasses by name.

    Raises TrainingError, naming what differs, if the folder holds a run that was made with others.
    """
    import yaml

    new = json.loads(json.dumps({name: asdict(part) for name, part in sections.items()}))
    folder = Path(folder)
    file = folder / RECORD
    if file.is_file() and (folder / "state.json").exists():
        old = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        differing = [
            f"{name}.{key} was {old[name][key]!r}, is {value!r}"
            for name, part in new.items()
            for key, value in part.items()
            if key not in FREE and key in old.get(name, {}) and old[name][key] != value
        ]
        if differing:
            raise TrainingError(
                f"{folder} holds a run with another recipe ({'; '.join(differing[:6])}): give the same "
                "one to go on (only steps and how validation is made may change), choose another "
                "--output, or delete the folder to start anew"
            )
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        f"# The recipe as used by: {command}\n",
        yaml.safe_dump(new, sort_keys=False, default_flow_style=None, width=120),
    ]
    partial = file.with_suffix(".partial")
    partial.write_text("".join(lines), encoding="utf-8")
    partial.replace(file)


def _validation_problems(settings, where: str) -> List[str]:
    found = []
    for name, least in (("validate_every", 0), ("validation", 1)):
        if getattr(settings, name) < least:
            found.append(f"'{where}.{name}' is {getattr(settings, name)}, must be {least} or more")
    for name, choices in (("keep", KEEP), ("metric", (*LOWER_IS_BETTER, *HIGHER_IS_BETTER))):
        if getattr(settings, name) not in choices:
            found.append(f"'{where}.{name}' is '{getattr(settings, name)}', must be one of {', '.join(choices)}")
    return found
