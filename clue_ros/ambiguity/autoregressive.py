"""The model itself says yes, it is ambiguous, or no, after layer k or after all.

An open vocabulary (PaliGemma 2) says the plain words "yes" and "no". The embedded model's closed one uses `<yes>` and
`<no>`: no text can reach them (its pre-tokeniser splits at < and >, and `prompt.clean` removes both), so a person's
"no" stays an ordinary word of a dialogue and "yes" stays one that is skipped.
"""

from __future__ import annotations

from typing import Any, Mapping, Optional, Tuple

import torch

from clue_ros.ambiguity.head import Head
from clue_ros.ambiguity.reading import DEPTHS, DetectorKind, PrefixOf
from clue_ros.types import ModelLoadError
from clue_ros.vlm.backbone import Backbone
from clue_ros.vlm.passes import EncodedImage, Prefill

PRIVATE = ("<yes>", "<no>")
PLAIN = ("yes", "no")


def answer_tokens(tokenizer) -> Tuple[int, int]:
    """(id of yes, id of no). Raises ModelLoadError if the tokenizer has neither pair as single tokens."""
    known = tokenizer.get_vocab()
    for pair in (PRIVATE, PLAIN, tuple(f"\u2581{w}" for w in PLAIN)):
        if all(w in known for w in pair):
            return known[pair[0]], known[pair[1]]
    raise ModelLoadError(
        "the tokenizer has no tokens for the answers of an autoregressive detector: neither '<yes>' "
        "and '<no>' nor the words yes and no; clue train --base DIR gives spare tokens these names"
    )


class Answers(Head):
    """float[B,V] logits -> float[B] log-odds of yes against no; has no weights."""

    def __init__(self, yes: int, no: int):
        super().__init__()
        self._yes, self._no = yes, no

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        # With two tokens cross-entropy is the binary one on the difference of their logits.
        return logits[:, self._yes] - logits[:, self._no]

    @torch.no_grad()
    def probability(self, logits: torch.Tensor) -> float:
        """P(yes) in [0, 1] of one row float[V]."""
        return float(logits[[self._yes, self._no]].softmax(-1)[0])


class Autoregressive(DetectorKind):
    name, reads_map, depths = "autoregressive", False, tuple(DEPTHS)

    def new_head(self, tokenizer, channels: Tuple[int, int, int] = (16, 32, 64)) -> Answers:
        return Answers(*answer_tokens(tokenizer))

    def reached(self, depth: str, tap: int) -> Optional[int]:
        return DEPTHS[depth](tap)

    def stop(self, depth: str, tap: int) -> Optional[int]:
        return DEPTHS[depth](tap)

    def observe(
        self, backbone: Backbone, image: EncodedImage, prefix_of: PrefixOf, start: Optional[Prefill]
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        clue = backbone.settings
        layers = self.stop(clue.detector_depth, clue.tap_layer)
        return backbone.closing_row(image, prefix_of(self.word(clue)), self.adapter(clue), layers)

    def described(self, clue: Mapping[str, Any]) -> str:
        return f"{self.name}, {clue.get('detector_prefix')}, {clue.get('detector_depth')}"
