"""A PaliGemma-class model taken apart into the steps that a dialogue needs, as serving runs them.

The vision features are computed once an image and kept for every turn and every adapter (LoRA leaves the tower alone).
With query-blind image tokens the decoder's keys and values of the image are kept too, and can be made before anybody
has spoken (`look`): an instruction, an answer or a second adapter then costs its own few text tokens only.
"""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import FrozenSet, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
import torch

from clue_ros.eyes.sight import Sight
from clue_ros.geometry import to_square
from clue_ros.types import ModelLoadError, StopTest
from clue_ros.vlm.adapters import Adapter, decide_merge
from clue_ros.vlm.assembly import Assembly
from clue_ros.vlm.banned_words import without_words
from clue_ros.vlm.decoder_plan import DecoderPlan, plans_of
from clue_ros.vlm.decoding import Branch, ConstrainedSequence, FreeSequence, SegmentSequence, branch_probability
from clue_ros.vlm.dense import Dense, Precision, Scratch, dtype_named
from clue_ros.vlm.likelihood import BATCH, box_scores, suffix_likelihoods
from clue_ros.vlm.loading import check_device, open_directory
from clue_ros.vlm.memory import memory_guard
from clue_ros.vlm.passes import Completion, EncodedImage, Likelihood, Prefill
from clue_ros.vlm.prefix_runner import PrefixRunner
from clue_ros.vlm.quantization import check_kind
from clue_ros.vlm.settings import ClueSettings
from clue_ros.vlm.skeleton import Filler
from clue_ros.vlm.tokens import PromptTokens
from clue_ros.vlm.vision_plan import vision_plan


