"""What is asked about a scene of the tabletop suite, and who asks it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Sequence, Set, Tuple

import numpy as np

from clue_ros.simulation import paraphrases
from clue_ros.simulation.person import SimulatedPerson
from clue_ros.simulation.referring import Reference, absent_references, draw_kinds, enumerate_references
from clue_ros.simulation.scene import ImageSize, SceneObject
from clue_ros.simulation.teacher import sample_dialogue

PER_SCENE = 2  # ambiguous instructions, and as many clear ones
SLIP_RATE = 0.05  # of instructions with a misspelt word, and of those with words that mean nothing around them
Pool = Dict[str, List[Tuple[Reference, Tuple[int, ...]]]]  # by kind of expression


@dataclass(frozen=True)
class Instruction:
    """truth: 'ambiguous', 'clear' or 'absent'; kind: of the expression; target: index of the object in mind, if any;
    matches: indices of what the words fit; held_out: whether training has seen nothing like the target of a clear
    instruction, or one of the things that an ambiguous one fits."""

    text: str
    truth: str
    kind: str
    target: Optional[int]
    matches: Tuple[int, ...] = ()
    held_out: bool = False


def instructions(
    objects: Sequence[SceneObject],
    size: ImageSize,
    rng: np.random.Generator,
    held_out: Optional[Callable[[SceneObject], bool]] = None,
) -> List[Instruction]:
    """Up to two ambiguous instructions (that words can settle), two clear ones and one for what is not there; the same
    for the same scene and generator. held_out: what instructions are to be about where the scene allows it."""
    new = {i for i, item in enumerate(objects) if held_out is not None and held_out(item)}
    pools: Dict[str, Tuple[Pool, Pool]] = {"ambiguous": ({}, {}), "clear": ({}, {})}  # preferred, others
    for reference, matches in enumerate_references(objects, size):
        preferred, others = pools["ambiguous" if len(matches) > 1 else "clear"]
        pool = preferred if new.intersection(matches) else others
        pool.setdefault(reference.kind(), []).append((reference, matches))
    found = [one for truth, both in pools.items() for one in _drawn(truth, both, objects, size, rng, new)]
    for reference in absent_references(objects, rng, 1):
        found.append(Instruction(_words(reference, rng), "absent", f"absent {reference.kind()}", None))
    return found


def _drawn(
    truth: str,
    pools: Tuple[Pool, Pool],
    objects: Sequence[SceneObject],
    size: ImageSize,
    rng: np.random.Generator,
    new: Set[int],
) -> List[Instruction]:
    """Of different kinds, which are drawn as often as people use them; from the first pool as long as it has any."""
    found: List[Instruction] = []
    for pool in pools:
        for kind in draw_kinds(pool, rng):
            if len(found) == PER_SCENE:
                return found
            if kind in [one.kind for one in found]:
                continue
            reference, matches = pool[kind][int(rng.integers(len(pool[kind])))]
            text, target = _words(reference, rng), matches[0]
            if truth == "ambiguous":
                steps = sample_dialogue(text, matches, objects, size, rng, click_rate=0, unsure_rate=0)
                if not steps:  # no words tell these things apart
                    continue
                target = steps[-1].remaining[0]
            found.append(Instruction(text, truth, kind, target, tuple(matches), bool(new.intersection(matches))))
    return found


def _words(reference: Reference, rng: np.random.Generator) -> str:
    return paraphrases.instruction(reference, rng, typo_rate=SLIP_RATE, chatter_rate=SLIP_RATE)


def person_for(
    said: Instruction, objects: Sequence[SceneObject], size: ImageSize, rng: np.random.Generator
) -> SimulatedPerson:
    """The person behind an instruction. Who said "the green banana" takes "left or right?" to be about green bananas,
    so an ambiguous instruction's person thinks of nothing else."""
    return SimulatedPerson(objects, said.target, rng, size, said.matches if said.truth == "ambiguous" else None)
