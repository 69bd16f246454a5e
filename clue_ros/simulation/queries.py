"""What the language model is asked about a scene: prefix, suffix, and where it should look while it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, List, Sequence, Tuple

import numpy as np

from clue_ros.language.kinds import GENERAL, general_nouns
from clue_ros.location import box_to_text, point_to_text
from clue_ros.prompt import CLARIFY, DETECT, linearize
from clue_ros.simulation import paraphrases, questions
from clue_ros.simulation.answers import refusal
from clue_ros.simulation.paraphrases import pick
from clue_ros.simulation.referring import (
    Reference,
    absent_references,
    clearly_visible,
    draw_kinds,
    enumerate_references,
)
from clue_ros.simulation.scene import ImageSize, SceneObject
from clue_ros.simulation.teacher import Question, Step, best_question, sample_dialogue
from clue_ros.types import Answer, Turn

SEPARATOR = ";"
SETTLED_SHARE, ABSENT_SHARE = 0.3, 0.2  # of the states that are not ambiguous: after a dialogue, of what is not there
MISSED_SHARE = 0.06  # of the dialogues: the robot's question offers nothing that is true


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


Selected = Tuple[Reference, Tuple[int, ...]]  # an expression and what it is about


@dataclass(frozen=True)
class State:
    """A dialogue state about a scene: who is meant, and how the expression came about."""

    step: Step
    kind: str


def scene_states(objects: Sequence[SceneObject], image: ImageSize, rng: np.random.Generator, count: int) -> List[State]:
    """Up to `count` dialogue states: half of them ambiguous where the scene has that many, the others clear, settled by
    a dialogue, or absent; kinds of expression as often as people use them, beside the kinds' nouns a general one."""
    sayable = enumerate_references(objects, image, general_noun(objects, rng))
    missing = lambda n: absent_references(objects, rng, n)  # noqa: E731
    return states_of(sayable, missing, objects, image, rng, count)


def general_noun(objects: Sequence[SceneObject], rng: np.random.Generator) -> Tuple[str, ...]:
    """One noun that is said for several kinds, of those that fit something here; none where there is none."""
    seen = {item.category for item in objects if item.pixels}
    nouns = sorted({noun for kind in seen for noun in general_nouns(kind)}.intersection(GENERAL))
    return (pick(nouns, rng),) if nouns else ()


