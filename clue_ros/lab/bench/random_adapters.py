"""LoRA adapters of the paper's size with random numbers, for ours as bare factors and for the plain path through peft.

The detector's stands on layer k only (Half-Last-Detect, the paper's best), the dialogue's on every layer; r = 16, alpha
= 32, on q, k, v, o, gate, up and down.
"""

from __future__ import annotations

import warnings
from typing import Dict, Iterable, Mapping

import torch

from clue_ros.vlm.adapters import Adapter

RANK, ALPHA = 16, 32
SPREAD = 0.01  # standard deviation of either factor
DETECTOR, DIALOGUE = "detector", "dialogue"


def random_adapters(config, tap_layer: int, seed: int = 0) -> Dict[str, Adapter]:
    """{name: factors}; B carries alpha / r, as serving wants it."""
    generator = torch.Generator().manual_seed(seed)
    layers = {DETECTOR: [tap_layer], DIALOGUE: range(config.text_config.num_hidden_layers)}
    return {
        name: {layer: _factors(config.text_config, generator) for layer in chosen} for name, chosen in layers.items()
    }


def put_beside(model, adapters: Mapping[str, Adapter]) -> None:
    """Add the same adapters to a transformers model through peft, beside its weights."""
    from peft import LoraConfig

    for name, factors in adapters.items():
        chosen, projections = "|".join(str(i) for i in sorted(factors)), "|".join(sorted(_first(factors.values())))
        with warnings.catch_warnings():
            # peft warns of a second adapter in one model, which is what is meant here.
            warnings.filterwarnings("ignore", message="Already found a `peft_config`")
            model.add_adapter(
                LoraConfig(
                    r=RANK,
                    lora_alpha=ALPHA,
                    target_modules=rf".*language_model\.layers\.({chosen})\."
                    rf".*\.({projections})",
                ),
                adapter_name=name,
            )
        with torch.no_grad():
            for layer, parts in factors.items():
                block = model.model.language_model.layers[layer]
                for projection, (down, up) in parts.items():
                    module = getattr(block.mlp if hasattr(block.mlp, projection) else block.self_attn, projection)
                    module.lora_A[name].weight.copy_(down)
                    module.lora_B[name].weight.copy_(up * (RANK / ALPHA))
    model.eval().requires_grad_(False)


def _factors(t, generator: torch.Generator):
    heads, pairs = t.num_attention_heads * t.head_dim, t.num_key_value_heads * t.head_dim
    width, inner = t.hidden_size, t.intermediate_size
    shapes = {
        "q_proj": (width, heads),
        "k_proj": (width, pairs),
        "v_proj": (width, pairs),
        "o_proj": (heads, width),
        "gate_proj": (width, inner),
        "up_proj": (width, inner),
        "down_proj": (inner, width),
    }
    draw = lambda *shape: torch.randn(*shape, generator=generator) * SPREAD  # noqa: E731
    return {name: (draw(RANK, i), draw(o, RANK) * (ALPHA / RANK)) for name, (i, o) in shapes.items()}


def _first(values: Iterable):
    return next(iter(values))
