"""A second Backbone: PaliGemma over plain transformers, nothing kept, everything run again for every token.

It is the contract in its shortest form (clue_ros/vlm/backbone.py says what each method means), the reference that the
fast one is compared with, and the template for another model: what differs there is `_run`, `encode` and the tokens.
"""

from __future__ import annotations

from pathlib import Path
from typing import List, NamedTuple, Sequence, Tuple

import numpy as np
import torch
from transformers import AutoTokenizer, PaliGemmaForConditionalGeneration

from clue_ros.eyes.sight import Sight, has_sight
from clue_ros.eyes.tower import SightTower
from clue_ros.geometry import to_square
from clue_ros.types import stop_if
from clue_ros.vlm.attention import to_map
from clue_ros.vlm.banned_words import without_words
from clue_ros.vlm.decoding import FreeSequence, SegmentSequence, branch_probability
from clue_ros.vlm.likelihood import log_box_mass
from clue_ros.vlm.passes import Completion, EncodedImage, Likelihood, Prefill
from clue_ros.vlm.settings import ClueSettings
from clue_ros.vlm.tokens import PromptTokens


class Ran(NamedTuple):
    """Of the text's tokens: logits float[T,V]; hidden: float[1,N+T,W] before each layer; attention: float[H,T,N+T] of
    the tap."""

    logits: torch.Tensor
    hidden: Tuple[torch.Tensor, ...]
    attention: torch.Tensor


class SeenOnce(SightTower):
    """The eyes of a model that has some. They look longer than everything else takes, so a picture is kept."""

    last = (None, None)

    def forward(self, pixel_values, **_):
        if self.last[0] is not pixel_values:
            self.last = pixel_values, super().forward(pixel_values)
        return self.last[1]


