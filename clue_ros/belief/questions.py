"""The question from whose answer the robot expects to learn most, by what the model reads of each candidate.

Colours, kinds of things and sizes: the likelihood ratio of a candidate's box under "the red mug" against "the mug",
over all words of the table that the model knows. Positions follow from the boxes. No truth of a simulator enters.

An answer that decides among what was offered is read by the same two: which candidates an option stands for is known
here, while the model alone would have to find "not the left one" of its own question out again from the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Dict, FrozenSet, List, Optional, Sequence, Tuple

import numpy as np

from clue_ros.belief.belief import Belief, information_gain
from clue_ros.dialogue.phrases import choice
from clue_ros.language.kinds import noun_of as in_table
from clue_ros.language.phrase import parse_description, parse_instruction
from clue_ros.language.positions import choose
from clue_ros.language.questions import options
from clue_ros.language.reply import Verdict, read_reply
from clue_ros.simulation.words import is_noun
from clue_ros.types import Box, Turn

if TYPE_CHECKING:
    from clue_ros.belief.reader import ModelReader
    from clue_ros.vlm.passes import EncodedImage

COLORS = ("red", "green", "blue", "yellow", "orange", "purple", "white", "black", "gray", "brown", "pink", "silver")
SIZES = ("small", "large")
THINGS = (
    "mug",
    "bowl",
    "plate",
    "bottle",
    "can",
    "box",
    "ball",
    "banana",
    "cup",
    "glass",
    "fork",
    "knife",
    "spoon",
    "apple",
)
SAME_THING = {"cup": "mug", "dish": "plate", "tin": "can", "carton": "box"}  # a question offers one of two names
ANYTHING = ("one", "thing", "object", "item")
CLEAR_GAP = 0.05  # of the image's side: nearer centres are not left and right of each other
SLIP = 0.05  # of the answers about a position name another candidate
MISREAD = 0.1  # of what the model reads of a candidate is taken to be nothing but noise
LEAST_BITS = 0.15  # a question that tells less is not worth asking
PRECEDENCE = 0.05  # bits by which a question must beat one of an earlier kind: people find colours easier than places
MAX_OPTIONS = 4
TEMPERATURE = 2.0  # of log-likelihood ratios: four coordinates of one box are not independent evidence


@dataclass(frozen=True)
class Asked:
    """A question that may be asked: its kind, its text, P(option | candidate) float64[N, options + 1] (the last column:
    none of them), and the expected bits."""

    kind: str
    text: str
    answers: np.ndarray
    bits: float


def best_question(
    reader: ModelReader,
    image: EncodedImage,
    expression: str,
    belief: Belief,
    vocabulary: Optional[FrozenSet[str]] = None,
    asked: Sequence[str] = (),
) -> Optional[Asked]:
    """The question about these candidates with the largest expected information gain; None if none is worth asking.

    expression: without unknown words; vocabulary: words that the model understands, None for an open one; asked:
    questions that the dialogue already holds, which are not asked again. Raises OutOfMemoryError.
    """
    if len(belief.boxes) < 2:
        return None
    things = [t for t in THINGS if vocabulary is None or t in vocabulary]
    noun = noun_of(expression)
    tables: Dict[str, Tuple[Sequence[str], str, Sequence[str]]] = {}  # kind: values, base words, words a value
    if noun is None:
        # Without a vocabulary of its own a model is not asked what a thing is: the table above is no list of the world.
        kinds = [] if vocabulary is None else [t for t in things if t not in SAME_THING]
        tables["thing"] = (kinds, "the thing", [f"the {t}" for t in kinds])
    name = noun or "one"
    said = set(expression.split())
    for kind, values in (("color", COLORS), ("size", SIZES)):
        known = [v for v in values if vocabulary is None or v in vocabulary]
        if not said & set(values):
            tables[kind] = (known, f"the {noun or 'thing'}", [f"the {v} {noun or 'thing'}" for v in known])
    found = [
        _of_words(kind, *tables[kind], reader, image, belief, name)
        for kind in ("thing", "color", "size")
        if kind in tables
    ]
    found.append(_of_places(belief, (image.width, image.height), name))
    told = {" ".join(q.lower().replace(",", " ").replace("?", " ").split()) for q in asked}
    best: Optional[Asked] = None
    for question in found:
        if question is None or " ".join(question.text.lower().replace(",", " ").replace("?", " ").split()) in told:
            continue
        if question.bits >= LEAST_BITS and (best is None or question.bits > best.bits + PRECEDENCE):
            best = question
    return best


def heard(
    reader: ModelReader, image: EncodedImage, expression: str, turn: Turn, boxes: Sequence[Box]
) -> Optional[np.ndarray]:
    """float64[N]: P(answer | candidate) up to a factor, for an answer that decides among what its question offered;
    None for any other, which only the model can read.

    expression, turn: without unknown words; boxes: the candidates that the question was about. Raises OutOfMemoryError.
    """
    names = options(turn.question)
    if min(len(names), len(boxes)) < 2:
        return None
    table = _of_options(reader, image, expression, names, boxes)
    if table is None:
        return None
    meant = table.argmax(1)
    stands = {o: tuple(np.flatnonzero(meant == o).tolist()) for o in range(len(names))}
    said = read_reply(
        turn.answer.text,
        turn.question,
        parse_instruction(expression),
        boxes,
        (image.width, image.height),
        [frozenset(names[o].split()) for o in meant],
        [(name, stands[o]) for o, name in enumerate(names)],
    )
    if said.verdict not in (Verdict.KEEP, Verdict.CONFIRMED) or len(said.kept) == len(boxes):
        return None
    left = [o for o in stands if stands[o] and set(stands[o]) <= set(said.kept)]
    if sorted(n for o in left for n in stands[o]) == sorted(said.kept):
        return table[:, left].sum(1)
    return np.where(np.isin(np.arange(len(boxes)), said.kept), 1 - SLIP, SLIP)


def noun_of(expression: str) -> Optional[str]:
    """The thing that an instruction names, as a question would name it; None if it names none, or more than one."""
    words, names, at = expression.lower().replace(",", " ").split(), set(), 0
    while at < len(words):
        found = [(n, in_table(" ".join(words[at : at + n]))) for n in (3, 2, 1) if at + n <= len(words)]
        size, noun = next(((n, noun) for n, noun in found if noun), (1, None))
        if noun and (size > 1 or is_noun(words, at)):
            names.add(SAME_THING.get(noun, noun))
        at += size
    return names.pop() if len(names) == 1 else None


def attribute_table(
    reader: ModelReader, image: EncodedImage, boxes: Sequence[Box], base: str, words: Sequence[str]
) -> np.ndarray:
    """float64[N, W]: P(word | candidate) among the words, from likelihood ratios against `base`. Raises
    OutOfMemoryError.
    """
    scores = reader.scores(image, [base, *words], boxes)
    ratios = (scores[1:] - scores[:1]).T / TEMPERATURE
    ratios -= ratios.max(1, keepdims=True)
    table = np.exp(ratios)
    return (1 - MISREAD) * table / table.sum(1, keepdims=True) + MISREAD / len(words)


def _of_options(
    reader: ModelReader, image: EncodedImage, expression: str, names: Sequence[str], boxes: Sequence[Box]
) -> Optional[np.ndarray]:
    """float64[N, O]: P(option | candidate) of the options of a question; None if a place among them is that of no
    candidate or of several, or if they differ in more than the place."""
    offered = [found for found in map(parse_description, names) if found is not None]
    if any(found.place.directions or found.place.rank for found in offered):
        meant = [choose(found.place, boxes, (image.width, image.height)) for found in offered]
        if len(offered) < len(names) or len({f.attributes for f in offered}) > 1 or any(len(one) != 1 for one in meant):
            return None
        table = np.full((len(boxes), len(names)), SLIP / len(names))
        for o, (n,) in enumerate(meant):
            table[n, o] = 1 - SLIP
        return table
    noun = noun_of(expression)
    kinds = noun is None and all(name.split()[-1] in THINGS for name in names)
    words = [name if noun or kinds else name.removesuffix("one") + "thing" for name in names]
    return attribute_table(reader, image, boxes, f"the {noun or 'thing'}", words)


def _of_words(
    kind: str,
    values: Sequence[str],
    base: str,
    words: Sequence[str],
    reader: ModelReader,
    image: EncodedImage,
    belief: Belief,
    name: str,
) -> Optional[Asked]:
    if len(values) < 2:
        return None
    table = attribute_table(reader, image, belief.boxes, base, words)
    order = sorted(range(len(belief.boxes)), key=lambda n: belief.boxes[n].center[0])
    offered = list(dict.fromkeys(int(table[n].argmax()) for n in order))
    if kind == "size":
        offered = sorted(offered)
    if not 2 <= len(offered) <= MAX_OPTIONS:
        return None
    names = [f"the {values[v]}" if kind == "thing" else f"the {values[v]} {name}" for v in offered]
    answers = table[:, offered]
    return _asked(kind, names, np.concatenate([answers, 1 - answers.sum(1, keepdims=True)], 1), belief)


def _of_places(belief: Belief, size: Tuple[float, float], name: str) -> Optional[Asked]:
    """Left, (middle,) right of two or three candidates, or front and back of two."""
    count = len(belief.boxes)
    if count > 3:
        return None
    for words, places, side in (
        (
            ("left", "middle", "right") if count == 3 else ("left", "right"),
            [b.center[0] for b in belief.boxes],
            size[0],
        ),
        (("back", "front"), [b.y1 for b in belief.boxes], size[1]),
    ):
        order = sorted(range(count), key=lambda n: places[n])
        clear = all(places[b] - places[a] >= CLEAR_GAP * side for a, b in zip(order, order[1:]))
        if clear and len(words) == count:
            answers = np.full((count, count + 1), SLIP / count)
            for column, n in enumerate(order):
                answers[n, column] = 1 - SLIP
            return _asked("position", [f"the {w} {name}" for w in words], answers, belief)
    return None


def _asked(kind: str, names: List[str], answers: np.ndarray, belief: Belief) -> Asked:
    answers = np.maximum(answers, 0)
    answers = answers / answers.sum(1, keepdims=True)
    return Asked(kind, choice(names), answers, information_gain(belief.probabilities, answers))
