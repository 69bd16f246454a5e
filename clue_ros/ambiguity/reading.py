"""What a kind of detector owns: its prefix, its layers, its adapter, its head, and what of it stands in clue.json.

The paper's variants (section IV-A.3) and the one-pass form beyond it, one file each:

kind             prefix                  layers that run                      what is read
cnn              detect or disambiguate  0 … k-1 under adapter A              the attention map of layer k, by a CNN
autoregressive   detect or disambiguate  0 … k (half) or all (full), A        P(yes) against P(no) of the next token
joint            clarify                 the dialogue's own prefill           layer k's map in that prefill, by a CNN

Every kind gives the map too, for the debug image and the competing regions. Another one is one file with a class like
these, and one entry of KINDS (kinds.py).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Collection, Dict, Mapping, NamedTuple, Optional, Tuple, Union

import torch

from clue_ros.ambiguity.head import Head
from clue_ros.vlm.backbone import Backbone
from clue_ros.vlm.passes import EncodedImage, Prefill
from clue_ros.vlm.settings import ClueSettings

PREFIXES = ("detect", "disambiguate")  # PaliGemma's own detection task, and a word that it never saw before
# Layers after which an answer is read, by the paper's name and the tap k; None: all.
DEPTHS: Dict[str, Callable[[int], Optional[int]]] = {"half": lambda tap: tap + 1, "full": lambda tap: None}
DETECTOR, DIALOGUE = "detector", "dialogue"  # folders under adapters/

PrefixOf = Callable[[str], str]  # conditioning word -> the whole prefix


class Reading(NamedTuple):
    """probability: P(ambiguous) in [0, 1] by the detector alone; attention_map: float32[g,g] in [0, 1]."""

    probability: float
    attention_map: torch.Tensor


class DetectorKind:
    """One way to read ambiguity; holds no weights. As it stands: a map of layer k on a pass of its own.

    name: in clue.json ('detector') and in recipes ('reading'); file: of a model directory, with the head's weights, ''
    for a head without; folder: the adapter's, under adapters/; one_pass: read in the dialogue's own prefill, so there
    is no second pass, adapter or prefix; reads_map: the head sees the map of layer k, not the closing row's logits;
    depths: names of DEPTHS that make sense.
    """

    name: str
    file: str = ""
    folder: str = DETECTOR
    one_pass: bool = False
    reads_map: bool = True
    depths: Tuple[str, ...] = ("half",)

    def new_head(self, tokenizer, channels: Tuple[int, int, int] = (16, 32, 64)) -> Head:
        """An untrained head. Raises ModelLoadError if the tokenizer lacks what it reads."""
        raise NotImplementedError

    def load_head(self, folder: Path, clue: ClueSettings, tokenizer, device: Union[str, torch.device] = "cpu") -> Head:
        """The head of a model directory. Raises ModelLoadError naming what is missing."""
        return self.new_head(tokenizer, clue.detector_channels)

    def check(self, folder: Path, clue: ClueSettings, adapters: Collection[str]) -> None:
        """Raises ModelLoadError if a model directory with these adapters cannot be read in this way."""

    def word(self, clue: ClueSettings) -> str:
        """The conditioning word of the prefix."""
        return clue.detector_prefix

    def adapter(self, clue: ClueSettings) -> str:
        """The adapter that the prefix runs through."""
        return clue.detector_adapter

    def reached(self, depth: str, tap: int) -> Optional[int]:
        """Layers in use, on which the adapter may stand; None: all. depth: a name of DEPTHS; tap: the layer k."""
        return tap + 1

    def stop(self, depth: str, tap: int) -> Optional[int]:
        """Layers that run whole; None: all. A map needs of layer k its queries and keys only."""
        return tap

    def observe(
        self, backbone: Backbone, image: EncodedImage, prefix_of: PrefixOf, start: Optional[Prefill]
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """(what the head reads, map float32[g,g] in [0, 1]). start: the dialogue's prefill with its map."""
        clue = backbone.settings
        seen = backbone.attention_map(image, prefix_of(self.word(clue)), self.adapter(clue))
        return seen, seen

    def written(self, clue: ClueSettings, *, threshold: float, tap: int, prefix: str, depth: str) -> ClueSettings:
        """clue.json after a run that trained this kind; it decides alone until `clue train calibrate` fits a gate."""
        return replace(
            clue,
            detector=self.name,
            detector_prefix=prefix,
            detector_depth=depth,
            detector_adapter=self.folder,
            dialogue_adapter=DIALOGUE,
            tap_layer=tap,
            threshold=threshold,
            gate=(),
        )

    def described(self, clue: Mapping[str, Any]) -> str:
        """For a table of results: what a directory's clue.json, as it stands there, says of its detector."""
        return f"{self.name}, layer {clue.get('tap_layer')}" + (
            ", gated by the first token too" if clue.get("gate") else ""
        )
