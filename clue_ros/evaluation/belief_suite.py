"""Two measurements of belief/ on rendered scenes of the tabletop suite's test seed: pointing, and questions.

Pointing: every ambiguous instruction is answered by one click, on a visible pixel of the target or beside its box by
less than 5 % of the image's width and on no other thing, and once more anywhere in its box or around it, whatever else
stands there; resolved means that no further question follows and that the box is right (IoU >= 0.5). Questions:
whole dialogues with the simulated person under each policy, on the same instructions. A model raises no error here that
would end the run: what fails counts as failed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from clue_ros.belief.grounder import POINTED, BeliefGrounder
from clue_ros.evaluation import interaction
from clue_ros.evaluation.tabletop_conditions import IN_DISTRIBUTION
from clue_ros.evaluation.tabletop_instructions import Instruction, instructions, person_for
from clue_ros.geometry import box_iou
from clue_ros.measures.metrics import mean, wilson_interval
from clue_ros.seams import Grounder
from clue_ros.simulation.dataset import ASPECTS
from clue_ros.simulation.scene import ImageSize, SceneObject
from clue_ros.types import Answer, Box, ClueError, Outcome, Turn

Row = Dict[str, Any]
BESIDE = 0.05  # of the image's width
PLACES = ("within", "beside", "in its box", "around its box")
TRIES = 200  # draws of a click beside it that hits nothing else
SLOPPY = 0.08  # of a box's sides: standard deviation of the corners of the boxes that stand in for a detector's


@dataclass(frozen=True)
class Asked:
    """One ambiguous instruction about one rendered scene; objects: with their boxes in pixels of rgb; segmentation:
    int16[H,W], index into objects or -1."""

    key: str
    rgb: np.ndarray
    segmentation: np.ndarray
    objects: Sequence[SceneObject]
    said: Instruction
    number: int

    @property
    def size(self) -> ImageSize:
        return ImageSize(self.rgb.shape[1], self.rgb.shape[0])

    @property
    def target(self) -> Box:
        return self.objects[self.target_index].visible_box

    @property
    def target_index(self) -> int:
        if self.said.target is None:
            raise ValueError(f"'{self.said.text}' is about nothing in the scene")
        return self.said.target

    def rng(self, purpose: int) -> np.random.Generator:
        return np.random.default_rng([IN_DISTRIBUTION.seed, int(self.key), purpose, self.number])


def ambiguous_instructions(scenes: int, first: int = 0) -> Iterator[Asked]:
    """Those of the tabletop suite's scenes first … first + scenes - 1."""
    from clue_ros.simulation.renderer import TabletopRenderer

    condition, renderers = IN_DISTRIBUTION, {}
    try:
        for number in range(first, first + scenes):
            aspect = ASPECTS[number % len(ASPECTS)]
            if aspect not in renderers:
                renderers[aspect] = TabletopRenderer(*aspect)
            view = renderers[aspect].render(condition.scene(condition.seed, number), depth=False)
            size = ImageSize(view.rgb.shape[1], view.rgb.shape[0])
            drawn = instructions(view.objects, size, np.random.default_rng([condition.seed, number, 1]))
            for n, said in enumerate(drawn):
                if said.truth == "ambiguous":
                    yield Asked(str(number), view.rgb, view.segmentation, view.objects, said, n)
    finally:
        for renderer in renderers.values():
            renderer.close()


def click(asked: Asked, place: str, rng: np.random.Generator) -> Optional[Tuple[float, float]]:
    """A click in pixels. within: on a visible pixel of the target; in its box: in the inner 80 % of it, on whatever is
    there; around its box: outside of it by less than BESIDE of the width, in any direction that stays in the image;
    beside: the same where no other thing is, None if there is no such place."""
    target = asked.target
    if place == "within":
        return pixel_of(asked.segmentation, asked.target_index, rng)
    if place == "in its box":
        return (
            float(target.x0 + rng.uniform(0.1, 0.9) * (target.x1 - target.x0)),
            float(target.y0 + rng.uniform(0.1, 0.9) * (target.y1 - target.y0)),
        )
    for _ in range(TRIES):
        x, y = _around(target, asked.size, rng)
        if not (0 <= x < asked.size.width and 0 <= y < asked.size.height):
            continue
        if place == "around its box" or asked.segmentation[int(y), int(x)] in (-1, asked.said.target):
            return x, y
    return None


def pixel_of(segmentation: np.ndarray, index: int, rng: np.random.Generator) -> Tuple[float, float]:
    """The middle of a random visible pixel of an object. Raises ValueError if none is visible."""
    rows, columns = np.nonzero(segmentation == index)
    n = int(rng.integers(len(rows)))
    return float(columns[n]) + 0.5, float(rows[n]) + 0.5


def _around(target: Box, size: ImageSize, rng: np.random.Generator) -> Tuple[float, float]:
    (cx, cy), half_w, half_h = target.center, (target.x1 - target.x0) / 2, (target.y1 - target.y0) / 2
    angle, distance = rng.uniform(0, 2 * math.pi), rng.uniform(0, BESIDE) * size.width
    dx, dy = math.cos(angle), math.sin(angle)
    edge = min(half_w / max(abs(dx), 1e-9), half_h / max(abs(dy), 1e-9))
    return cx + dx * (edge + distance), cy + dy * (edge + distance)


