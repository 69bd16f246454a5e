"""One dialogue about one instruction, as a pure state machine.

The caller owns the model, the clock and the channels; the session owns the rules: when a question may be asked, how
many, how long to wait, and what ends the dialogue. The loop of the CLUE paper's Algorithm 1 becomes::

    session = DialogueSession("the mug", now=clock())
    step = Continue()
    while True:
        if isinstance(step, Continue):
            decision = grounder.ground(image, session.expression, session.turns,
                                       may_ask=session.may_ask, min_confidence=session.min_confidence)
            step = session.on_decision(decision, clock())
        elif isinstance(step, Ask):
            step = session.on_answer(ask_the_person(step.question), clock())
        elif isinstance(step, Finish):
            return step

All times are monotonic seconds that the caller passes in, so tests need no clock.
"""

from __future__ import annotations

from enum import Enum
from typing import List, Optional, Sequence, Tuple, Union

from clue_ros.dialogue import phrases
from clue_ros.dialogue.steps import (
    PERSON,
    ROBOT,
    Ask,
    Continue,
    End,
    Finish,
    Ignored,
    Policy,
    Step,
    Utterance,
)  # fmt: skip
from clue_ros.dialogue.stopping import after_stop, is_stop
from clue_ros.language.plain_answers import settled
from clue_ros.language.questions import OPEN_QUESTION
from clue_ros.types import Answer, Decision, Outcome, Turn


class _State(Enum):
    THINKING = "thinking"  # waiting for the caller's on_decision
    ASKING = "asking"  # waiting for on_answer
    FINISHED = "finished"


