"""LoRA adapters of a model directory (peft's own files) as low-rank factors for the serving plans.

Training writes adapters through peft; serving reads the two files itself, because it wants the bare factors: stacked
beside a fused product (dense.py) or merged into the weights. peft injects modules. Tests compare both readings. Which
of peft's kinds are understood, adapter_kinds.py says.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, Mapping, Sequence, Tuple

import torch

from clue_ros.types import ModelLoadError
from clue_ros.vlm.adapter_kinds import INSTEAD, read_settings, scale_of
from clue_ros.vlm.dense import LowRank

MERGE = ("auto", "yes", "no")
SMALL = 100_000_000  # parameters of a decoder up to which a merged copy for every adapter is no burden
Adapter = Dict[int, Dict[str, LowRank]]  # by layer index and projection name

_PREFIX = "base_model.model."
# The whole path: a SigLIP layer has projections of the same names, and in some models of the same shapes. The decoder
# is model.language_model since transformers 4.52, language_model.model in what was trained before.
_MODULE = r"(?:model\.)?language_model\.(?:model\.)?layers\.(\d+)\.(?:self_attn|mlp)\.([a-z]+_proj)"
_KEY = re.compile(rf"(?:{re.escape(_PREFIX)})?({_MODULE})\.lora_([AB])(?:\.\w+)?\.weight")
DECODER_ONLY = ".*language_model.*_proj"  # as target_modules


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
    settings = read_settings(config)
    try:
        tensors = load_file(str(weights))
    except (OSError, SafetensorError) as error:
        raise ModelLoadError(f"{folder} cannot be loaded as a LoRA adapter of this model: {error}") from error
    found = {key: _KEY.fullmatch(key) for key in tensors}
    _refuse_foreign(weights, [key for key, match in found.items() if match is None])
    matches = {key: match for key, match in found.items() if match is not None}
    if not matches:
        raise ModelLoadError(f"{weights} holds no tensors: this adapter adapts nothing")
    halves: Dict[Tuple[int, str], Dict[str, torch.Tensor]] = {}
    modules: Dict[Tuple[int, str], str] = {}
    for key, match in matches.items():
        module, layer, projection, half = match[1], int(match[2]), match[3], match[4]
        if half in halves.setdefault((layer, projection), {}):
            raise ModelLoadError(f"{weights} has lora_{half} of layer {layer}, {projection} twice, under two names")
        halves[layer, projection][half], modules[layer, projection] = tensors[key].float(), module
    adapter: Adapter = {}
    for (layer, projection), pair in halves.items():
        shape = shapes.get((layer, projection))
        fits = (
            shape
            and set(pair) == {"A", "B"}
            and pair["B"].shape[0] == shape[0]
            and pair["A"].shape[1] == shape[1]
            and pair["A"].shape[0] == pair["B"].shape[1]
        )
        if not fits:
            raise ModelLoadError(
                f"{weights} does not fit this model: layer {layer}, {projection} is {shape} (outputs, inputs)"
            )
        factors = pair["A"], pair["B"] * scale_of(settings, modules[layer, projection], pair["A"].shape[0], config)
        adapter.setdefault(layer, {})[projection] = factors
    return adapter


def projection_shapes(language) -> Dict[Tuple[int, str], Tuple[int, int]]:
    """(outputs, inputs) of every projection of a Gemma2Model, by layer index and name."""
    return {
        (index, name.rsplit(".", 1)[-1]): tuple(module.weight.shape)
        for index, layer in enumerate(language.layers)
        for name, module in layer.named_modules()
        if name.endswith("_proj")
    }


def decide_merge(merge: str, parameters: int) -> bool:
    """Whether adapters are merged into copies of the weights. 'auto': only in a small decoder, where a copy costs
    nothing and an unmerged adapter's extra operations are a good part of a token's time."""
    if merge not in MERGE:
        raise ModelLoadError(f"merge is '{merge}', must be one of {', '.join(MERGE)}")
    return merge == "yes" or (merge == "auto" and parameters <= SMALL)


def _refuse_foreign(weights: Path, keys: Sequence[str]) -> None:
    """Raises ModelLoadError if there are keys that are no factor of the decoder's projections: what they are, what to
    do.
    """
    modules = [key.removeprefix(_PREFIX) for key in keys]
    tower = [m for m in modules if "vision_tower" in m]
    if tower:
        raise ModelLoadError(
            f"{weights} also adapts the vision tower ({len(tower)} tensors, for example '{tower[0]}'), whose "
            "features all "
            f"adapters share here. Train it with target_modules={DECODER_ONLY!r}, which leaves SigLIP alone. Or: "
            f"{INSTEAD}"
        )
    if modules:
        raise ModelLoadError(
            f"{weights} holds '{modules[0]}', which is no LoRA factor of a projection of PaliGemma's decoder. {INSTEAD}"
        )
