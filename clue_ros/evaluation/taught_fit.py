"""`clue evaluate taught SCENES --fit`: the bounds of taught/matching.py for a model's eyes, kept in its folder.

Every thing is looked at once, as the suite would; then all rules of a grid decide about the same looks. The best one is
nearest to the suite's goals; it is chosen on the things of even number and the figures are of the others.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Callable, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from clue_ros.evaluation.taught_suite import GOALS, VIEWS, Lesson, TaughtSuite
from clue_ros.geometry import box_iou
from clue_ros.perception.candidates import probability_ambiguous
from clue_ros.taught.matching import Rule, matching
from clue_ros.taught.reading import ASKS_FROM
from clue_ros.types import Box

LEAST = tuple(round(0.5 + 0.02 * n, 2) for n in range(21))
NEAR, COLOURS = (0.05, 0.08, 0.1, 0.13, 0.16, 0.2), (0.0, 0.05, 0.1, 0.15, 0.2)


class Looked(NamedTuple):
    """A scene as second glances see it: boxes in pixels, looks float32[K,·]."""

    boxes: Tuple[Box, ...]
    looks: np.ndarray


@dataclass(frozen=True)
class Episode:
    """case: of the suite; views: float32[V,·], looks of the thing in the order in which it was shown."""

    case: str
    views: np.ndarray
    scene: Looked
    truth: Tuple[Box, ...]


def episodes(suite: TaughtSuite, progress: Callable[[], object] = lambda: None) -> List[List[Episode]]:
    """What is decided about, a list for each thing."""
    found = []
    for lesson in suite.lessons:
        found.append(_of(suite, lesson))
        progress()
    return found


def _of(suite: TaughtSuite, lesson: Lesson) -> List[Episode]:
    views = suite.looks_of(lesson)
    return [Episode(t.case, views, Looked(*suite.looked(t.scene)), t.boxes) for t in lesson.trials]


def figures(things: Sequence[Sequence[Episode]], rule: Rule, views: int) -> Dict[str, float]:
    """The suite's figures by a rule: 'one', 'f1', 'look-alike' and 'absent', shares in [0, 1]."""
    told: Dict[str, List[Tuple[bool, bool]]] = {"one": [], "two": [], "look-alike": [], "absent": []}
    for episode in itertools.chain.from_iterable(things):
        seen = matching(episode.scene.boxes, episode.scene.looks, episode.views[:views], rule=rule)
        asks = probability_ambiguous([c.confidence for c in seen]) >= ASKS_FROM
        hit = bool(seen) and not asks and any(box_iou(seen[0].box, box) >= 0.5 for box in episode.truth)
        told[episode.case].append((asks, hit if episode.case == "one" else not seen))
    share = {case: float(np.mean([right for _, right in rows])) if rows else 0.0 for case, rows in told.items()}
    asked = [sum(asks for asks, _ in told[case]) for case in ("one", "two")]
    f1 = 2 * asked[1] / max(1, sum(asked) + len(told["two"]))
    return {"one": share["one"], "f1": f1, "look-alike": 1 - share["look-alike"], "absent": share["absent"]}


def fitted(things: Sequence[Sequence[Episode]]) -> Rule:
    """The rule of the grid that comes nearest to the goals: first for one view, then the bound for several."""
    one = max(
        (Rule(least, least, near, colours=weight) for least in LEAST for near in NEAR for weight in COLOURS),
        key=lambda rule: _worth(figures(things, rule, VIEWS[0])),
    )
    several = (replace(one, several=least) for least in LEAST if least >= one.least)
    return max(several, key=lambda rule: _worth(figures(things, rule, VIEWS[-1])))


def _worth(found: Dict[str, float]) -> float:
    """0 where all goals are reached, less where more is missing; a hundredth of the figures decides between equals."""
    better = {name: -value if name == "look-alike" else value for name, value in found.items()}
    goals = {name: -goal if name == "look-alike" else goal for name, goal in GOALS.items()}
    return sum(min(0.0, better[name] - goal) for name, goal in goals.items()) + 0.01 * sum(better.values())
