"""The stages of `clue train`, each in its own run folder under one output folder."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Optional

from clue_ros.measures.classification import figures_at, fitted_threshold
from clue_ros.training.base import Base, open_base
from clue_ros.training.detector_stage import DetectorTrainer
from clue_ros.training.device import Device
from clue_ros.training.dialogue_stage import train_dialogue
from clue_ros.training.export import export, export_mask, export_variant, write_report
from clue_ros.training.features import FeatureData, compute_features
from clue_ros.training.inputs import Inputs
from clue_ros.training.joint_stage import JointTrainer
from clue_ros.training.language_stage import language_start, train_language
from clue_ros.training.mask_stage import MaskTrainer
from clue_ros.training.parallel import launch
from clue_ros.training.progress import Progress
from clue_ros.training.recipe import FREE, TrainConfig
from clue_ros.training.recipe_file import TrainingError, hold_recipe
from clue_ros.training.slot import Slot, SlotOver
from clue_ros.training.sweep import LayerSweep, figure, table_of, write_sweep
from clue_ros.training.variants import variant_name
from clue_ros.training.vision import train_vision

ADAPTER_STAGES = ("detector", "dialogue", "joint")  # may start from a model directory
# What of the recipe a run folder depends on; a model trained from nothing also on its size.
USED_SECTIONS = {
    "patch": ("data", "start", "sight", "patch"),
    "crop": ("data", "start", "sight", "crop"),
    "neck": ("data", "start", "sight", "neck"),
    "vision": ("data", "start", "vision"),
    "language": ("data", "start", "language"),
    "detector": ("data", "lora", "detector"),
    "dialogue": ("data", "language", "lora", "dialogue"),
    "joint": ("data", "language", "lora", "joint"),
    "mask": ("mask",),
}
VALIDATION_BATCHES = 20


class Stages:
    """base: model directory to start from; None: the language stage's run folder in `output`."""

    def __init__(
        self,
        config: TrainConfig,
        output: Path,
        data: Path,
        steps: Optional[int] = None,
        base: Optional[Path] = None,
        processes: int = 1,
        slot: Slot = Slot(),
        device: Device = Device(),
    ):
        self._config, self._output, self._data, self._steps = config, Path(output), Path(data), steps
        self._slot, self._device = slot, device
        self._base = Path(base) if base else None
        self._start = config.start.model
        self._progress = Progress(output, config.stages)
        self._inputs = Inputs(config, output, data, base, slot, device)
        self._processes = processes

    def run(self, stage: str) -> None:
        """Run one stage, in several processes where that is wanted and possible. Raises SlotOver if it is not finished
        when the slot is over; the next call goes on."""
        self._slot.check()
        self._progress.begins(stage)
        if stage in USED_SECTIONS:
            sections = USED_SECTIONS[stage] + (() if self._base else ("size",))
            used = {name: getattr(self._config, name) for name in sections}
            used[stage] = self._with_steps(used[stage])
            hold_recipe(self._output / stage, f"clue train {stage}", used, FREE)
        if stage in ("joint", "dialogue"):
            self._train_in_processes(stage)
            getattr(self, f"_after_{stage}")()
        elif stage in ("vision", "language"):
            self._train_in_processes(stage)
        else:
            getattr(self, stage)()
        self._progress.ends(stage, self._steps_of(stage))

    def finished(self, stage: str) -> bool:
        """Did this stage end, with as many steps as it has now, and none before it run again since?"""
        return self._progress.finished(stage, self._steps_of(stage))

    def _steps_of(self, stage: str) -> int:
        settings = getattr(self._config, stage, None)
        return self._with_steps(settings).steps if settings is not None else 0

    def vision(self) -> None:
        settings = self._with_steps(self._config.vision)
        train_vision(
            self._inputs.scenes(),
            self._output / "vision",
            settings,
            self._config.size,
            self._inputs.held_out(settings),
            self._slot,
            self._device,
            self._start,
        )

    def language(self) -> None:
        self._inputs.folder("vision")
        settings = self._with_steps(self._config.language)
        train_language(
            self._inputs.scenes(),
            self._output / "vision",
            self._output / "language",
            settings,
            self._config.size,
            self._inputs.held_out(settings),
            self._slot,
            self._device,
            start_from=self._start,
        )

    def detector(self) -> None:
        trainer = self._detector_trainer(validation=False)
        trainer.train(self._slot)
        self._report_detector(self._detector_trainer(validation=True), variant_name(self._config.detector))
        self._export_run("detector")

    def dialogue(self) -> None:
        base = self._inputs.open_base()
        train_dialogue(
            base.model,
            base.tokenizer,
            self._inputs.features(base),
            self._output / "dialogue",
            self._config.language,
            self._with_steps(self._config.dialogue),
            self._config.lora,
            self._slot,
            self._device,
        )

    def joint(self) -> None:
        trainer = self._joint_trainer(validation=False)
        held = None
        if trainer.settings.validate_every:
            held = self._inputs.features(self._inputs.joint_base(), validation=True)
        trainer.train(held, self._slot)

    def mask(self) -> None:
        base = self._inputs.finished_model()
        opened, settings = open_base(base, any_attention=True), self._with_steps(self._config.mask)
        held = self._inputs.mask_scenes(opened, settings, validation=True) if settings.validate_every else None
        trainer = MaskTrainer(
            opened, self._inputs.mask_scenes(opened, settings), self._output / "mask", settings, held, self._device
        )
        try:
            trainer.train(self._slot)
        except SlotOver:  # a head that has not seen every step is a head all the same
            self._put_mask(base, trainer)
            raise
        self._put_mask(base, trainer)

    def sweep(self) -> None:
        base = self._inputs.open_base()
        sweep = LayerSweep(
            base.model,
            base.tokenizer,
            self._inputs.features(base),
            self._output / "sweep",
            self._with_steps(self._config.sweep),
        )
        sweep.train()
        rows = sweep.report(self._inputs.features(base, validation=True))
        folder = write_sweep(
            self._output / "sweep",
            rows,
            {
                "what": "F1 of a CNN on the map of each decoder layer, everything else frozen",
                "base": str(self._base or ""),
                "prefix": self._config.sweep.prefix,
                "steps": sweep.run.step,
            },
        )
        print("\n".join(table_of(rows)))
        print(f"sweep: {folder / 'sweep.json'}, sweep.csv and sweep.png beside it")

    def export(self) -> None:
        if self._base:
            trained = [s for s in ("joint", "detector", "dialogue") if (self._output / s / "state.json").exists()]
            if not trained:
                raise TrainingError(
                    f"{self._output} holds no finished run: run first clue train joint (or detector, "
                    f"or dialogue) --base {self._base} --output {self._output}"
                )
            base = self._base
            for stage in trained[:1] if trained[0] == "joint" else trained:
                base = export_variant(base, self._output / stage, self._output / "model")
            print(f"model directory: {self._output / 'model'} ({', '.join(trained)})")
            return
        wanted = [s for s in ("dialogue", "detector") if s in self._config.stages]
        for stage in ("language", *wanted):
            self._inputs.folder(stage)
        folder = export(
            self._output / "model", self._output / "language", [self._output / s for s in wanted], self._config.size
        )
        print(f"model directory: {folder}" + (f" — try: clue evaluate demo --model {folder}" if wanted else ""))

    def calibrate(self) -> None:
        from clue_ros.data.formats import open_data
        from clue_ros.training.calibrate import calibrate, told

        if not (self._output / "model" / "clue.json").exists():
            raise TrainingError(
                f"{self._output / 'model'} is no model directory: run first clue train export --output {self._output}"
            )
        data = self._inputs.scenes(True)
        photographs = [open_data(Path(named)) for named in self._config.data.photographs]
        for line in told(calibrate(self._output / "model", data, len(data), photographs=photographs)):
            print(line)

    def _train_in_processes(self, stage: str) -> None:
        if self._processes > 1:
            self._prepare(stage)
            launch(self._processes, partial(getattr(self, stage)))
            state = json.loads((self._output / stage / "state.json").read_text(encoding="utf-8"))
            if state["step"] < self._with_steps(getattr(self._config, stage)).steps:
                raise SlotOver
        else:
            getattr(self, stage)()

    def _after_dialogue(self) -> None:
        self._export_run("dialogue")

    def _after_joint(self) -> None:
        self._report_detector(self._joint_trainer(validation=True), "joint")
        self._export_run("joint")

    def _report_detector(self, trainer, name: str) -> None:
        probability, label, kinds = trainer.scores(VALIDATION_BATCHES)
        report = {"variant": name, **figures_at(probability, label, kinds, fitted_threshold(probability, label))}
        write_report(trainer.run.folder, report)
        print(
            f"{name} on {report['count']} held-out expressions: F1 {report['f1']:.3f}, accuracy "
            f"{report['accuracy']:.3f}, AUC {figure(report['auc'])} at threshold {report['threshold']:.2f}"
        )

    def _export_run(self, stage: str) -> None:
        base = self._inputs.joint_folder() if stage == "joint" else self._base
        if base:
            folder = export_variant(base, self._output / stage, self._output / "model")
            print(f"model directory: {folder}")

    def _prepare(self, stage: str) -> None:
        """What must exist before several processes share a stage: they would all make it at once."""
        if stage in ("vision", "language"):
            self._inputs.held_out(getattr(self._config, stage))
        if stage == "vision":
            self._inputs.scenes()
        elif stage == "language":
            self._inputs.folder("vision")
            scenes, folder = self._inputs.scenes(), self._output / "language"
            _, model = language_start(
                self._output / "vision", folder, self._config.language, self._config.size, self._start
            )
            with self._slot.interrupting():
                compute_features(model.model.vision_tower, scenes, folder, self._config.language.seed)
        else:
            base = self._inputs.open_base()
            (self._joint_source if stage == "joint" else self._inputs.features)(base, False)
            if stage == "joint" and self._config.joint.validate_every:
                self._inputs.features(base, validation=True)

    def _detector_trainer(self, validation: bool) -> DetectorTrainer:
        base = self._inputs.open_base()
        return DetectorTrainer(
            base.model,
            base.tokenizer,
            self._inputs.features(base, validation),
            self._output / "detector",
            self._with_steps(self._config.detector),
            self._config.lora,
            self._device,
        )

    def _joint_trainer(self, validation: bool) -> JointTrainer:
        base = self._inputs.joint_base()
        return JointTrainer(
            base.model,
            base.tokenizer,
            self._joint_source(base, validation),
            self._output / "joint",
            self._config.language,
            self._with_steps(self._config.joint),
            self._config.lora,
            base.folder,
            self._device,
        )

    def _joint_source(self, base: Base, validation: bool) -> FeatureData:
        """Overridden where more than rendered scenes are learnt from (eyes/stages.py)."""
        return self._inputs.features(base, validation)

    def _put_mask(self, base: Path, trainer: MaskTrainer) -> None:
        folder = export_mask(base, trainer.run.folder, self._output / "model")
        print(f"model directory: {folder} (mask head after {trainer.run.step} of {trainer.settings.steps} steps)")

    def _with_steps(self, settings):
        return replace(settings, steps=self._steps) if self._steps else settings