def states_of(
    sayable: Sequence[Selected],
    absent_ones: Callable[[int], Sequence[Reference]],
    objects: Sequence[SceneObject],
    image: ImageSize,
    rng: np.random.Generator,
    count: int,
) -> List[State]:
    """As `scene_states`, of expressions that somebody else chose. absent_ones: gives up to as many references as asked
    for that select nothing."""
    pools: Dict[bool, Dict[str, List[Selected]]] = {True: {}, False: {}}
    for reference, matches in sayable:
        pools[len(matches) > 1].setdefault(reference.kind(), []).append((reference, matches))
    talks = [_talk(*found, objects, image, rng) for found in draw(pools[True], rng, (count + 1) // 2)]
    many = [s for talk in talks for s in talk if len(s.step.remaining) > 1]
    settled = [s for talk in talks for s in talk if len(s.step.remaining) <= 1]
    # A question that follows another is rare: none of them is left out.
    many = sorted([many[i] for i in rng.permutation(len(many))], key=lambda s: not s.step.exchanges)[: (count + 1) // 2]
    free = count - len(many)
    settled = [settled[i] for i in rng.permutation(len(settled))[: round(SETTLED_SHARE * free)]]
    absent = [absent_state(r, rng) for r in absent_ones(int(rng.binomial(free, ABSENT_SHARE)))]
    clear = [
        State(Step(paraphrases.instruction(reference, rng), (), matches, None), reference.kind())
        for reference, matches in draw(pools[False], rng, max(0, free - len(settled) - len(absent)))
    ]
    chosen = many + settled + absent + clear
    return [chosen[i] for i in rng.permutation(len(chosen))[:count]]


def absent_state(reference: Reference, rng: np.random.Generator) -> State:
    return State(Step(paraphrases.instruction(reference, rng), (), (), None), "absent")


def draw(pools: Dict[str, List[Selected]], rng: np.random.Generator, count: int) -> List[Selected]:
    """`count` expressions with what they select, perhaps one twice; none of an empty pool."""
    kinds = [draw_kinds(pools, rng)[0] for _ in range(count if pools else 0)]
    return [pools[kind][int(rng.integers(len(pools[kind])))] for kind in kinds]


def _talk(
    reference: Reference,
    matches: Tuple[int, ...],
    objects: Sequence[SceneObject],
    image: ImageSize,
    rng: np.random.Generator,
) -> List[State]:
    """The states of a dialogue about an ambiguous expression, sometimes one in which the robot's question missed."""
    text = paraphrases.instruction(reference, rng)
    # Most dialogues are one question long; the longer of two tries is drawn more often.
    tries = [sample_dialogue(text, matches, objects, image, rng) for _ in range(2 if len(matches) > 2 else 1)]
    steps = max(tries, key=len)
    if not steps:  # not tellable apart in words: still good for the detector
        return [State(Step(text, (), matches, None), reference.kind())]
    states = [State(s, reference.kind() if not s.exchanges else "dialogue") for s in steps]
    if rng.random() < MISSED_SHARE and steps[0].question is not None:
        states.append(State(missed(text, steps[0].question, objects, image, rng), "dialogue"))
    return states


def missed(
    text: str, asked: Question, objects: Sequence[SceneObject], image: ImageSize, rng: np.random.Generator
) -> Step:
    """The state after "neither": nothing is left, or, where the robot forgot an option, what the person named."""
    if asked.kind in ("category", "color") and len(asked.options) > 2:
        forgotten = asked.options[int(rng.integers(len(asked.options)))]
        words = questions.question([o.words for o in asked.options if o is not forgotten])
        said = ((words, refusal(rng, forgotten.reference)),)
        left = forgotten.keeps
        return Step(text, said, left, best_question(objects, left, image) if len(left) > 1 else None)
    return Step(text, ((asked.text, refusal(rng)),), (), None)


def query_of(
    state: State, task: str, objects: Sequence[SceneObject], image: ImageSize, rng: np.random.Generator
) -> Query:
    """The training pair of a state for the prefix `detect` or `clarify`."""
    step = state.step
    exchanges = list(step.exchanges)
    if step.click is not None:
        question, words = exchanges[-1]
        exchanges[-1] = (question, f"{words} {click_text(objects[step.click], image, rng)}")
    prefix = linearize(task, step.instruction, exchanges)
    segments: List[Tuple[str, Tuple[int, ...]]] = []
    if task == CLARIFY and step.question is not None:
        segments = question_segments(step.question)
    else:
        for n, i in enumerate(step.remaining):
            segments += [(SEPARATOR, ())] if n else []
            segments.append((box_to_text(objects[i].visible_box, image.width, image.height), (i,)))
    return Query(prefix, tuple(segments), step.remaining, state.kind)


def turns_of(state: State, objects: Sequence[SceneObject]) -> List[Turn]:
    """The dialogue of a state as serving takes it; a click is at the middle of the box, in pixels of the render."""
    turns = [Turn(question, Answer(answer)) for question, answer in state.step.exchanges]
    if state.step.click is not None:
        box = objects[state.step.click].visible_box
        turns[-1] = Turn(turns[-1].question, Answer(turns[-1].answer.text, point=box.center))
    return turns


def question_segments(question: Question) -> List[Tuple[str, Tuple[int, ...]]]:
    """The question split so that each option's words stand beside the objects that they mean."""
    segments, text = [], question.text
    for option in question.options:
        before, text = text.split(option.words, 1)
        segments += [(before.strip(), ()), (option.words, option.keeps)]
    segments.append((text.strip(), ()))
    return [s for s in segments if s[0]]


def click_text(item: SceneObject, image: ImageSize, rng: np.random.Generator) -> str:
    """Location tokens of a click somewhere in the middle of an object."""
    x0, y0, x1, y1 = item.visible_box
    point = (x0 + rng.uniform(0.3, 0.7) * (x1 - x0), y0 + rng.uniform(0.3, 0.7) * (y1 - y0))
    return point_to_text(point, image.width, image.height)


def scene_queries(
    objects: Sequence[SceneObject], image: ImageSize, rng: np.random.Generator, count: int, clarify_share: float = 0.5
) -> List[Query]:
    """`count` queries about a scene: dialogue states under both prefixes, and one 'what stands at this point'."""
    return queries_of(scene_states(objects, image, rng, count - 1), objects, image, rng, clarify_share)


def queries_of(
    states: Sequence[State],
    objects: Sequence[SceneObject],
    image: ImageSize,
    rng: np.random.Generator,
    clarify_share: float = 0.5,
) -> List[Query]:
    """Training pairs of dialogue states under both prefixes, and one 'what stands at this point'."""
    queries = []
    for state in states:
        # An ambiguous state without a sayable question has no right answer under `clarify`.
        askable = len(state.step.remaining) <= 1 or state.step.question is not None
        task = CLARIFY if askable and rng.random() < clarify_share else DETECT
        queries.append(query_of(state, task, objects, image, rng))
    visible = [i for i, o in enumerate(objects) if clearly_visible(o, image)]
    if visible:
        i = int(rng.choice(visible))
        box = box_to_text(objects[i].visible_box, image.width, image.height)
        queries.append(Query(f"{DETECT} {click_text(objects[i], image, rng)}", ((box, (i,)),), (i,), "point"))
    return queries
