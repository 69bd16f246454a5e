"""LoRA adapters through peft, with the paper's settings (CLUE, section III): r = 16, alpha = 32, dropout 0.05 on
q, k, v, o, gate, up and down of the decoder; vision tower, projector and tokenizer stay frozen."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import torch
from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from clue_ros.types import ModelLoadError
from clue_ros.vlm.adapter_kinds import read_settings

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_SCALE = {
    "lora_alpha": 8,
    "use_rslora": False,
    "rank_pattern": {},
    "alpha_pattern": {},
}  # as peft reads an absent entry


@dataclass(frozen=True)
class LoraSettings:
    r: int = 16
    alpha: int = 32
    dropout: float = 0.05


def add_adapter(
    model, name: str, layers: Optional[Sequence[int]] = None, settings: LoraSettings = LoraSettings()
) -> List[torch.nn.Parameter]:
    """Add a trainable adapter on the decoder's layers (None: all) and freeze everything else; returns its parameters.

    At the start it changes nothing: LoRA's second factor is zero. On no layers there is none.
    """
    if layers is not None and not layers:
        model.requires_grad_(False)
        return []
    count = model.config.get_text_config().num_hidden_layers
    chosen = range(count) if layers is None else layers
    names = "|".join(str(i) for i in chosen)
    pattern = rf".*language_model\.layers\.({names})\..*\.({'|'.join(TARGETS)})"
    with warnings.catch_warnings():
        # peft warns of a second adapter in one model, which is what is meant here.
        warnings.filterwarnings("ignore", message="Already found a `peft_config`")
        model.add_adapter(
            LoraConfig(r=settings.r, lora_alpha=settings.alpha, lora_dropout=settings.dropout, target_modules=pattern),
            adapter_name=name,
        )
    parameters = []
    for key, parameter in model.named_parameters():
        own = f".{name}." in key and "lora_" in key
        parameter.requires_grad_(own)
        if own:
            parameters.append(parameter)
    return parameters


def named_adapter_parameters(model, name: str) -> List[Tuple[str, torch.nn.Parameter]]:
    return [(k, p) for k, p in model.named_parameters() if f".{name}." in k and "lora_" in k]


def save_adapter(model, name: str, folder: Path) -> None:
    """Write `adapter_config.json` and `adapter_model.safetensors` in peft's own format."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = model.peft_config[name]
    config.inference_mode = True
    config.base_model_name_or_path = None
    config.save_pretrained(str(folder))
    state = {
        f"base_model.model.{k}": v.detach().contiguous().clone()
        for k, v in get_peft_model_state_dict(model, adapter_name=name).items()
    }
    save_file(state, str(folder / "adapter_model.safetensors"), metadata={"format": "pt"})


def load_adapter_weights(model, name: str, folder: Path) -> None:
    """Put the weights of an adapter folder into an adapter that is there already. Raises ModelLoadError if the file is
    missing, corrupt, of another kind than plain LoRA, or of another rank, scale or other layers."""
    config = Path(folder) / "adapter_config.json"
    settings, expected = read_settings(config), model.peft_config[name].to_dict()
    other = [
        k for k, default in {"r": 8, **_SCALE}.items() if (settings.get(k) or default) != (expected.get(k) or default)
    ]
    if other:
        raise ModelLoadError(
            f"{config} does not fit this run's adapter: {other[0]} is {settings.get(other[0])}, the run's is "
            f"{expected.get(other[0])}; use the same, or start_from: ''"
        )
    file = Path(folder) / "adapter_model.safetensors"
    try:
        tensors = {k.removeprefix("base_model.model."): v.float() for k, v in load_file(str(file)).items()}
    except (OSError, SafetensorError) as error:
        raise ModelLoadError(f"{file} cannot be read: {error}") from error
    own = get_peft_model_state_dict(model, adapter_name=name)
    wrong = [k for k in own if k not in tensors or tensors[k].shape != own[k].shape]
    if wrong:
        raise ModelLoadError(
            f"{file} does not fit this run's adapter: {len(wrong)} tensors are missing or of another "
            f"shape, for example {wrong[0]}; use the same rank and layers, or start_from: ''"
        )
    set_peft_model_state_dict(model, {k: tensors[k] for k in own}, adapter_name=name)


class NamedParameters(torch.nn.Module):
    """A module that holds given parameters under safe names, so that a run can save an adapter on its own."""

    def __init__(self, named: List[Tuple[str, torch.nn.Parameter]]):
        super().__init__()
        for name, parameter in named:
            self.register_parameter(name.replace(".", "/"), parameter)
