"""One dialogue from instruction to result: waits for a frame, runs the model, asks, waits for the answer.

A coroutine for the executor. It only ever awaits rclpy Futures, so no thread blocks, and everything that can end or
move it (answer, cancel, preemption, deactivation, time) calls a plain method, which takes effect at once, also while
the model works. All methods belong to the executor's single thread.
"""

from __future__ import annotations

import time
import traceback
from typing import Any, NamedTuple, Optional, Tuple

from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from clue_ros.action import Ground
from clue_ros.belief.pointing import check_within
from clue_ros.dialogue.acts import Dialogue
from clue_ros.dialogue.regrounding import Regrounding
from clue_ros.dialogue.steps import PERSON, Ask, Continue, End, Finish, Step
from clue_ros.fleet.job_queue import Lane
from clue_ros.perception.selection import index_of
from clue_ros.ros.running.errors import DialogueEnded, NoImageError
from clue_ros.ros.running.waiting import Waiting
from clue_ros.ros.seeing.camera import Camera
from clue_ros.ros.seeing.cameras import Cameras
from clue_ros.ros.seeing.sight import Sight, View
from clue_ros.ros.seeing.whereabouts import Whereabouts
from clue_ros.ros.serving.corrections import Scene
from clue_ros.ros.serving.inference import Inference, Job
from clue_ros.ros.serving.outputs import Outputs
from clue_ros.ros.serving.report import OnFeedback, Report
from clue_ros.ros.serving.request import Request
from clue_ros.ros.wire.frames import Frames
from clue_ros.ros.wire.messages import answer_text, decision_to_target
from clue_ros.seams import Grounder
from clue_ros.taught.asking import asking
from clue_ros.types import Answer, ClueError, Decision, ModelUnavailableError, OutOfMemoryError, StopTest

State = Ground.Feedback


class Parts(NamedTuple):
    """What a dialogue works with."""

    node: Node
    inference: Inference
    cameras: Cameras
    sight: Sight
    outputs: Outputs
    frames: Frames

    @property
    def camera(self) -> Camera:
        """The one that is looked through unless a goal names another."""
        return self.cameras.first


class _Finished(Exception):
    """Carries the session's last step out of a wait."""

    def __init__(self, finish: Finish) -> None:
        super().__init__(finish.words)
        self.finish = finish


