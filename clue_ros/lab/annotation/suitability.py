"""Which images are worth a dialogue: InViG's two-stage filter (section III-B). `clue data filter`.

Stage 1: images with excluded classes go, and those of low ambiguity: "the maximum number of objects belonging to the
same class". Stage 2, Eq. 1: with classes c1 … cn that appear independently of each other,

    p(positive | c1 … cn) = Π p(ci | positive) / (Π p(ci | positive) + Π p(ci | negative))

where p(c | ·) is the share of the hand-sorted positive (negative) images that hold the class; an image stays if this is
over 0.5. The paper counts plainly; here one is added to each count and two to each total (Laplace), or a class that one
of the two small sets lacks would decide alone. A class that both lack says nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Dict, Iterable, Sequence, Tuple

from clue_ros.data.instances import Picture
from clue_ros.problems import DataError

KEEP_OVER = 0.5


@dataclass(frozen=True)
class Suitability:
    """weights: class -> log p(c | positive) − log p(c | negative); positives, negatives: how many images they are
    of.
    """

    weights: Dict[str, float]
    positives: int
    negatives: int

    @classmethod
    def fit(cls, pictures: Iterable[Picture]) -> "Suitability":
        """From pictures that somebody sorted (`suitable`). Raises DataError where there are none of one kind."""
        counts: Dict[bool, Counter] = {True: Counter(), False: Counter()}
        totals = {True: 0, False: 0}
        for picture in pictures:
            if picture.suitable is not None:
                totals[picture.suitable] += 1
                counts[picture.suitable].update(classes_of(picture))
        if not all(totals.values()):
            raise DataError(
                f"the filter needs images sorted by hand, some suitable and some not; there are {totals[True]} and "
                f'{totals[False]}: give lines with "suitable": true or false'
            )

        def log_share(name: str, kind: bool) -> float:
            return math.log((counts[kind][name] + 1) / (totals[kind] + 2))

        return cls(
            {c: log_share(c, True) - log_share(c, False) for c in {*counts[True], *counts[False]}},
            totals[True],
            totals[False],
        )

    def probability(self, classes: Iterable[str]) -> float:
        """P(positive) in [0, 1] of an image with these classes, each counted once; 0.5 of none that is known."""
        odds = sum(self.weights.get(c, 0.0) for c in set(classes))
        return 1 / (1 + math.exp(-max(-700.0, min(700.0, odds))))


def classes_of(picture: Picture) -> Tuple[str, ...]:
    """Every class that appears, once."""
    return tuple(dict.fromkeys(i.name for i in picture.instances if i.name))


def ambiguity_of(picture: Picture) -> int:
    """The largest number of objects of one class; of boxes without names, how many there are."""
    names = Counter(i.name for i in picture.instances if i.name)
    return max(names.values()) if names else len(picture.instances)


def rejected(picture: Picture, model: Suitability, at_least: int = 2, excluded: Sequence[str] = ()) -> str:
    """Why a picture goes, '' if it stays."""
    if set(classes_of(picture)) & set(excluded):
        return "excluded class"
    if ambiguity_of(picture) < at_least:
        return "low ambiguity"
    return "" if model.probability(classes_of(picture)) > KEEP_OVER else "unsuitable classes"
