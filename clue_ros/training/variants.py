"""The detector variants of the paper (CLUE, Table I) as four settings.

    reading   cnn             a CNN reads the attention map of layer k
              autoregressive  the closing row says yes or no: cross-entropy on these two tokens
    prefix    detect          the word of PaliGemma's own detection task
              disambiguate    a word that the model never saw before
    depth     half            layers 0 … k (k: the tap); a map needs of layer k only queries and keys
              full            all layers
    finetune  last            LoRA on the last layer in use
              all             LoRA on all layers in use
              none            no LoRA: the CNN alone learns (Fig. 7)

"Half-Last-Detect (CNN)" is the paper's choice. Its names: depth, finetuning ("Full" there is `all`), prefix, reading.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Dict, List, TypeVar, cast

from clue_ros.ambiguity.kinds import KINDS, two_pass
from clue_ros.ambiguity.reading import DEPTHS, PREFIXES
from clue_ros.configuration import choice_problems, range_problems

FINETUNES: Dict[str, Callable[[List[int]], List[int]]] = {
    "last": lambda used: used[-1:],
    "all": lambda used: used,
    "none": lambda used: [],
}
CHOICES = {
    "prefix": PREFIXES,
    "depth": tuple(DEPTHS),
    "finetune": tuple(FINETUNES),
    "optimizer": ("adamw", "muon"),
    "schedule": ("linear", "cosine"),
}

VARIANTS: Dict[str, Dict[str, str]] = {
    "half-last-detect-cnn": dict(reading="cnn", prefix="detect", depth="half", finetune="last"),
    "half-last-detect-ar": dict(reading="autoregressive", prefix="detect", depth="half", finetune="last"),
    "half-last-disambig-ar": dict(reading="autoregressive", prefix="disambiguate", depth="half", finetune="last"),
    "half-full-disambig-ar": dict(reading="autoregressive", prefix="disambiguate", depth="half", finetune="all"),
    "full-last-disambig-ar": dict(reading="autoregressive", prefix="disambiguate", depth="full", finetune="last"),
    "full-full-disambig-ar": dict(reading="autoregressive", prefix="disambiguate", depth="full", finetune="all"),
}

Settings = TypeVar("Settings")


def with_variant(settings: Settings, name: str) -> Settings:
    """Detector settings with the four settings of a named variant. Raises KeyError for an unknown name."""
    return replace(cast(Any, settings), **VARIANTS[name])


def variant_name(settings) -> str:
    """The paper's name for four settings, or the settings themselves for a combination that it does not have."""
    wanted = {k: getattr(settings, k) for k in ("reading", "prefix", "depth", "finetune")}
    for name, values in VARIANTS.items():
        if values == wanted:
            return name
    return "-".join(wanted[k] for k in ("depth", "finetune", "prefix", "reading"))


def setting_problems(settings, where: str) -> List[str]:
    """What is wrong with a stage's settings beyond their types; `where`: the section of the recipe."""
    found = choice_problems(settings, where, {"reading": two_pass(), **CHOICES})
    kind = KINDS.get(getattr(settings, "reading", ""))
    if kind is not None and settings.depth in DEPTHS and settings.depth not in kind.depths:
        found.append(
            f"'{where}.depth' is '{settings.depth}' with reading '{kind.name}': a map is read at the tap, so it must "
            f"be {' or '.join(kind.depths)}"
        )
    if kind is not None and not kind.reads_map and not FINETUNES.get(settings.finetune, list)([0]):
        found.append(f"'{where}.finetune' is 'none' with reading '{kind.name}': nothing would be trained")
    return found + range_problems(settings, where, ("steps", "batch", "queries", "length"), 1)


def used_layers(settings, layers: int) -> List[int]:
    """The decoder layers that a variant runs; `layers`: of the model."""
    reached = KINDS[settings.reading].reached(settings.depth, settings.tap)
    return list(range(layers if reached is None else reached))


def adapted_layers(settings, layers: int) -> List[int]:
    """The decoder layers that get LoRA weights."""
    return FINETUNES[settings.finetune](used_layers(settings, layers))
