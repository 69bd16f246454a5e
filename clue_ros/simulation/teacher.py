"""The question that tells candidates apart, and dialogues made with it: what adapter B learns from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import numpy as np

from clue_ros.language.kinds import disputed, fits
from clue_ros.simulation import questions
from clue_ros.simulation.answers import reply
from clue_ros.simulation.lexicon import SIZE_CLASSES
from clue_ros.simulation.referring import Reference, anchors
from clue_ros.simulation.relations import related
from clue_ros.simulation.scene import ImageSize, SceneObject
from clue_ros.simulation.standing import CLEAR_SIZE_RATIO, extreme, of_size, position_options
from clue_ros.simulation.utterances import CLICK_WORDS, DONT_KNOW

MAX_QUESTIONS = 3


@dataclass(frozen=True)
class Option:
    """One answer that a question offers: its attribute as a reference, its words, the objects that it keeps."""

    reference: Reference
    words: str
    keeps: Tuple[int, ...]


@dataclass(frozen=True)
class Question:
    kind: str  # 'category', 'color', 'size', 'position' or 'relation'
    text: str
    options: Tuple[Option, ...]


@dataclass(frozen=True)
class Step:
    """A state of a dialogue: what was said, which objects remain, and what the robot should do.

    exchanges: ((question, answer), …); click: index of the object that the person pointed at in the last answer;
    question: None when one object remains.
    """

    instruction: str
    exchanges: Tuple[Tuple[str, str], ...]
    remaining: Tuple[int, ...]
    question: Optional[Question]
    click: Optional[int] = None


def best_question(
    objects: Sequence[SceneObject], remaining: Sequence[int], image: ImageSize, asked: Sequence[str] = ()
) -> Optional[Question]:
    """What to ask about two or more objects: category, then colour, size, position, and last what they stand next to;
    options from left to right, the small one before the large one.

    `asked` names kinds that the person could not answer. None if nothing sayable tells the objects apart.
    """
    order = sorted(remaining, key=lambda i: objects[i].visible_box.center[0])
    categories = list(dict.fromkeys(objects[i].category for i in order))
    category = categories[0] if len(categories) == 1 else None
    if len(categories) > 1 and "category" not in asked and not _overlap(categories):
        words = questions.category_options(categories)
        return _question(
            "category",
            [
                Option(Reference(category=c), w, tuple(i for i in order if objects[i].category == c))
                for c, w in zip(categories, words)
            ],
        )
    colors = list(dict.fromkeys(objects[i].color for i in order))
    if len(colors) > 1 and all(colors) and "color" not in asked:  # an own object may have no colour word
        words = questions.color_options(colors, category)
        return _question(
            "color",
            [
                Option(Reference(category, c), w, tuple(i for i in order if objects[i].color == c))
                for c, w in zip(colors, words)
            ],
        )
    for kind, ask in (("size", _by_size), ("position", _by_position), ("relation", _by_relation)):
        question = ask(order, category, objects, image) if kind not in asked else None
        if question is not None:
            return question
    return None


def _overlap(categories: Sequence[str]) -> bool:
    """Whether the name of one may be said of another: a cup may be a mug, and an orange is no answer to mandarins."""
    return any(a != b and (fits(a, b) or disputed(a, b)) for a in categories for b in categories)


def _by_size(order: List[int], category: Optional[str], objects, image: ImageSize) -> Optional[Question]:
    """'do you mean the small mug or the large mug ?', where there are two sizes and every object has one of them."""
    found = [of_size(s, order, objects, CLEAR_SIZE_RATIO) for s in SIZE_CLASSES]
    kept = [indices for indices in found if indices is not None]
    if len(kept) < len(found) or sum(map(len, kept)) != len(order):
        return None
    words = questions.size_options(SIZE_CLASSES, category)
    return _question("size", [Option(Reference(category, size=s), w, k) for s, w, k in zip(SIZE_CLASSES, words, kept)])


def _by_position(order: List[int], category: Optional[str], objects, image: ImageSize) -> Optional[Question]:
    positions = position_options(order, objects, image)
    found = [extreme(p, order, objects, image) for p in positions]
    kept = [index for index in found if index is not None]
    if not positions or len(kept) < len(found):
        return None
    words = questions.place_options(positions, category)
    return _question(
        "position", [Option(Reference(category, None, p), w, (i,)) for p, w, i in zip(positions, words, kept)]
    )


def _by_relation(order: List[int], category: Optional[str], objects, image: ImageSize) -> Optional[Question]:
    """'do you mean the mug next to the bowl or the mug next to the box ?': two objects, each beside its own thing."""
    if len(order) != 2:
        return None
    options: List[Option] = []
    taken: set = set()
    for i in order:
        own = [
            (a, k)
            for a, k in anchors(objects, image)
            if k not in order
            and k not in taken
            and a.category not in {objects[j].category for j in order}
            and related("next_to", order, k, objects, image) == (i,)
        ]
        if not own:
            return None
        taken.add(own[0][1])
        reference = Reference(category, relation="next_to", anchor=own[0][0])
        options.append(Option(reference, questions.relation_option(own[0][0], category), (i,)))
    return _question("relation", options)


def _question(kind: str, options: List[Option]) -> Question:
    return Question(kind, questions.question([o.words for o in options]), tuple(options))


def sample_dialogue(
    instruction: str,
    matches: Tuple[int, ...],
    objects: Sequence[SceneObject],
    image: ImageSize,
    rng: np.random.Generator,
    click_rate: float = 0.12,
    unsure_rate: float = 0.05,
) -> List[Step]:
    """Every state from the instruction to one remaining object, for a target drawn from the matches.

    Empty if the objects cannot be told apart in words.
    """
    target = int(rng.choice(matches))
    remaining, exchanges, asked = tuple(matches), (), ()
    steps: List[Step] = []
    while len(remaining) > 1:
        question = best_question(objects, remaining, image, asked)
        if question is None or len(exchanges) >= MAX_QUESTIONS:
            return []
        steps.append(Step(instruction, exchanges, remaining, question))
        roll = rng.random()
        if roll < click_rate:
            exchanges += ((question.text, str(rng.choice(CLICK_WORDS))),)
            steps.append(Step(instruction, exchanges, (target,), None, click=target))
            return steps
        last = len(exchanges) == MAX_QUESTIONS - 1
        if (
            roll < click_rate + unsure_rate
            and not last
            and best_question(objects, remaining, image, (*asked, question.kind))
        ):
            exchanges += ((question.text, str(rng.choice(DONT_KNOW))),)
            asked = (*asked, question.kind)
            continue
        said = reply(question.options, target, remaining, objects, image, rng, settle=last, only_asked=bool(asked))
        exchanges += ((question.text, said.text),)
        remaining = said.keeps
    steps.append(Step(instruction, exchanges, remaining, None))
    return steps
