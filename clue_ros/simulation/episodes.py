"""Episodes with a known course, for the demo, the evaluation and the tests: a scene, an instruction and its truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Optional, Tuple

import numpy as np

from clue_ros.simulation import paraphrases
from clue_ros.simulation.projection import foresee
from clue_ros.simulation.referring import Reference, absent_references, clearly_visible, resolve
from clue_ros.simulation.scene import ImageSize, Scene
from clue_ros.simulation.scene_draw import SceneConfig, draw_object, place, surroundings
from clue_ros.simulation.teacher import best_question

PLAN = ImageSize(320, 240)  # the size at which episodes are planned; boxes scale with the render


class EpisodeKind(str, Enum):
    CLEAR = "clear"
    AMBIGUOUS_COLOR = "ambiguous_color"  # a question about the colour settles it
    AMBIGUOUS_POSITION = "ambiguous_position"  # same kind, same colour: only a position settles it
    TWO_QUESTIONS = "two_questions"  # first the colour, then the position
    ABSENT = "absent"
    CLICK = "click"  # ambiguous, and the person answers by a click


@dataclass(frozen=True)
class Episode:
    """truth: 'clear', 'ambiguous' or 'absent'; target_index: the object in mind, an index of scene.objects, or None."""

    kind: EpisodeKind
    scene: Scene
    expression: str
    target_index: Optional[int]
    truth: str
    answer_by_click: bool = False


def sample_episode(kind: EpisodeKind, rng: np.random.Generator, config: SceneConfig = SceneConfig()) -> Episode:
    """Draw scenes until one has the wanted course: every object well visible and tellable apart in words."""
    kind = EpisodeKind(kind)
    while True:
        drawn = _draw(kind, rng, config)
        if drawn is None:
            continue
        scene, reference = drawn
        objects = foresee(scene, PLAN.width, PLAN.height)
        if not all(clearly_visible(o, PLAN) and o.visibility > 0.6 and _inside(o.box) for o in objects):
            continue
        matches = resolve(reference, objects, PLAN)
        if matches is None:
            continue
        expression = paraphrases.plain_instruction(reference, rng)
        if kind is EpisodeKind.ABSENT:
            if not matches:
                return Episode(kind, scene, expression, None, "absent")
        elif kind is EpisodeKind.CLEAR:
            if len(matches) == 1:
                return Episode(kind, scene, expression, matches[0], "clear")
        elif len(matches) > 1 and _course(kind, matches, objects):
            target = matches[0] if kind is EpisodeKind.TWO_QUESTIONS else int(rng.choice(matches))
            if kind is EpisodeKind.TWO_QUESTIONS:
                twins = [i for i in matches if sum(objects[i].color == objects[j].color for j in matches) > 1]
                target = int(rng.choice(twins))
            return Episode(kind, scene, expression, target, "ambiguous", kind is EpisodeKind.CLICK)


def _inside(box) -> bool:
    return box.x0 > 1 and box.y0 > 1 and box.x1 < PLAN.width - 1 and box.y1 < PLAN.height - 1


def _course(kind: EpisodeKind, matches, objects) -> bool:
    """Does the teacher's dialogue over these objects take the wanted turns?"""
    first = best_question(objects, matches, PLAN)
    if first is None:
        return False
    sizes = [len(o.keeps) for o in first.options]
    if kind is EpisodeKind.AMBIGUOUS_POSITION:
        return first.kind == "position"
    if kind is EpisodeKind.TWO_QUESTIONS:
        then = [best_question(objects, o.keeps, PLAN) for o in first.options if len(o.keeps) > 1]
        return first.kind == "color" and max(sizes) == 2 and all(q is not None and q.kind == "position" for q in then)
    return first.kind == "color" and max(sizes) == 1


def _draw(kind: EpisodeKind, rng: np.random.Generator, config: SceneConfig) -> Optional[Tuple[Scene, Reference]]:
    category = str(rng.choice(config.categories))
    count = 3 if kind is EpisodeKind.TWO_QUESTIONS else 2
    same = [draw_object(rng, category, config) for _ in range(count)]
    if kind in (EpisodeKind.AMBIGUOUS_POSITION, EpisodeKind.TWO_QUESTIONS):
        same[1] = draw_object(rng, category, config, color=same[0].color)
    others = [str(c) for c in rng.permutation(config.categories) if c != category]
    extra = int(rng.integers(max(1, config.min_objects - count), max(2, config.max_objects - count)))
    objects = same + [draw_object(rng, c, config) for c in others[:extra]]
    placed = place(rng, objects, config, clearance=1.15)
    if placed is None:
        return None
    scene = Scene(tuple(placed[i] for i in rng.permutation(len(placed))), **surroundings(rng, config))
    if kind is EpisodeKind.ABSENT:
        return scene, absent_references(placed, rng, 1, plain=True)[0]
    if kind is not EpisodeKind.CLEAR:
        return scene, Reference(category=category)
    item = scene.objects[int(rng.integers(len(placed)))]
    reference = Reference(category=item.category)
    roll = rng.random()
    if item.category == category:
        reference = (
            replace(reference, color=item.color)
            if roll < 0.6
            else replace(reference, position=str(rng.choice(["left", "right", "front", "back"])))
        )
    elif roll < 0.5:
        reference = replace(reference, color=item.color)
    return scene, reference
