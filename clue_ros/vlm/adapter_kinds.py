"""What the adapter_config.json of peft says: which kinds of adapter serving understands, and how strong each module's
is.

An allow-list: only what is known to compute W x + (alpha / r) B A x is taken. Many of peft's kinds keep the two factors
under the usual names and compute something else, or stand on a base whose weights they changed (PiSSA, OLoRA, CorDA,
LoftQ, LoRA-GA): nothing in the weights' file tells them apart from plain LoRA.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, Dict, Mapping

from clue_ros.types import ModelLoadError

# Ways to begin that leave the base's weights alone: afterwards the saved factors are all that there is.
STARTS = (None, True, False, "gaussian", "orthogonal", "eva", "mica")
_MUTATING = ("pissa", "olora", "corda", "lora_ga")  # peft converts these four to plain LoRA when it saves them
# Which modules were adapted (the weights' file says it itself), how it was trained and where it came from.
_OF_NO_ACCOUNT = frozenset(
    """
    peft_type peft_version auto_mapping base_model_name_or_path revision task_type inference_mode runtime_config
    target_modules exclude_modules layers_to_transform layers_pattern lora_dropout megatron_core qalora_group_size
    ensure_weight_tying loftq_config eva_config corda_config lora_ga_config fan_in_fan_out
""".split()
)  # the four configurations count with their init_lora_weights alone; fan_in_fan_out never with a Linear
_UNDERSTOOD = frozenset(("r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern", "bias", "init_lora_weights"))
INSTEAD = "Merge it (peft's merge_and_unload) and save the model whole, or train plain LoRA"


def read_settings(file: Path) -> Dict[str, Any]:
    """The object in an adapter_config.json, checked. Raises ModelLoadError naming the entry that is not understood."""
    try:
        settings = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ModelLoadError(f"{file} cannot be read: {error}") from error
    if not isinstance(settings, dict):
        raise ModelLoadError(f"{file} must hold an object, got {type(settings).__name__}")
    kind = settings.get("peft_type", "LORA")
    if kind != "LORA":
        raise ModelLoadError(f"{file}: peft_type is '{kind}'; only plain LoRA is understood. {INSTEAD}")
    strange = [k for k, v in settings.items() if v and k not in _OF_NO_ACCOUNT | _UNDERSTOOD]
    if settings.get("bias", "none") != "none":
        strange.append("bias")
    if strange:
        said = ", ".join(f"{k} = {json.dumps(settings[k])[:60]}" for k in sorted(strange))
        raise ModelLoadError(f"{file}: only plain LoRA is understood, not with {said}. {INSTEAD}")
    _check_start(file, settings.get("init_lora_weights"))
    _check_numbers(file, settings)
    return settings


def scale_of(settings: Mapping[str, Any], module: str, rank: int, file: Path) -> float:
    """alpha / r of one module, or alpha / √r for rank-stabilised LoRA (Kalajdzievski 2023).

    module: its path in the model, as the adapter's file names it; rank: of its factors. Patterns are read as peft does:
    the first that matches the end of the path, or all of it, counts. Raises ModelLoadError if the rank is another."""
    said = _by_pattern(settings, "rank_pattern", module, settings.get("r", 8))
    if said != rank:
        raise ModelLoadError(
            f"{file.parent}: the factors of {module} have rank {rank}, adapter_config.json says {said}"
        )
    alpha = _by_pattern(settings, "alpha_pattern", module, settings.get("lora_alpha", 8))
    return float(alpha) / (math.sqrt(rank) if settings.get("use_rslora") else rank)


def _by_pattern(settings: Mapping[str, Any], name: str, module: str, otherwise):
    patterns = settings.get(name) or {}
    return next((value for pattern, value in patterns.items() if re.match(rf"(.*\.)?({pattern})$", module)), otherwise)


def _check_start(file: Path, start) -> None:
    if start in STARTS:
        return
    if str(start).lower().startswith(_MUTATING):
        raise ModelLoadError(
            f"{file}: init_lora_weights is '{start}', which changed the base's weights too: beside the base as it "
            "was, its "
            "factors are another adapter. peft makes plain LoRA of it: save the training run with save_pretrained(…, "
            f"path_initial_model_for_weight_conversion=…). Or: {INSTEAD}"
        )
    raise ModelLoadError(
        f"{file}: init_lora_weights is '{start}', which is not known to leave the base's weights alone. {INSTEAD}"
    )


def _check_numbers(file: Path, settings: Mapping[str, Any]) -> None:
    def check(name, value, kind):
        if isinstance(value, bool) or not isinstance(value, kind) or not value > 0:
            raise ModelLoadError(f"{file}: '{name}' must be a number above 0, got {json.dumps(value)}")

    check("r", settings.get("r", 8), int)
    check("lora_alpha", settings.get("lora_alpha", 8), (int, float))
    for name, kind in (("rank_pattern", int), ("alpha_pattern", (int, float))):
        patterns = settings.get(name) or {}
        if not isinstance(patterns, dict):
            raise ModelLoadError(f"{file}: '{name}' must be an object, got {json.dumps(patterns)[:60]}")
        for pattern, value in patterns.items():
            check(f"{name}.{pattern}", value, kind)
            try:
                re.compile(pattern)
            except re.error as error:
                raise ModelLoadError(
                    f"{file}: '{name}' has '{pattern}', which is no regular expression: {error}"
                ) from error