class DialogueSession:
    """The state of one dialogue. Not thread-safe: serialise the calls.

    Args:
        expression: the instruction as the person said it.
        policy: what to do when it is ambiguous.
        max_questions: budget of the policies that ask, >= 0.
        answer_timeout_s: seconds to wait for each answer; None waits for ever.
        timeout_s: seconds for the whole dialogue, counted from `now`; None has no limit.
        now: monotonic seconds at which the instruction was heard.
        history: turns of an earlier dialogue that this one goes on from (correction.py).
        opening: what the person said to go on from it; None: the instruction itself opened this dialogue.
        min_confidence: under Policy.ASK_UNTIL_CONFIDENT a box below it is asked about, in [0, 1]; None: the model's
            own. With the budget spent the best box is given, whatever its confidence: the caller reads it there.

    Raises:
        ValueError: a negative budget, a limit that is not positive, a confidence outside [0, 1].
    """

    def __init__(
        self,
        expression: str,
        policy: Policy = Policy.ASK,
        max_questions: int = 3,
        answer_timeout_s: Optional[float] = 30.0,
        timeout_s: Optional[float] = None,
        *,
        now: float = 0.0,
        min_confidence: Optional[float] = None,
        history: Sequence[Turn] = (),
        opening: Optional[Answer] = None,
    ) -> None:
        if min_confidence is not None and not 0 <= min_confidence <= 1:
            raise ValueError(f"min_confidence is {min_confidence}; give 0 to 1")
        if max_questions < 0:
            raise ValueError(f"max_questions is {max_questions}; give 0 or more")
        for name, limit in (("answer_timeout_s", answer_timeout_s), ("timeout_s", timeout_s)):
            if limit is not None and not limit > 0:
                raise ValueError(f"{name} is {limit}; give seconds above 0, or None for no limit")
        self.expression = expression
        self.policy = Policy(policy)
        self.max_questions = max_questions
        self.answer_timeout_s = answer_timeout_s
        self.timeout_s = timeout_s
        self.first_decision: Optional[Decision] = None
        self.last_decision: Optional[Decision] = None
        self._min_confidence = min_confidence
        self._started = now
        self._asked_at = now
        self._state = _State.THINKING
        self._question: Optional[str] = None
        self._questions_asked = 0
        self._turns: List[Turn] = list(history)
        self._corrects = opening is not None
        said = expression if opening is None else phrases.describe_answer(opening)
        self._transcript: List[Utterance] = [Utterance(PERSON, said, now)]
        self._finish: Optional[Finish] = None

    @property
    def turns(self) -> Tuple[Turn, ...]:
        """Finished question-answer pairs, oldest first: what the grounder gets."""
        return tuple(self._turns)

    @property
    def open_question(self) -> Optional[str]:
        return self._question

    @property
    def questions_asked(self) -> int:
        return self._questions_asked

    @property
    def may_ask(self) -> bool:
        """Whether the next decision may be a question: a policy that asks, and budget left."""
        return self.policy.asks and self._questions_asked < self.max_questions

    @property
    def min_confidence(self) -> Optional[float]:
        """Below it the next decision's box is asked about instead, None for the model's own; 0 unless the policy
        is ASK_UNTIL_CONFIDENT."""
        return self._min_confidence if self.policy is Policy.ASK_UNTIL_CONFIDENT and self.may_ask else 0.0

    @property
    def transcript(self) -> Tuple[Utterance, ...]:
        """Everything said so far in order, the instruction (or what re-opened it) first, the closing words last."""
        return tuple(self._transcript)

    @property
    def finished(self) -> Optional[Finish]:
        """How it ended, or None while it runs."""
        return self._finish

    def on_decision(self, decision: Decision, now: float) -> Step:
        """The grounder answered for the current `turns`: Ask or Finish (Ignored out of turn)."""
        if self._state is _State.FINISHED:
            return Ignored("the dialogue is over")
        if self._state is _State.ASKING:
            return Ignored("a question is open: a decision is of no use before its answer")
        if self.first_decision is None:
            self.first_decision = decision
        self.last_decision = decision
        if self._is_late(now):
            return self._end(End.TIMEOUT, now)
        if decision.outcome is Outcome.UNKNOWN_WORDS:
            return self._end(End.UNKNOWN_WORDS, now)
        if decision.outcome is Outcome.NOT_FOUND:
            return self._end(End.NOT_FOUND, now)
        if decision.outcome is Outcome.ASK:
            # A grounder that asks although it may not is treated as "still ambiguous", never as a question too many.
            return self._ask(decision.question, now) if self.may_ask else self._end(End.AMBIGUOUS, now)
        if self._must_refuse_guess(decision):
            return self._end(End.AMBIGUOUS, now)
        return self._end(End.FOUND, now)

    def on_answer(self, answer: Answer, now: float) -> Union[Continue, Finish, Ignored]:
        """The person answered: Continue, Finish(ABANDONED) for "never mind", Ignored if empty or out of turn."""
        if self._state is _State.FINISHED:
            return Ignored("the dialogue is over")
        text = answer.text.strip()
        pointed = answer.point is not None or answer.box is not None
        if not text and not pointed:
            return Ignored("the answer is empty")
        # "Never mind" also counts while the model is still thinking; any other words then have no question to answer.
        if text and is_stop(text):
            return self._abandon(text, now)
        if self._state is not _State.ASKING or self._question is None:
            return Ignored("no question is open")
        late = self.on_time(now)
        if late is not None:
            return late
        self._say(PERSON, phrases.describe_answer(answer), now)
        words = settled(self._question, after_stop(text) or text) if text and not pointed else text
        self._turns.append(Turn(self._question, Answer(words, answer.point, answer.box)))
        self._question = None
        self._state = _State.THINKING
        return Continue()

    def take_back(self, text: str, now: float) -> Union[Finish, Ignored]:
        """The person's words of stopping, at any point before the result is out: Finish(ABANDONED), also where a target
        was found and only its position is still looked for. Ignored if it ended in another way."""
        if self._finish is not None:
            if self._finish.end is not End.FOUND:
                return Ignored("the dialogue is over")
            self._transcript.pop()  # its closing words were not said
        return self._abandon(text, now)

    def on_time(self, now: float) -> Optional[Finish]:
        """Finish(TIMEOUT or ANSWER_TIMEOUT) if a limit has passed at `now`, else None. Call it from a slow timer."""
        if self._state is _State.FINISHED:
            return None
        if self._is_late(now):
            return self._end(End.TIMEOUT, now)
        limit = self.answer_timeout_s if self._state is _State.ASKING else None
        if limit is not None and now - self._asked_at >= limit:
            return self._end(End.ANSWER_TIMEOUT, now)
        return None

    def cancel(self, now: Optional[float] = None) -> Union[Finish, Ignored]:
        """The client gives up, at any point: Finish(CANCELED), or Ignored when it is already over."""
        if self._state is _State.FINISHED:
            return Ignored("the dialogue is over")
        return self._end(End.CANCELED, self._transcript[-1].at if now is None else now)

    def _abandon(self, text: str, now: float) -> Finish:
        self._say(PERSON, text, now)
        return self._end(End.ABANDONED, now)

    def _must_refuse_guess(self, decision: Decision) -> bool:
        """A box for ambiguous words is a guess: policies that promise a box, or a grounder free to ask, give it."""
        still_ambiguous = decision.ambiguity is not None and decision.ambiguity.is_ambiguous
        return still_ambiguous and self.policy in (Policy.ASK, Policy.FAIL) and not self.may_ask

    def _is_late(self, now: float) -> bool:
        return self.timeout_s is not None and now - self._started >= self.timeout_s

    def _ask(self, question: str, now: float) -> Ask:
        question = question.strip() or OPEN_QUESTION
        self._question = question
        self._questions_asked += 1
        self._asked_at = now
        self._state = _State.ASKING
        self._say(ROBOT, question, now)
        return Ask(question)

    def _end(self, end: End, now: float) -> Finish:
        words = phrases.closing(end, self.expression, self.last_decision, self._corrects)
        self._say(ROBOT, words, now)
        self._question = None
        self._state = _State.FINISHED
        self._finish = Finish(end, self.last_decision, words)
        return self._finish

    def _say(self, speaker: str, text: str, now: float) -> None:
        self._transcript.append(Utterance(speaker, text, now))
