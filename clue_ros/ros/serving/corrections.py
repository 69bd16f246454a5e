"""What a re-opened dialogue goes on from, and the topic `correction`.

An action's result is final, so nobody is told through it. Everything about a correction goes out on `correction`, which
names the dialogue whose target no longer holds; a stack that acts on goals' results finds its goal's id there.
"""

from __future__ import annotations

from typing import NamedTuple, Tuple

from rclpy.node import Node
from std_msgs.msg import Header

from clue_ros.action import Ground
from clue_ros.dialogue.acts import Dialogue, Instruction, TakeBack
from clue_ros.dialogue.steps import PERSON, ROBOT
from clue_ros.msg import Correction as CorrectionMsg
from clue_ros.ros.seeing.sight import View
from clue_ros.ros.seeing.whereabouts import Whereabouts
from clue_ros.ros.serving.outputs import Outputs
from clue_ros.ros.serving.request import Request
from clue_ros.ros.wire.messages import answer_text, turn_msg
from clue_ros.types import Answer


class Scene(NamedTuple):
    """What a dialogue saw that gave a target: the same image serves its correction."""

    request: Request
    header: Header
    view: View
    where: Whereabouts

    @property
    def size(self) -> Tuple[int, int]:
        """(width, height) of the image in pixels."""
        return (self.view.rgb.shape[1], self.view.rgb.shape[0])


class Corrections:
    """Tells of corrections. For the executor's thread."""

    def __init__(self, node: Node, outputs: Outputs) -> None:
        self._node = node
        self._outputs = outputs

    def begun(self, dialogue: Dialogue) -> None:
        """A dialogue that corrects another has begun: the target holds no longer."""
        self._publish(CorrectionMsg.REOPENED, dialogue.instruction, dialogue.reopening.said)

    def ended(self, dialogue: Dialogue, result: Ground.Result) -> None:
        """It gave its result."""
        found = result.error_code == Ground.Result.NONE
        state = CorrectionMsg.CORRECTED if found else CorrectionMsg.FAILED
        self._publish(
            state, dialogue.instruction, dialogue.reopening.said, error_code=result.error_code,
            error_msg=result.error_msg, target=result.target, chosen_candidate=result.chosen_candidate,
        )  # fmt: skip

    def taken_back(self, act: TakeBack) -> None:
        """The target holds no longer, and no other is looked for."""
        said = act.reopening.said
        self._publish(CorrectionMsg.WITHDRAWN, act.instruction, said)
        if not act.words:
            return
        for speaker, text in ((PERSON, answer_text(said)), (ROBOT, act.words)):
            self._outputs.turn(turn_msg(speaker, text, self._now()))
        self._outputs.say(act.words)

    def _publish(self, state: int, instruction: Instruction, said: Answer, **fields) -> None:
        self._outputs.correction(
            CorrectionMsg(
                stamp=self._now(),
                state=state,
                dialogue=instruction.dialogue,
                corrects=instruction.corrects,
                text=answer_text(said),
                **fields,
            )  # fmt: skip
        )

    def _now(self):
        return self._node.get_clock().now().to_msg()