def detections(asked: Asked) -> Tuple[Box, ...]:
    """Stand-ins for another system's boxes of everything visible: the true ones with sloppy corners."""
    rng, found = asked.rng(7), []
    for item in asked.objects:
        if item.box is not None and item.pixels > 0:
            w, h = item.box.x1 - item.box.x0, item.box.y1 - item.box.y0
            moved = np.asarray(item.box) + rng.normal(0, SLOPPY, 4) * (w, h, w, h)
            found.append(Box(*np.sort(moved.reshape(2, 2), 0).reshape(4).tolist()))
    return tuple(found)


def play_pointing(grounder: Grounder, items: Iterator[Asked]) -> Iterator[Row]:
    """Rows of one instruction after another: each place of the click, by the model alone, with the belief, and with the
    belief over a detector's boxes."""
    believing = BeliefGrounder(grounder)
    for asked in items:
        seen = grounder.look(asked.rgb)
        for place in PLACES:
            point = click(asked, place, asked.rng(5 + PLACES.index(place) % 2))
            if point is None:
                continue
            turns = (Turn(POINTED, Answer(point=point)),)
            for way, ground, boxes in (
                ("model alone", grounder.ground, ()),
                ("belief", believing.ground, ()),
                ("belief, given boxes", believing.ground, detections(asked)),
            ):
                yield {
                    "scene": asked.key,
                    "expression": asked.said.text,
                    "place": place,
                    "way": way,
                    "point": [round(v, 1) for v in point],
                    **_judged(asked, lambda: ground(seen, asked.said.text, turns, candidates=boxes)),
                }


def _judged(asked: Asked, decide: Callable[[], Any]) -> Row:
    try:
        decision = decide()
    except ClueError as error:
        return {
            "outcome": "error",
            "reason": str(error),
            "iou": 0.0,
            "resolved": False,
            "right_thing": False,
            "seconds": 0.0,
        }
    iou = box_iou(decision.box, asked.target) if decision.box is not None else 0.0
    others = [
        box_iou(decision.box, o.box)
        for n, o in enumerate(asked.objects)
        if decision.box is not None and n != asked.said.target and o.box is not None
    ]
    found = decision.outcome is Outcome.FOUND
    return {
        "outcome": decision.outcome.value,
        "reason": "",
        "iou": round(iou, 4),
        "resolved": found and iou >= 0.5,
        "right_thing": found and iou > max(others, default=0.0),
        "seconds": round(sum(decision.latency_s.values()), 4),
    }


def play_questions(
    grounder: Grounder, items: Iterator[Asked], policies: Sequence[str], max_questions: int = 3
) -> Iterator[Row]:
    """A row for each policy, one instruction after another; the person says the same of the same question."""
    believing = {policy: BeliefGrounder(grounder, policy) for policy in policies}
    for asked in items:
        seen = grounder.look(asked.rgb)
        for policy in policies:
            person = person_for(asked.said, asked.objects, asked.size, asked.rng(2))
            try:
                row, _ = interaction.play(
                    believing[policy],
                    seen,
                    asked.said.text,
                    "ambiguous",
                    (asked.target,),
                    person,
                    max_questions=max_questions,
                )
            except ClueError as error:
                row = {
                    "outcome": "error",
                    "reason": str(error),
                    "success": False,
                    "right": False,
                    "asked": 0,
                    "seconds": 0.0,
                }
            yield {**row, "image": asked.key, "scene": asked.key, "policy": policy}


def pointing_summary(rows: Sequence[Row]) -> List[Row]:
    """One line for each place and way: shares with 95 % Wilson intervals."""
    pairs = list(dict.fromkeys((r["place"], r["way"]) for r in rows))
    return [
        _line(
            {"place": place, "way": way},
            [r for r in rows if (r["place"], r["way"]) == (place, way)],
            ("resolved", "right_thing"),
        )
        for place, way in pairs
    ]


def questions_summary(rows: Sequence[Row]) -> List[Row]:
    """One line for each policy; `questions`: a dialogue, `questions_if_asked`: of those that asked at all."""
    lines = []
    for policy in dict.fromkeys(r["policy"] for r in rows):
        own = [r for r in rows if r["policy"] == policy]
        line = _line({"policy": policy}, own, ("success", "right"))
        lines.append(
            {
                **line,
                "questions": mean([r["asked"] for r in own]),
                "questions_if_asked": mean([r["asked"] for r in own if r["asked"]]),
            }
        )
    return lines


def _line(names: Row, rows: Sequence[Row], shares: Sequence[str]) -> Row:
    line = {
        **names,
        "count": len(rows),
        "scenes": len({r["scene"] for r in rows}),
        "seconds": mean([r["seconds"] for r in rows]),
    }
    for name in shares:
        hits = sum(bool(r[name]) for r in rows)
        line[name], line[f"{name}_interval"] = hits / len(rows), list(wilson_interval(hits, len(rows)))
    return line
