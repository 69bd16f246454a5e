"""Which of the things in a picture are the one that was taught.

Likeness (looks.py) is compared with one bound, whatever was taught; another thing in the picture is a rival only if it
is nearly as like as the likest one. docs/log/2026-11-30-taught.md has what else was tried.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from math import exp, isfinite
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import numpy as np

from clue_ros.configuration import ConfigurationError, from_mapping
from clue_ros.geometry import box_iou
from clue_ros.perception.candidates import Candidate
from clue_ros.taught.looks import likeness
from clue_ros.types import Box, ModelLoadError

RULE = "taught_rule.json"  # in a model folder
SAME_BOX, PART = 0.4, 0.7  # overlap, and share of the smaller one, from which two boxes are of one thing


@dataclass(frozen=True)
class Rule:
    """least: likeness from which a thing is the taught one; several: the same with three views or more, of which the
    likest counts; near: how far below the likest one a second may be; slope: of the confidence, 0.5 at the bound;
    colours: their weight (looks.py). `clue evaluate taught SCENES --fit` fits them for a model's eyes."""

    least: float = 0.68
    several: float = 0.72
    near: float = 0.13
    slope: float = 12.0
    colours: float = 0.1

    def bound(self, views: int) -> float:
        """The likeness that a thing with so many views must reach."""
        return self.several if views >= 3 else (self.least if views < 2 else (self.least + self.several) / 2)


def rule_of(folder: Optional[Path]) -> Rule:
    """That of a model folder's RULE; of one without, Rule(). Raises ModelLoadError naming a file that is none."""
    file = None if folder is None else folder / RULE
    if file is None or not file.is_file():
        return Rule()
    try:
        rule = from_mapping(Rule, json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError, ConfigurationError) as error:
        raise ModelLoadError(f"{file} cannot be read: {error}") from error
    if not all(isfinite(value) for value in asdict(rule).values()):
        raise ModelLoadError(f"{file} holds numbers that are none")
    return rule


def save_rule(rule: Rule, folder: Path) -> Path:
    """The file. Raises OSError."""
    (folder / RULE).write_text(json.dumps(asdict(rule), indent=2) + "\n", encoding="utf-8")
    return folder / RULE


def matching(
    boxes: Sequence[Box], seen: np.ndarray, views: np.ndarray, others: Sequence[np.ndarray] = (), rule: Rule = Rule()
) -> Tuple[Candidate, ...]:
    """The things that are the taught one, the likest first.

    boxes: K of the picture's things, pixels; seen: float32[K,·], their looks; views: float32[V,·], looks of the taught
    thing; others: of everything else that was taught: what is liker to one of these is not this thing.
    """
    like, bound = likeness(seen, views, rule.colours), rule.bound(len(views))
    rival = (
        np.max([likeness(seen, other, rule.colours) for other in others], 0) if others else np.full(len(like), -np.inf)
    )
    found: List[Tuple[float, Box]] = []
    for n in np.argsort(-like):
        box = boxes[n]
        if like[n] < max(bound, found[0][0] - rule.near if found else -np.inf):
            break
        if like[n] > rival[n] and box.area > 0 and not any(one_thing(box, other) for _, other in found):
            found.append((float(like[n]), box))
    return tuple(Candidate(box, 1 / (1 + exp(-rule.slope * (score - bound)))) for score, box in found)


def one_thing(a: Box, b: Box) -> bool:
    """Whether two boxes are around one thing."""
    shared = max(0.0, min(a.x1, b.x1) - max(a.x0, b.x0)) * max(0.0, min(a.y1, b.y1) - max(a.y0, b.y0))
    return box_iou(a, b) >= SAME_BOX or shared >= PART * min(a.area, b.area)
