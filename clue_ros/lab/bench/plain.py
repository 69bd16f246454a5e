"""The other side of the comparison: what a user would write with transformers and peft, without this package.

For the map a forward pass of the whole depth from pixels with `output_attentions=True`, of which layer k is kept; for
words `generate` from pixels with the dialogue adapter switched on beside the weights. In its favour: attention patterns
by `token_type_ids`, logits of the last row only, no gradients, and the same weights in memory as ours where two copies
would not fit. On processors without bfloat16 units it may compute in float32 over bfloat16 weights as ours does
(`computing_in`), which transformers would not do by itself and which makes it several times faster.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import Any, Dict, FrozenSet, Iterator, List, Optional, Tuple

import numpy as np
import torch
import torch.nn.functional as F

from clue_ros.eyes.tower import SightTower
from clue_ros.geometry import to_square
from clue_ros.lab.bench.machine import synchronize
from clue_ros.vlm.dense import FEW_ROWS, Precision, Scratch
from clue_ros.vlm.patterns import TAP_ROWS


@dataclass
class Marks:
    """Seconds since the start of a run: when the map was there, and when each token's logits were."""

    attention: float = 0.0
    tokens: List[float] = field(default_factory=list)
    ids: Tuple[int, ...] = ()

    def until(self, tokens: int) -> float:
        """Time to the map alone (0), or to that many tokens."""
        return self.tokens[tokens - 1] if tokens else self.attention


