"""A tabletop model before training: tokenizer, processor and configuration, PaliGemma 2's class at 1/400
size.

A plain random start learns nothing in the time that two cores have. What makes it learn (docs/log): frozen
Fourier rows for the <loc> tokens, 2-D Fourier position embeddings, small post-norm gains, an orthogonal projector.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Sequence, cast

import torch
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import (
    Gemma2Config,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
)

from clue_ros.location import BINS, token

SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>", "\n")
IMAGE_TOKEN = "<image>"
SEGMENTS = 128  # <segNNN> tokens of PaliGemma, so that its own processor finds what it expects


@dataclass(frozen=True)
class TabletopSize:
    """Dimensions of the embedded model; image_size and patch_size in pixels."""

    image_size: int = 224
    patch_size: int = 14
    vision_width: int = 256
    vision_layers: int = 6
    vision_mlp: int = 512
    vision_heads: int = 4
    text_width: int = 192
    text_layers: int = 5
    text_mlp: int = 384
    text_heads: int = 3
    text_kv_heads: int = 3
    head_dim: int = 64

    @property
    def image_tokens(self) -> int:
        return (self.image_size // self.patch_size) ** 2


def build_tokenizer(words: Sequence[str]) -> PreTrainedTokenizerFast:
    """A word-level tokenizer with PaliGemma's special tokens; "\\n" survives pre-tokenisation as a token of its own."""
    vocabulary = [*SPECIAL, *(w for w in words if w not in SPECIAL)]
    added = [token(i) for i in range(BINS)] + [f"<seg{i:03d}>" for i in range(SEGMENTS)]
    return word_tokenizer(vocabulary, added)


def word_tokenizer(vocabulary: Sequence[str], added: Sequence[str]) -> PreTrainedTokenizerFast:
    """Ids are the positions in `vocabulary`, which has SPECIAL; `added` are found within words."""
    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(vocabulary)}, unk_token="<unk>"))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split("\n", "isolated"),
            pre_tokenizers.Split(" ", "removed"),
            pre_tokenizers.Split(Regex(r"[^\w'\n]"), "isolated"),
        ]
    )
    inner.add_special_tokens([AddedToken(IMAGE_TOKEN, normalized=False, special=True)])
    inner.add_tokens([AddedToken(word, normalized=False) for word in added])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<bos>",
        unk_token="<unk>",
        padding_side="left",
    )


def build_model(tokenizer: Any, size: TabletopSize = TabletopSize(), seed: int = 0) -> Any:
    """An untrained model whose vocabulary is the tokenizer's."""
    torch.manual_seed(seed)
    config = configuration(tokenizer, size)
    model = PaliGemmaForConditionalGeneration(config)
    with torch.no_grad():
        _start_positions(model, size)
        _start_language(model, tokenizer.convert_tokens_to_ids(token(0)))
    return model


def configuration(tokenizer: Any, size: TabletopSize = TabletopSize()) -> PaliGemmaConfig:
    """Of such a model."""
    vocabulary = len(tokenizer)
    vision = cast(Any, SiglipVisionConfig)(  # projection_dim is PaliGemma's
        hidden_size=size.vision_width,
        num_hidden_layers=size.vision_layers,
        num_attention_heads=size.vision_heads,
        intermediate_size=size.vision_mlp,
        image_size=size.image_size,
        patch_size=size.patch_size,
        vision_use_head=False,
        projection_dim=size.text_width,
    )
    text = Gemma2Config(
        vocab_size=vocabulary,
        hidden_size=size.text_width,
        num_hidden_layers=size.text_layers,
        num_attention_heads=size.text_heads,
        num_key_value_heads=size.text_kv_heads,
        head_dim=size.head_dim,
        intermediate_size=size.text_mlp,
        query_pre_attn_scalar=size.head_dim,
        attn_logit_softcapping=None,
        final_logit_softcapping=30.0,
        sliding_window=4096,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )
    config = PaliGemmaConfig(
        text_config=text,
        vision_config=vision,
        projection_dim=size.text_width,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        vocab_size=vocabulary,
    )
    cast(Any, config)._attn_implementation = {"text_config": "eager", "vision_config": "sdpa"}
    return config


def location_rows(model: PaliGemmaForConditionalGeneration, first: int) -> torch.Tensor:
    """float32[1024, width]: the embedding rows of <loc0000> … <loc1023> (a view)."""
    return model.model.language_model.embed_tokens.weight[first : first + BINS]


def _fourier(values: torch.Tensor, low: float, high: float, count: int):
    """(float32[N, 2·count], float32[count]): sines and cosines of values in [0, 1], and their frequencies, spaced
    geometrically from low to high."""
    frequency = torch.exp(torch.linspace(math.log(low), math.log(high), count))
    angle = 2 * math.pi * values[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], 1), frequency


def _start_positions(model, size: TabletopSize) -> None:
    side = size.image_size // size.patch_size
    centre = (torch.arange(side) + 0.5) / side
    y, x = torch.meshgrid(centre, centre, indexing="ij")
    count = min(16, size.vision_width // 4)
    code = torch.cat([_fourier(y.flatten(), 0.5, 6.0, count)[0], _fourier(x.flatten(), 0.5, 6.0, count)[0]], 1)
    basis = torch.linalg.qr(torch.randn(size.vision_width, code.shape[1]))[0]
    scale = 0.25 * math.sqrt(size.vision_width / code.shape[1])
    model.model.vision_tower.embeddings.position_embedding.weight.copy_(code @ basis.T * scale)


def _start_language(model, first_location: int) -> None:
    language = model.model.language_model
    width = language.config.hidden_size
    embedding = language.embed_tokens.weight
    embedding.normal_(0, 0.06)
    # Four coordinates of an object must fit into one image token's width beside what and which colour it is.
    count = min(16, width // 8)
    code, frequency = _fourier(torch.arange(BINS) / (BINS - 1), 0.5, 48.0, count)
    amplitude = frequency**-0.35
    code = code * torch.cat([amplitude, amplitude])
    basis, _ = torch.linalg.qr(torch.randn(width, 2 * count + 1))
    rows = code @ basis[:, :-1].T
    # A direction shared by all locations lets the head tell "some location" from "a word" before it knows which.
    rows = rows / rows.norm(dim=1, keepdim=True) * 1.1 + 0.6 * basis[:, -1]
    embedding[first_location : first_location + BINS] = rows
    for layer in language.layers:
        for norm in (layer.post_attention_layernorm, layer.post_feedforward_layernorm):
            norm.weight.fill_(-0.5)
        for parameter in layer.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, 0.04)
    torch.nn.init.orthogonal_(model.model.multi_modal_projector.linear.weight)
    model.model.multi_modal_projector.linear.bias.zero_()
