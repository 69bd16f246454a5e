"""The question that tells candidates apart, and dialogues made with it: what adapter B learns from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import numpy as np

from clue_ros.simulation import language
from clue_ros.simulation.referring import ImageSize, Reference, extreme, position_options
from clue_ros.simulation.scene import SceneObject


@dataclass(frozen=True)
class Option:
    """One answer that a question offers: its attribute as a reference, its words, the objects that it keeps."""

    reference: Reference
    words: str
    keeps: Tuple[int, ...]


@dataclass(frozen=True)
class Question:
    kind: str  # 'category', 'color' or 'position'
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


def best_question(objects: Sequence[SceneObject], remaining: Sequence[int], image: ImageSize,
                  asked: Sequence[str] = ()) -> Optional[Question]:
    """What to ask about two or more objects: category, then colour, then position; options from left to right.

    `asked` names kinds that the person could not answer. None if nothing sayable tells the objects apart.
    """
    order = sorted(remaining, key=lambda i: objects[i].box.center[0])
    categories = list(dict.fromkeys(objects[i].category for i in order))
    category = categories[0] if len(categories) == 1 else None
    if len(categories) > 1 and "category" not in asked:
        words = language.category_options(categories)
        return _question("category", [
            Option(Reference(category=c), w, tuple(i for i in order if objects[i].category == c))
            for c, w in zip(categories, words)])
    colors = list(dict.fromkeys(objects[i].color for i in order))
    if len(colors) > 1 and "color" not in asked:
        words = language.color_options(colors, category)
        return _question("color", [
            Option(Reference(category, c), w, tuple(i for i in order if objects[i].color == c))
            for c, w in zip(colors, words)])
    positions = position_options(order, objects, image)
    if not positions or "position" in asked:
        return None
    words = language.place_options(positions, category)
    kept = [extreme(p, order, objects, image) for p in positions]
    if None in kept:
        return None
    return _question("position", [Option(Reference(category, None, p), w, (i,))
                                  for p, w, i in zip(positions, words, kept)])


def _question(kind: str, options: List[Option]) -> Question:
    return Question(kind, language.question([o.words for o in options]), tuple(options))


def sample_dialogue(instruction: str, matches: Tuple[int, ...], objects: Sequence[SceneObject], image: ImageSize,
                    rng: np.random.Generator, click_rate: float = .12, unsure_rate: float = .05) -> List[Step]:
    """Every state from the instruction to one remaining object, for a target drawn from the matches.

    Empty if the objects cannot be told apart in words.
    """
    target = int(rng.choice(matches))
    remaining, exchanges, asked = tuple(matches), (), ()
    steps: List[Step] = []
    while len(remaining) > 1:
        question = best_question(objects, remaining, image, asked)
        if question is None or len(exchanges) >= 3:
            return []
        steps.append(Step(instruction, exchanges, remaining, question))
        roll = rng.random()
        if roll < click_rate:
            exchanges += ((question.text, str(rng.choice(language.CLICK_WORDS))),)
            steps.append(Step(instruction, exchanges, (target,), None, click=target))
            return steps
        if roll < click_rate + unsure_rate and best_question(objects, remaining, image, (*asked, question.kind)):
            exchanges += ((question.text, str(rng.choice(language.DONT_KNOW))),)
            asked = (*asked, question.kind)
            continue
        option = next(o for o in question.options if target in o.keeps)
        other = None
        if len(question.options) == 2 and question.kind != "position":
            rejected = next(o for o in question.options if o is not option).reference
            other = rejected.color or language.NOUNS[rejected.category][0]
        exchanges += ((question.text, language.answer(option.reference, rng, other)),)
        remaining = option.keeps
    steps.append(Step(instruction, exchanges, remaining, None))
    return steps