class PaliGemmaBackbone:
    """One model on one device. Not thread-safe. `model` is a PaliGemmaForConditionalGeneration whose weights are
    already in `precision.storage`, or come by `fill`; its decoder's weights become views of fused ones."""

    def __init__(
        self,
        model,
        tokenizer,
        settings: ClueSettings,
        adapters: Optional[Mapping[str, Adapter]] = None,
        *,
        precision: Optional[Precision] = None,
        quantization: str = "none",
        merge: str = "auto",
        fill: Optional[Filler] = None,
    ):
        if fill is not None:
            fill(model.model.language_model.embed_tokens)  # the largest first, while nothing stands beside it
        self.model, self.tokenizer, self.settings = model, tokenizer, settings
        self.adapters = frozenset(adapters or ())
        self.device = model.model.language_model.embed_tokens.weight.device
        self.precision = precision or Precision.choose(str(self.device), model.dtype)
        vision = model.config.vision_config
        self.side, self.grid = vision.image_size, vision.image_size // vision.patch_size
        self.tokens = PromptTokens(
            tokenizer, settings, model.config.image_token_id, model.lm_head.weight.shape[0], self.device
        )
        self.vocabulary = self.tokens.vocabulary
        with torch.inference_mode():
            scratch = Scratch()
            assembly = Assembly(fill, quantization)
            self._vision = vision_plan(model, self.precision, scratch, assembly)
            plans = plans_of(model, self.precision, scratch, adapters or {}, merge, assembly)
        self.runner = PrefixRunner(plans, self.tokens, settings, self.grid)

    @classmethod
    def from_pretrained(
        cls,
        path: Path,
        device: str = "cpu",
        dtype: Union[str, torch.dtype, None] = None,
        *,
        quantization: str = "none",
        merge: str = "auto",
        glances: Optional[int] = None,
    ) -> "PaliGemmaBackbone":
        """Load a directory (vlm/settings.py says what it holds), layer by layer into the form that stays.

        dtype: of the weights, 'float32', 'bfloat16'; 'auto' or None: dense.Precision.choose. quantization: 'none',
        'int8', 'int4'.
        merge: adapters into the weights, 'auto' (small decoders), 'yes' (a copy an adapter), 'no'. glances: second ones
        a picture (eyes/sight.py), None for the model's own.
        Raises ModelLoadError naming what is missing, truncated or does not match; OutOfMemoryError.
        """
        check_kind(quantization)
        decide_merge(merge, 0)
        check_device(device)
        opened = open_directory(path, device, dtype_named(dtype), quantization, glances)
        with memory_guard(f"preparing {path}"):
            return cls(
                *opened.loaded, precision=opened.precision, quantization=quantization, merge=merge, fill=opened.fill
            )

    def with_settings(self, settings: ClueSettings) -> "PaliGemmaBackbone":
        """The same weights read in another way; answers of a checkpoint that was not trained so mean nothing."""
        other = copy.copy(self)
        other.settings, other.tokens = settings, self.tokens.with_settings(settings)
        other.runner = self.runner.with_settings(other.tokens, settings)
        return other

    @property
    def plan(self) -> DecoderPlan:
        """The decoder without adapters."""
        return self.runner.plan_of("")

    @property
    def matrices(self) -> List[Dense]:
        """The weight matrices of all layers, of every adapter's plan and of the tower."""
        return [m for plan in self.runner.plans.values() for m in plan.matrices()] + self._vision.matrices()

    @property
    def remarks(self) -> Sequence[str]:
        """What of the fast path is left out on this device and why, a sentence each; may grow."""
        return self.runner.remarks

    @property
    def widths(self) -> Tuple[int, int]:
        """Channels of EncodedImage.tower and of `word_states`."""
        config = self.model.config
        return config.vision_config.hidden_size, config.get_text_config().hidden_size

    @property
    def sight(self) -> Optional[Sight]:
        """The eyes that see things before any word; None for a model with a tower of its own."""
        return self._vision.sight

    @property
    def words(self) -> Optional[FrozenSet[str]]:
        """The words that the model understands; None for an open vocabulary."""
        return self.tokens.words

    @torch.inference_mode()
    def encode(self, rgb: np.ndarray) -> EncodedImage:
        """Vision features of uint8[H,W,3]."""
        square = to_square(rgb, self.side)
        tower = self._vision.see(rgb, square)
        return EncodedImage(self._vision.project(tower), rgb.shape[1], rgb.shape[0], tower=tower, square=square)

    @torch.inference_mode()
    def look(self, image: EncodedImage, adapter: Optional[str] = None, layers: Optional[int] = None) -> None:
        """Run the image tokens through the decoder before anybody speaks: `layers` of it (None: all) under an adapter
        (None: the dialogue's). Only query-blind checkpoints can; for others the features are all that can be had in
        advance."""
        if self.runner.pattern.reusable:
            name = self.settings.dialogue_adapter if adapter is None else adapter
            self.runner.image_cache(image, name, self.plan.depth if layers is None else layers)

    @torch.inference_mode()
    def attention_map(self, image: EncodedImage, prefix: str, adapter: Optional[str] = None) -> torch.Tensor:
        """float32[grid,grid] in [0, 1]: the tap's map for a prefix, through an adapter (None: the detector's); no layer
        above the tap runs."""
        k, name = self.settings.tap_layer, self.settings.detector_adapter if adapter is None else adapter
        return self.runner.map_of(self.runner.run(image, prefix, name, stop=k, tapped=True, keep=False))

    @torch.inference_mode()
    def word_states(self, image: EncodedImage, prefix: str) -> Tuple[torch.Tensor, torch.Tensor]:
        """(float[1,T,W], float32[grid,grid] in [0, 1]): hidden states of a prefix's tokens before the tap's layer, and
        the tap's map, through the dialogue's adapter; what a mask head reads. No layer above the tap runs."""
        done = self.runner.run(
            image, prefix, self.settings.dialogue_adapter, stop=self.settings.tap_layer, tapped=True, keep=False
        )
        return done.run.hidden[:, -self.tokens.prefix(prefix).ids.shape[1] :], self.runner.map_of(done)

    @torch.inference_mode()
    def closing_row(
        self, image: EncodedImage, prefix: str, adapter: str, layers: Optional[int] = None
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """(float32[V], float32[grid,grid] in [0, 1]): what the closing row of a prefix would say after `layers` layers
        (None: all) under an adapter, through the final norm, and the tap's map. The tap must lie below `layers`."""
        done = self.runner.run(image, prefix, adapter, stop=layers, tapped=True, keep=False)
        hidden = done.run.hidden[:, -1] if layers is None else done.plan.final(done.run.hidden[:, -1])
        return done.plan.logits(hidden)[0], self.runner.map_of(done)

    @torch.inference_mode()
    def likelihoods(
        self,
        image: EncodedImage,
        prefix: str,
        suffixes: Sequence[str],
        adapter: Optional[str] = None,
        batch: int = BATCH,
    ) -> List[Likelihood]:
        """log P(suffix, then the end | image, prefix) of each suffix, `batch` of them side by side."""
        name = self.settings.dialogue_adapter if adapter is None else adapter
        return suffix_likelihoods(self.runner, image, prefix, suffixes, name, batch)

    @torch.inference_mode()
    def box_scores(
        self,
        image: EncodedImage,
        prefixes: Sequence[str],
        boxes: Sequence[Tuple[int, int, int, int]],
        tolerance: int,
        adapter: Optional[str] = None,
    ) -> np.ndarray:
        """float64[P,N]: log P(box | image, prefix), smoothed over `tolerance` bins."""
        name = self.settings.dialogue_adapter if adapter is None else adapter
        return box_scores(self.runner, image, prefixes, boxes, tolerance, name)

    @torch.inference_mode()
    def prefill(self, image: EncodedImage, prefix: str, adapter: Optional[str] = None, tap: bool = False) -> Prefill:
        """Run a prefix through an adapter (None: the dialogue's), up to the logits of the first suffix token; with
        `tap` the attention map of the same pass is read on the way."""
        name = self.settings.dialogue_adapter if adapter is None else adapter
        done = self.runner.run(image, prefix, name, tapped=tap)
        logits = done.plan.logits(done.run.hidden[:, -1])[0]
        start = Prefill(
            logits,
            done.end,
            name,
            done.cache,
            branch_probability(self.vocabulary, logits),
            self.runner.map_of(done) if tap else None,
        )
        done.kept.writer = start
        return start

    @torch.inference_mode()
    def generate(
        self, start: Prefill, allowed: FrozenSet[Branch], should_stop: StopTest = None, without: Tuple[str, ...] = ()
    ) -> ConstrainedSequence:
        """Decode a suffix greedily under the constraints, without the words `without` (a model that says one of several
        tokens again and again keeps its last). `should_stop` is asked before
        every token; raises Cancelled."""
        decode = partial(self.runner.decode, start, should_stop=should_stop)
        return without_words(self.tokens.banned(without), self.vocabulary, allowed, decode)

    @torch.inference_mode()
    def complete(
        self,
        image: EncodedImage,
        prefix: str,
        limit: int = 64,
        should_stop: StopTest = None,
        adapter: Optional[str] = "",
        ends_from: float = 0.0,
    ) -> Completion:
        """Free greedy text after a prefix, at most `limit` tokens, without an adapter unless one is named. ends_from:
        see FreeSequence. Raises Cancelled."""
        start = self.prefill(image, prefix, adapter or "")
        sequence = self.runner.decode(start, FreeSequence(self.vocabulary, limit, ends_from), should_stop)
        text = self.tokenizer.decode(sequence.tokens, skip_special_tokens=False).strip()
        bins = tuple(self.vocabulary.bin_of(t) for t in sequence.tokens)
        return Completion(
            text, tuple(sequence.tokens), bins, tuple(sequence.certainty), sequence.ending, tuple(sequence.ends)
        )

    @torch.inference_mode()
    def segment_codes(self, image: EncodedImage, prefix: str, bins: Tuple[int, ...]) -> Tuple[int, ...]:
        """16 codes in [0, 127] for the box with these location bins, by the model without adapters (`segment` is
        PaliGemma's own task). Raises ModelLoadError if its tokenizer has no <seg> tokens."""
        first = self.tokenizer.convert_tokens_to_ids("<seg000>")
        if first is None or first == self.tokenizer.unk_token_id:
            raise ModelLoadError(
                "the tokenizer has no <seg000> … <seg127> tokens: PaliGemma's mask decoder is of no use"
            )
        locations = tuple(self.vocabulary.first_location + b for b in bins)
        return self.runner.decode(
            self.prefill(image, prefix, ""), SegmentSequence(locations, first, 128, 16), None
        ).codes

    def text_of(self, sequence: ConstrainedSequence) -> str:
        return self.tokenizer.decode(sequence.tokens, skip_special_tokens=True).strip()

    def respelled(self, text: str) -> str:
        """The text with slips of the keyboard repaired for a closed vocabulary; untouched for an open one."""
        return self.tokens.respelled(text)

    def unknown_words(self, text: str) -> Tuple[str, ...]:
        """Words of a text that a closed vocabulary lacks, in order, slips apart; always empty for an open one."""
        return self.tokens.unknown_words(text)

    def without_unknown(self, text: str) -> str:
        """The respelled text without the pieces (words, signs) that a closed vocabulary lacks."""
        return self.tokens.without_unknown(text)

    def plan_of(self, adapter: str) -> DecoderPlan:
        """The decoder under an adapter; without one where the directory has none of that name."""
        return self.runner.plan_of(adapter)