class SlowBackbone:
    def __init__(self, folder: Path):
        folder = Path(folder)
        self.model = PaliGemmaForConditionalGeneration.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager"
        ).eval()
        self._whole = has_sight(folder)
        if self._whole:
            self.model.model.vision_tower = SeenOnce(Sight.open(folder))
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.settings = ClueSettings.load(folder, self.model.config.get_text_config().num_hidden_layers)
        self.device, self.remarks, self.sight = torch.device("cpu"), (), None
        names = (self.settings.detector_adapter, self.settings.dialogue_adapter, self.settings.answer_adapter)
        self.adapters = frozenset(name for name in names if name and (folder / "adapters" / name).is_dir())
        for name in sorted(self.adapters):
            self.model.load_adapter(str(folder / "adapters" / name), adapter_name=name)
        vision, text = self.model.config.vision_config, self.model.config.get_text_config()
        self.widths = vision.hidden_size, text.hidden_size
        self._side, self._grid = vision.image_size, vision.image_size // vision.patch_size
        outputs = self.model.lm_head.weight.shape[0]
        self._image_token = self.model.config.image_token_id
        self._tokens = PromptTokens(self.tokenizer, self.settings, self._image_token, outputs, "cpu")
        self._vocabulary = self._tokens.vocabulary

    @property
    def words(self):
        return self._tokens.words

    def respelled(self, text):
        return self._tokens.respelled(text)

    def unknown_words(self, text):
        return self._tokens.unknown_words(text)

    def without_unknown(self, text):
        return self._tokens.without_unknown(text)

    @torch.inference_mode()
    def encode(self, rgb: np.ndarray) -> EncodedImage:
        square = to_square(rgb, self._side)
        picture = rgb if self._whole else square
        pixels = torch.from_numpy(picture.transpose(2, 0, 1).copy())[None].float() / 127.5 - 1
        tower = self.model.model.vision_tower(pixels).last_hidden_state
        return EncodedImage(pixels, rgb.shape[1], rgb.shape[0], tower=tower, square=square)

    def look(self, image, adapter=None, layers=None) -> None:
        """Nothing is kept, so nothing can be had in advance."""

    def attention_map(self, image, prefix, adapter=None) -> torch.Tensor:
        name = self.settings.detector_adapter if adapter is None else adapter
        return self._map(prefix, self._run(image, self._ids(prefix), [], name))

    def word_states(self, image, prefix):
        ran = self._run(image, self._ids(prefix), [], self.settings.dialogue_adapter)
        return ran.hidden[self.settings.tap_layer][:, self._grid**2 :], self._map(prefix, ran)

    @torch.inference_mode()
    def closing_row(self, image, prefix, adapter, layers=None):
        ran = self._run(image, self._ids(prefix), [], adapter)
        if layers is None:
            return ran.logits[-1], self._map(prefix, ran)
        cap = self.model.config.get_text_config().final_logit_softcapping
        logits = self.model.lm_head(self.model.model.language_model.norm(ran.hidden[layers][:, -1]))[0]
        return (cap * torch.tanh(logits / cap) if cap else logits), self._map(prefix, ran)

    def likelihoods(self, image, prefix, suffixes: Sequence[str], adapter=None) -> List[Likelihood]:
        found = []
        for text in suffixes:
            suffix = [*self.tokenizer.encode(text, add_special_tokens=False), self.tokenizer.eos_token_id]
            logits = self._run(image, self._ids(prefix), suffix[:-1], self._named(adapter)).logits[-len(suffix) :]
            said = logits.log_softmax(-1).gather(1, torch.tensor(suffix)[:, None])
            found.append(Likelihood(float(said.sum()), len(suffix)))
        return found

    def box_scores(self, image, prefixes, boxes, tolerance, adapter=None) -> np.ndarray:
        first, found = self._vocabulary.first_location, np.zeros((len(prefixes), len(boxes)))
        for p, prefix in enumerate(prefixes):
            for n, box in enumerate(boxes):
                corners = [first + b for b in box[:3]]
                logits = self._run(image, self._ids(prefix), corners, self._named(adapter)).logits[-4:]
                found[p, n] = log_box_mass(logits, box, first, tolerance)
        return found

    def prefill(self, image, prefix, adapter=None, tap=False) -> Prefill:
        ids, name = self._ids(prefix), self._named(adapter)
        ran = self._run(image, ids, [], name)
        branches = branch_probability(self._vocabulary, ran.logits[-1])
        seen = self._map(prefix, ran) if tap else None
        return Prefill(ran.logits[-1], self._grid**2 + len(ids), name, (image, ids), branches, seen)

    def generate(self, start, allowed, should_stop=None, without=()):
        decode = lambda sequence: self._decode(start, sequence, should_stop)  # noqa: E731
        return without_words(self._tokens.banned(without), self._vocabulary, allowed, decode)

    def text_of(self, sequence) -> str:
        return self.tokenizer.decode(sequence.tokens, skip_special_tokens=True).strip()

    def complete(self, image, prefix, limit=64, should_stop=None, adapter="", ends_from=0.0) -> Completion:
        free = FreeSequence(self._vocabulary, limit, ends_from)
        said = self._decode(self.prefill(image, prefix, adapter), free, should_stop)
        text = self.tokenizer.decode(said.tokens, skip_special_tokens=False).strip()
        bins = tuple(self._vocabulary.bin_of(t) for t in said.tokens)
        return Completion(text, tuple(said.tokens), bins, tuple(said.certainty), said.ending, tuple(said.ends))

    def segment_codes(self, image, prefix, bins):
        box = tuple(self._vocabulary.first_location + b for b in bins)
        first = self.tokenizer.convert_tokens_to_ids("<seg000>")
        return self._decode(self.prefill(image, prefix, ""), SegmentSequence(box, first, 128, 16), None).codes

    def _named(self, adapter) -> str:
        return self.settings.dialogue_adapter if adapter is None else adapter

    def _ids(self, prefix: str) -> List[int]:
        return self._tokens.prefix(prefix).ids[0].tolist()

    def _decode(self, start: Prefill, sequence, should_stop):
        image, ids = start.cache
        logits, said = start.logits, []
        while True:
            said.append(sequence.feed(logits))
            if sequence.finished:
                return sequence
            stop_if(should_stop)
            logits = self._run(image, ids, said, start.adapter).logits[-1]

    @torch.inference_mode()
    def _run(self, image: EncodedImage, prefix: List[int], suffix: List[int], adapter: str) -> Ran:
        """One forward pass over everything. transformers lets tokens of type 0 see each other, those of type 1 what
        stands before them."""
        if adapter in self.adapters:
            self.model.enable_adapters()
            self.model.set_adapter(adapter)
        elif self.adapters:
            self.model.disable_adapters()
        count, causal = self._grid**2, int(not self.settings.pattern.words_see_ahead)
        ids = torch.tensor([[self._image_token] * count + prefix + suffix])
        types = torch.tensor([[0] * count + [causal] * len(prefix) + [1] * len(suffix)])
        out = self.model(
            input_ids=ids, token_type_ids=types, attention_mask=torch.ones_like(ids), pixel_values=image.features,
            output_attentions=True, output_hidden_states=True, use_cache=False,
        )  # fmt: skip
        tap = out.attentions[self.settings.tap_layer][0, :, count:]
        return Ran(out.logits[0, count:].float(), out.hidden_states, tap)

    def _map(self, prefix: str, ran: Ran) -> torch.Tensor:
        """The attention of the tap's rows, renormalised over the image, as the mean of heads and rows."""
        rows = self._tokens.prefix(prefix).rows[0]
        to_image = ran.attention[:, : len(rows)][:, rows, : self._grid**2]
        vector = (to_image / to_image.sum(-1, keepdim=True)).mean((0, 1))
        return to_map(vector[None], self._grid, self._grid)[0]
