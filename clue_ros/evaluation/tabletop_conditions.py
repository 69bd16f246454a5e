"""The columns of the model card's table: which scenes a condition draws, and what should be reached on them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

import numpy as np

from clue_ros.simulation.scene import Scene, SceneObject
from clue_ros.simulation.scene_draw import sample_scene
from clue_ros.simulation.splits import TRAIN, is_held_out, out_of_distribution_scene

TEST_SEED, OUT_OF_DISTRIBUTION_SEED = 41, 43  # training has 1, calibration 2, the comparison of detectors 12
Goals = Mapping[str, Tuple[float, bool]]


@dataclass(frozen=True)
class Condition:
    """One column of the table.

    scene: the scene of (seed, number); goals: name of a measure -> (value, at most); renderer: makes a renderer of
    (width, height); held_out: says of an object that training has not seen the like: instructions are then about such
    objects where a scene has them. The functions are named ones, so that a condition can be sent to another process.
    """

    name: str
    seed: int
    scene: Callable[[int, int], Scene]
    goals: Goals = field(default_factory=dict)
    renderer: Optional[Callable[[int, int], Any]] = None
    held_out: Optional[Callable[[SceneObject], bool]] = None

    @property
    def slug(self) -> str:
        """The name as part of a file's."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


def in_distribution_scene(seed: int, number: int) -> Scene:
    """A scene as training draws them; every one is drawn on its own, without the data sets' recoloured twins."""
    return sample_scene(np.random.default_rng([seed, number]), TRAIN)


def goals(f1: float, clear: float, success: float, asked: float, absent: float, questions: float) -> Goals:
    """Of the table's six lines, in their order."""
    return {
        "ambiguity_f1": (f1, False),
        "clear_acc_at_50": (clear, False),
        "success_ambiguous": (success, False),
        "asked_clear": (asked, True),
        "absent_recognised": (absent, False),
        "questions_ambiguous": (questions, True),
    }


IN_DISTRIBUTION = Condition(
    "in distribution", TEST_SEED, in_distribution_scene, goals(0.95, 0.92, 0.90, 0.03, 0.90, 1.4)
)
OUT_OF_DISTRIBUTION = Condition(
    "held-out pairs, shapes, lights",
    OUT_OF_DISTRIBUTION_SEED,
    out_of_distribution_scene,
    goals(0.85, 0.80, 0.75, 0.08, 0.80, 1.6),
    held_out=is_held_out,
)
CONDITIONS: Dict[str, Tuple[Condition, ...]] = {  # of the command's --condition
    "both": (IN_DISTRIBUTION, OUT_OF_DISTRIBUTION),
    "in": (IN_DISTRIBUTION,),
    "out": (OUT_OF_DISTRIBUTION,),
}
