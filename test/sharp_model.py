"""A small model whose answers change with everything that serving could get wrong, and what it is asked."""

import numpy as np
import torch

from clue_ros.training.vision import start
from clue_ros.vlm.settings import ClueSettings

PREFIXES = [
    "detect the red mug",
    "clarify hand me the red mug assistant: left or right ? user: <loc0100><loc0900> left",
    "clarify bowl",
    "clarify could you please give me the leftmost blue can",
]
RNG = np.random.default_rng(0)
SCENES = [RNG.integers(0, 255, (60, 90, 3), dtype=np.uint8) for _ in PREFIXES]


def sharp(size, softcap, seed=1):
    """(tokenizer, model) with attention sharp enough that a wrong mask or position shows."""
    tokenizer, model, _ = start(size)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.model.language_model.layers.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, 0.25)
        # No two tokens alike (neighbouring locations are, at the start), and logits within the soft cap's straight
        # part. A head of its own: tied to the embedding it would repeat the last token for ever.
        model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight) * 0.3)
        model.model.language_model.norm.weight.fill_(0.5)
    model.config.get_text_config().attn_logit_softcapping = softcap
    for block in model.model.language_model.layers:
        block.self_attn.attn_logit_softcapping = softcap
    return tokenizer, model.eval()


def settings(mode="full", **changes):
    return ClueSettings(
        mode,
        2,
        "last" if mode == "image_blind" else "all",
        closed_vocabulary=True,
        **{"detector_adapter": "", "dialogue_adapter": "", **changes},
    )
