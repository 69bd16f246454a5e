"""The belief of each state of a dialogue: made from what the model sees, moved by every answer, remembered for the
next.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Optional, Sequence, Tuple

import numpy as np

from clue_ros.belief import marks, questions
from clue_ros.belief.belief import SAME_IOU, Belief
from clue_ros.belief.pointing import is_pointed, likelihoods, outside
from clue_ros.belief.reader import ModelReader
from clue_ros.geometry import box_iou
from clue_ros.perception.selection import attention_lift
from clue_ros.prompt import check_expression, clean
from clue_ros.types import Box, Decision, StopTest, Turn
from clue_ros.vlm.backbone import Backbone
from clue_ros.vlm.passes import EncodedImage

UNLIKELY = 0.02  # of the likeliest: what the words alone never rule out further, so that a click overrules them
MINE = 0.25  # probability of the model's own box where it is none of the candidates
PEAK_PROBABILITY = 0.1  # of a thing that only the attention points at
PEAKS = 2  # regions of the attention that are looked at besides what the model lists


@dataclass(frozen=True)
class State:
    """One state of one dialogue about one image: the belief, and how well the words with the answers fit each candidate
    (float64[N], log; None where that was not needed yet: before the first answer, and after one that was read by the
    options of its question)."""

    image: Any
    expression: str
    turns: Tuple[Turn, ...]
    candidates: Tuple[Box, ...]
    belief: Belief
    scores: Optional[np.ndarray]


class BeliefTracker:
    """Beliefs of one model. The last state is kept, so that a turn costs one pass. Not thread-safe.

    knows_options: an answer that decides among what a question offered is read by what the options stand for
    (questions.heard), any other by the model; False: all by the model."""

    def __init__(self, backbone: Backbone, reader: ModelReader, knows_options: bool = False):
        self._backbone, self._reader, self._knows_options = backbone, reader, knows_options
        self._last: Optional[State] = None

    def belief(
        self,
        image: EncodedImage,
        expression: str,
        turns: Sequence[Turn],
        candidates: Tuple[Box, ...],
        should_stop: StopTest = None,
        decision: Optional[Decision] = None,
        *,
        prior: Optional[Belief] = None,
    ) -> Belief:
        """After these turns: the one before, updated by the last answer; from the instruction on if it is not known.

        decision: the model's own, whose attention and box count where the belief begins; prior: what it begins with
        instead, a probability for each of `candidates`. Raises Cancelled,
        OutOfMemoryError, and what the expression or a turn is refused for."""
        return self._state(image, expression, tuple(turns), candidates, should_stop, decision, prior).belief

    def _state(self, image, expression, turns, candidates, should_stop, decision, prior) -> State:
        last = self._last
        if last is not None and (
            last.image is not image or (last.expression, last.candidates) != (expression, candidates)
        ):
            last = None  # of something else
        if last is not None and last.turns == turns:
            return last
        words = self._backbone.without_unknown(check_expression(expression)) or "the thing"
        if not turns:
            belief = self._prior(image, words, candidates, should_stop, decision) if prior is None else prior
            scores = None
        else:
            before = (
                last
                if last is not None and last.turns == turns[:-1]
                else self._state(image, expression, turns[:-1], candidates, should_stop, None, prior)
            )
            belief, scores = self._answered(before, words, turns)
        self._last = state = State(image, expression, turns, candidates, belief, scores)
        return state

    def _answered(self, before: State, words: str, turns: Tuple[Turn, ...]) -> Tuple[Belief, Optional[np.ndarray]]:
        """The belief and the scores after the last of the turns."""
        belief, answer = before.belief, turns[-1].answer
        number = marks.number_in(turns[-1])
        if not belief.boxes:
            return belief, before.scores
        if number is not None:
            asked = belief.worth_asking().boxes
            meant = asked[number - 1] if number <= len(asked) else None
            return belief.updated([float(box == meant) for box in belief.boxes]), before.scores
        # What the answer adds: P(answer | box) is, up to a factor, how much likelier it makes the box's tokens.
        known = self._backbone.without_unknown
        heard = tuple(
            Turn(known(clean(t.question)), replace(t.answer, text=known(clean(t.answer.text)))) for t in turns
        )
        if self._knows_options and not is_pointed(answer):
            asked = belief.worth_asking().boxes
            decided = questions.heard(self._reader, before.image, words, heard[-1], asked)
            if decided is not None:
                fits = dict(zip(asked, decided))
                return belief.updated([fits.get(box, decided.min()) for box in belief.boxes]), None
        scores = self._reader.scores(before.image, [words], belief.boxes, heard)[0]
        unheard = before.scores
        if unheard is None:
            unheard = self._reader.scores(before.image, [words], belief.boxes, heard[:-1])[0]
        gained = (scores - unheard) / questions.TEMPERATURE
        belief = belief.updated(np.exp(gained - gained.max()))
        if is_pointed(answer):
            belief = belief.updated(likelihoods(answer, belief.boxes, before.image.width))
        return belief, scores

    def _prior(self, image, words: str, candidates, should_stop, decision: Optional[Decision]) -> Belief:
        """Before any answer: a detector's boxes by how well the words fit them and how much attention they hold, or the
        model's own list and what else its attention points at."""
        if candidates:
            scores = self._reader.scores(image, [words], candidates)[0] / questions.TEMPERATURE
            weights = np.exp(scores - scores.max())
            if decision is not None and decision.ambiguity is not None:
                grid, size = decision.ambiguity.attention_map, (image.width, image.height)
                weights = weights * [np.exp(2 * attention_lift(grid, box, size)) for box in candidates]
            return Belief.of(candidates, np.maximum(weights, UNLIKELY * weights.max()))
        listed = self._reader.listed(image, words, (), should_stop)
        belief = Belief.of([seen.box for seen in listed], [seen.certainty for seen in listed]).merged()
        if decision is None:
            return belief
        for region in (decision.ambiguity.regions if decision.ambiguity is not None else ())[:4]:
            if len(belief.boxes) >= len(listed) + PEAKS:
                break
            if any(outside(region.peak, box) == 0 for box in belief.boxes):
                continue
            seen = self._reader.at_point(image, region.peak, should_stop)
            if seen is not None and all(box_iou(seen.box, box) < SAME_IOU for box in belief.boxes):
                belief = belief.with_candidate(seen.box, PEAK_PROBABILITY * region.strength)
        if decision.box is not None and all(box_iou(decision.box, box) < SAME_IOU for box in belief.boxes):
            belief = belief.with_candidate(decision.box, MINE)
        return belief
