"""A PaliGemma-class model, loaded from a directory and taken apart into the steps that a dialogue needs.

The vision features are computed once an image and kept for every turn and both adapters (LoRA leaves the tower alone);
with query-blind image tokens the decoder's keys and values of the image are kept too.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Callable, Dict, FrozenSet, List, Optional, Tuple

import numpy as np
import torch

from clue_ros.geometry import to_square
from clue_ros.location import token
from clue_ros.types import Cancelled, ModelLoadError
from clue_ros.vlm.attention import attention_vector, to_map
from clue_ros.vlm.decoder import KeyValue, causal_mask, image_keys, logits_of, run_layers, text_queries
from clue_ros.vlm.decoding import Branch, ConstrainedSequence, Vocabulary, branch_probability
from clue_ros.vlm.settings import ClueSettings

StopTest = Optional[Callable[[], bool]]


@dataclass
class EncodedImage:
    """features: float[1,N,W], projected; width, height: of the original image in pixels; keys: the image's keys and
    values by adapter name, and the input of the tap layer (query-blind checkpoints only)."""

    features: torch.Tensor
    width: int
    height: int
    keys: Dict[str, List[KeyValue]] = field(default_factory=dict)
    tap_keys: Optional[torch.Tensor] = None
    tap_cache: Optional[List[KeyValue]] = None


@dataclass
class Prefill:
    """logits: float32[V] of the first suffix token; cache: keys and values so far; position: of the last prefix token,
    from 1; branches: what the logits want to say, a probability each."""

    logits: torch.Tensor
    cache: List[KeyValue]
    position: int
    branches: Dict[Branch, float]


class PaliGemmaBackbone:
    """One model on one device. Not thread-safe."""

    def __init__(self, model, tokenizer, settings: ClueSettings, adapters: FrozenSet[str] = frozenset()):
        self.model, self.tokenizer, self.settings, self.adapters = model, tokenizer, settings, adapters
        self.device = next(model.parameters()).device
        vision = model.config.vision_config
        self.side = vision.image_size
        self.grid = vision.image_size // vision.patch_size
        self._language = model.model.language_model
        self._active: Optional[str] = None
        self._bos, self._newline = tokenizer.bos_token_id, _id_of(tokenizer, "\n")
        first = tokenizer.convert_tokens_to_ids(token(0))
        last = tokenizer.convert_tokens_to_ids(token(1023))
        if first is None or first == tokenizer.unk_token_id or last != first + 1023:
            raise ModelLoadError("the tokenizer has no <loc0000> … <loc1023> tokens in a row: not a PaliGemma tokenizer")
        special = {i for t, i in tokenizer.get_added_vocab().items() if not t.startswith("<loc")}
        marks = {i for i in range(len(tokenizer)) if _ends_question(tokenizer.convert_ids_to_tokens(i))}
        banned = frozenset(special | {model.config.image_token_id, self._newline, tokenizer.unk_token_id or 0,
                                      tokenizer.pad_token_id or 0, self._bos} - {tokenizer.eos_token_id})
        outputs = model.lm_head.weight.shape[0]
        self.vocabulary = Vocabulary(first, tokenizer.eos_token_id, frozenset(marks),
                                     frozenset(i for i in banned if i < outputs))

    @classmethod
    def from_pretrained(cls, path: Path, device: str = "cpu", dtype: Optional[torch.dtype] = None) -> "PaliGemmaBackbone":
        """Load a directory (vlm/settings.py says what it holds). dtype: None for float32 on CPU, bfloat16 on GPU.

        Raises ModelLoadError naming what is missing, truncated or does not match.
        """
        from transformers import AutoTokenizer, PaliGemmaForConditionalGeneration

        path = Path(path)
        for name in ("config.json", "tokenizer_config.json"):
            if not (path / name).is_file():
                raise ModelLoadError(f"{path / name} is missing: {path} is not a model directory")
        weights = check_weights(path)
        dtype = dtype or (torch.float32 if str(device) == "cpu" else torch.bfloat16)
        try:
            with _quiet():
                model, report = PaliGemmaForConditionalGeneration.from_pretrained(
                    path, dtype=dtype, local_files_only=True, use_safetensors=True, output_loading_info=True,
                    ignore_mismatched_sizes=True,  # reported below, by name
                    attn_implementation={"text_config": "eager", "vision_config": "sdpa"})
                tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        except Exception as error:  # transformers raises many kinds for a broken directory; all mean the same here
            raise ModelLoadError(f"{path} cannot be loaded as PaliGemma: {error}") from error
        missing = [k for k in report["missing_keys"] if "lm_head" not in k]
        mismatched = [str(k) for k in report["mismatched_keys"]]
        if missing or mismatched:
            raise ModelLoadError(f"{weights}: {len(missing)} tensors missing and {len(mismatched)} of another shape than "
                                 f"config.json says, for example {(missing + mismatched)[0]}")
        settings = ClueSettings.load(path, model.config.get_text_config().num_hidden_layers)
        if settings.prefix_attention == "full" and model.config.get_text_config().sliding_window and \
                model.config.get_text_config().sliding_window < 2048:
            raise ModelLoadError(f"{path / 'config.json'}: sliding windows below 2048 tokens are not supported")
        adapters = load_adapters(model, path, [settings.detector_adapter, settings.dialogue_adapter])
        return cls(model.eval().to(device), tokenizer, settings, adapters)

    @torch.inference_mode()
    def encode(self, rgb: np.ndarray) -> EncodedImage:
        """Vision features of uint8[H,W,3]; pixels are scaled to [-1, 1] as SigLIP wants them."""
        square = to_square(rgb, self.side)
        pixels = torch.from_numpy(np.ascontiguousarray(square.transpose(2, 0, 1)))[None].to(self.device)
        pixels = pixels.to(self.model.dtype) / 127.5 - 1
        hidden = self.model.model.vision_tower(pixels).last_hidden_state
        return EncodedImage(self.model.model.multi_modal_projector(hidden), rgb.shape[1], rgb.shape[0])

    @torch.inference_mode()
    def attention_map(self, image: EncodedImage, prefix: str) -> torch.Tensor:
        """float32[grid,grid] in [0, 1]: the tap's map for a prefix, through the detector's adapter."""
        ids, rows = self._prefix(prefix)
        layer = self.settings.tap_layer
        count = image.features.shape[1]
        with self._adapter(self.settings.detector_adapter):
            text = self._language.embed_tokens(ids)
            if self.settings.prefix_attention == "image_blind":
                if image.tap_keys is None:
                    positions = self._positions(1, count)
                    done = run_layers(self._language, image.features, positions, stop=layer)
                    image.tap_cache = done.cache
                    image.tap_keys = image_keys(self._language, layer, done.hidden, positions)
                positions = self._positions(count + 1, ids.shape[1])
                done = run_layers(self._language, text, positions, past=image.tap_cache, stop=layer,
                                  mask=causal_mask(count, ids.shape[1], self.device))
                keys, queries = image.tap_keys, text_queries(self._language, layer, done.hidden, positions)
            else:
                positions = self._positions(1, count + ids.shape[1])
                hidden = torch.cat([image.features, text.to(image.features.dtype)], 1)
                hidden = run_layers(self._language, hidden, positions, stop=layer).hidden
                keys = image_keys(self._language, layer, hidden[:, :count], positions[:, :count])
                queries = text_queries(self._language, layer, hidden[:, count:], positions[:, count:])
            vector = attention_vector(self._language.layers[layer].self_attn, queries, keys, rows)
        return to_map(vector, self.grid, self.grid)[0]

    @torch.inference_mode()
    def prefill(self, image: EncodedImage, prefix: str) -> Prefill:
        """Run a prefix through the dialogue adapter, up to the logits of the first suffix token."""
        ids, _ = self._prefix(prefix)
        count = image.features.shape[1]
        name = self.settings.dialogue_adapter
        with self._adapter(name):
            text = self._language.embed_tokens(ids)
            if self.settings.prefix_attention == "image_blind":
                if name not in image.keys:
                    image.keys[name] = run_layers(self._language, image.features, self._positions(1, count),
                                                  keys_only_last=True).cache
                done = run_layers(self._language, text, self._positions(count + 1, ids.shape[1]), past=image.keys[name],
                                  mask=causal_mask(count, ids.shape[1], self.device))
            else:
                hidden = torch.cat([image.features, text.to(image.features.dtype)], 1)
                done = run_layers(self._language, hidden, self._positions(1, hidden.shape[1]))
            logits = logits_of(self.model, done.hidden[:, -1])[0]
        return Prefill(logits, done.cache, count + ids.shape[1], branch_probability(self.vocabulary, logits))

    @torch.inference_mode()
    def generate(self, start: Prefill, allowed: FrozenSet[Branch], should_stop: StopTest = None,
                 without: Tuple[str, ...] = ()) -> ConstrainedSequence:
        """Decode a suffix greedily under the constraints, without the words `without`. `should_stop` is asked before
        every token; raises Cancelled."""
        banned = frozenset(i for w in without for i in self.tokenizer.encode(w, add_special_tokens=False))
        vocabulary = replace(self.vocabulary, banned=self.vocabulary.banned | banned)
        sequence = ConstrainedSequence(vocabulary, allowed)
        logits, cache, position = start.logits, start.cache, start.position
        with self._adapter(self.settings.dialogue_adapter):
            while True:
                chosen = sequence.feed(logits)
                if sequence.finished:
                    return sequence
                stop_if(should_stop)
                position += 1
                step = self._language.embed_tokens(torch.tensor([[chosen]], device=self.device))
                done = run_layers(self._language, step, self._positions(position, 1), past=cache)
                cache, logits = done.cache, logits_of(self.model, done.hidden[:, -1])[0]

    def text_of(self, sequence: ConstrainedSequence) -> str:
        return self.tokenizer.decode(sequence.tokens, skip_special_tokens=True).strip()

    def unknown_words(self, text: str) -> Tuple[str, ...]:
        """Words of a text that a closed vocabulary lacks, in order; always empty for an open one."""
        if not self.settings.closed_vocabulary:
            return ()
        inner = self.tokenizer.backend_tokenizer
        pieces = inner.pre_tokenizer.pre_tokenize_str(inner.normalizer.normalize_str(text))
        known = {*self.tokenizer.get_vocab(), *self.settings.ignored_words}
        words = [w for w, _ in pieces if w not in known and any(c.isalnum() for c in w)]
        return tuple(dict.fromkeys(words))

    def without_unknown(self, text: str) -> str:
        """The text without the pieces (words, signs) that a closed vocabulary lacks."""
        if not self.settings.closed_vocabulary:
            return text
        inner = self.tokenizer.backend_tokenizer
        known = self.tokenizer.get_vocab()
        pieces = inner.pre_tokenizer.pre_tokenize_str(inner.normalizer.normalize_str(text))
        return " ".join(w for w, _ in pieces if w in known)

    def _prefix(self, prefix: str) -> Tuple[torch.Tensor, torch.Tensor]:
        """(ids int64[1,T], rows bool[1,T] that the tap reads)."""
        words = self.tokenizer.encode(prefix, add_special_tokens=False)
        ids = [self._bos, *words, self._newline]
        conditioning = len(self.tokenizer.encode(prefix.split(" ", 1)[0], add_special_tokens=False))
        rows = torch.zeros(1, len(ids), dtype=torch.bool)
        if self.settings.tap_rows == "last" or len(words) <= conditioning:
            rows[0, -1] = True
        else:
            rows[0, 1 + conditioning:-1] = True
        return torch.tensor([ids], device=self.device), rows.to(self.device)

    def _positions(self, first: int, count: int) -> torch.Tensor:
        return torch.arange(first, first + count, device=self.device)[None]

    @contextlib.contextmanager
    def _adapter(self, name: str):
        if name in self.adapters:
            if self._active != name:
                self.model.set_adapter(name)
                self.model.requires_grad_(False)
                self._active = name
            yield
        elif self.adapters:
            self.model.disable_adapters()
            try:
                yield
            finally:
                self.model.enable_adapters()
        else:
            yield


def stop_if(should_stop: StopTest) -> None:
    if should_stop is not None and should_stop():
        raise Cancelled("stopped on request")


def check_weights(path: Path) -> str:
    """Open every safetensors file that a directory needs; returns a name for messages. Raises ModelLoadError naming the
    file that is missing or truncated."""
    from safetensors import SafetensorError, safe_open

    index = path / "model.safetensors.index.json"
    if index.is_file():
        try:
            files = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (json.JSONDecodeError, KeyError, AttributeError, UnicodeDecodeError) as error:
            raise ModelLoadError(f"{index} is corrupt: {error}") from error
    else:
        files = ["model.safetensors"]
    for name in files:
        file = path / name
        if not file.is_file():
            raise ModelLoadError(f"{file} is missing (weights are read from safetensors only, never from pickles)")
        try:
            with safe_open(str(file), "pt") as handle:
                handle.keys()
        except (SafetensorError, OSError) as error:
            raise ModelLoadError(f"{file} is corrupt or truncated: {error}") from error
    return str(index if index.is_file() else path / files[0])


def load_adapters(model, path: Path, names) -> FrozenSet[str]:
    """Load the peft adapters of a directory into a model; a name without a folder is left out."""
    loaded = set()
    for name in dict.fromkeys(n for n in names if n):
        folder = path / "adapters" / name
        if not folder.is_dir():
            continue
        if not (folder / "adapter_model.safetensors").is_file() or not (folder / "adapter_config.json").is_file():
            raise ModelLoadError(f"{folder} lacks adapter_model.safetensors or adapter_config.json")
        try:
            with _quiet():
                model.load_adapter(str(folder), adapter_name=name)
        except Exception as error:  # peft and safetensors raise many kinds for a broken adapter
            raise ModelLoadError(f"{folder} cannot be loaded as a LoRA adapter of this model: {error}") from error
        loaded.add(name)
    return frozenset(loaded)


def _id_of(tokenizer, text: str) -> int:
    ids = tokenizer.encode(text, add_special_tokens=False)
    return ids[-1]


def _ends_question(piece: Optional[str]) -> bool:
    return bool(piece) and piece.endswith("?")


@contextlib.contextmanager
def _quiet():
    """transformers prints loading reports and progress bars, which would land in a robot's log."""
    from transformers.utils import logging as hub_logging

    level = hub_logging.get_verbosity()
    hub_logging.set_verbosity(logging.CRITICAL)
    hub_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        hub_logging.set_verbosity(level)
        hub_logging.enable_progress_bar()
