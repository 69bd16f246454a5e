"""Which model the node loads and how: the settings, as the node's parameters give them, and the real Grounder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from clue_ros.fleet.remote import RemoteGrounder, is_address
from clue_ros.seams import Grounder
from clue_ros.types import ModelLoadError

QUANTIZATIONS = ("none", "int8", "int4")
DTYPES = ("auto", "float32", "bfloat16")
MERGES = ("auto", "yes", "no")
MOST_GLANCES = 64  # that of eyes/sight.py, without torch


@dataclass(frozen=True)
class ModelSettings:
    """What a Grounder is made from. `model`: a directory, empty for the embedded model, or the address of a server
    (clue_ros/fleet/remote.py), which has its own device and so on; `device`: a torch device."""

    model: str = ""
    device: str = "cpu"
    quantization: str = "none"  # one of QUANTIZATIONS: of the weights
    merge_adapters: str = "auto"  # one of MERGES: fold the adapters into the weights
    dtype: str = "auto"  # one of DTYPES: of the weights
    glances: Optional[int] = None  # second ones a picture; None: the model's own
    taught: str = ""  # folder of what a person shows and names; empty: nothing can be taught
    most_taught: int = 200  # things in it
    most_views: int = 8  # of one

    @property
    def name(self) -> str:
        """The model in a sentence."""
        return self.model or "the embedded model"


GrounderFactory = Callable[[ModelSettings], Grounder]


def has_eyes(model: str) -> bool:
    """Whether things can be taught to a model; empty: the embedded one."""
    folder = Path(model) if model else Path(__file__).parents[2] / "models" / "tabletop"
    return (folder / "eyes.json").is_file()


def load_grounder(settings: ModelSettings) -> Grounder:
    """The real Grounder, checked against itself on other devices than a CPU; imported here so that a node with a
    scripted one, or one on a server, needs no torch."""
    if is_address(settings.model):
        if settings.taught:
            raise ModelLoadError("a model on a server cannot be taught from here: leave the parameter taught empty")
        return RemoteGrounder.open(settings.model)
    # OpenMP's threads spin while they wait for each other: beside one other busy process (a camera driver, a planner) a
    # decision took 2.0 s instead of 0.13 s on 2 cores. Sleeping costs nothing measurable. Read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from clue_ros.grounder import Grounder as Trained

    grounder = Trained.from_pretrained(
        settings.model or None, device=settings.device, dtype=settings.dtype, quantization=settings.quantization,
        merge=settings.merge_adapters, glances=settings.glances,
    )  # fmt: skip
    if grounder.backbone.device.type != "cpu":
        from clue_ros.grounder import EMBEDDED_MODEL
        from clue_ros.vlm.verdicts import check_once

        folder = Path(settings.model or EMBEDDED_MODEL)
        check_once(grounder.backbone, folder, settings.quantization, settings.merge_adapters)
    if not settings.taught:
        return grounder
    from clue_ros.taught.grounder import TaughtGrounder
    from clue_ros.taught.store import Limits

    limits = Limits(settings.most_taught, settings.most_views)
    return TaughtGrounder.around(grounder, Path(settings.taught).expanduser(), limits=limits)
