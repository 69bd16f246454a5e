"""The last target and how long it may be corrected: what a re-opened dialogue goes on from, and the topic `correction`.

An action's result is final, so nobody is told through it. Everything about a correction goes out on `correction`, which
names the dialogue whose target no longer holds; a stack that acts on goals' results finds its goal's id there.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from typing import NamedTuple, Optional, Tuple

from rclpy.node import Node
from std_msgs.msg import Header

from clue_ros.action import Ground
from clue_ros.dialogue.correction import Concluded, Correction, Kind, understand
from clue_ros.dialogue.phrases import withdrawn
from clue_ros.dialogue.session import PERSON, ROBOT
from clue_ros.msg import Correction as CorrectionMsg
from clue_ros.ros.messages import answer_text, turn_msg
from clue_ros.ros.outputs import Outputs
from clue_ros.ros.request import Request
from clue_ros.ros.sight import View
from clue_ros.ros.whereabouts import Whereabouts
from clue_ros.types import Answer


class Scene(NamedTuple):
    """A dialogue that gave a target, and what it saw: the same image serves its correction."""

    past: Concluded
    request: Request
    header: Header
    view: View
    where: Whereabouts

    @property
    def size(self) -> Tuple[int, int]:
        """(width, height) of the image in pixels."""
        return (self.view.rgb.shape[1], self.view.rgb.shape[0])


class Reopening(NamedTuple):
    """What a dialogue that corrects another begins with; `said` as an answer in the person's own words."""

    scene: Scene
    correction: Correction
    said: Answer

    @property
    def request(self) -> Request:
        """The new dialogue's, with an id of its own. Nobody waits for its result, so it fails aloud."""
        old = self.scene.request
        return replace(old, dialogue=uuid.uuid4().hex, corrects=old.dialogue, spoken=True)


class Corrections:
    """Holds the last target for its window. For the executor's thread."""

    def __init__(self, node: Node, outputs: Outputs) -> None:
        self._node = node
        self._outputs = outputs
        self._scene: Optional[Scene] = None
        self._until = 0.0  # monotonic seconds

    @property
    def open(self) -> Optional[Scene]:
        """What may be corrected now. Past the window it is freed: its encoded image may lie in the device's memory."""
        if self._scene is not None and time.monotonic() >= self._until:
            self._scene = None
        return self._scene

    def remember(self, scene: Optional[Scene], window_s: float) -> None:
        """A dialogue gave a target (None: it gave none) just now; window_s: 0 remembers nothing."""
        self._scene = scene if window_s > 0 else None
        self._until = time.monotonic() + window_s

    def forget(self) -> None:
        self._scene = None

    def hear(self, answer: Answer, may_reopen: bool) -> "Tuple[bool, Optional[Reopening]]":
        """(whether it is a correction, the dialogue that is to begin if it asks for another target).

        may_reopen: without it a correction takes the target back and nothing else, for it would move the robot.
        """
        scene = self.open
        correction = None if scene is None else understand(answer, scene.past)
        if correction is None:
            return False, None
        self._scene = None
        if correction.kind is not Kind.WITHDRAW and may_reopen:
            return True, Reopening(scene, correction, answer)
        self._withdraw(scene, correction, answer)
        return True, None

    def begun(self, request: Request, said: Answer) -> None:
        """A dialogue that corrects another has begun: the target holds no longer."""
        self._publish(CorrectionMsg.REOPENED, request, said)

    def ended(self, request: Request, said: Answer, result: Ground.Result) -> None:
        """It gave its result."""
        found = result.error_code == Ground.Result.NONE
        state = CorrectionMsg.CORRECTED if found else CorrectionMsg.FAILED
        self._publish(
            state, request, said, error_code=result.error_code, error_msg=result.error_msg, target=result.target,
            chosen_candidate=result.chosen_candidate,
        )  # fmt: skip

    def _withdraw(self, scene: Scene, correction: Correction, answer: Answer) -> None:
        request = Reopening(scene, correction, answer).request
        self._publish(CorrectionMsg.WITHDRAWN, request, answer)
        words = withdrawn(correction.kind is Kind.WITHDRAW)
        for speaker, text in ((PERSON, answer_text(answer)), (ROBOT, words)):
            self._outputs.turn(turn_msg(speaker, text, self._now()))
        self._outputs.say(words)

    def _publish(self, state: int, request: Request, said: Answer, **fields) -> None:
        self._outputs.correction(
            CorrectionMsg(
                stamp=self._now(), state=state, dialogue=request.dialogue, corrects=request.corrects,
                text=answer_text(said), **fields,
            )  # fmt: skip
        )

    def _now(self):
        return self._node.get_clock().now().to_msg()