class PlainPath:
    """A transformers PaliGemma model used as its documentation shows."""

    def __init__(
        self, model, tokenizer, settings, adapters: FrozenSet[str], precision: Precision, all_logits: bool = False
    ):
        """settings: ClueSettings of the checkpoint; all_logits: the map's pass also computes the logits of every row,
        as `model(**inputs)` does unless one asks for the last only."""
        self._model, self._tokenizer, self._settings, self._adapters = model, tokenizer, settings, adapters
        self._all_logits = all_logits
        self._precision = precision
        self._scratch = Scratch()
        vision = model.config.vision_config
        self._side, self._grid = vision.image_size, vision.image_size // vision.patch_size
        self._device = next(model.parameters()).device

    def with_settings(self, settings) -> "PlainPath":
        """The same model under another attention pattern."""
        other = PlainPath(self._model, self._tokenizer, settings, self._adapters, self._precision, self._all_logits)
        other._scratch = self._scratch
        return other

    @torch.inference_mode()
    def features(self, rgb: np.ndarray) -> torch.Tensor:
        """float[1,N,W] of uint8[H,W,3]: the vision pass."""
        with computing_in(self._precision, self._model, self._scratch):
            return self._model.get_image_features(self._pixels(rgb)).pooler_output

    def run(self, rgb: np.ndarray, detect: str = "", speak: str = "", tokens: int = 0) -> Marks:
        """Map of the prefix `detect` and, if tokens > 0, that many tokens after the prefix `speak`, both from
        pixels."""
        marks = Marks()
        start = time.perf_counter()
        with computing_in(self._precision, self._model, self._scratch):
            if detect:
                self.attention_map(rgb, detect)
                synchronize(self._device)
                marks.attention = time.perf_counter() - start
            if tokens:
                marks.ids = self.generate(rgb, speak, tokens, lambda: marks.tokens.append(time.perf_counter() - start))
        return marks

    @torch.inference_mode()
    def attention_map(self, rgb: np.ndarray, prefix: str) -> torch.Tensor:
        """float32[g,g] in [0, 1]: Eqs. 1 and 2 of CLUE on the attentions of the whole depth."""
        inputs, words = self._inputs(rgb, prefix)
        with self._adapter(self._settings.detector_adapter):
            keep = {} if self._all_logits else {"logits_to_keep": 1}
            out = self._model(**inputs, output_attentions=True, use_cache=False, **keep)
        count = self._grid**2
        attention = out.attentions[self._settings.tap_layer][0, :, count:, :count].float()
        conditioning = len(self._tokenizer.encode(prefix.split(" ", 1)[0], add_special_tokens=False))
        rows = attention[:, TAP_ROWS[self._settings.tap_rows](conditioning, words)]
        vector = (rows / (rows.sum(-1, keepdim=True) + 1e-12)).mean((0, 1))
        low, high = vector.min(), vector.max()
        return ((vector - low) / (high - low + 1e-8)).view(self._grid, self._grid)

    @torch.inference_mode()
    def logits(self, rgb: np.ndarray, prefix: str, adapter: Optional[str] = None) -> torch.Tensor:
        """float32[V] of the first token after a prefix. adapter: None for the dialogue's, '' for none."""
        name = self._settings.dialogue_adapter if adapter is None else adapter
        with self._adapter(name), computing_in(self._precision, self._model, self._scratch):
            return self._model(**self._inputs(rgb, prefix)[0], logits_to_keep=1, use_cache=False).logits[0, -1].float()

    @torch.inference_mode()
    def generate(self, rgb: np.ndarray, prefix: str, tokens: int, on_token=lambda: None) -> Tuple[int, ...]:
        """Exactly `tokens` tokens, greedy; on_token is called when each one's logits are there."""
        inputs, _ = self._inputs(rgb, prefix)

        def stopwatch(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            synchronize(self._device)
            on_token()
            return scores

        with self._adapter(self._settings.dialogue_adapter):
            out = self._model.generate(
                **inputs,
                max_new_tokens=tokens,
                min_new_tokens=tokens,
                do_sample=False,
                pad_token_id=self._tokenizer.pad_token_id,
                logits_processor=[stopwatch],
            )
        return tuple(out[0, inputs["input_ids"].shape[1] :].tolist())

    def _inputs(self, rgb: np.ndarray, prefix: str) -> Tuple[Dict[str, torch.Tensor], int]:
        """(what a processor returns for image and prefix, number of tokens of the words)."""
        words = self._tokenizer.encode(prefix, add_special_tokens=False)
        newline = self._tokenizer.encode("\n", add_special_tokens=False)[-1]
        count = self._grid**2
        picture = [self._model.config.image_token_id] * count
        ids = torch.tensor([[*picture, self._tokenizer.bos_token_id, *words, newline]])
        types = torch.zeros_like(ids)
        if not self._settings.pattern.words_see_ahead:
            types[:, count:] = 1
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": types}
        on_device = {name: value.to(self._device) for name, value in inputs.items()}
        return {**on_device, "pixel_values": self._pixels(rgb)}, len(words)

    def _pixels(self, rgb: np.ndarray) -> torch.Tensor:
        whole = isinstance(self._model.model.vision_tower, SightTower)  # takes pictures as they are
        square = rgb if whole else to_square(rgb, self._side)
        pixels = torch.from_numpy(np.ascontiguousarray(square.transpose(2, 0, 1)))[None].to(self._device)
        return (pixels.float() / 127.5 - 1).to(self._model.dtype)

    @contextlib.contextmanager
    def _adapter(self, name: str) -> Iterator[None]:
        if name in self._adapters:
            self._model.set_adapter(name)
            yield
        elif self._adapters:
            self._model.disable_adapters()
            try:
                yield
            finally:
                self._model.enable_adapters()
        else:
            yield


@contextlib.contextmanager
def computing_in(precision: Precision, model, scratch: Scratch) -> Iterator[None]:
    """Let a model's modules widen their weights for products of many rows, if the precision says so."""
    if precision.storage == precision.compute:
        yield
        return
    changed: List[Any] = []
    try:
        for module in model.modules():
            forward = _widening(module, precision, scratch)
            if forward is not None:
                module.forward = forward
                changed.append(module)
        yield
    finally:
        for module in changed:
            del module.__dict__["forward"]


def _widening(module, precision: Precision, scratch: Scratch):
    """The forward of one module with wide activations and products, or None for a module that needs no change."""
    wide, narrow = precision.compute, precision.storage
    if isinstance(module, torch.nn.Linear) and module.weight.dtype == narrow:

        def linear(x: torch.Tensor) -> torch.Tensor:
            bias = None if module.bias is None else module.bias.to(wide)
            if x.numel() // x.shape[-1] <= FEW_ROWS:
                # As a matrix: a three-dimensional input of one row makes torch copy the whole weight.
                y = F.linear(x.reshape(-1, x.shape[-1]).to(narrow), module.weight).to(wide).view(*x.shape[:-1], -1)
                return y if bias is None else y + bias
            return F.linear(x.to(wide), scratch.widened(module.weight, wide), bias)

        return linear
    if isinstance(module, torch.nn.LayerNorm):
        return lambda x: F.layer_norm(
            x.to(wide), module.normalized_shape, module.weight.to(wide), module.bias.to(wide), module.eps
        )
    if isinstance(module, torch.nn.Conv2d):
        return lambda x: F.conv2d(
            x.to(wide),
            module.weight.to(wide),
            None if module.bias is None else module.bias.to(wide),
            module.stride,
            module.padding,
        )
    if isinstance(module, torch.nn.Embedding):
        original = module.forward
        return lambda ids: original(ids).to(wide)
    return None
