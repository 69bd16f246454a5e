"""Studies of training itself, beside its stages: variants of a recipe side by side, masks from labels of mixed
quality.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Callable, Optional, Sequence

from clue_ros.lab.ablation import Variant, ablate, table
from clue_ros.lab.dwsl import Comparison, DwslSettings, told
from clue_ros.training.base import open_base
from clue_ros.training.eyes.stages import EyeStages
from clue_ros.training.features import fingerprint, made_with
from clue_ros.training.language_stage import language_start, train_language
from clue_ros.training.mask_stage import MaskSettings
from clue_ros.training.recipe import FREE, TrainConfig
from clue_ros.training.recipe_file import hold_recipe
from clue_ros.training.stages import USED_SECTIONS
from clue_ros.training.vision import train_vision


class Studies(EyeStages):
    """The stages, and two more that make no model."""

    def ablate(
        self,
        stage: str,
        variants: Sequence[Variant],
        configured: Callable[[Sequence[str]], TrainConfig],
        steps: Optional[int] = None,
        minutes: Optional[float] = None,
    ) -> None:
        """Train the variants of a stage in OUTPUT/ablate/STAGE and print their table (lab/ablation.py)."""
        if stage == "language":
            self._inputs.folder("vision")
        folder = self._output / "ablate" / stage
        rows = ablate(folder, stage, variants, configured, partial(self._variant, stage), steps, minutes)
        print(table(stage, rows))
        print(f"ablations: {folder / 'ablations.json'}, ablations.csv and ablations.png beside it")

    def _variant(self, stage: str, config: TrainConfig, folder: Path) -> None:
        settings, size = getattr(config, stage), config.size
        hold_recipe(
            folder,
            f"clue train ablate --stage {stage}",
            {name: getattr(config, name) for name in (*USED_SECTIONS[stage], "size")},
            FREE,
        )
        held = self._inputs.scenes(validation=True)
        if stage == "vision":
            train_vision(self._inputs.scenes(), folder, settings, size, held, self._slot, self._device, self._start)
            return
        vision, made = self._output / "vision", self._output / "language"
        tower = fingerprint(language_start(vision, folder, settings, size, self._start)[1].model.vision_tower)
        features = made if made_with(made) == tower else self._output / "ablate" / f"features-{tower}"
        train_language(
            self._inputs.scenes(), vision, folder, settings, size, held, self._slot, self._device, features, self._start
        )

    def dwsl(self) -> None:
        """Weighted training of the relevance map beside its rivals (lab/dwsl.py)."""
        base = self._inputs.finished_model()
        opened, settings = open_base(base, any_attention=True), DwslSettings()
        settings = replace(settings, steps=self._steps, judge_steps=self._steps) if self._steps else settings
        sizes = MaskSettings(scenes=settings.clean + settings.mixed, validation=settings.held)
        compared = Comparison(
            opened,
            self._inputs.mask_scenes(opened, sizes),
            self._inputs.mask_scenes(opened, sizes, validation=True),
            self._output / "dwsl",
            settings,
            self._slot,
        )
        for line in told(compared.run()):
            print(line)
        print(f"comparison: {self._output / 'dwsl' / 'dwsl.json'}")
