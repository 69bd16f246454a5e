"""Many queries over one image in one sequence: [image tokens] [query 1] [query 2] …, under a block mask.

With image tokens that do not see the text, the image's keys and values are the same for every query, so a dozen phrases
cost one image pass. Each query sees the image and, causally, itself; its positions start right after the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Sequence, Tuple

import numpy as np
import torch

from clue_ros.location import BINS, token
from clue_ros.simulation.queries import Query

IGNORE = -100


@dataclass
class Pack:
    """ids, positions, targets: int64[B,T] (targets IGNORE where nothing is predicted); weights: float32[B,T];
    mask: bool[B,1,T,N+T]; closing: int64[Q,2], (image, row) of each query's closing newline;
    set_rows / set_maps: rows that should look at all matches, float32[R,N]; one_rows / one_maps: rows that should look
    at the object that the next token is about."""

    ids: torch.Tensor
    positions: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    mask: torch.Tensor
    closing: torch.Tensor
    queries: List[Query]
    set_rows: torch.Tensor
    set_maps: torch.Tensor
    one_rows: torch.Tensor
    one_maps: torch.Tensor


class Packer:
    """Tokenises and packs queries for a tokenizer and a number of image tokens."""

    def __init__(self, tokenizer, image_tokens: int, branch_weight: float = 2.0, content_weight: float = 2.0):
        self._tokenizer, self.image_tokens = tokenizer, image_tokens
        self.first_location = tokenizer.convert_tokens_to_ids(token(0))
        self._bos, self._eos = tokenizer.bos_token_id, tokenizer.eos_token_id
        self._newline = tokenizer.convert_tokens_to_ids("\n")
        self._branch, self._content = branch_weight, content_weight
        self._known: dict = {}

    def prefix_ids(self, prefix: str) -> List[int]:
        return [self._bos, *self._encode(prefix), self._newline]

    def pack(self, per_image: Sequence[Sequence[Query]], patches: np.ndarray, length: int) -> Pack:
        """Pack the queries of each image into `length` rows; what does not fit is left out. patches: int8[B,P,P]."""
        count = len(per_image)
        ids = np.zeros((count, length), np.int64)
        positions = np.full((count, length), self.image_tokens + 1, np.int64)
        targets = np.full((count, length), IGNORE, np.int64)
        weights = np.zeros((count, length), np.float32)
        owner = np.full((count, length), -1, np.int64)
        closing, used, sets, ones = [], [], [], []
        for b, queries in enumerate(per_image):
            at = 0
            maps = _Maps(patches[b])
            for n, query in enumerate(queries):
                prefix = self.prefix_ids(query.prefix)
                suffix, about, weight = self._suffix(query)
                row = prefix + suffix[:-1]
                if at + len(row) > length:
                    continue
                last = at + len(prefix) - 1
                ids[b, at : at + len(row)] = row
                positions[b, at : at + len(row)] = self.image_tokens + 1 + np.arange(len(row))
                owner[b, at : at + len(row)] = n
                targets[b, last : at + len(row)] = suffix
                weights[b, last : at + len(row)] = weight
                closing.append((b, last))
                used.append(query)
                sets.append((b, last, maps.union(query.matches)))
                ones += [(b, last + k, maps.union(objects)) for k, objects in enumerate(about) if objects]
                at += len(row)
        own = torch.from_numpy(owner)
        block = (own[:, :, None] == own[:, None, :]) & torch.ones(length, length, dtype=torch.bool).tril()
        mask = torch.cat([torch.ones(count, length, self.image_tokens, dtype=torch.bool), block], 2)[:, None]
        set_rows, set_maps = _rows(sets, self.image_tokens)
        one_rows, one_maps = _rows(ones, self.image_tokens)
        return Pack(
            torch.from_numpy(ids),
            torch.from_numpy(positions),
            torch.from_numpy(targets),
            torch.from_numpy(weights),
            mask,
            torch.tensor(closing),
            used,
            set_rows,
            set_maps,
            one_rows,
            one_maps,
        )

    def _suffix(self, query: Query) -> Tuple[List[int], List[Tuple[int, ...]], List[float]]:
        ids: List[int] = []
        about: List[Tuple[int, ...]] = []
        weight: List[float] = []
        for text, objects in query.segments:
            piece = self._encode(text)
            ids += piece
            about += [objects] * len(piece)
            location = piece[0] >= self.first_location
            weight += [self._content if objects and not location else 1.0] * len(piece)
        ids.append(self._eos)
        about.append(())
        weight.append(1.0)
        weight[0] = self._branch
        return ids, about, weight

    def _encode(self, text: str) -> List[int]:
        if text not in self._known:
            if len(self._known) > 50_000:
                self._known.clear()
            self._known[text] = self._tokenizer.encode(text, add_special_tokens=False)
        return self._known[text]


class _Maps:
    """Where objects stand: distributions over the patches of one image."""

    def __init__(self, patches: np.ndarray):
        self._flat = patches.reshape(-1)

    def union(self, objects: Sequence[int]) -> np.ndarray:
        """float32[N]: equal mass on every object, spread evenly over its patches; even everywhere for no object."""
        if not len(objects):
            return np.full(self._flat.size, 1 / self._flat.size, np.float32)
        total = np.zeros(self._flat.size, np.float32)
        for k in objects:
            own = (self._flat == k).astype(np.float32)
            total += own / max(1.0, own.sum())
        return total / max(1e-6, total.sum())


def _rows(entries, width: int) -> Tuple[torch.Tensor, torch.Tensor]:
    if not entries:
        return torch.zeros(0, 2, dtype=torch.int64), torch.zeros(0, width)
    return (torch.tensor([(b, t) for b, t, _ in entries]), torch.from_numpy(np.stack([m for _, _, m in entries])))


def location_targets(pack: Pack, first: int) -> torch.Tensor:
    """bool[B,T]: rows whose target is a <loc> token."""
    return (pack.targets >= first) & (pack.targets < first + BINS)
