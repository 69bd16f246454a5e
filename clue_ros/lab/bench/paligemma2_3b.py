"""The architecture of google/paligemma2-3b-mix-448 with random weights: right for speed and memory, useless for
answers.

SigLIP So400m/14 at 448 px, a linear projector and Gemma 2 2B: 3,033,127,152 parameters, which are the 3,032,979,696
that KerasHub states for pali_gemma2_mix_3b_448 and 64 rows that pad the vocabulary from 257,152 to 257,216. The
tokenizer is a stand-in of the real one's layout: <loc0000> is 256000, <seg000> is 257024, <image> is 257152, and every
word is one token.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Sequence

import torch

from clue_ros.vlm.skeleton import fill_buffers, skeleton

FIRST_LOCATION, IMAGE_TOKEN_ID, VOCABULARY = 256_000, 257_152, 257_216
PATTERN = 1_000_003  # length of the random pattern that is repeated over the weights; prime: no two rows are alike
SPREAD = 0.02  # standard deviation


def configuration():
    """The PaliGemmaConfig."""
    from transformers import Gemma2Config, PaliGemmaConfig, SiglipVisionConfig

    vision = SiglipVisionConfig(
        hidden_size=1152,
        num_hidden_layers=27,
        num_attention_heads=16,
        intermediate_size=4304,
        image_size=448,
        patch_size=14,
        projection_dim=2304,  # pyright: ignore[reportCallIssue]  # kept beside the parameters that are declared
        vision_use_head=False,
    )
    text = Gemma2Config(
        vocab_size=VOCABULARY,
        hidden_size=2304,
        num_hidden_layers=26,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=256,
        intermediate_size=9216,
        query_pre_attn_scalar=256,
        attn_logit_softcapping=50.0,
        final_logit_softcapping=30.0,
        sliding_window=4096,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
    )
    config: Any = PaliGemmaConfig(
        text_config=text,
        vision_config=vision,
        projection_dim=2304,
        image_token_index=IMAGE_TOKEN_ID,
        vocab_size=VOCABULARY - 64,
    )
    return config


def build(config, dtype: torch.dtype, device: str = "cpu", seed: int = 0):
    """A model of this configuration in evaluation mode, its weights allocated once and in `dtype` from the start."""
    model = skeleton(config).to(dtype).to_empty(device=device)
    model.tie_weights()
    fill_buffers(model, device)
    for name, parameter in model.named_parameters():
        randomise(name, parameter.data, seed)
    return model


def randomise(name: str, weight: torch.Tensor, seed: int = 0) -> None:
    """Fill a weight of the model, by its name: a random matrix, a norm that changes nothing, a bias of 0."""
    if weight.ndim > 1:
        _repeat(_pattern(weight.dtype, str(weight.device), seed), weight)
    else:  # Gemma multiplies by 1 + w, LayerNorm by w
        weight.fill_(1.0 if "norm" in name and name.endswith("weight") and "vision" in name else 0.0)


@lru_cache(maxsize=1)
def _pattern(dtype: torch.dtype, device: str, seed: int) -> torch.Tensor:
    pattern = torch.randn(PATTERN, generator=torch.Generator().manual_seed(seed)).mul_(SPREAD)
    return pattern.to(device=device, dtype=dtype)


def build_tokenizer(words: Sequence[str]):
    """The stand-in tokenizer, which knows `words` (one token each) beside PaliGemma's special tokens."""
    from clue_ros.location import BINS, token
    from clue_ros.training.tabletop_model import SPECIAL, word_tokenizer

    listed = list(dict.fromkeys([*SPECIAL, "yes", "no", "?", *words]))
    # Positions are the ids: everything up to the first location is filled with names that no text can contain.
    listed += [f"<unused{i}>" for i in range(FIRST_LOCATION - len(listed))]
    listed += [token(i) for i in range(BINS)] + [f"<seg{i:03d}>" for i in range(IMAGE_TOKEN_ID - FIRST_LOCATION - BINS)]
    return word_tokenizer(listed, [token(i) for i in range(BINS)])


def parameter_count(config, tower: bool = True) -> int:
    """Parameters of a configuration, tied ones once, without allocating any; tower: those of its vision tower too."""
    model = skeleton(config)
    if not tower:
        model.model.vision_tower = None
    model.tie_weights()
    return sum(p.numel() for p in model.parameters())


def _repeat(pattern: torch.Tensor, weight: torch.Tensor) -> None:
    flat = weight.view(-1)
    whole = flat.numel() // pattern.numel() * pattern.numel()
    flat[:whole].view(-1, pattern.numel()).copy_(pattern)
    flat[whole:].copy_(pattern[: flat.numel() - whole])
