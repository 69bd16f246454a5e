"""`clue train`: the embedded model from nothing, stage by stage or in one go.

    clue train all --output runs/tabletop            # scenes, four stages, model directory in runs/tabletop/model
    clue train language --output runs/tabletop --config my.yaml     # one stage, goes on where it stopped

Each stage reads the run folder of the one before it; an interrupted stage resumes with the same command.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from clue_ros.configuration import ConfigurationError, from_mapping
from clue_ros.training.adapters import LoraSettings
from clue_ros.training.calibrate import calibrate
from clue_ros.training.detector_stage import DetectorSettings, DetectorTrainer
from clue_ros.training.dialogue_stage import DialogueSettings, train_dialogue
from clue_ros.training.export import (best_threshold, detector_report, detector_scores, export, load_base,
                                      write_report)
from clue_ros.training.features import compute_features
from clue_ros.training.language_stage import LanguageSettings, train_language
from clue_ros.training.loop import load_modules
from clue_ros.training.parallel import launch
from clue_ros.training.scene_data import SceneData, load
from clue_ros.training.tabletop_model import TabletopSize
from clue_ros.training.vision import VisionSettings, start, train_vision
from clue_ros.types import ClueError

STAGES = ("vision", "language", "detector", "dialogue", "export", "calibrate")
DEFAULT_CONFIG = Path(__file__).parent / "tabletop.yaml"


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
    data: DataSettings = field(default_factory=DataSettings)
    size: TabletopSize = field(default_factory=TabletopSize)
    vision: VisionSettings = field(default_factory=VisionSettings)
    language: LanguageSettings = field(default_factory=LanguageSettings)
    detector: DetectorSettings = field(default_factory=DetectorSettings)
    dialogue: DialogueSettings = field(default_factory=DialogueSettings)
    lora: LoraSettings = field(default_factory=LoraSettings)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stage", choices=("all", *STAGES), help="one stage, or all of them")
    parser.add_argument("--output", "-o", required=True, type=Path, help="folder of the runs; a stage resumes in it")
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="YAML recipe (default: the shipped model's)")
    parser.add_argument("--data", type=Path, help="folder of the rendered scenes (default: OUTPUT/data)")
    parser.add_argument("--steps", type=int, help="overrides the stage's number of steps")
    parser.add_argument("--processes", type=int, default=1,
                        help="share each batch among CPU processes of one thread each (default: one, with all threads)")


def run(args: argparse.Namespace) -> int:
    stages = _Stages(read_config(args.config), args.output, args.data or args.output / "data", args.steps)
    for stage in STAGES if args.stage == "all" else (args.stage,):
        if args.processes > 1 and stage in ("vision", "language", "dialogue"):
            stages.prepare(stage)
            launch(args.processes, partial(getattr(stages, stage)))
        else:
            getattr(stages, stage)()
    return 0


def read_config(file: Path) -> TrainConfig:
    """Read a YAML recipe. Raises TrainingError listing every problem in it."""
    import yaml

    try:
        values = yaml.safe_load(Path(file).read_text(encoding="utf-8")) or {}
        return from_mapping(TrainConfig, values)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ConfigurationError) as error:
        raise TrainingError(f"the recipe {file} cannot be used: {error}") from error


class _Stages:
    def __init__(self, config: TrainConfig, output: Path, data: Path, steps=None):
        self._config, self._output, self._data, self._steps = config, Path(output), Path(data), steps

    def prepare(self, stage: str) -> None:
        """What must exist before several processes share a stage: they would all make it at once."""
        scenes = self._scenes()
        if stage == "language":
            self._need("vision")
            _, model, _ = start(self._config.size, self._config.language.seed)
            load_modules(self._output / "vision", {"tower": model.model.vision_tower})
            compute_features(model.model.vision_tower, scenes, self._output / "language", self._config.language.seed)

    def vision(self) -> None:
        train_vision(self._scenes(), self._output / "vision", self._with_steps(self._config.vision), self._config.size)

    def language(self) -> None:
        self._need("vision")
        train_language(self._scenes(), self._output / "vision", self._output / "language",
                       self._with_steps(self._config.language), self._config.size)

    def detector(self) -> None:
        trainer = self._detector_trainer(validation=False)
        trainer.train()
        probability, label, kinds = detector_scores(self._detector_trainer(validation=True), 20)
        report = detector_report(probability, label, kinds, best_threshold(probability, label))
        write_report(self._output, "detector", report)
        print(f"detector on {report['count']} held-out expressions: F1 {report['f1']:.3f}, "
              f"accuracy {report['accuracy']:.3f} at threshold {report['threshold']:.2f}")

    def dialogue(self) -> None:
        self._need("language")
        tokenizer, model = load_base(self._output / "language", self._config.size)
        source = compute_features(model.model.vision_tower, self._scenes(), self._output / "language",
                                  self._config.language.seed)
        train_dialogue(model, tokenizer, source, self._output / "dialogue", self._config.language,
                       self._with_steps(self._config.dialogue), self._config.lora)

    def export(self) -> None:
        import json

        for stage in ("language", "detector", "dialogue"):
            self._need(stage)
        threshold = json.loads((self._output / "detector.json").read_text())["threshold"]
        folder = export(self._output / "model", self._output / "language", self._output / "detector",
                        self._output / "dialogue", self._config.language.tap, threshold, self._config.size,
                        self._config.lora)
        print(f"model directory: {folder} — try: clue evaluate demo --model {folder}")

    def calibrate(self) -> None:
        if not (self._output / "model" / "clue.json").exists():
            raise TrainingError(f"{self._output / 'model'} is no model directory: run first "
                                f"clue train export --output {self._output}")
        data = self._scenes(True)
        report = calibrate(self._output / "model", data, len(data))
        for name in ("map alone", "first token alone", "gate"):
            row = report[name]
            print(f"ambiguous or not, {name}: F1 {row['f1']:.3f}, accuracy {row['accuracy']:.3f} "
                  f"({row['count']} held-out expressions)")

    def _detector_trainer(self, validation: bool) -> DetectorTrainer:
        self._need("language")
        tokenizer, model = load_base(self._output / "language", self._config.size)
        if validation:
            source = compute_features(model.model.vision_tower, self._scenes(True), self._output / "validation",
                                      mirror=False)
        else:
            source = compute_features(model.model.vision_tower, self._scenes(), self._output / "language",
                                      self._config.language.seed)
        return DetectorTrainer(model, tokenizer, source, self._output / "detector",
                               self._with_steps(self._config.detector), self._config.lora)

    def _scenes(self, validation: bool = False) -> SceneData:
        from clue_ros.simulation.dataset import generate

        d = self._config.data
        folder = self._data / ("validation" if validation else "train")
        count, seed = (d.validation_scenes, d.validation_seed) if validation else (d.train_scenes, d.train_seed)
        import os

        generate(folder, count, seed, os.cpu_count() or 1)
        return load(folder, self._config.size.image_size, self._config.size.patch_size)

    def _need(self, stage: str) -> None:
        if not (self._output / stage / "state.json").exists():
            raise TrainingError(f"{self._output / stage} holds no finished stage: run first "
                                f"clue train {stage} --output {self._output}")

    def _with_steps(self, settings):
        from dataclasses import replace

        return replace(settings, steps=self._steps) if self._steps else settings
