"""The stages of the eyes, beside those of training/stages.py: patch, crop, neck, and `eyes`, which is all three.

OUTPUT/patch, crop, neck   run folders
OUTPUT/eyes                eyes.json and eyes.safetensors, what is trained of a model's eyes (eyes/sight.py)
OUTPUT/glances/SET         second glances and what they say; the first ones lie in DATA/glances/SET, for other runs too
OUTPUT/glances/mixture     the neck's features of all sets, which language and joint read
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any, List, Sequence, cast

import torch

from clue_ros.eyes.sight import Sight, Trained, has_sight, save_sight
from clue_ros.eyes.tower import SightTower
from clue_ros.location import token
from clue_ros.simulation.words import all_words
from clue_ros.training.base import Base, open_base
from clue_ros.training.checkpoint import load_modules
from clue_ros.training.eye_settings import PARTS
from clue_ros.training.eyes.cache import Cache
from clue_ros.training.eyes.crop_stage import train_crop
from clue_ros.training.eyes.glances import Glanced, first_glances, said_of, second_glances
from clue_ros.training.eyes.labels import Labels, labels_of
from clue_ros.training.eyes.mixture import mixture
from clue_ros.training.eyes.neck_stage import Source, train_neck
from clue_ros.training.eyes.patch_stage import train_patch
from clue_ros.training.eyes.pictures import open_pictures
from clue_ros.training.eyes.teacher import taught_features
from clue_ros.training.features import FeatureData, fingerprint
from clue_ros.training.frozen_eyes import LazyEyes
from clue_ros.training.language_stage import train_language
from clue_ros.training.recipe_file import TrainingError
from clue_ros.training.stages import Stages
from clue_ros.training.tabletop_model import build_model, build_tokenizer, location_rows

INPUTS = "inputs.json"  # of a run folder: marks of what it was trained on beside the recipe


class EyeStages(Stages):
    """As Stages; `eyes` needs `data.sets` in the recipe."""

    def eyes(self) -> None:
        for part in PARTS:
            if not self.finished(part):
                self.run(part)
        folder = self._output / "eyes"
        folder.mkdir(parents=True, exist_ok=True)
        trained = self._trained(PARTS)
        save_sight(trained, folder)
        print(f"eyes: {folder} ({sum(p.numel() for p in trained.parameters()) / 1e6:.1f} million weights)")

    def patch(self) -> None:
        settings = self._with_steps(self._config.patch)
        torch.manual_seed(settings.seed)
        head = self._trained().patches
        train_patch(self._glanced, self._set_weights, head, self._output / "patch", settings, self._slot, self._device)

    def crop(self) -> None:
        settings = self._with_steps(self._config.crop)
        trained, labels = self._trained(("patch",)), self._labels
        seconds = self._seconds(trained)
        self._hold("crop", {"names": labels.names, "patch": fingerprint(trained.patches)})
        torch.manual_seed(settings.seed)
        head = self._trained().crops
        folder = self._output / "crop"
        train_crop(self._glanced, seconds, self._set_weights, labels, head, folder, settings, self._slot, self._device)

    def neck(self) -> None:
        settings = self._with_steps(self._config.neck)
        trained, labels = self._trained(("patch", "crop")), self._labels
        sources = self._sources(trained, bool(settings.imitate))
        locations = self._locations()
        marks = {"patch": fingerprint(trained.patches), "crop": fingerprint(trained.crops)}
        self._hold("neck", {"names": labels.names, **marks})
        torch.manual_seed(settings.seed)
        neck = self._trained().neck
        folder = self._output / "neck"
        train_neck(sources, self._set_weights, labels, locations, neck, folder, settings, self._slot, self._device)

    def language(self) -> None:
        if not self._config.data.sets:
            return super().language()
        settings = self._with_steps(self._config.language)
        folder, eyes = self._output / "language", self._own_eyes()
        save_sight(eyes.trained, folder)  # a run that goes on needs no other folder
        train_language(
            self._mixture(eyes.trained),
            self._output / "vision",
            folder,
            settings,
            self._config.size,
            self._inputs.held_out(settings),
            self._slot,
            self._device,
            start_from=self._start,
            eyes=eyes,
        )

    def _joint_source(self, base: Base, validation: bool) -> FeatureData:
        tower = base.model.model.vision_tower
        if validation or not (self._config.data.sets and isinstance(tower, SightTower)):
            return super()._joint_source(base, validation)
        return self._mixture(tower.trained)

    def _prepare(self, stage: str) -> None:
        if stage == "language" and self._config.data.sets:
            self._inputs.held_out(self._config.language)
            self._mixture(self._own_eyes().trained)
        else:
            super()._prepare(stage)

    def _own_eyes(self) -> SightTower:
        """Of this run, or of the finished model that it begins with. Raises TrainingError."""
        for folder in (self._output / "eyes", Path(self._start or self._output)):
            if has_sight(folder):
                return SightTower(Sight.open(folder, self._device.name))
        raise TrainingError(
            f"{self._output} holds no eyes: run first clue train eyes --output {self._output}, or begin with a model "
            "that has some (--start-from DIR)"
        )

    def _mixture(self, trained: Trained) -> FeatureData:
        """All sets of the recipe, as these eyes see them."""
        sources = self._sources(trained, taught=False)
        folder, neck = self._output / "glances" / "mixture", trained.neck.to(self._device.name)
        with self._slot.interrupting():
            return mixture(sources, self._set_weights, neck, folder, self._device.name)

    @cached_property
    def _eyes(self) -> LazyEyes:
        return LazyEyes(device=self._device.name)

    @cached_property
    def _glanced(self) -> List[Glanced]:
        """The sets of the recipe with their first glances. Raises TrainingError if there are none."""
        sets, shape = self._config.data.sets, self._config.sight
        if not sets:
            raise TrainingError("the recipe names no pictures for the eyes: give it data.sets (docs/training.md)")
        found = []
        with self._slot.interrupting():
            for one in sets:
                pictures = open_pictures(one, self._data)
                if not len(pictures):
                    raise TrainingError(f"the set {one.name} of data.sets holds no picture")
                folder = self._data / "glances" / one.name
                found.append(Glanced(pictures, first_glances(pictures, self._eyes, shape, folder)))
        return found

    @property
    def _set_weights(self) -> List[float]:
        return [one.weight for one in self._config.data.sets]

    @cached_property
    def _labels(self) -> Labels:
        things = (o for one in self._glanced for photo in one.pictures.photographs for o in photo.objects)
        return labels_of(things)

    def _seconds(self, trained: Trained) -> List[Cache]:
        head, folder = trained.patches.to(self._device.name), self._output / "glances"
        with self._slot.interrupting():
            return [
                second_glances(
                    one, head, self._eyes, self._config.sight, folder / one.pictures.name / "second", self._device.name
                )
                for one in self._glanced
            ]

    def _sources(self, trained: Trained, taught: bool) -> List[Source]:
        head, shape, sources = trained.crops.to(self._device.name), self._config.sight, []
        tower = self._teacher() if taught else None
        for settings, one, second in zip(self._config.data.sets, self._glanced, self._seconds(trained)):
            folder = self._output / "glances" / settings.name
            with self._slot.interrupting():
                said = said_of(one, second, head, shape, folder / "said", self._device.name)
                source = Source(one, second, said)
                if tower is not None and settings.teach:
                    source.taught = taught_features(one.pictures, tower, folder / "taught", self._device.name)
            sources.append(source)
        return sources

    def _teacher(self) -> Any:
        """The tower of the finished model, None for none. Raises TrainingError if it gives other features."""
        folder = self._start
        if not folder or has_sight(Path(folder)) or not any(one.teach for one in self._config.data.sets):
            return None
        tower, shape = open_base(Path(folder)).model.model.vision_tower, self._config.sight
        grid = tower.config.image_size // tower.config.patch_size
        if (grid, tower.config.hidden_size) != (shape.grid, shape.width):
            raise TrainingError(
                f"the tower of {folder} gives {grid} x {grid} features of {tower.config.hidden_size}, the recipe's "
                f"sight {shape.grid} x {shape.grid} of {shape.width}: set neck.imitate to 0, or sight.grid and width"
            )
        return tower.to(self._device.name)

    def _locations(self) -> torch.Tensor:
        """The rows of the <loc> tokens of the decoder that goes on, or that will be made."""
        if self._start:
            base = open_base(Path(self._start))
            tokenizer, model = base.tokenizer, base.model
        else:
            tokenizer = build_tokenizer(all_words())
            model = build_model(tokenizer, self._config.size, self._config.language.seed)
        return location_rows(model, cast(int, tokenizer.convert_tokens_to_ids(token(0))))

    def _trained(self, parts: Sequence[str] = ()) -> Trained:
        """The trained parts: of the finished model where that has eyes, else untrained; `parts` as their runs left
        them. Raises ModelLoadError."""
        shape = self._config.sight
        trained = Trained(shape)
        if self._start and has_sight(Path(self._start)):
            before = Sight.open(Path(self._start)).trained
            if before.shape != shape:
                raise TrainingError(f"the eyes of {self._start} are {before.shape}, the recipe's sight is {shape}")
            trained.load_state_dict(before.state_dict())
        names = {
            "patch": ("patches", trained.patches),
            "crop": ("crops", trained.crops),
            "neck": ("neck", trained.neck),
        }
        for part in parts:
            self._inputs.folder(part)
            name, module = names[part]
            load_modules(self._output / part, {name: module})
        return trained

    def _hold(self, part: str, marks: dict) -> None:
        """Raises TrainingError if a run was begun with other names, or behind other parts."""
        file, marks = self._output / part / INPUTS, json.loads(json.dumps(marks))
        if file.is_file() and (file.parent / "state.json").is_file():
            before = json.loads(file.read_text(encoding="utf-8"))
            changed = [name for name, value in marks.items() if before.get(name) != value]
            if changed:
                raise TrainingError(
                    f"{file.parent} was trained behind another {' and '.join(changed)}: delete it to train it anew"
                )
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(marks, indent=1) + "\n", encoding="utf-8")
