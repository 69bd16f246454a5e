"""What the mask head is asked about a scene: instructions with what matters to them, and the box of a found target.

Relevant are the things that the words fit and the one that they lean on ("the mug next to the bowl": both). Two phrases
in one instruction ("put the red cup on the plate") make both things relevant, what is not there makes nothing so.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from clue_ros.prompt import CLARIFY, linearize
from clue_ros.simulation import paraphrases
from clue_ros.simulation.paraphrases import noun_phrase, pick
from clue_ros.simulation.queries import Query, query_of, scene_states
from clue_ros.simulation.referring import (
    Reference,
    absent_references,
    clearly_visible,
    draw_kinds,
    enumerate_references,
    resolve,
)
from clue_ros.simulation.scene import ImageSize, SceneObject

# {a} is handled, {b} is where it goes. A closed vocabulary's missing words are left out, as serving does.
BOTH = (
    "put the {a} on the {b}",
    "place the {a} on the {b}",
    "put the {a} into the {b}",
    "move the {a} to the {b}",
    "put the {a} next to the {b}",
    "stack the {a} on the {b}",
    "set the {a} beside the {b}",
    "take the {a} from the {b}",
    "give me the {a} and the {b}",
    "the {a} and the {b}",
    "bring the {a} , the {b}",
    "pour the {a} into the {b}",
    "hand me the {a} and then the {b}",
    "push the {a} to the {b}",
)
BOX_SHARE = 0.6  # of the queries whose target is certain once the box is known
JITTER = 0.04  # of the box's sides, standard deviation: the model's own boxes are no better
PLAIN_KINDS = ("category", "color_category", "size")  # of phrases that can stand beside another
ABSENT_SHARE = 0.12


@dataclass(frozen=True)
class MaskQuery(Query):
    """relevant, target: indices of objects, None where nothing is taught; box: x0 y0 x1 y1 as shares of the sides."""

    relevant: Optional[Tuple[int, ...]] = None
    target: Optional[Tuple[int, ...]] = None
    box: Optional[Tuple[float, float, float, float]] = None


def mask_queries(
    objects: Sequence[SceneObject], image: ImageSize, rng: np.random.Generator, count: int, known=None
) -> List[MaskQuery]:
    """Up to `count` queries: a third about two things, a third single instructions, a third states of dialogues. known:
    the words of a closed vocabulary, None for an open one."""
    pools: Dict[str, list] = {}
    for reference, matches in enumerate_references(objects, image):
        pools.setdefault(reference.kind(), []).append((reference, matches))
    third = max(1, count // 3)
    found = [_both(pools, rng) for _ in range(third)] + [_single(pools, objects, image, rng) for _ in range(third)]
    found += [
        _of_dialogue(state, objects, image, rng)
        for state in scene_states(objects, image, rng, max(1, count - 2 * third))
    ]
    return [_boxed(_spoken(query, known), objects, image, rng) for query in found if query is not None]


def relevant_to(
    reference: Reference, matches: Tuple[int, ...], objects: Sequence[SceneObject], image: ImageSize
) -> Tuple[int, ...]:
    """What a reference selects, and the anchors that it leans on."""
    leans = [resolve(a, objects, image) or () for a in (reference.anchor, reference.second) if a is not None]
    return tuple(dict.fromkeys((*matches, *chain.from_iterable(leans))))


def _both(pools: Dict[str, list], rng: np.random.Generator) -> Optional[MaskQuery]:
    plain = [item for kind in PLAIN_KINDS for item in pools.get(kind, ())]
    if len(plain) < 2:
        return None
    for _ in range(4):
        (a, first), (b, second) = (plain[int(rng.integers(len(plain)))] for _ in range(2))
        if not set(first) & set(second):
            text = pick(BOTH, rng).format(a=noun_phrase(a, rng), b=noun_phrase(b, rng))
            return MaskQuery(linearize(CLARIFY, text, []), (), first + second, "two things", first + second)
    return None


def _single(
    pools: Dict[str, list], objects: Sequence[SceneObject], image: ImageSize, rng: np.random.Generator
) -> Optional[MaskQuery]:
    if not pools or rng.random() < ABSENT_SHARE:
        reference = absent_references(objects, rng, 1)[0]
        return MaskQuery(linearize(CLARIFY, paraphrases.instruction(reference, rng), []), (), (), "absent", (), ())
    pool = pools[draw_kinds(pools, rng)[0]]
    reference, matches = pool[int(rng.integers(len(pool)))]
    return MaskQuery(
        linearize(CLARIFY, paraphrases.instruction(reference, rng), []),
        (),
        matches,
        reference.kind(),
        relevant_to(reference, matches, objects, image),
        matches if len(matches) == 1 else None,
    )


def _of_dialogue(state, objects: Sequence[SceneObject], image: ImageSize, rng: np.random.Generator) -> MaskQuery:
    plain = query_of(state, CLARIFY, objects, image, rng)
    left = plain.matches
    # A state does not say what its expression leans on.
    relevant = None if plain.kind == "relation" else left
    return MaskQuery(plain.prefix, (), left, plain.kind, relevant, left if len(left) < 2 else None)


def _spoken(query: MaskQuery, known) -> MaskQuery:
    if known is None:
        return query
    words = [w for w in query.prefix.split(" ") if w in known or "<" in w]
    return MaskQuery(
        " ".join(words), query.segments, query.matches, query.kind, query.relevant, query.target, query.box
    )


def _boxed(query: MaskQuery, objects: Sequence[SceneObject], image: ImageSize, rng: np.random.Generator) -> MaskQuery:
    visible = [i for i in query.matches if clearly_visible(objects[i], image)]
    if not visible or rng.random() >= BOX_SHARE:
        return query
    chosen = int(rng.choice(visible))
    return MaskQuery(
        query.prefix,
        query.segments,
        query.matches,
        query.kind,
        query.relevant,
        (chosen,),
        jittered(objects[chosen].box, image, rng),
    )


def jittered(box, image: ImageSize, rng: np.random.Generator) -> Tuple[float, float, float, float]:
    """A box as shares of the image's sides, its edges off as a model's are."""
    width, height = box.x1 - box.x0, box.y1 - box.y0
    off = rng.normal(0, JITTER, 4) * (width, height, width, height)
    x0, y0, x1, y1 = (v + d for v, d in zip(box, off))
    return (
        max(0.0, x0 / image.width),
        max(0.0, y0 / image.height),
        min(1.0, x1 / image.width),
        min(1.0, y1 / image.height),
    )
