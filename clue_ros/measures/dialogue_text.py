"""BLEU-1…4, METEOR, ROUGE-L and CIDEr of generated questions and answers, as the captioning field computes them.

The library is `pycocoevalcap` 1.2, which holds the code behind published figures, InViG's among them. BLEU, ROUGE-L and
CIDEr are Python; METEOR 1.5 is a Java program inside the package (nothing is downloaded), so without `java` on the PATH
it is left out. The package is an optional extra: without it everything else of the suite still works.

Texts are lower-cased and split at spaces and punctuation; punctuation is dropped, as the COCO tools drop it.
"""

from __future__ import annotations

import contextlib
import io
import re
import shutil
from typing import Dict, List, NamedTuple, Sequence

from clue_ros.prompt import clean
from clue_ros.types import ClueError

NAMES = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr")
_WORD = re.compile(r"\w+(?:'\w+)*")


class MissingLibraryError(ClueError):
    """pycocoevalcap is not installed."""


class TextScores(NamedTuple):
    """corpus: figure by name, over all pairs; each: figures of the single pairs by name (BLEU's of a single pair is
    smoothed, so its mean is not the corpus figure); missing: why a name is not there."""

    corpus: Dict[str, float]
    each: Dict[str, List[float]]
    missing: Dict[str, str]


def words(text: str) -> str:
    """The text as the metrics see it: lower case, words apart, no punctuation."""
    return " ".join(_WORD.findall(clean(text)))


def text_scores(generated: Sequence[str], references: Sequence[Sequence[str]]) -> TextScores:
    """Score texts against one or more references each.

    CIDEr weighs words by how rare they are in this very set of references, so it needs many pairs: of one pair it is 0.
    Raises MissingLibraryError naming what to install, ValueError for unequal lengths.
    """
    if len(generated) != len(references):
        raise ValueError(f"{len(generated)} texts and {len(references)} references")
    try:
        from pycocoevalcap.bleu.bleu import Bleu  # pyright: ignore[reportMissingImports]  # optional
        from pycocoevalcap.cider.cider import Cider  # pyright: ignore[reportMissingImports]  # optional
        from pycocoevalcap.rouge.rouge import Rouge  # pyright: ignore[reportMissingImports]  # optional
    except ImportError as error:
        raise MissingLibraryError(
            f"BLEU, METEOR, ROUGE-L and CIDEr need the Python package pycocoevalcap ({error}): "
            "pip install pycocoevalcap==1.2"
        ) from error
    if not generated:
        return TextScores({}, {}, dict.fromkeys(NAMES, "no texts"))
    said = {n: [words(text)] for n, text in enumerate(generated)}
    truth = {n: [words(text) for text in texts] for n, texts in enumerate(references)}
    corpus: Dict[str, float] = {}
    each: Dict[str, List[float]] = {}
    with contextlib.redirect_stdout(io.StringIO()):  # the library prints its progress
        bleu, bleus = Bleu(4).compute_score(truth, said, verbose=0)
        for n in range(4):
            corpus[NAMES[n]], each[NAMES[n]] = float(bleu[n]), [float(v) for v in bleus[n]]
        for name, scorer in (("ROUGE-L", Rouge()), ("CIDEr", Cider())):
            value, values = scorer.compute_score(truth, said)
            corpus[name], each[name] = float(value), [float(v) for v in values]
    missing = _add_meteor(truth, said, corpus, each)
    return TextScores({n: corpus[n] for n in NAMES if n in corpus}, each, missing)


def _add_meteor(
    truth: Dict[int, List[str]], said: Dict[int, List[str]], corpus: Dict[str, float], each: Dict[str, List[float]]
) -> Dict[str, str]:
    if shutil.which("java") is None:
        return {"METEOR": "METEOR 1.5 is a Java program, and there is no java on the PATH"}
    from pycocoevalcap.meteor.meteor import Meteor  # pyright: ignore[reportMissingImports]  # optional

    try:
        value, values = Meteor().compute_score(truth, said)
    except (OSError, ValueError, AssertionError) as error:  # what the wrapper raises when its process dies
        return {"METEOR": f"the METEOR program failed ({type(error).__name__}: {error})"}
    corpus["METEOR"], each["METEOR"] = float(value), [float(v) for v in values]
    return {}
