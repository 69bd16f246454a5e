""" "Another one like this" on rendered scenes: an instruction, a click on a thing, and what the scene's truth says is
alike.

Alike is the same kind of the same colour, or where there is none the same kind (belief/likeness.py). Where one thing is
alike, it must be found (IoU >= 0.5); where several are, the robot must ask, and its candidates are judged; where
nothing is, it must say so.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np

from clue_ros.belief.grounder import BeliefGrounder
from clue_ros.evaluation.belief_suite import pixel_of
from clue_ros.evaluation.tabletop_conditions import IN_DISTRIBUTION
from clue_ros.geometry import box_iou
from clue_ros.measures.metrics import wilson_interval
from clue_ros.seams import Grounder
from clue_ros.simulation.dataset import ASPECTS
from clue_ros.types import Answer, Box, ClueError, Outcome

Row = Dict[str, Any]
EXPRESSION = "another one like this"
SEEN_PIXELS = 200  # of an object that counts as visible; with fewer of one of its kind a thing is no example
PER_SCENE = 3
CASES = ("one alike", "several alike", "one of its kind", "several of its kind", "none")


class Example(NamedTuple):
    """A thing to point at: its index among the scene's objects, the case, the boxes of those alike, the click in
    pixels.
    """

    index: int
    case: str
    alike: Tuple[Box, ...]
    point: Tuple[float, float]


def examples(
    objects: Sequence[Any], segmentation: np.ndarray, rng: np.random.Generator, limit: int = PER_SCENE
) -> List[Example]:
    """Up to `limit` things of a scene, rarer cases first. segmentation: int16[H,W], index into objects or -1."""
    found = []
    for index, thing in enumerate(objects):
        kin = [o for n, o in enumerate(objects) if n != index and o.category == thing.category]
        if any(o.box is None or o.pixels < SEEN_PIXELS for o in (thing, *kin)):
            continue
        twins = [o for o in kin if o.color == thing.color]
        alike = twins or kin
        case = CASES[4] if not alike else CASES[(0 if twins else 2) + (len(alike) > 1)]
        found.append(Example(index, case, tuple(o.box for o in alike), pixel_of(segmentation, index, rng)))
    order = {
        case: n
        for n, case in enumerate(("several alike", "one alike", "several of its kind", "one of its kind", "none"))
    }
    found = [found[n] for n in rng.permutation(len(found))]
    return sorted(found, key=lambda example: order[example.case])[:limit]


def drawn(
    scenes: int, first: int = 0, seed: int = IN_DISTRIBUTION.seed
) -> Iterator[Tuple[str, np.ndarray, List[Example]]]:
    """(number, uint8[H,W,3], examples) of the scenes first … first + scenes - 1 that have any."""
    from clue_ros.simulation.renderer import TabletopRenderer

    renderers: Dict[Tuple[int, int], Any] = {}
    try:
        for number in range(first, first + scenes):
            aspect = ASPECTS[number % len(ASPECTS)]
            if aspect not in renderers:
                renderers[aspect] = TabletopRenderer(*aspect)
            view = renderers[aspect].render(IN_DISTRIBUTION.scene(seed, number), depth=False)
            chosen = examples(view.objects, view.segmentation, np.random.default_rng([seed, number, 11]))
            if chosen:
                yield str(number), view.rgb, chosen
    finally:
        for renderer in renderers.values():
            renderer.close()


def play(grounder: Grounder, scenes: int, first: int = 0, seed: int = IN_DISTRIBUTION.seed) -> Iterator[Row]:
    """A row for each example of those scenes."""
    believing = BeliefGrounder(grounder)
    for number, rgb, chosen in drawn(scenes, first, seed):
        seen = grounder.look(rgb)
        for example in chosen:
            yield {"scene": number, "case": example.case, **judged(believing, seen, example)}


def judged(believing: BeliefGrounder, seen: Any, example: Example) -> Row:
    """outcome; right: what the case demands; hits: how many of those alike are among the box or the candidates."""
    try:
        decision = believing.ground(seen, EXPRESSION, pointing=Answer(point=example.point))
    except ClueError as error:
        return {"outcome": "error", "reason": str(error), "right": False, "hits": 0, "alike": len(example.alike)}
    shown = decision.candidates if decision.outcome is Outcome.ASK else (decision.box,) if decision.box else ()
    hits = sum(any(box_iou(box, truth) >= 0.5 for box in shown) for truth in example.alike)
    if not example.alike:
        right = decision.outcome is Outcome.NOT_FOUND
    elif len(example.alike) == 1:
        right = decision.outcome is Outcome.FOUND and hits == 1
    else:
        right = decision.outcome is Outcome.ASK and hits >= 2
    return {
        "outcome": decision.outcome.value,
        "reason": "",
        "right": bool(right),
        "hits": hits,
        "alike": len(example.alike),
        "question": decision.question,
        "seconds": round(sum(decision.latency_s.values()), 4),
    }


def summary(rows: Sequence[Row]) -> List[Row]:
    """One line for each case, and one for all: shares of right ones with 95 % Wilson intervals."""
    lines = []
    for case in (*CASES, "all"):
        own = [r for r in rows if case in (r["case"], "all")]
        if own:
            hits = sum(r["right"] for r in own)
            lines.append(
                {
                    "case": case,
                    "count": len(own),
                    "scenes": len({r["scene"] for r in own}),
                    "right": hits / len(own),
                    "right_interval": list(wilson_interval(hits, len(own))),
                }
            )
    return lines
