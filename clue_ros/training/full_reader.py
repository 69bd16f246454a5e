"""What a frozen base whose image tokens see the words (PaliGemma's own prefix) says about queries: a pass for each.

The packed reader of mask_stage.py runs an image once for all of its queries, which only an image_blind base allows.
"""

from __future__ import annotations

from typing import Any, List, Sequence, Tuple

import torch

from clue_ros.masks.head import MaskQueries
from clue_ros.simulation.mask_queries import MaskQuery
from clue_ros.training.base import Base
from clue_ros.vlm.adapters import Adapter, load_adapters
from clue_ros.vlm.attention import attention_vector, to_map
from clue_ros.vlm.decoder import attention_scores, image_keys, run_layers, text_queries
from clue_ros.vlm.tokens import PromptTokens

ROWS = 8  # queries of one pass


class FullReader:
    """The decoder under the dialogue adapter, up to the tap. model: with that adapter merged, on its device."""

    def __init__(self, base: Base, device: str):
        model: Any = base.model
        self._model, self._settings, self._device = model, base.settings, device
        outputs = model.lm_head.weight.shape[0]
        self._tokens = PromptTokens(base.tokenizer, base.settings, model.config.image_token_id, outputs, device)

    @torch.no_grad()
    def read(
        self, vision: torch.Tensor, per_image: Sequence[Sequence[MaskQuery]], length: int
    ) -> Tuple[MaskQueries, List[MaskQuery], List[int]]:
        """As mask_stage.BaseReader's. length: queries with more tokens are left out."""
        asked = [(q, b) for b, queries in enumerate(per_image) for q in queries]
        told = [(q, b, self._tokens.prefix(q.prefix)) for q, b in asked]
        told = [entry for entry in told if entry[2].ids.shape[1] <= length]
        embedded = self._model.model.multi_modal_projector(vision)
        width = max(prefix.ids.shape[1] for _, _, prefix in told)
        parts = [self._pass(embedded, part, width) for part in _chunks(told)]
        states, maps = (torch.cat(both) for both in zip(*parts))
        counts = torch.tensor([prefix.ids.shape[1] for _, _, prefix in told], device=self._device)
        there = torch.arange(width, device=self._device) < counts[:, None]
        boxes = torch.tensor([q.box or (float("nan"),) * 4 for q, _, _ in told], device=self._device)
        where = [b for _, b, _ in told]
        image = torch.tensor(where, device=self._device)
        return MaskQueries(states, there, maps, boxes.float(), image), [q for q, _, _ in told], where

    def _pass(self, embedded: torch.Tensor, part: Sequence[tuple], width: int) -> Tuple[torch.Tensor, torch.Tensor]:
        """(states float[Q,width,W], maps float32[Q,g,g])."""
        language, tap, count = self._model.model.language_model, self._settings.tap_layer, embedded.shape[1]
        ids = torch.zeros(len(part), width, dtype=torch.int64, device=self._device)
        rows = torch.zeros_like(ids, dtype=torch.bool)
        for n, (_, _, prefix) in enumerate(part):
            tokens = prefix.ids.shape[1]
            ids[n, :tokens], rows[n, :tokens] = prefix.ids[0], prefix.rows[0]
        lengths = torch.tensor([prefix.ids.shape[1] for _, _, prefix in part], device=self._device)
        hidden = torch.cat([embedded[[b for _, b, _ in part]], language.embed_tokens(ids)], 1)
        positions = torch.arange(1, count + width + 1, device=self._device)[None].expand(len(part), -1)
        mask = self._settings.pattern.mask(lengths, count, width)
        hidden = run_layers(language, hidden, positions, mask=mask, stop=tap).hidden
        keys = image_keys(language, tap, hidden[:, :count], positions[:, :count])
        queries = text_queries(language, tap, hidden[:, count:], positions[:, count:])
        grid = round(count**0.5)
        scores = attention_scores(language.layers[tap].self_attn, queries, keys)
        return hidden[:, count:], to_map(attention_vector(scores, rows), grid, grid)


def merge_dialogue(base: Base) -> None:
    """Add the dialogue adapter's products to the decoder's own weights, if the base has one."""
    language = base.model.model.language_model
    if base.folder is not None:
        for adapter in load_adapters(language, base.folder, (base.settings.dialogue_adapter,)).values():
            _merge(language, adapter)


def _merge(language, adapter: Adapter) -> None:
    for index, projections in adapter.items():
        for name, module in language.layers[index].named_modules():
            factors = projections.get(name.rsplit(".", 1)[-1])
            if factors is not None and name.endswith("_proj"):
                a, b = factors
                module.weight.data += (b @ a).to(module.weight)


def _chunks(values: Sequence[tuple]) -> List[Sequence[tuple]]:
    return [values[start : start + ROWS] for start in range(0, len(values), ROWS)]
