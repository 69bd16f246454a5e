"""The seam between CLUE and the model that it runs on: see an image, read the map at a layer, score suffixes after a
prefix, generate under a constraint.

`belief`, `stock`, `perception`, `chat`, `masks`, `ambiguity`, `evaluation` and the steps of a decision know a model
only through this Protocol. `PaliGemmaBackbone` (paligemma.py) is the fast one; test/slow_backbone.py is the same over
plain transformers, slow and short, and passes the same contract (test/core/vlm/test_backbone_contract.py): the
template for another model.
"""

from __future__ import annotations

from typing import Any, FrozenSet, List, Optional, Protocol, Sequence, Tuple

import numpy as np
import torch

from clue_ros.eyes.sight import Sight
from clue_ros.types import StopTest
from clue_ros.vlm.decoding import Branch, ConstrainedSequence
from clue_ros.vlm.passes import Completion, EncodedImage, Likelihood, Prefill
from clue_ros.vlm.settings import ClueSettings


class Backbone(Protocol):
    """One model on one device. Not thread-safe.

    `prefix` is text as `prompt.build_prefix` makes it; `adapter` names a folder under adapters/, '' none, None the
    dialogue's. Methods that run the model may raise torch's out-of-memory errors (vlm/memory.py makes them ours).
    """

    @property
    def settings(self) -> ClueSettings:
        """What the checkpoint's clue.json says."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        ...

    @property
    def tokenizer(self) -> Any:
        """transformers' tokenizer, for heads that read tokens (ambiguity/autoregressive.py)."""
        ...

    @property
    def adapters(self) -> FrozenSet[str]:
        """Names of the adapters that are loaded."""
        ...

    @property
    def remarks(self) -> Sequence[str]:
        """What makes it fast elsewhere and is left out on this device, with the reason, a sentence each; may grow."""
        ...

    @property
    def widths(self) -> Tuple[int, int]:
        """Channels of EncodedImage.tower and of `word_states`, as a mask head must be built for them."""
        ...

    @property
    def sight(self) -> Optional[Sight]:
        """The eyes that see things before any word (clue_ros/eyes); None for a model with a tower of its own."""
        ...

    # Words.

    @property
    def words(self) -> Optional[FrozenSet[str]]:
        """The words that the model understands; None for an open vocabulary."""
        ...

    def respelled(self, text: str) -> str:
        """The text with slips of the keyboard repaired for a closed vocabulary; untouched for an open one."""
        ...

    def unknown_words(self, text: str) -> Tuple[str, ...]:
        """Words of a text that a closed vocabulary lacks, in order, slips apart; always empty for an open one."""
        ...

    def without_unknown(self, text: str) -> str:
        """The respelled text without the pieces (words, signs) that a closed vocabulary lacks."""
        ...

    # See an image.

    def encode(self, rgb: np.ndarray) -> EncodedImage:
        """What depends on the image only, kept for every prefix about it.

        rgb: uint8[H,W,3].
        """
        ...

    def look(self, image: EncodedImage, adapter: Optional[str] = None, layers: Optional[int] = None) -> None:
        """Do ahead whatever can be done before anybody speaks; the results of everything else stay the same.

        layers: so many of the decoder will be wanted under this adapter; None: all.
        """
        ...

    # Read the map at a layer.

    def attention_map(self, image: EncodedImage, prefix: str, adapter: Optional[str] = None) -> torch.Tensor:
        """float32[g,g] in [0, 1]: the tap's map (settings.tap_layer, tap_rows) for a prefix.

        adapter: None for the detector's.
        """
        ...

    def word_states(self, image: EncodedImage, prefix: str) -> Tuple[torch.Tensor, torch.Tensor]:
        """(float[1,T,W], float32[g,g] in [0, 1]): hidden states of a prefix's tokens before the tap's layer, and the
        tap's map, through the dialogue's adapter."""
        ...

    def closing_row(
        self, image: EncodedImage, prefix: str, adapter: str, layers: Optional[int] = None
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """(float32[V], float32[g,g] in [0, 1]): logits of the token after a prefix, and the tap's map.

        layers: of the decoder that run before the final norm, more than the tap; None: all.
        """
        ...

    # Score suffixes after a prefix.

    def likelihoods(
        self, image: EncodedImage, prefix: str, suffixes: Sequence[str], adapter: Optional[str] = None
    ) -> List[Likelihood]:
        """log P(suffix, then the end | image, prefix) of each suffix, in order.

        suffixes: texts, tokenised on their own as training does; a word outside a closed vocabulary counts as the
            unknown token.
        """
        ...

    def box_scores(
        self,
        image: EncodedImage,
        prefixes: Sequence[str],
        boxes: Sequence[Tuple[int, int, int, int]],
        tolerance: int,
        adapter: Optional[str] = None,
    ) -> np.ndarray:
        """float64[P,N]: log P(box | image, prefix) of each of P prefixes and N boxes, smoothed.

        boxes: location bins in [0, 1023], y0 x0 y1 x1 (location.py).
        tolerance: bins; what the model says so near to a coordinate counts for it.
        """
        ...

    # Generate under a constraint.

    def prefill(self, image: EncodedImage, prefix: str, adapter: Optional[str] = None, tap: bool = False) -> Prefill:
        """Read a prefix, up to the logits of the first token after it.

        tap: also the attention map of the same pass.
        """
        ...

    def generate(
        self, start: Prefill, allowed: FrozenSet[Branch], should_stop: StopTest = None, without: Tuple[str, ...] = ()
    ) -> ConstrainedSequence:
        """Decode greedily: a box, a question or nothing.

        start: what the last `prefill` gave; an earlier one of the same image may be refused by ValueError.
        allowed: the branches that may be taken (not empty).
        should_stop: asked before every token; True raises Cancelled.
        without: words that a question must not hold.
        """
        ...

    def text_of(self, sequence: ConstrainedSequence) -> str:
        """What was generated in words, without special tokens."""
        ...

    def complete(
        self,
        image: EncodedImage,
        prefix: str,
        limit: int = 64,
        should_stop: StopTest = None,
        adapter: Optional[str] = "",
        ends_from: float = 0.0,
    ) -> Completion:
        """Free greedy text after a prefix.

        limit: most tokens.
        should_stop: asked before every token; True raises Cancelled.
        adapter: as everywhere, but without one unless it is named.
        ends_from: P(<eos>) in [0, 1] from which a text that has begun may end; 0: wherever <eos> is the likeliest.
        """
        ...

    def segment_codes(self, image: EncodedImage, prefix: str, bins: Tuple[int, ...]) -> Tuple[int, ...]:
        """16 codes in [0, 127] for PaliGemma's mask decoder, by the model without adapters.

        bins: the box's location bins.

        Raises ModelLoadError if the model has no such tokens.
        """
        ...
