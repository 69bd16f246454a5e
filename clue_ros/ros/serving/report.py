"""What one dialogue puts out: its lines on `turn` and `utterance`, feedback to the client, and the result."""

from __future__ import annotations

import time
from typing import Callable

from rclpy.node import Node

from clue_ros.action import Ground
from clue_ros.dialogue.session import DialogueSession
from clue_ros.dialogue.steps import ROBOT, End, Finish
from clue_ros.ros.running.errors import END_CODES, DialogueEnded, error_code
from clue_ros.ros.serving.outputs import Outputs
from clue_ros.ros.wire.messages import boxes_to_msgs, turn_msg

REFUSAL = "I cannot do that:"  # the robot's first words where it failed for a reason that is not the dialogue's
Code = Ground.Result
# Called with (state, open question, questions asked, seconds since the start).
OnFeedback = Callable[[int, str, int, float], None]

_ADVICE = {
    Code.NOT_FOUND: "check that the object is in view, or describe it differently",
    Code.AMBIGUOUS: "say more about it, or allow questions (policy ASK, max_questions)",
    Code.ANSWER_TIMEOUT: "answer on `speech` or the `answer` service, or raise answer_timeout",
    Code.TIMEOUT: "raise the goal's timeout, or leave it 0",
}


class Report:
    """`result` grows while the dialogue runs; `conclude` or `fail` completes it."""

    def __init__(
        self, node: Node, outputs: Outputs, session: DialogueSession, on_feedback: OnFeedback, started: float
    ) -> None:
        self._node = node
        self._outputs = outputs
        self._session = session
        self._on_feedback = on_feedback
        self._started = started
        self.result = Ground.Result(error_code=Code.NONE, error_msg="")

    def note(self, speaker: str, text: str) -> None:
        """One line of the dialogue, into the result and onto the `turn` topic."""
        turn = turn_msg(speaker, text, self._node.get_clock().now().to_msg())
        self.result.turns.append(turn)
        self._outputs.turn(turn)

    def say(self, words: str) -> None:
        """A line of the robot's, which the person hears."""
        self.note(ROBOT, words)
        self._outputs.say(words)

    def feedback(self, state: int) -> None:
        elapsed = time.monotonic() - self._started
        self._on_feedback(state, self._session.open_question or "", self._session.questions_asked, elapsed)

    def conclude(self, finish: Finish) -> Ground.Result:
        """The dialogue came to an end of its own."""
        code = END_CODES[finish.end]
        result = self._describe_first_reading()
        result.error_code = code
        if code != Code.NONE:
            said = finish.decision if finish.end is End.UNKNOWN_WORDS else None
            words = said.unknown_words if said is not None else ()
            advice = "use words of the model's card instead of: " + ", ".join(words) if words else _ADVICE.get(code)
            result.error_msg = finish.words if advice is None else f"{finish.words.rstrip('.')}: {advice}"
        if finish.decision is not None:
            result.candidates = boxes_to_msgs(finish.decision.candidates)
        self.say(finish.words)
        return result

    def fail(self, error: Exception, aloud: bool) -> Ground.Result:
        """It was ended from outside, or something broke. `aloud`: a client reads error_msg, a person only hears."""
        result = self._describe_first_reading()
        result.error_code = error_code(error)
        result.error_msg = str(error) or type(error).__name__
        if aloud and not isinstance(error, DialogueEnded):
            self.say(f"{REFUSAL} {result.error_msg}")
        return result

    def _describe_first_reading(self) -> Ground.Result:
        first = self._session.first_decision
        if first is not None and first.ambiguity is not None:
            self.result.was_ambiguous = bool(first.ambiguity.is_ambiguous)
            self.result.ambiguity_probability = float(first.ambiguity.probability)
        return self.result
