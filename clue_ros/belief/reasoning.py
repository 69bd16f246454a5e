"""What a belief makes of a turn: a click, a number, words, or "another one like this", with a model that can be read.

Each method decides one kind of turn; `BeliefGrounder` (grounder.py) says which kind it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import FrozenSet, Optional, Sequence

from clue_ros.belief import marks, questions
from clue_ros.belief.belief import SAME_IOU, Belief
from clue_ros.belief.likeness import things_alike
from clue_ros.belief.pointing import likelihoods, outside, pointed_place
from clue_ros.belief.reader import ModelReader
from clue_ros.belief.tracker import BeliefTracker
from clue_ros.dialogue.phrases import speaks_of_place
from clue_ros.geometry import box_iou
from clue_ros.perception.inventory import Thing, look_around
from clue_ros.perception.perception import Perception, StockImage
from clue_ros.prompt import check_expression
from clue_ros.seams import Grounder
from clue_ros.types import Ambiguity, Answer, Box, Decision, InvalidExpressionError, Outcome, StopTest
from clue_ros.vlm.passes import EncodedImage

SETTLED = 0.9  # from this probability on an answered question is not followed by another
TRUSTED = 0.6  # from here on the belief's best candidate stands against the model's own box
ALIKE = 0.6  # from here on the best of several things alike is taken without a question
JITTER = 0.03  # of the image's width: where the model is asked again around a click
NEAR = 0.08  # of the image's width: a candidate so near to a click stands before what else is there
# Of the model's box after a click, and of what it sees there, beside an average candidate.
OWN_WEIGHT, SEEN_WEIGHT = 0.3, 0.25


class Reasoner:
    """One grounder that has BELIEF; policy: as BeliefGrounder's. Not thread-safe."""

    def __init__(self, grounder: Grounder, policy: str):
        self._grounder, self._backbone, self._policy = grounder, grounder.backbone, policy
        self.reader = ModelReader(self._backbone)
        self._tracker = BeliefTracker(self._backbone, self.reader, policy == "information_gain")

    # Pointing.

    def pointed(self, image, expression, turns, candidates, rest) -> Decision:
        """The candidate that was pointed at: among the dialogue's, and what the model sees at the place."""
        answer = turns[-1].answer
        own = self._grounder.ground(image, expression, turns, may_ask=False, candidates=candidates, **rest)
        if own.outcome is Outcome.UNKNOWN_WORDS and speaks_of_place(expression):
            own = self._grounder.ground(image, "the thing", turns, may_ask=False, candidates=candidates, **rest)
        if own.outcome is Outcome.UNKNOWN_WORDS:
            return own
        belief = self._belief(image, expression, turns[:-1], candidates, rest)
        if not candidates:
            belief = self._with_seen_at(image, belief, answer, own, rest.get("should_stop"))
        belief = belief.updated(likelihoods(answer, belief.boxes, image.width))
        if not belief.boxes:
            return replace(own, outcome=Outcome.NOT_FOUND, box=None, confidence=0.0)
        return _chosen(own, belief, belief.best)

    def _with_seen_at(self, image, belief: Belief, answer: Answer, own: Decision, should_stop) -> Belief:
        """The candidates, the box that the model itself gives after the click, and what it names at the place.

        With a candidate near the click the words have their say: what else stands there only supports a candidate.
        Without one the model is also asked a little beside the click."""
        (x, y), step = pointed_place(answer), JITTER * image.width
        listed = belief.boxes
        near = any(outside((x, y), box) <= NEAR * image.width for box in listed)
        around = ((0, 0),) if near else ((0, 0), (step, 0), (-step, 0), (0, step), (0, -step))
        boxes, weights = list(listed), [p * len(listed) for p in belief.probabilities]
        if own.box is not None:
            boxes, weights = [*boxes, own.box], [*weights, OWN_WEIGHT]
            if any(outside((x, y), box) == 0 and box_iou(own.box, box) >= SAME_IOU for box in listed):
                around = ()  # the list, the model's answer and the click name one thing: a further look tells nothing
        known = tuple(boxes)
        for dx, dy in around:
            seen = self.reader.at_point(image, (x + dx, y + dy), should_stop)
            if seen is not None and (not near or any(box_iou(seen.box, box) >= SAME_IOU for box in known)):
                boxes, weights = [*boxes, seen.box], [*weights, SEEN_WEIGHT]
        return Belief.of(boxes, weights).merged()

    # "Another one like this": what the example is stands in the place of these words, and it is none of the candidates.

    def alike(self, image, expression, turns, gesture: Answer, candidates, may_ask, rest) -> Decision:
        vocabulary = self._grounder.vocabulary
        if vocabulary is None:
            # What it would be asked for is a list of tabletop things, and its world is larger.
            raise InvalidExpressionError(
                'this model has no list of what a thing may be, so it cannot tell what is "like '
                'this": say what it is, as in "the red mug"'
            )
        alike = things_alike(
            self._things(image, vocabulary, rest.get("should_stop")), expression, gesture, image.width, candidates
        )
        if alike is None:
            return Decision(Outcome.NOT_FOUND, expression)
        worded = [
            turn for turn in turns if marks.number_in(turn) is None
        ]  # the numbers were given here, not by the model
        decision = self._grounder.ground(image, alike.words, worded, may_ask=False, **rest)
        if decision.outcome is Outcome.UNKNOWN_WORDS:
            return decision
        belief = alike.belief
        if belief.boxes and turns:
            belief = self._tracker.belief(
                image, alike.words, turns, belief.boxes, rest.get("should_stop"), prior=belief
            )
        doubt = 1 - max(belief.probabilities, default=0.0)
        decision = replace(decision, ambiguity=_doubted(decision.ambiguity, doubt), mask=None)
        if not belief.boxes:
            return replace(decision, outcome=Outcome.NOT_FOUND, box=None, confidence=0.0, candidates=())
        if may_ask and len(belief.boxes) > 1 and 1 - doubt < ALIKE:
            asking = replace(decision, outcome=Outcome.ASK, box=None, confidence=0.0)
            asking = self._question(image, alike.words, turns, asking, belief, fallback=True)
            if asking.question:
                return asking
        found = _chosen(decision, belief, belief.best)
        return replace(found, confidence=found.confidence * alike.confidences[belief.best])

    def _things(self, image: EncodedImage, words: FrozenSet[str], should_stop: StopTest) -> Sequence[Thing]:
        """What stands there, as for chat: asked once an image, and kept with it."""
        return look_around(Perception(self._backbone), StockImage.of_features(image), words, should_stop)

    # Words and numbers.

    def by_words(self, image, expression, turns, candidates, may_ask, rest) -> Decision:
        decision = self._grounder.ground(image, expression, turns, may_ask=may_ask, candidates=candidates, **rest)
        if decision.outcome in (Outcome.NOT_FOUND, Outcome.UNKNOWN_WORDS):
            return decision
        belief = self._belief(image, expression, turns, candidates, rest, decision)
        if decision.outcome is Outcome.ASK:
            settled = bool(turns) and belief.boxes and max(belief.probabilities) >= SETTLED
            if not settled:
                return self._question(image, expression, turns, decision, belief)
            decision = self._grounder.ground(image, expression, turns, may_ask=False, candidates=candidates, **rest)
            if decision.outcome is not Outcome.FOUND:
                return decision
        if not candidates and decision.box is not None:
            decision = replace(decision, box=self._settle(decision.box, belief))
        return replace(decision, candidates=belief.boxes, belief=belief.probabilities)

    def _settle(self, own: Box, belief: Belief) -> Box:
        """The model's own box, unless the belief is sure of another candidate: one among several, since a belief in a
        single one is sure whatever was said."""
        if len(belief.boxes) < 2 or belief.probabilities[belief.best] < TRUSTED:
            return own
        best = belief.boxes[belief.best]
        return own if box_iou(own, best) >= 0.3 else best

    def _question(
        self, image, expression, turns, decision: Decision, belief: Belief, fallback: bool = False
    ) -> Decision:
        """The decision to ask, with the policy's question; the model's own where the policy finds none. fallback: the
        model has none, so any policy asks by information gain, or else by numbers, once."""
        told, asked = [turn.question for turn in turns], belief.worth_asking()
        numbered = fallback and any(marks.asked_about(question) for question in told)
        decision = replace(
            decision,
            candidates=belief.boxes,
            belief=belief.probabilities,
            question="" if fallback else decision.question,
        )
        if self._policy == "information_gain" or (fallback and self._policy == "learned"):
            words = self._backbone.without_unknown(check_expression(expression))
            best = questions.best_question(self.reader, image, words, asked, self._grounder.vocabulary, told)
            if best is not None:
                return replace(decision, question=best.text)
        if (self._policy == "numbers" or fallback) and len(asked.boxes) > 1 and not numbered:
            return replace(
                decision, question=marks.question(len(asked.boxes)), candidates=asked.boxes, belief=asked.probabilities
            )
        return decision

    def by_number(self, image, expression, turns, candidates, rest) -> Decision:
        """The candidate of that number; the question's candidates are found again if they are not remembered."""
        decision = self._grounder.ground(image, expression, turns[:-1], may_ask=False, candidates=candidates, **rest)
        asked = self._belief(image, expression, turns[:-1], candidates, rest, decision).worth_asking()
        number = marks.number_in(turns[-1])
        if number is None or number > len(asked.boxes):
            return replace(decision, outcome=Outcome.NOT_FOUND, box=None, confidence=0.0)
        chosen = asked.updated([1.0 if n == number - 1 else 0.0 for n in range(len(asked.boxes))])
        return _chosen(decision, chosen, number - 1)

    def _belief(self, image, expression, turns, candidates, rest, decision: Optional[Decision] = None) -> Belief:
        return self._tracker.belief(image, expression, turns, candidates, rest.get("should_stop"), decision)


def _chosen(decision: Decision, belief: Belief, index: int) -> Decision:
    """Found: that candidate of the belief."""
    return replace(
        decision,
        outcome=Outcome.FOUND,
        box=belief.boxes[index],
        confidence=belief.probabilities[index],
        question="",
        candidates=belief.boxes,
        belief=belief.probabilities,
    )


def _doubted(reading: Optional[Ambiguity], doubt: float) -> Optional[Ambiguity]:
    """The reading with the belief's doubt, P(not the likeliest), as P(ambiguous): the detector was asked about words
    that the example fits too."""
    if reading is None:
        return None
    return replace(reading, probability=doubt, threshold=1 - ALIKE, is_ambiguous=doubt > 1 - ALIKE)
