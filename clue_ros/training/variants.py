"""The detector variants of the paper (CLUE, Table I) as four settings.

    reading   cnn             a CNN reads the attention map of layer k
              autoregressive  the closing row says yes or no: cross-entropy on these two tokens
    prefix    detect          the word of PaliGemma's own detection task
              disambiguate    a word that the model never saw before
    depth     half            layers 0 … k (k: the tap); a map needs of layer k only queries and keys
              full            all layers
    finetune  last            LoRA on the last layer in use
              all             LoRA on all layers in use

"Half-Last-Detect (CNN)" is the paper's choice. Its names: depth, finetuning ("Full" there is `all`), prefix, reading.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List, TypeVar

CHOICES = {
    "reading": ("cnn", "autoregressive"),
    "prefix": ("detect", "disambiguate"),
    "depth": ("half", "full"),
    "finetune": ("last", "all"),
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
    return replace(settings, **VARIANTS[name])


def variant_name(settings) -> str:
    """The paper's name for four settings, or the settings themselves for a combination that it does not have."""
    wanted = {k: getattr(settings, k) for k in ("reading", "prefix", "depth", "finetune")}
    for name, values in VARIANTS.items():
        if values == wanted:
            return name
    return "-".join(wanted[k] for k in ("depth", "finetune", "prefix", "reading"))


def setting_problems(settings, where: str) -> List[str]:
    """What is wrong with a stage's settings beyond their types; `where`: the section of the recipe."""
    found = []
    for name, choices in CHOICES.items():
        value = getattr(settings, name, choices[0])
        if value not in choices:
            found.append(f"'{where}.{name}' is '{value}', must be one of {', '.join(choices)}")
    if getattr(settings, "reading", "") == "cnn" and getattr(settings, "depth", "half") == "full":
        found.append(f"'{where}.depth' is 'full' with reading 'cnn': a map is read at the tap, so it must be half")
    for name in ("steps", "batch", "queries", "length"):
        if getattr(settings, name, 1) < 1:
            found.append(f"'{where}.{name}' is {getattr(settings, name)}, must be 1 or more")
    return found


def used_layers(settings, layers: int) -> List[int]:
    """The decoder layers that a variant runs; `layers`: of the model."""
    return list(range(layers if settings.depth == "full" else settings.tap + 1))


def adapted_layers(settings, layers: int) -> List[int]:
    """The decoder layers that get LoRA weights."""
    used = used_layers(settings, layers)
    return used[-1:] if settings.finetune == "last" else used
