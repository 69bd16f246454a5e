"""Words to token ids for the serving model: prefixes, the rows that the tap reads, the closed vocabulary with its
repair of slips of the keyboard (spelling.py) and the other forms of its words (short_forms.py)."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cached_property
from typing import FrozenSet, NamedTuple, Optional, Tuple

import torch

from clue_ros.location import token
from clue_ros.prompt import RESERVED
from clue_ros.types import ModelLoadError
from clue_ros.vlm.banned_words import BannedWords
from clue_ros.vlm.decoding import Vocabulary
from clue_ros.vlm.patterns import TAP_ROWS
from clue_ros.vlm.settings import ClueSettings
from clue_ros.vlm.short_forms import written_out
from clue_ros.vlm.spelling import respelled


class Prefix(NamedTuple):
    """ids: int64[1,T], <bos> … newline; rows: bool[1,T], what the tap reads."""

    ids: torch.Tensor
    rows: torch.Tensor


class PromptTokens:
    """A tokenizer with what CLUE needs to know about it. `outputs`: size of the model's head.

    Raises ModelLoadError if it is not a PaliGemma tokenizer."""

    def __init__(self, tokenizer, settings: ClueSettings, image_token: int, outputs: int, device):
        self.tokenizer, self._settings, self._device = tokenizer, settings, device
        self._bos, self._newline = tokenizer.bos_token_id, self._encode("\n")[-1]
        first = tokenizer.convert_tokens_to_ids(token(0))
        last = tokenizer.convert_tokens_to_ids(token(1023))
        if first is None or first == tokenizer.unk_token_id or last != first + 1023:
            raise ModelLoadError(
                "the tokenizer has no <loc0000> … <loc1023> tokens in a row: not a PaliGemma tokenizer"
            )
        if last >= outputs:
            raise ModelLoadError(
                f"the tokenizer has {len(tokenizer)} tokens, the weights have {outputs} outputs: they belong "
                "to two different models"
            )
        special = {i for t, i in tokenizer.get_added_vocab().items() if not t.startswith("<loc")}
        wordless = {i for piece, i in tokenizer.get_vocab().items() if not any(c.isalnum() for c in piece)}
        banned = frozenset(
            special
            | {image_token, self._newline, tokenizer.unk_token_id or 0, tokenizer.pad_token_id or 0, self._bos}
            - {tokenizer.eos_token_id}
        )
        self.vocabulary = Vocabulary(
            first,
            tokenizer.eos_token_id,
            frozenset(wordless),
            frozenset(i for i in banned if i < outputs),
            absence=settings.absence,
        )

    def with_settings(self, settings: ClueSettings) -> "PromptTokens":
        other = copy.copy(self)
        other._settings = settings
        other.vocabulary = replace(self.vocabulary, absence=settings.absence)
        return other

    def prefix(self, text: str) -> Prefix:
        """The token ids of a prefix and the rows of `tap_rows`."""
        words = self._encode(text)
        ids = [self._bos, *words, self._newline]
        conditioning = len(self._encode(text.split(" ", 1)[0]))
        rows = torch.zeros(1, len(ids), dtype=torch.bool)
        rows[0, TAP_ROWS[self._settings.tap_rows](conditioning, len(words))] = True
        return Prefix(torch.tensor([ids], device=self._device), rows.to(self._device))

    @property
    def words(self) -> Optional[FrozenSet[str]]:
        """The words that the model understands; None for an open vocabulary."""
        if not self._settings.closed_vocabulary:
            return None
        return frozenset(w for w in self._pieces_known if w[:1].isalpha() and w not in RESERVED)

    def banned(self, words: Tuple[str, ...]) -> BannedWords:
        """The token sequences that spell words, wherever they stand in a text."""
        return BannedWords.of(self._encode, words)

    def respelled(self, text: str) -> str:
        """The text with other forms of known words written out and slips of the keyboard repaired for a closed
        vocabulary; untouched for an open one."""
        if not self._settings.closed_vocabulary:
            return text
        known = self._understood()
        return respelled(written_out(text, known), known)

    def unknown_words(self, text: str) -> Tuple[str, ...]:
        """Words of a text that a closed vocabulary lacks and that are no slip of one that it has, in order; always
        empty for an open one."""
        if not self._settings.closed_vocabulary:
            return ()
        known = self._understood()
        words = [w for w in self._pieces(self.respelled(text)) if w not in known and any(c.isalnum() for c in w)]
        return tuple(dict.fromkeys(words))

    def without_unknown(self, text: str) -> str:
        """The respelled text without the pieces (words, signs) that a closed vocabulary lacks or keeps for the prompt's
        own
        form: a person's "user" would be the very token that opens a turn."""
        if not self._settings.closed_vocabulary:
            return text
        known = self._pieces_known
        return " ".join(w for w in self._pieces(self.respelled(text)) if w in known and w not in RESERVED)

    @cached_property
    def _pieces_known(self) -> FrozenSet[str]:
        """All that the tokenizer has; it takes half a millisecond to ask, several times a decision."""
        return frozenset(self.tokenizer.get_vocab())

    def _understood(self) -> FrozenSet[str]:
        """What a closed vocabulary has and what it skips."""
        return self._pieces_known.union(self._settings.ignored_words)

    def _pieces(self, text: str) -> Tuple[str, ...]:
        inner = self.tokenizer.backend_tokenizer
        return tuple(w for w, _ in inner.pre_tokenizer.pre_tokenize_str(inner.normalizer.normalize_str(text)))

    def _encode(self, text: str):
        return self.tokenizer.encode(text, add_special_tokens=False)