class Grounding:
    """One dialogue. `await run()` once; it never raises and always gives a result.

    dialogue: its rules, and a Request as its instruction. waits: not before `admit` is called.
    """

    def __init__(
        self, dialogue: Dialogue, parts: Parts, on_feedback: OnFeedback = lambda *_: None, waits: bool = False
    ) -> None:
        self.dialogue = dialogue
        self.request: Request = dialogue.instruction
        self._session = dialogue.session
        self._parts = parts
        self._camera = parts.camera
        started = time.monotonic()
        self._waiting = Waiting(parts.node)
        self._admitted: Optional[Future] = self._waiting.future() if waits else None
        self._report = Report(parts.node, parts.outputs, self._session, on_feedback, started)
        self._last_word = started
        self._answered: Optional[Future] = None
        self._job: Optional[Job] = None
        self._header = Header()
        self._view: Optional[View] = None
        self._where: Optional[Whereabouts] = None
        self._asking: Any = None  # keeps the belief from turn to turn

    # What may happen to a dialogue while it runs.

    @property
    def open_question(self) -> Optional[str]:
        return self._session.open_question

    @property
    def image_size(self) -> Tuple[int, int]:
        """(width, height) of the image that an open question is about."""
        return (0, 0) if self._view is None else (self._view.rgb.shape[1], self._view.rgb.shape[0])

    @property
    def frame_id(self) -> str:
        """The optical frame of that image; empty before there is one."""
        return self._header.frame_id

    @property
    def camera(self) -> Camera:
        return self._camera

    @property
    def scene(self) -> Scene:
        """What a correction of its target goes on from."""
        return Scene(self.request, self._header, self._view, self._where)

    def admit(self) -> None:
        """Its turn has come."""
        if self._admitted is not None and not self._admitted.done():
            self._admitted.set_result(None)

    def end(self, code: int, message: str) -> None:
        """Ends it from outside with an error code of the action."""
        self._interrupt(DialogueEnded(code, message))

    def proceed(self, step: Step, said: Optional[Answer] = None) -> None:
        """The person said or pointed at something (None: time is up) that ends it or answers its question."""
        if said is not None:
            self._last_word = time.monotonic()
            self._report.note(PERSON, answer_text(said))
        if isinstance(step, Finish):
            self._interrupt(_Finished(step))
        else:
            self._answered.set_result(step)

    def starve(self) -> None:
        """No image came in time."""
        self._interrupt(NoImageError(self._camera.why_none(self.request.max_image_age_s)))

    def on_time(self) -> None:
        """Called by a slow timer."""
        if self._where is not None:
            self._where.on_time(time.monotonic())

    # The dialogue itself.

    async def run(self) -> Ground.Result:
        """Plays the dialogue; the result's error_code says how it ended."""
        try:
            finish = await self._dialogue()
        except _Finished as finished:
            finish, server = finished.finish, self._parts.inference.server
            if finish.end is End.TIMEOUT and server is not None and server.away_since is not None:
                gone = f"the model's server did not come back within the goal's timeout ({server.why})"
                return self._report.fail(ModelUnavailableError(gone), self.request.spoken)
        except ClueError as error:
            if isinstance(error, OutOfMemoryError):
                self._parts.sight.clear()  # what can be given back is given back
            return self._report.fail(error, self.request.spoken)
        except Exception as error:  # a bug on this side: the client must still get a result
            self._parts.node.get_logger().error(f"a dialogue failed:\n{traceback.format_exc()}")
            return self._report.fail(error, self.request.spoken)
        finally:
            self._let_go()
        return self._report.conclude(finish)

    def _let_go(self) -> None:
        """Of what leads back here: it is freed now, with its image, not when Python looks for cycles next."""
        self._waiting.close()
        if self._job is not None:
            self._job.forget()
            self._job = None

    async def _dialogue(self) -> Finish:
        if self._admitted is not None:
            self._report.feedback(State.QUEUED)
            await self._waiting.until(self._admitted)
        self._report.note(PERSON, self._session.transcript[0].text)
        image = await self._image()
        step: Step = Continue()
        while not isinstance(step, Finish):
            if isinstance(step, Ask):
                step = await self._ask(step.question)
            else:
                first = self._session.first_decision is None
                self._report.feedback(State.DETECTING_AMBIGUITY if first else State.GROUNDING)
                decision = await self._decide(image)
                self._report.result.response_time = time.monotonic() - self._last_word
                self._parts.outputs.decision(decision, self._view.rgb, self._header)
                step = self._session.on_decision(decision, time.monotonic())
        if step.end is End.FOUND:
            self._report.feedback(State.PROJECTING)
            decision = step.decision
            located, why_not = await self._where.locate(decision.box, self.image_size, self._waiting, decision.mask)
            target = decision_to_target(
                step.decision, self.request.expression, self._header, located, self.request.dialogue,
                self.request.corrects, why_not,
            )  # fmt: skip
            self._report.result.target = target
            self._report.result.chosen_candidate = index_of(step.decision.box, self.request.candidates)
            self._parts.outputs.target(target, located)
        return step

    async def _image(self) -> "Optional[Image | CompressedImage]":
        """What the dialogue is about; None if it was seen before, by the dialogue that this one corrects."""
        self._camera = self._parts.cameras.named(self.request.camera)
        if self.dialogue.reopening is not None:
            scene: Scene = self.dialogue.reopening.target.scene
            self._view, self._header, self._where = scene.view, scene.header, scene.where
            return None
        image = self.request.image
        if image is None:
            image = await self._camera_frame()
        self._header = image.header
        undated = image is self.request.image and image.header.stamp == Time()  # a picture from anywhere, of any time
        depth = None if undated else self._camera.depth_of(image.header.stamp)
        self._where = Whereabouts(self._parts.node, image.header, depth, self._camera.optics, self._parts.frames)
        return image

    async def _camera_frame(self):
        """The newest frame that is young enough; waits for one until `wait_for_image_s` is over."""
        self.dialogue.looks(time.monotonic())
        image = self._camera.latest(self.request.max_image_age_s)
        if image is None:
            self._report.feedback(State.WAITING_FOR_IMAGE)
        while image is None:
            await self._waiting.until(self._camera.next())
            image = self._camera.latest(self.request.max_image_age_s)
        self.dialogue.sees()
        return image

    async def _decide(self, image) -> Decision:
        request, session = self.request, self._session
        turns, wanted = session.turns, (session.may_ask, session.min_confidence)

        reground, reopening = None, self.dialogue.reopening
        if reopening is not None:
            reground = Regrounding(reopening.target.past, reopening.correction, request.candidates)

        def work(grounder: Grounder, should_stop: StopTest) -> Decision:
            begun = time.perf_counter()
            try:
                if self._view is None:  # encoded once a dialogue, and a camera frame that was seen before not at all
                    tolerance = None if request.image is not None else request.sight_tolerance
                    self._view = self._parts.sight.view(grounder, image, tolerance)
                    self._report.result.seen_ahead = self._view.ahead
                if request.pointing is not None:
                    check_within(request.pointing, self.image_size)
                if self._asking is None:
                    self._asking = asking(grounder, request.question_policy)

                least = grounder.min_confidence if request.min_confidence is None else request.min_confidence

                def ground(turns, may_ask: bool, min_confidence: Optional[float]) -> Decision:
                    decision = self._asking.ground(
                        self._view.encoded, request.expression, turns, may_ask=may_ask, threshold=request.threshold,
                        candidates=request.candidates, min_confidence=min_confidence, should_stop=should_stop,
                        **({"mask": True} if request.mask else {}), pointing=request.pointing,
                    )  # fmt: skip
                    return decision.doubted_below(least)

                return ground(turns, *wanted) if reground is None else reground(ground, turns, *wanted)
            finally:
                self._report.result.inference_time += time.perf_counter() - begun

        # No executor: the gate is opened by the worker itself, which spares the executor a turn (docs/log).
        self._job = self._parts.inference.submit(work, None, Lane.DIALOGUE)
        return await self._waiting.until(self._job.future)

    async def _ask(self, question: str) -> Step:
        # The waiter stands before the question is out: a quick answer must find it.
        self._answered = self._waiting.future()
        self._report.feedback(State.ASKING)
        self._report.say(question)
        self._report.feedback(State.WAITING_FOR_ANSWER)
        return await self._waiting.until(self._answered)

    def _interrupt(self, reason: Exception) -> None:
        if self._waiting.interrupt(reason) and self._job is not None:
            self._job.cancel()
