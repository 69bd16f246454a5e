"""`BeliefGrounder`: a Grounder that keeps a belief over candidates, understands pointing and numbers, and can choose what
it asks by information gain.

    grounder = BeliefGrounder(Grounder.from_pretrained(), "information_gain")
    decision = grounder.ground(image, "the mug")                            # question, candidates, belief
    decision = grounder.ground(image, "the mug", [Turn(decision.question, Answer("the red one"))])
    decision = grounder.ground(image, "the one here", pointing=Answer(point=(212, 96)))

It has the Grounder's methods. With the policy "learned" and nobody pointing it is the Grounder itself, call for call.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np

from clue_ros.belief import marks, questions
from clue_ros.belief.belief import Belief
from clue_ros.belief.pointing import is_pointed, likelihoods, outside, pointed_place, speaks_of_place
from clue_ros.candidates import attention_lift
from clue_ros.evaluation.metrics import box_iou
from clue_ros.prompt import check_expression, check_turns, clean
from clue_ros.types import Answer, Box, Decision, Outcome, Turn

QUESTION_POLICIES = ("learned", "information_gain", "numbers")
POINTED = "Which one do you mean?"  # what a pointing gesture that came with an instruction answers
SAME_IOU = 0.5  # two boxes that overlap so much are one candidate
MINE = 0.25  # probability of the model's own box where it is none of the candidates
PEAK_PROBABILITY = 0.1  # of a thing that only the attention points at
PEAKS = 2  # regions of the attention that are looked at besides what the model lists
LIKELY, ASKED_ABOUT = 0.04, 6  # candidates below that probability, and beyond so many, no question is about
SETTLED = 0.9  # from this probability on an answered question is not followed by another
TRUSTED = 0.6  # from here on the belief's best candidate stands against the model's own box
JITTER = 0.03  # of the image's width: where the model is asked again around a click
NEAR = 0.08  # of the image's width: a candidate so near to a click stands before what else is there
OWN_WEIGHT, SEEN_WEIGHT = 0.3, 0.25  # of the model's box after a click, and of what it sees there, beside an average candidate
_LIKE = re.compile(r"\blike (?:this|that|it|the) ?(?:one|thing|here)?\b")


@dataclass
class _Remembered:
    """The belief of one state of one dialogue: the next turn goes on from it."""

    image: Any
    expression: str
    turns: Tuple[Turn, ...]
    candidates: Tuple[Box, ...]
    belief: Belief
    scores: np.ndarray


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
        if self._backbone is not None:  # imported here: a node without a model needs no torch
            from clue_ros.belief.reader import ModelReader

            self._reader = ModelReader(self._backbone)
        self._last: Optional[_Remembered] = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grounder, name)

    def ground(self, image: Any, expression: str, turns: Sequence[Turn] = (), *, pointing: Optional[Answer] = None,
               candidates: Sequence[Box] = (), may_ask: bool = True, **rest: Any) -> Decision:
        """As Grounder.ground; `rest` goes there. pointing: a click or box that came with the instruction ("the one here").

        `Decision.belief` holds a probability for each of `Decision.candidates` where a belief was kept."""
        turns, candidates = check_turns(turns), tuple(Box(*box) for box in candidates)
        if pointing is not None and is_pointed(pointing):
            turns = (Turn(POINTED, pointing), *turns)
        pointed = bool(turns) and is_pointed(turns[-1].answer)
        numbered = bool(turns) and marks.asked_about(turns[-1].question) > 0
        if self.question_policy == "learned" and not pointed and not numbered:
            return self._grounder.ground(image, expression, turns, may_ask=may_ask, candidates=candidates, **rest)
        if self._reader is None:
            return self._plain(image, expression, turns, candidates, may_ask, rest)
        begun = time.perf_counter()
        image = self._grounder.encode(image)
        said = None
        if pointed and pointing is not None and len(turns) == 1:
            said = self._alike(image, expression, turns[-1].answer)
        if said is not None:
            found, away = said
            return replace(self._beside(image, found, away, candidates, rest), expression=expression)
        if pointed:
            decision = self._pointed(image, expression, turns, candidates, may_ask, rest)
        elif numbered and self._number(turns[-1]) is not None:
            decision = self._by_number(image, expression, turns, candidates, rest)
        else:
            decision = self._by_words(image, expression, turns, candidates, may_ask, rest)
        return replace(decision, expression=expression,
                       latency_s={**decision.latency_s, "belief": time.perf_counter() - begun})

    # Pointing.

    def _pointed(self, image, expression, turns, candidates, may_ask, rest) -> Decision:
        """The candidate that was pointed at: among the dialogue's, and what the model sees at the place."""
        answer = turns[-1].answer
        own = self._grounder.ground(image, expression, turns, may_ask=False, candidates=candidates, **rest)
        if own.outcome is Outcome.UNKNOWN_WORDS and speaks_of_place(expression):
            own = self._grounder.ground(image, "the thing", turns, may_ask=False, candidates=candidates, **rest)
        if own.outcome is Outcome.UNKNOWN_WORDS:
            return own
        belief = self._belief(image, expression, turns[:-1], candidates, rest).belief
        if not candidates:
            belief = self._with_seen_at(image, belief, answer, own, rest.get("should_stop"))
        belief = belief.updated(likelihoods(answer, belief.boxes, image.width))
        if not belief.boxes:
            return replace(own, outcome=Outcome.NOT_FOUND, box=None, confidence=0.0)
        best = belief.boxes[belief.best]
        mask = own.mask if own.box == best else None  # it would be another thing's
        return replace(own, outcome=Outcome.FOUND, box=best, mask=mask, question="",
                       confidence=belief.probabilities[belief.best], candidates=belief.boxes, belief=belief.probabilities)

    def _with_seen_at(self, image, belief: Belief, answer: Answer, own: Decision, should_stop) -> Belief:
        """The candidates, the box that the model itself gives after the click, and what it names at the place.

        With a candidate near the click the words have their say: what else stands there only supports a candidate. Without
        one the model is also asked a little beside the click."""
        (x, y), step = pointed_place(answer), JITTER * image.width
        listed = belief.boxes
        near = any(outside((x, y), box) <= NEAR * image.width for box in listed)
        around = ((0, 0),) if near else ((0, 0), (step, 0), (-step, 0), (0, step), (0, -step))
        boxes, weights = list(listed), [p * len(listed) for p in belief.probabilities]
        if own.box is not None:
            boxes, weights = [*boxes, own.box], [*weights, OWN_WEIGHT]
        known = tuple(boxes)
        for dx, dy in around:
            seen = self._reader.at_point(image, (x + dx, y + dy), should_stop)
            if seen is not None and (not near or any(box_iou(seen.box, box) >= SAME_IOU for box in known)):
                boxes, weights = [*boxes, seen.box], [*weights, SEEN_WEIGHT]
        return _merged(Belief.of(boxes, weights))

    def _alike(self, image, expression: str, answer: Answer) -> Optional[Tuple[str, Box]]:
        """"One like this": (words for what the thing pointed at is, its box); None if the words do not say so."""
        if not _LIKE.search(clean(expression)):
            return None
        seen = self._reader.at_point(image, pointed_place(answer))
        if seen is None:
            return None
        vocabulary = self._grounder.vocabulary
        noun = questions.noun_of(clean(expression))
        if noun is None:
            things = [t for t in questions.THINGS if vocabulary is None or t in vocabulary]
            table = questions.attribute_table(self._reader, image, [seen.box], "the thing", [f"the {t}" for t in things])
            noun = questions.SAME_THING.get(things[int(table[0].argmax())], things[int(table[0].argmax())])
        return f"the {noun}", seen.box

    def _beside(self, image, words: str, away: Box, candidates, rest) -> Decision:
        """What the words fit apart from one box."""
        decision = self._grounder.ground(image, words, may_ask=False, candidates=candidates, **rest)
        belief = self._belief(image, words, (), candidates, rest).belief
        kept = [n for n, box in enumerate(belief.boxes) if box_iou(box, away) < SAME_IOU]
        if not kept:
            return replace(decision, outcome=Outcome.NOT_FOUND, box=None, confidence=0.0)
        left = Belief.of([belief.boxes[n] for n in kept], [belief.probabilities[n] for n in kept])
        return replace(decision, outcome=Outcome.FOUND, box=left.boxes[left.best], candidates=left.boxes,
                       confidence=left.probabilities[left.best], belief=left.probabilities)

    # Words and numbers.

    def _by_words(self, image, expression, turns, candidates, may_ask, rest) -> Decision:
        decision = self._grounder.ground(image, expression, turns, may_ask=may_ask, candidates=candidates, **rest)
        if decision.outcome in (Outcome.NOT_FOUND, Outcome.UNKNOWN_WORDS):
            return decision
        remembered = self._belief(image, expression, turns, candidates, rest, decision)
        belief = remembered.belief
        if decision.outcome is Outcome.ASK:
            settled = bool(turns) and belief.boxes and max(belief.probabilities) >= SETTLED
            if not settled:
                return self._question(image, expression, turns, decision, belief)
            decision = self._grounder.ground(image, expression, turns, may_ask=False, candidates=candidates, **rest)
            if decision.outcome is not Outcome.FOUND:
                return decision
        if not candidates:
            box = self._settle(decision.box, belief)
            decision = decision if box == decision.box else replace(decision, box=box, mask=None)
        return replace(decision, candidates=belief.boxes, belief=belief.probabilities)

    def _settle(self, own: Box, belief: Belief) -> Box:
        """The model's own box, unless the belief is sure of another candidate."""
        if not belief.boxes or belief.probabilities[belief.best] < TRUSTED:
            return own
        best = belief.boxes[belief.best]
        return own if box_iou(own, best) >= 0.3 else best

    def _question(self, image, expression, turns, decision: Decision, belief: Belief) -> Decision:
        """The decision to ask, with the policy's question; the model's own where the policy finds none."""
        asked = belief.likely(LIKELY, ASKED_ABOUT)
        decision = replace(decision, candidates=belief.boxes, belief=belief.probabilities)
        if self.question_policy == "numbers" and len(asked.boxes) > 1:
            asked = asked.ordered()
            return replace(decision, question=marks.question(len(asked.boxes)), candidates=asked.boxes,
                           belief=asked.probabilities)
        if self.question_policy == "information_gain":
            words = self._backbone.without_unknown(check_expression(expression))
            best = questions.best_question(self._reader, image, words, asked, self._grounder.vocabulary,
                                           [turn.question for turn in turns])
            if best is not None:
                return replace(decision, question=best.text)
        return decision

    def _number(self, turn: Turn) -> Optional[int]:
        return marks.number_said(turn.answer.text, marks.asked_about(turn.question))

    def _by_number(self, image, expression, turns, candidates, rest) -> Decision:
        """The candidate of that number; the question's candidates are found again if they are not remembered."""
        decision = self._grounder.ground(image, expression, turns[:-1], may_ask=False, candidates=candidates, **rest)
        belief = self._belief(image, expression, turns[:-1], candidates, rest, decision).belief
        asked = belief.likely(LIKELY, ASKED_ABOUT).ordered()
        number = self._number(turns[-1])
        if number > len(asked.boxes):
            return replace(decision, outcome=Outcome.NOT_FOUND, box=None, confidence=0.0)
        chosen = asked.updated([1.0 if n == number - 1 else 0.0 for n in range(len(asked.boxes))])
        return replace(decision, outcome=Outcome.FOUND, box=chosen.boxes[number - 1], question="",
                       confidence=chosen.probabilities[number - 1], candidates=chosen.boxes, belief=chosen.probabilities)

    def _plain(self, image, expression, turns, candidates, may_ask, rest) -> Decision:
        """Numbers without a model that can be read: about the candidates that the grounder names itself."""
        if turns and marks.asked_about(turns[-1].question):
            number = self._number(turns[-1])
            if number is not None:
                before = self._grounder.ground(image, expression, turns[:-1], may_ask=True, candidates=candidates, **rest)
                boxes = Belief.of(before.candidates).ordered().boxes
                if number <= len(boxes):
                    return replace(before, outcome=Outcome.FOUND, box=boxes[number - 1], confidence=1.0, question="",
                                   candidates=boxes)
        decision = self._grounder.ground(image, expression, turns, may_ask=may_ask, candidates=candidates, **rest)
        boxes = Belief.of(decision.candidates[: marks.LIMIT]).ordered().boxes
        if decision.outcome is Outcome.ASK and self.question_policy == "numbers" and len(boxes) > 1:
            return replace(decision, question=marks.question(len(boxes)), candidates=boxes)
        return decision

    # The belief of a state of the dialogue.

    def _belief(self, image, expression, turns, candidates, rest, decision: Optional[Decision] = None) -> _Remembered:
        """After these turns: the one before, updated by the last answer; from the instruction on if it is not known."""
        last, turns = self._last, tuple(turns)
        same = last is not None and last.image is image and last.expression == expression and last.candidates == candidates
        if same and last.turns == turns:
            return last
        known = self._backbone.without_unknown
        words = known(check_expression(expression)) or "the thing"
        heard = tuple(Turn(known(clean(t.question)), replace(t.answer, text=known(clean(t.answer.text)))) for t in turns)
        if not turns:
            belief = self._prior(image, words, candidates, rest.get("should_stop"), decision)
            scores = self._reader.scores(image, [words], belief.boxes)[0]
        else:
            before = last if same and last.turns == turns[:-1] else self._belief(image, expression, turns[:-1], candidates, rest)
            belief, answer = before.belief, turns[-1].answer
            number = self._number(turns[-1])
            if number is not None or not belief.boxes:
                scores = before.scores
                if number is not None and number <= len(belief.boxes):
                    asked = belief.likely(LIKELY, ASKED_ABOUT).ordered().boxes
                    meant = asked[number - 1] if number <= len(asked) else None
                    belief = belief.updated([float(box == meant) for box in belief.boxes])
            else:
                # What the answer adds: P(answer | box) is, up to a factor, how much likelier it makes the box's tokens.
                scores = self._reader.scores(image, [words], belief.boxes, heard)[0]
                gained = (scores - before.scores) / questions.TEMPERATURE
                belief = belief.updated(np.exp(gained - gained.max()))
                if is_pointed(answer):
                    belief = belief.updated(likelihoods(answer, belief.boxes, image.width))
        self._last = _Remembered(image, expression, turns, candidates, belief, scores)
        return self._last

    def _prior(self, image, words: str, candidates, should_stop, decision: Optional[Decision]) -> Belief:
        """Before any answer: a detector's boxes by how well the words fit them and how much attention they hold, or the
        model's own list and what else its attention points at."""
        if candidates:
            scores = self._reader.scores(image, [words], candidates)[0] / questions.TEMPERATURE
            weights = np.exp(scores - scores.max())
            if decision is not None and decision.ambiguity is not None:
                grid, size = decision.ambiguity.attention_map, (image.width, image.height)
                weights = weights * [np.exp(2 * attention_lift(grid, box, size)) for box in candidates]
            return Belief.of(candidates, weights)
        listed = self._reader.listed(image, words, (), should_stop)
        belief = _merged(Belief.of([seen.box for seen in listed], [seen.certainty for seen in listed]))
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


def _merged(belief: Belief) -> Belief:
    """One candidate for boxes of one thing, with their probabilities together and the box that agrees best with them."""
    left = sorted(range(len(belief.boxes)), key=lambda n: -belief.probabilities[n])
    boxes: List[Box] = []
    weights: List[float] = []
    while left:
        group = [n for n in left if box_iou(belief.boxes[n], belief.boxes[left[0]]) >= SAME_IOU]
        left = [n for n in left if n not in group]
        members = [belief.boxes[n] for n in group]
        shares = [belief.probabilities[n] for n in group]
        boxes.append(max(members, key=lambda box: sum(s * box_iou(box, other) for s, other in zip(shares, members))))
        weights.append(sum(shares))
    return Belief.of(boxes, weights)

