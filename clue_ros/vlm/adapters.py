"""LoRA adapters of a model directory (peft's own files) as low-rank factors for the serving plans.

Training writes adapters through peft; serving reads the two files itself, because it wants the bare factors: stacked
beside a fused product (dense.py) or merged into the weights. peft injects modules. A test compares both readings.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Dict, Mapping, Tuple

import torch

from clue_ros.types import ModelLoadError
from clue_ros.vlm.dense import LowRank

MERGE = ("auto", "yes", "no")
SMALL = 100_000_000  # parameters of a decoder up to which a merged copy for every adapter is no burden
Adapter = Dict[int, Dict[str, LowRank]]  # by layer index and projection name

_KEY = re.compile(r"(?:.*\.)?layers\.(\d+)\.(?:self_attn|mlp)\.([a-z]+_proj)\.lora_([AB])(?:\.\w+)?\.weight$")
_UNSUPPORTED = ("use_dora", "lora_bias", "modules_to_save", "trainable_token_indices", "layer_replication")


def load_adapters(language, path: Path, names) -> Dict[str, Adapter]:
    """Read the adapters of a directory for a Gemma2Model; a name without a folder is left out.

    Raises ModelLoadError naming the folder that is incomplete, corrupt, or of another model.
    """
    found = {}
    for name in dict.fromkeys(n for n in names if n):
        folder = Path(path) / "adapters" / name
        if folder.is_dir():
            found[name] = read_adapter(folder, projection_shapes(language))
    return found


def read_adapter(folder: Path, shapes: Mapping[Tuple[int, str], Tuple[int, int]]) -> Adapter:
    """The factors (A float32[r,in], B float32[out,r] with the scale alpha / r in it) of one adapter folder.

    shapes: (out, in) of every projection that exists. Raises ModelLoadError.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    weights, config = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    if not weights.is_file() or not config.is_file():
        raise ModelLoadError(f"{folder} lacks adapter_model.safetensors or adapter_config.json")
    try:
        settings = json.loads(config.read_text(encoding="utf-8"))
        tensors = load_file(str(weights))
    except (OSError, SafetensorError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelLoadError(f"{folder} cannot be loaded as a LoRA adapter of this model: {error}") from error
    wanted = [k for k in _UNSUPPORTED if settings.get(k)]
    if settings.get("peft_type", "LORA") != "LORA" or wanted:
        raise ModelLoadError(f"{config}: only plain LoRA is supported, not {', '.join(wanted) or settings['peft_type']}")
    halves: Dict[Tuple[int, str], Dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        match = _KEY.match(key)
        if match is None:
            raise ModelLoadError(f"{weights} adapts '{key}', which is no projection of the decoder's layers")
        halves.setdefault((int(match[1]), match[2]), {})[match[3]] = value.float()
    adapter: Adapter = {}
    for (layer, projection), pair in halves.items():
        shape = shapes.get((layer, projection))
        fits = shape and set(pair) == {"A", "B"} and pair["B"].shape[0] == shape[0] and pair["A"].shape[1] == shape[1] \
            and pair["A"].shape[0] == pair["B"].shape[1]
        if not fits:
            raise ModelLoadError(f"{weights} does not fit this model: layer {layer}, {projection} is {shape} (outputs, inputs)")
        factors = pair["A"], pair["B"] * _scale(settings, layer, projection, pair["A"].shape[0])
        adapter.setdefault(layer, {})[projection] = factors
    return adapter


def projection_shapes(language) -> Dict[Tuple[int, str], Tuple[int, int]]:
    """(outputs, inputs) of every projection of a Gemma2Model, by layer index and name."""
    return {(index, name.rsplit(".", 1)[-1]): tuple(module.weight.shape)
            for index, layer in enumerate(language.layers) for name, module in layer.named_modules()
            if name.endswith("_proj")}


def decide_merge(merge: str, parameters: int) -> bool:
    """Whether adapters are merged into copies of the weights. 'auto': only in a small decoder, where a copy costs
    nothing and an unmerged adapter's extra operations are a good part of a token's time."""
    if merge not in MERGE:
        raise ModelLoadError(f"merge is '{merge}', must be one of {', '.join(MERGE)}")
    return merge == "yes" or (merge == "auto" and parameters <= SMALL)


def _scale(settings: Mapping, layer: int, projection: str, rank: int) -> float:
    """alpha / r, or alpha / √r for rank-stabilised LoRA; alpha_pattern may say otherwise for some modules."""
    name = f"layers.{layer}.{'mlp' if projection in ('gate_proj', 'up_proj', 'down_proj') else 'self_attn'}.{projection}"
    alpha = settings.get("lora_alpha", rank)
    for pattern, value in (settings.get("alpha_pattern") or {}).items():
        if re.search(rf"(.*\.)?({pattern})$", name):
            alpha = value
    return float(alpha) / (math.sqrt(rank) if settings.get("use_rslora") else rank)
