"""What the stages of `clue train` begin from: rendered scenes, the tower's features of them, models."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from clue_ros.simulation.scene_data import SceneData, first_scenes, load
from clue_ros.training.base import PATCH_FOR_EYES, Base, open_base
from clue_ros.training.device import Device
from clue_ros.training.export import load_base
from clue_ros.training.features import FeatureData, compute_features, features_of, fingerprint, made_with
from clue_ros.training.mask_stage import MaskScenes, MaskSettings
from clue_ros.training.recipe import TrainConfig
from clue_ros.training.recipe_file import TrainingError
from clue_ros.training.slot import Slot


class Inputs:
    """output: the folder of the run folders; data: of the rendered scenes, which are rendered where they lack; base:
    model directory to start from, None for the language stage's run folder in `output`. Long work ends with SlotOver.
    """

    def __init__(
        self,
        config: TrainConfig,
        output: Path,
        data: Path,
        base: Optional[Path] = None,
        slot: Slot = Slot(),
        device: Device = Device(),
    ):
        self._config, self._output, self._data, self._slot, self._device = (
            config,
            Path(output),
            Path(data),
            slot,
            device,
        )
        self.base = Path(base) if base else None

    def folder(self, stage: str) -> Path:
        """The run folder of an earlier stage. Raises TrainingError if that has not run."""
        if not (self._output / stage / "state.json").exists():
            raise TrainingError(
                f"{self._output / stage} holds no finished stage: run first "
                f"clue train {stage} --output {self._output}, or start from a model directory "
                "with --base DIR"
            )
        return self._output / stage

    def open_base(self) -> Base:
        """The base, or the language run's model. Raises TrainingError if there is neither."""
        if self.base:
            return open_base(self.base, self._device.name)
        tokenizer, model = load_base(self.folder("language"), self._config.size, device=self._device.name)
        return Base(tokenizer, model)

    def joint_folder(self) -> Optional[Path]:
        """Where the one-pass adapter starts: the base, or the two-pass model that `export` wrote, if it did."""
        exported = self._output / "model"
        return self.base or (exported if (exported / "clue.json").exists() else None)

    def joint_base(self) -> Base:
        folder = self.joint_folder()
        return open_base(folder, self._device.name) if folder else self.open_base()

    def finished_model(self) -> Path:
        """The base, or the model directory in the output. Raises TrainingError if there is neither."""
        folder = self.base or self._output / "model"
        if not (folder / "config.json").exists():
            raise TrainingError(f"{folder} is no model directory: name a finished model with --base DIR")
        return folder

    def scenes(self, validation: bool = False, base: Optional[Base] = None, enough: int = 0) -> SceneData:
        """base: whose image size counts, None for the recipe's (of eyes, where it names sets of pictures); enough: no
        more than so many need be rendered, 0 for all of the recipe's."""
        from clue_ros.processes import Sharing
        from clue_ros.simulation.dataset import generate

        d, size = self._config.data, self._config.size
        folder = self._data / ("validation" if validation else "train")
        count, seed = (d.validation_scenes, d.validation_seed) if validation else (d.train_scenes, d.train_seed)
        with self._slot.interrupting():
            generate(folder, min(count, enough or count), seed, Sharing.of_cores(), varied=d.varied and not validation)
            if base:
                return load(folder, base.side, base.patch)
            if d.sets:
                return load(folder, PATCH_FOR_EYES * self._config.sight.grid, PATCH_FOR_EYES)
            return load(folder, size.image_size, size.patch_size)

    def held_out(self, settings) -> Optional[SceneData]:
        """The scenes that a stage is measured on while it trains, None if it is not."""
        return self.scenes(validation=True) if settings.validate_every else None

    def features(self, base: Base, validation: bool = False) -> FeatureData:
        """The frozen tower's features, in OUTPUT/validation, OUTPUT/features or, without a base, OUTPUT/language."""
        tower, scenes = base.model.model.vision_tower.to(self._device.name), self.scenes(validation, base)
        with self._slot.interrupting():
            if validation:
                return compute_features(tower, scenes, self._output / "validation", mirror=False, device=self._device)
            return compute_features(
                tower,
                scenes,
                self._output / ("features" if self.base else "language"),
                self._config.language.seed,
                device=self._device,
            )

    def mask_scenes(self, base: Base, settings: MaskSettings, validation: bool = False) -> MaskScenes:
        """Scenes with the features of the language run in OUTPUT where they are this tower's, else with features of
        their own."""
        tower, made = base.model.model.vision_tower.to(self._device.name), self._output / "language"
        folder = self._data / ("validation" if validation else "train")
        if validation:
            scenes = first_scenes(self.scenes(True, base, settings.validation), settings.validation)
            return MaskScenes(folder, scenes, features_of(tower, scenes, device=self._device))
        if made_with(made) == fingerprint(tower):
            scenes, seed = self.scenes(False, base), self._config.language.seed
        else:
            scenes, seed, made = self.scenes(False, base, settings.scenes), settings.seed, self._output / "mask"
            scenes = first_scenes(scenes, settings.scenes)
        with self._slot.interrupting():
            features = compute_features(tower, scenes, made, seed, device=self._device)
        return MaskScenes.of_training(folder, scenes, features, seed)
