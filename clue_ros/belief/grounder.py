"""`BeliefGrounder`: a Grounder that keeps a belief over candidates, understands pointing and numbers, and can choose
what it asks by information gain.

    grounder = BeliefGrounder(Grounder.from_pretrained(), "information_gain")
    decision = grounder.ground(image, "the mug")                            # question, candidates, belief
    decision = grounder.ground(image, "the mug", [Turn(decision.question, Answer("the red one"))])
    decision = grounder.ground(image, "the one here", pointing=Answer(point=(212, 96)))

It has the Grounder's methods. With the policy "learned" and nobody pointing it is the Grounder itself, call for call.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Optional, Sequence

import numpy as np

from clue_ros.belief import marks, questions
from clue_ros.belief.belief import SAME_IOU, Belief
from clue_ros.belief.likeness import speaks_of_likeness, things_alike
from clue_ros.belief.pointing import check_within, is_pointed, likelihoods, outside, pointed_place
from clue_ros.dialogue.phrases import speaks_of_place
from clue_ros.geometry import box_iou
from clue_ros.language.questions import OPEN_QUESTION
from clue_ros.prompt import check_expression, check_turns
from clue_ros.types import Ambiguity, Answer, Box, Decision, InvalidExpressionError, Outcome, Turn

QUESTION_POLICIES = ("learned", "information_gain", "numbers")
POINTED = OPEN_QUESTION  # what a pointing gesture that came with an instruction answers
SETTLED = 0.9  # from this probability on an answered question is not followed by another
TRUSTED = 0.6  # from here on the belief's best candidate stands against the model's own box
ALIKE = 0.6  # from here on the best of several things alike is taken without a question
JITTER = 0.03  # of the image's width: where the model is asked again around a click
NEAR = 0.08  # of the image's width: a candidate so near to a click stands before what else is there
OWN_WEIGHT, SEEN_WEIGHT = (
    0.3,
    0.25,
)  # of the model's box after a click, and of what it sees there, beside an average candidate
_NO_PIXELS = np.empty((0, 0, 3), np.uint8)  # the inventory looks at features only


class BeliefGrounder:
    """grounder: a Grounder, or anything with its methods; question_policy: one of QUESTION_POLICIES. A grounder without
    a trained backbone (stock, scripted) asks by numbers about the candidates that it names, and knows clicks itself.
    Not thread-safe, as the Grounder is not.

    Raises ValueError for an unknown policy."""

    def __init__(self, grounder: Any, question_policy: str = "learned"):
        if question_policy not in QUESTION_POLICIES:
            raise ValueError(f"question_policy is {question_policy!r}: give one of {', '.join(QUESTION_POLICIES)}")
        self._grounder, self.question_policy = grounder, question_policy
        self._backbone = getattr(grounder, "backbone", None)
        self._reader: Any = None
        self._tracker: Any = None
        if self._backbone is not None:  # imported here: a node without a model needs no torch
            from clue_ros.belief.reader import ModelReader
            from clue_ros.belief.tracker import BeliefTracker

            self._reader = ModelReader(self._backbone)
            self._tracker = BeliefTracker(self._backbone, self._reader, question_policy == "information_gain")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grounder, name)

    def ground(
        self,
        image: Any,
        expression: str,
        turns: Sequence[Turn] = (),
        *,
        pointing: Optional[Answer] = None,
        candidates: Sequence[Box] = (),
        may_ask: bool = True,
        mask: bool = False,
        **rest: Any,
    ) -> Decision:
        """As Grounder.ground; `rest` goes there. pointing: a click, box or scribble that came with the instruction
        ("the one here", "another one like this"); give it again with every turn of the dialogue.

        `Decision.belief` holds a probability for each of `Decision.candidates` where a belief was kept. Raises also
        InvalidExpressionError for "like this" where the model has an open vocabulary (likeness.py), InvalidAnswerError
        for a gesture outside the image (a scripted or stock grounder takes it as it is)."""
        turns, candidates = check_turns(turns), tuple(Box(*box) for box in candidates)
        gesture = pointing if pointing is not None and is_pointed(pointing) else None
        alike = gesture is not None and self._reader is not None and speaks_of_likeness(expression)
        if gesture is not None and not alike:
            turns = (Turn(POINTED, gesture), *turns)
        pointed = bool(turns) and is_pointed(turns[-1].answer)
        numbered = bool(turns) and marks.asked_about(turns[-1].question) > 0
        masked = {"mask": True} if mask else {}
        if self.question_policy == "learned" and not (alike or pointed or numbered):
            return self._grounder.ground(
                image, expression, turns, may_ask=may_ask, candidates=candidates, **masked, **rest
            )
        if self._reader is None:
            return self._plain(image, expression, turns, candidates, may_ask, {**masked, **rest})
        begun = time.perf_counter()
        image = self._grounder.encode(image)
        if gesture is not None:
            check_within(gesture, (image.width, image.height))
        if alike:
            decision = self._alike(image, expression, turns, gesture, candidates, may_ask, rest)
        elif pointed:
            decision = self._pointed(image, expression, turns, candidates, rest)
        elif numbered and marks.number_in(turns[-1]) is not None:
            decision = self._by_number(image, expression, turns, candidates, rest)
        else:
            decision = self._by_words(image, expression, turns, candidates, may_ask, rest)
        if mask and decision.box is not None:  # of the box that was chosen, which need not be the model's own
            pixels = self._grounder.target_mask(image, decision.expression, () if alike else turns, decision.box)
            decision = replace(decision, mask=pixels)
        return replace(
            decision, expression=expression, latency_s={**decision.latency_s, "belief": time.perf_counter() - begun}
        )

    # Pointing.

    def _pointed(self, image, expression, turns, candidates, rest) -> Decision:
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
            seen = self._reader.at_point(image, (x + dx, y + dy), should_stop)
            if seen is not None and (not near or any(box_iou(seen.box, box) >= SAME_IOU for box in known)):
                boxes, weights = [*boxes, seen.box], [*weights, SEEN_WEIGHT]
        return Belief.of(boxes, weights).merged()

    # "Another one like this": what the example is stands in the place of these words, and it is none of the candidates.

    def _alike(self, image, expression, turns, gesture: Answer, candidates, may_ask, rest) -> Decision:
        if self._grounder.vocabulary is None:
            # What it would be asked for is a list of tabletop things, and its world is larger.
            raise InvalidExpressionError(
                'this model has no list of what a thing may be, so it cannot tell what is "like '
                'this": say what it is, as in "the red mug"'
            )
        alike = things_alike(self._things(image, rest.get("should_stop")), expression, gesture, image.width, candidates)
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

    def _things(self, image, should_stop) -> Sequence[Any]:
        """What stands there, as for chat: asked once an image, and kept with it."""
        from clue_ros.perception.inventory import look_around
        from clue_ros.perception.perception import Perception, StockImage

        return look_around(
            Perception(self._backbone),
            StockImage(_NO_PIXELS, image, image.detections),
            self._grounder.vocabulary,
            should_stop,
        )

    # Words and numbers.

    def _by_words(self, image, expression, turns, candidates, may_ask, rest) -> Decision:
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
        if not candidates:
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
        if self.question_policy == "information_gain" or (fallback and self.question_policy == "learned"):
            words = self._backbone.without_unknown(check_expression(expression))
            best = questions.best_question(self._reader, image, words, asked, self._grounder.vocabulary, told)
            if best is not None:
                return replace(decision, question=best.text)
        if (self.question_policy == "numbers" or fallback) and len(asked.boxes) > 1 and not numbered:
            return replace(
                decision, question=marks.question(len(asked.boxes)), candidates=asked.boxes, belief=asked.probabilities
            )
        return decision

    def _by_number(self, image, expression, turns, candidates, rest) -> Decision:
        """The candidate of that number; the question's candidates are found again if they are not remembered."""
        decision = self._grounder.ground(image, expression, turns[:-1], may_ask=False, candidates=candidates, **rest)
        asked = self._belief(image, expression, turns[:-1], candidates, rest, decision).worth_asking()
        number = marks.number_in(turns[-1])
        if number > len(asked.boxes):
            return replace(decision, outcome=Outcome.NOT_FOUND, box=None, confidence=0.0)
        chosen = asked.updated([1.0 if n == number - 1 else 0.0 for n in range(len(asked.boxes))])
        return _chosen(decision, chosen, number - 1)

    def _plain(self, image, expression, turns, candidates, may_ask, rest) -> Decision:
        """Numbers without a model that can be read: about the candidates that the grounder names itself."""
        if turns and marks.asked_about(turns[-1].question):
            number = marks.number_in(turns[-1])
            if number is not None:
                before = self._grounder.ground(
                    image, expression, turns[:-1], may_ask=True, candidates=candidates, **rest
                )
                boxes = Belief.of(before.candidates).ordered().boxes
                if number <= len(boxes):
                    return replace(
                        before,
                        outcome=Outcome.FOUND,
                        box=boxes[number - 1],
                        confidence=1.0,
                        question="",
                        candidates=boxes,
                        mask=None,
                    )
        decision = self._grounder.ground(image, expression, turns, may_ask=may_ask, candidates=candidates, **rest)
        boxes = Belief.of(decision.candidates[: marks.LIMIT]).ordered().boxes
        if decision.outcome is Outcome.ASK and self.question_policy == "numbers" and len(boxes) > 1:
            return replace(decision, question=marks.question(len(boxes)), candidates=boxes)
        return decision

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
