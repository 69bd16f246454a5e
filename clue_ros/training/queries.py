"""What the language model is asked about a scene: prefix, suffix, and where it should look while it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Sequence, Tuple

import numpy as np

from clue_ros.location import box_to_text, point_to_text
from clue_ros.prompt import CLARIFY, DETECT, linearize
from clue_ros.simulation import language
from clue_ros.simulation.referring import (ImageSize, Reference, absent_references, clearly_visible,
                                           enumerate_references)
from clue_ros.simulation.scene import SceneObject
from clue_ros.simulation.teacher import Step, sample_dialogue
from clue_ros.types import Answer, Turn

SEPARATOR = ";"


@dataclass(frozen=True)
class Query:
    """One prefix → suffix pair. `segments`: the suffix in pieces, each with the objects that it is about;
    matches: the objects that the context still allows; label: 1 ambiguous, 0 not; kind: the expression type."""

    prefix: str
    segments: Tuple[Tuple[str, Tuple[int, ...]], ...]
    matches: Tuple[int, ...]
    kind: str

    @property
    def ambiguous(self) -> bool:
        return len(self.matches) > 1


@dataclass(frozen=True)
class State:
    """A dialogue state about a scene: who is meant, and how the expression came about."""

    step: Step
    kind: str


def scene_states(objects: Sequence[SceneObject], image: ImageSize, rng: np.random.Generator, count: int) -> List[State]:
    """Up to `count` dialogue states, balanced between ambiguous, clear and absent, and over expression types."""
    pools: Dict[str, list] = {}
    for reference, matches in enumerate_references(objects, image):
        pools.setdefault(("many " if len(matches) > 1 else "one ") + reference.kind(), []).append((reference, matches))
    states: List[State] = []
    keys = list(pools)
    for key in rng.permutation(keys) if keys else []:
        pool = pools[key]
        for n in rng.permutation(len(pool))[:2]:
            reference, matches = pool[n]
            states += _states_of(reference, matches, objects, image, rng)
    for reference in absent_references(objects, rng, 2):
        states.append(State(Step(language.instruction(reference, rng), (), (), None), "absent"))
    if not states:
        return []
    many = [s for s in states if len(s.step.remaining) > 1]
    few = [s for s in states if len(s.step.remaining) <= 1]
    many = [many[i] for i in rng.permutation(len(many))[:(count + 1) // 2]]
    few = [few[i] for i in rng.permutation(len(few))[:count - len(many)]]
    chosen = many + few
    return [chosen[i] for i in rng.permutation(len(chosen))]


def _states_of(reference: Reference, matches, objects, image, rng) -> List[State]:
    text = language.instruction(reference, rng)
    if len(matches) == 1:
        return [State(Step(text, (), matches, None), reference.kind())]
    steps = sample_dialogue(text, matches, objects, image, rng)
    if not steps:  # not tellable apart in words: still good for the detector
        return [State(Step(text, (), matches, None), reference.kind())]
    return [State(s, reference.kind() if not s.exchanges else "dialogue") for s in steps]


def query_of(state: State, task: str, objects: Sequence[SceneObject], image: ImageSize,
             rng: np.random.Generator) -> Query:
    """The training pair of a state for the prefix `detect` or `clarify`."""
    step = state.step
    exchanges = list(step.exchanges)
    if step.click is not None:
        question, words = exchanges[-1]
        exchanges[-1] = (question, f"{words} {click_text(objects[step.click], image, rng)}")
    prefix = linearize(task, step.instruction, exchanges)
    segments: List[Tuple[str, Tuple[int, ...]]] = []
    if task == CLARIFY and step.question is not None:
        segments = question_segments(step)
    else:
        for n, i in enumerate(step.remaining):
            segments += [(SEPARATOR, ())] if n else []
            segments.append((box_to_text(objects[i].box, image.width, image.height), (i,)))
    return Query(prefix, tuple(segments), step.remaining, state.kind)


def turns_of(state: State, objects: Sequence[SceneObject]) -> List[Turn]:
    """The dialogue of a state as serving takes it; a click is at the middle of the box, in pixels of the render."""
    turns = [Turn(question, Answer(answer)) for question, answer in state.step.exchanges]
    if state.step.click is not None:
        box = objects[state.step.click].box
        turns[-1] = Turn(turns[-1].question, Answer(turns[-1].answer.text, point=box.center))
    return turns


def question_segments(step: Step) -> List[Tuple[str, Tuple[int, ...]]]:
    """The question split so that each option's words stand beside the objects that they mean."""
    segments, text = [], step.question.text
    for option in step.question.options:
        before, text = text.split(option.words, 1)
        segments += [(before.strip(), ()), (option.words, option.keeps)]
    segments.append((text.strip(), ()))
    return [s for s in segments if s[0]]


def click_text(item: SceneObject, image: ImageSize, rng: np.random.Generator) -> str:
    """Location tokens of a click somewhere in the middle of an object."""
    x0, y0, x1, y1 = item.box
    point = (x0 + rng.uniform(.3, .7) * (x1 - x0), y0 + rng.uniform(.3, .7) * (y1 - y0))
    return point_to_text(point, image.width, image.height)


def scene_queries(objects: Sequence[SceneObject], image: ImageSize, rng: np.random.Generator, count: int,
                  clarify_share: float = .5) -> List[Query]:
    """`count` queries about a scene: dialogue states under both prefixes, and one 'what stands at this point'."""
    queries = []
    for state in scene_states(objects, image, rng, count - 1):
        # An ambiguous state without a sayable question has no right answer under `clarify`.
        askable = len(state.step.remaining) <= 1 or state.step.question is not None
        task = CLARIFY if askable and rng.random() < clarify_share else DETECT
        queries.append(query_of(state, task, objects, image, rng))
    visible = [i for i, o in enumerate(objects) if clearly_visible(o, image)]
    if visible:
        i = int(rng.choice(visible))
        box = box_to_text(objects[i].box, image.width, image.height)
        queries.append(Query(f"{DETECT} {click_text(objects[i], image, rng)}", ((box, (i,)),), (i,), "point"))
    return queries
