"""A new target after a correction, from the same image: with the model's own words, and never the rejected target.

A model reads "the left one" or a click after the history of the dialogue. "The other one" says nothing by itself, so
the rivals are looked up: each option of the robot's last question is answered in turn, and if that gives nothing but
the rejected target, the model is pointed at the other regions that competed for the words. One rival is the answer;
among several the robot asks, if it may. Needs no model itself: the caller gives a function.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, List, Optional, Sequence, Tuple

from clue_ros.dialogue.correction import QUESTION, Concluded, Correction, Kind, reopen, understand
from clue_ros.dialogue.phrases import choice
from clue_ros.geometry import box_iou
from clue_ros.language.questions import options as options_of
from clue_ros.seams import Grounder
from clue_ros.types import Answer, Box, Decision, Outcome, Turn

SAME_IOU = 0.3  # boxes that overlap so much are one thing: two boxes of it need not be exact
MAX_POINTED = 4  # other regions that the model is pointed at: each costs one grounding

# Called with (turns, may_ask, min_confidence); grounds the instruction of the dialogue in its image.
Ground = Callable[[Sequence[Turn], bool, Optional[float]], Decision]


class Regrounding:
    """What takes `Grounder.ground`'s place in a dialogue that a correction has re-opened.

    candidates: the detections that the dialogue was to choose from, as they were given to `ground`.
    """

    def __init__(self, past: Concluded, correction: Correction, candidates: Sequence[Box] = ()) -> None:
        self._past = past
        self._correction = correction
        self._candidates = tuple(candidates)
        # The other one of the other one is the first again; "not that one" holds for all that were rejected.
        self._rejected: Tuple[Box, ...] = (past.box,)
        if correction.kind is Kind.REJECT:
            self._rejected += past.rejected

    def __call__(
        self, ground: Ground, turns: Sequence[Turn], may_ask: bool = True, min_confidence: Optional[float] = 0.0
    ) -> Decision:
        """The decision for the re-opened session's turns. Raises what `ground` raises."""
        turns = tuple(turns)
        new = turns[len(self._past.turns) :]
        if not new:  # nothing was said but that it is another one
            return self._other(ground, may_ask, ground_first=None)
        decision = ground(turns, may_ask, min_confidence)
        if self._correction.kind is Kind.POINTED or self._fits(decision):
            return decision
        if self._past.turns:  # what was said before may contradict the correction: "the red one" … "no, the blue one"
            fresh = ground(new, may_ask, min_confidence)
            if self._fits(fresh):
                return fresh
        return self._other(ground, may_ask, ground_first=decision)

    def _fits(self, decision: Decision) -> bool:
        if decision.outcome is Outcome.FOUND and decision.box is not None:
            return not _among(decision.box, self._rejected)
        return decision.outcome is not Outcome.NOT_FOUND

    def _other(self, ground: Ground, may_ask: bool, ground_first: Optional[Decision]) -> Decision:
        """The target that is none of the rejected: the only rival, a question among several, or nothing."""
        rivals, names = self._offered(ground)
        if not rivals:
            rivals, names = self._pointed(ground), []
        if len(rivals) == 1 or (rivals and not may_ask):
            return rivals[0]
        if not rivals:
            nothing = ground_first or self._past.first
            return replace(nothing, outcome=Outcome.NOT_FOUND, box=None, confidence=0.0, question="")
        question = choice(names) if len(names) == len(rivals) else QUESTION
        return replace(rivals[0], outcome=Outcome.ASK, box=None, confidence=0.0, question=question)

    def _offered(self, ground: Ground) -> Tuple[List[Decision], List[str]]:
        """Rivals among the options of the robot's last question, and their names. If it asked nothing the model is made
        to: its own question names what it takes for alike."""
        turns = self._past.turns
        before, question = (turns[:-1], turns[-1].question) if turns else ((), "")
        if not question:
            question = ground((), True, 1.0).question
        rivals: List[Decision] = []
        names: List[str] = []
        for option in options_of(question):
            decision = ground((*before, Turn(question, Answer(option))), False, 0.0)
            if self._is_new(decision, rivals):
                rivals.append(decision)
                names.append(option)
        return rivals, names

    def _pointed(self, ground: Ground) -> List[Decision]:
        """Rivals among the regions that competed for the words, strongest first; each is found by a click on it."""
        rivals: List[Decision] = []
        for point in self._points():
            decision = ground((*self._past.turns[:-1], Turn(QUESTION, Answer(point=point))), False, 0.0)
            if self._is_new(decision, rivals):
                rivals.append(decision)
        return rivals

    def _points(self) -> List[Tuple[float, float]]:
        left = [box for box in self._candidates if not _among(box, self._rejected)]
        if len(left) == 1:  # of two detections the other one, whatever the model looked at
            return [left[0].center]
        first = self._past.first
        points = [region.peak for region in first.ambiguity.regions] if first.ambiguity is not None else []
        points = points or [Box(*box).center for box in first.candidates]
        return [point for point in points if not any(_holds(box, point) for box in self._rejected)][:MAX_POINTED]

    def _is_new(self, decision: Decision, rivals: Sequence[Decision]) -> bool:
        if decision.outcome is not Outcome.FOUND or decision.box is None:
            return False
        return not _among(decision.box, (*self._rejected, *(rival.box for rival in rivals if rival.box is not None)))


def correct(
    grounder: Grounder, image: Any, past: Concluded, answer: Answer, *, may_ask: bool = True,
    candidates: Sequence[Box] = (), **rest: Any,
) -> Optional[Decision]:  # fmt: skip
    """One correction without a dialogue of one's own: a Grounder, the image (or what `encode` made of it), the answer
    -> the new decision; None if the answer withdraws the target, or is no correction (`understand` tells which).

    rest: `threshold`, `should_stop` of Grounder.ground. Raises what Grounder.ground raises.
    """
    correction = understand(answer, past)
    if correction is None or correction.kind is Kind.WITHDRAW:
        return None
    encoded = grounder.encode(image)

    def ground(turns: Sequence[Turn], may_ask: bool, min_confidence: Optional[float]) -> Decision:
        options = {"may_ask": may_ask, "min_confidence": min_confidence, "candidates": candidates, **rest}
        return grounder.ground(encoded, past.expression, turns, **options)

    turns = reopen(past, correction, now=past.at).turns
    return Regrounding(past, correction, candidates)(ground, turns, may_ask=may_ask)


def _among(box: Box, others: Sequence[Box]) -> bool:
    return any(box_iou(box, other) >= SAME_IOU for other in others)


def _holds(box: Box, point: Tuple[float, float]) -> bool:
    return box.x0 <= point[0] <= box.x1 and box.y0 <= point[1] <= box.y1
