"""A dialogue as training pairs that reveal it turn by turn (CLUE, Algorithm 1):

    U -> R1;   U ‖ R1 H1 -> R2;   …;   U ‖ R1 H1 … Rn Hn -> G

with the instruction U, the robot's questions R, the person's answers H, and the location tokens G. The prefix comes
from the package's one prompt builder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional

from clue_ros.data.sample import Label, Sample
from clue_ros.location import box_to_text
from clue_ros.prompt import CLARIFY, build_prefix, check_expression, clean, oracle_prefix

SEPARATOR = " ; "  # PaliGemma's between several things


@dataclass(frozen=True)
class RevealingPair:
    """prefix: without <bos> and the closing newline; suffix: a question, an answer, location tokens, or '' for "nothing
    there"; turn: how many exchanges the prefix holds; grounds: the suffix is the target, not words."""

    prefix: str
    suffix: str
    turn: int
    grounds: bool


def revealing_pairs(sample: Sample, task: str = CLARIFY, several: bool = False) -> List[RevealingPair]:
    """The pairs of a sample, in the order of its dialogue.

    several: name every target box, separated by ' ; '; else the first one, as a dialogue's end is one thing (InViG's
    several boxes are several people's boxes of the same thing). The last pair is left out where the target is not
    annotated as a box, and for an ambiguous instruction that nobody asked about: there grounding would be wrong.
    """
    expression = check_expression(sample.expression)
    pairs = []
    for n, turn in enumerate(sample.turns):
        if clean(turn.question):
            prefix = build_prefix(task, expression, sample.turns[:n], sample.size)
            pairs.append(RevealingPair(prefix, clean(turn.question), n, False))
    suffix = target_text(sample, several)
    if suffix is not None and (sample.turns or sample.label is not Label.AMBIGUOUS):
        prefix = build_prefix(task, expression, sample.turns, sample.size)
        pairs.append(RevealingPair(prefix, suffix, len(sample.turns), True))
    return pairs


def answering_pairs(sample: Sample) -> List[RevealingPair]:
    """The pairs of an oracle (InViG, IV-A): `answer <loc…> ‖ U ‖ R1 H1 … Rn ->` Hn, in the words of the person. Turns
    that were answered by a gesture alone give none; without an annotated box there is nothing to answer from."""
    if sample.boxes is None:
        return []
    expression, target = check_expression(sample.expression), sample.boxes[0] if sample.boxes else None
    return [
        RevealingPair(
            oracle_prefix(expression, sample.turns[:n], turn.question, target, sample.size),
            clean(turn.answer.text),
            n,
            False,
        )
        for n, turn in enumerate(sample.turns)
        if clean(turn.question) and clean(turn.answer.text)
    ]


def target_text(sample: Sample, several: bool = False) -> Optional[str]:
    """Location tokens of the target boxes, '' if nothing in the image fits, None without boxes."""
    if sample.boxes is None:
        return None
    boxes = sample.boxes if several else sample.boxes[:1]
    return SEPARATOR.join(box_to_text(b, *sample.size) for b in boxes)
