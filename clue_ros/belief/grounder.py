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
from typing import TYPE_CHECKING, Any, Optional, Sequence

from clue_ros.belief import marks
from clue_ros.belief.around import GrounderAround
from clue_ros.belief.pointing import check_within, is_pointed
from clue_ros.belief.synonyms import Synonyms
from clue_ros.belief.unknown import settle
from clue_ros.dialogue.phrases import speaks_of_likeness
from clue_ros.language.questions import OPEN_QUESTION
from clue_ros.prompt import check_turns
from clue_ros.seams import Capability, Grounder
from clue_ros.types import Answer, Box, Decision, Outcome, Turn

if TYPE_CHECKING:
    from clue_ros.belief.reasoning import Reasoner  # noqa: F401 (for the annotation; pyflakes sees only the later one)

QUESTION_POLICIES = ("learned", "information_gain", "numbers")
POINTED = OPEN_QUESTION  # what a pointing gesture that came with an instruction answers


class BeliefGrounder(GrounderAround):
    """A Grounder around another. One without BELIEF (stock, scripted) asks by numbers about the candidates that it
    names, and knows clicks itself. Not thread-safe, as the Grounder is not.

    grounder: any Grounder.
    question_policy: one of QUESTION_POLICIES.

    Raises ValueError for an unknown policy."""

    def __init__(self, grounder: Grounder, question_policy: str = "learned"):
        if question_policy not in QUESTION_POLICIES:
            raise ValueError(f"question_policy is {question_policy!r}: give one of {', '.join(QUESTION_POLICIES)}")
        super().__init__(grounder)
        self.question_policy = question_policy
        self._synonyms: Optional[Synonyms] = None  # from the first unknown word on, where they are installed
        self._reasoner: Optional[Reasoner] = None
        if Capability.BELIEF in grounder.capabilities:  # imported here: a node without a model needs no torch
            from clue_ros.belief.reasoning import Reasoner

            self._reasoner = Reasoner(grounder, question_policy)

    def asking(self, question_policy: str) -> "BeliefGrounder":
        """Another one around the same grounder, with a belief of its own. Raises ValueError as above."""
        return BeliefGrounder(self._grounder, question_policy)

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
        """As Grounder.ground. `Decision.belief` holds a probability in [0, 1] for each of `Decision.candidates` where a
        belief was kept.

        image, expression, turns, candidates, may_ask, mask: as there.
        pointing: a click, box or scribble in pixels that came with the instruction ("the one here", "another one like
            this"); give it again with every turn of the dialogue.
        rest: threshold, min_confidence and should_stop, as there.

        Words that a closed vocabulary lacks may be left out or asked about: unknown.py says which.

        Raises also InvalidExpressionError for "like this" where the model has an open vocabulary (likeness.py),
        InvalidAnswerError for a gesture outside the image (a scripted or stock grounder takes it as it is)."""
        turns = check_turns(turns)

        def decide(words: str, turns: Sequence[Turn]) -> Decision:
            return self._decide(image, words, turns, pointing, candidates, may_ask, mask, **rest)

        decision = decide(expression, turns)
        if decision.outcome is not Outcome.UNKNOWN_WORDS:
            return decision
        self._synonyms = self._synonyms or Synonyms.installed(self.vocabulary)
        near = None if self._synonyms is None else self._synonyms.near
        settled = settle(decision, decide, expression, turns, may_ask, near)
        return replace(settled, expression=expression)

    def _decide(
        self,
        image: Any,
        expression: str,
        turns: Sequence[Turn],
        pointing: Optional[Answer],
        candidates: Sequence[Box],
        may_ask: bool,
        mask: bool,
        **rest: Any,
    ) -> Decision:
        if Capability.OWN_BELIEF in self._grounder.capabilities:
            there: Any = self._grounder.ground  # takes what the Protocol does not name
            return there(
                image, expression, turns, pointing=pointing, candidates=candidates, may_ask=may_ask, mask=mask,
                question_policy=self.question_policy, **rest,
            )  # fmt: skip
        given = tuple(Box(*box) for box in candidates)
        candidates = tuple(box for box in given if box.area > 0) or given  # nothing to grasp in the others
        gesture = pointing if pointing is not None and is_pointed(pointing) else None
        alike = gesture is not None and self._reasoner is not None and speaks_of_likeness(expression)
        if gesture is not None and not alike:
            turns = (Turn(POINTED, gesture), *turns)
        pointed = bool(turns) and is_pointed(turns[-1].answer)
        numbered = bool(turns) and marks.asked_about(turns[-1].question) > 0
        masked = {"mask": True} if mask else {}
        if self.question_policy == "learned" and not (alike or pointed or numbered):
            return self._grounder.ground(
                image, expression, turns, may_ask=may_ask, candidates=candidates, **masked, **rest
            )
        if self._reasoner is None:
            return marks.numbered(  # without a model that can be read: about the candidates that it names itself
                lambda turns, may_ask: self._grounder.ground(
                    image, expression, turns, may_ask=may_ask, candidates=candidates, **masked, **rest
                ),
                turns, may_ask, self.question_policy == "numbers",
            )  # fmt: skip
        begun = time.perf_counter()
        image = self._grounder.encode(image)
        if gesture is not None:
            check_within(gesture, (image.width, image.height))
        if alike and gesture is not None:
            decision = self._reasoner.alike(image, expression, turns, gesture, candidates, may_ask, rest)
        elif pointed:
            decision = self._reasoner.pointed(image, expression, turns, candidates, rest)
        elif numbered and marks.number_in(turns[-1]) is not None:
            decision = self._reasoner.by_number(image, expression, turns, candidates, rest)
        else:
            decision = self._reasoner.by_words(image, expression, turns, candidates, may_ask, rest)
        if mask and decision.box is not None and Capability.MASKS in self.capabilities:
            # Of the box that was chosen, which need not be the model's own.
            pixels = self._grounder.target_mask(image, decision.expression, () if alike else turns, decision.box)
            decision = replace(decision, mask=pixels)
        return replace(
            decision, expression=expression, latency_s={**decision.latency_s, "belief": time.perf_counter() - begun}
        )
