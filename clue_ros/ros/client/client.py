"""ClueClient: what a program does with the clue node, in plain calls."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import Any, Callable, List, Optional, Sequence, Union

from rclpy.node import Node

from clue_ros.action import Ground
from clue_ros.msg import Target
from clue_ros.ros.client.asking import Asking
from clue_ros.ros.client.call import Call, Read, read_answer, read_state, reader_of
from clue_ros.ros.client.goal import Goal, Limits, OnQuestion
from clue_ros.ros.client.ledger import Ledger, OnCorrection
from clue_ros.ros.client.outcome import CallOutcome, GroundOutcome
from clue_ros.ros.client.own_node import OwnNode
from clue_ros.ros.client.promise import Blocking, NotSpunError, Promise, WouldBlockError
from clue_ros.ros.client.readiness import Readiness
from clue_ros.ros.client.requests import AnyBox, AnyImage, Reply, answer_request, goal_message, image_message
from clue_ros.ros.client.watch import Corrections, Watch
from clue_ros.ros.client.wires import Wires
from clue_ros.srv import Chat, DetectAmbiguity

CLOSE_S = 2.0  # for the results of what is open when the client is closed


class ClueClient:
    """A client of one clue node. Any thread may call it; several goals may run at once.

    Without `node` it has a node and a thread of its own, and may be used as a context manager. With `node` it lives in
    that
    node and never spins it: then await the methods with _async in callbacks, or call the others from another thread.

    namespace: of the clue node, such as "/clue"; empty: that of the client's node. action: the action's name in it.
    server: the clue node's name, for its lifecycle state. Times in seconds, by the steady clock. server_timeout: how
    long a call waits for the node to be there; acceptance_timeout: for its yes or no to a goal; reply_timeout: for a
    service's reply.
    args: the command line, if not sys.argv.

    Nothing of the robot raises: each call gives an outcome whose `ok` says all. What raises is the program's own
    mistake: TypeError and ValueError for arguments, NotSpunError, WouldBlockError, and whatever its callbacks raise.
    """

    def __init__(
        self, namespace: str = "", *, node: Optional[Node] = None, action: str = "ground", server: str = "clue",
        server_timeout: float = 10.0, acceptance_timeout: float = 10.0, reply_timeout: float = 60.0,
        name: str = "clue_client", args: Optional[List[str]] = None,
    ) -> None:  # fmt: skip
        self._limits = (server_timeout, acceptance_timeout)
        Limits(*self._limits, reply_timeout)
        self._reply_s = reply_timeout
        self._closed = False
        self._ledger = ledger = Ledger()
        self._own = OwnNode(name, namespace, args, ledger.on_shutdown) if node is None else None
        self.node = self._own.node if node is None else node
        self._wires = Wires(
            self.node, namespace if node is not None else "", action, server,
            ledger.on_status, ledger.on_feedback, ledger.on_correction, ledger.on_tick,
        )  # fmt: skip
        ledger.open(self._wires)

    @property
    def available(self) -> bool:
        """An action server has been found, active or not."""
        return self._wires.serves_goals()

    # Goals.

    def ground(self, expression: Union[str, Ground.Goal], **options: Any) -> GroundOutcome:
        """Says what to find, and waits for the target. Options as of `send`.

        Ctrl-C cancels the goal at the node, waits for its result, and goes on as KeyboardInterrupt.
        """
        with Blocking(self.node):  # before anything is sent
            return self._ledger.settle(self.send(expression, **options))

    async def ground_async(self, expression: Union[str, Ground.Goal], **options: Any) -> GroundOutcome:
        """The same for a coroutine, in an executor of rclpy or in asyncio. Cancelling the coroutine cancels the
        goal.
        """
        goal = self.send(expression, **options)
        try:
            return await goal
        except asyncio.CancelledError:
            goal.cancel()
            with contextlib.suppress(Exception):  # who cancels wants no news of the goal
                await goal
            raise
        finally:
            if not goal.done:  # the coroutine was closed
                goal.cancel()

    def send(
        self, expression: Union[str, Ground.Goal], *, on_question: Optional[OnQuestion] = None,
        timeout: Optional[float] = None, policy: Union[None, int, str] = None, image: Optional[AnyImage] = None,
        camera: str = "", pointing: Any = None, candidates: Sequence[AnyBox] = (), max_questions: int = 0,
        answer_timeout: float = 0.0, max_image_age: float = 0.0, cancel: Optional[threading.Event] = None,
        on_feedback: Optional[Callable[[Ground.Feedback], Any]] = None, on_correction: Optional[OnCorrection] = None,
    ) -> Goal:  # fmt: skip
        """The same without waiting: the goal, to `await`, to `finish` or to `cancel()`.

        Args:
            expression: what to find, 1 to 1000 characters; or a whole Ground.Goal, which leaves out what it says
            itself.
            on_question: gets the robot's question and gives the answer: text, clue_ros.types.Answer, or what click(),
            box(),
                scribble() and mark() give; None leaves it to somebody else, such as the person's speech. It may be a
                coroutine function; a plain one runs in a thread of its own. Without it every question is left to
                somebody else.
            timeout: of the whole call, seconds; None: none, but an outcome still comes where the node goes away.
            policy: ask, best_guess, fail, ask_until_confident, or the constant of Ground.Goal.
            image: sensor_msgs/Image or uint8[H, W, 3] of RGB; None: the newest frame of `camera` (empty: the first).
            pointing: (x, y), a box (x0, y0, x1, y1), or a scribble(), in pixels: where the person points.
            candidates: boxes in pixels; if given, the target is one of them.
            max_questions, answer_timeout, max_image_age: 0: the node's own.
            cancel: setting this event cancels the goal within 0.1 s.
            on_feedback, on_correction: called in the executor, so quick. on_correction hears whoever takes the target
            back.

        Raises TypeError or ValueError for arguments that no goal can say, ClueError if the client is closed.
        """
        message = goal_message(
            expression, policy=policy, image=image, camera=camera, pointing=pointing, candidates=candidates,
            max_questions=max_questions, answer_timeout=answer_timeout, max_image_age=max_image_age,
        )  # fmt: skip
        asking = {}
        if on_question is not None:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                loop = None
            asking["on_question"] = Asking(self.node, on_question, self._answer, loop)
        goal = Goal(
            self._wires, message, Limits(*self._limits, timeout), token=cancel, on_feedback=on_feedback, **asking
        )
        if on_correction is not None:
            self._ledger.follow(goal.dialogue, on_correction)
        return self._ledger.begin(goal)

    def finish(self, goal: Union[Goal, Promise]) -> Any:
        """Blocks until the goal is done: its outcome. Raises what its callbacks raised, NotSpunError,
        WouldBlockError.
        """
        with Blocking(self.node):
            return self._ledger.settle(goal)

    def cancel(self) -> None:
        """Cancels every goal of this client that is not done; their calls give the results that then come."""
        for goal in self._ledger.goals():
            goal.cancel()

    # After a goal.

    def watch(self, goal: Union[GroundOutcome, Goal, Target], on_change: OnCorrection = lambda _: None) -> Watch:
        """Follows its target through corrections, also earlier ones: look at `holds` before each motion. Close it, or
        use it in a `with`. on_change: called in the executor with each correction of it. Raises GroundFailed for an
        outcome without a target.
        """
        if isinstance(goal, GroundOutcome):
            target = goal.require()
        else:
            target = goal if isinstance(goal, Target) else None
        return self._ledger.watch(Watch(goal.dialogue, target, on_change))

    def corrections(self) -> Corrections:
        """All corrections from now on, of whomever's targets. Iterate over it; close it, or use it in a `with`."""
        return self._ledger.watch(Corrections())

    # The node's other services.

    def answer(self, reply: Reply) -> CallOutcome:
        """Answers the open question, whoever's goal asks it, or corrects the last target. Not `ok`: error_msg says
        why.
        """
        return self.finish(self._answer(answer_request(reply)))

    async def answer_async(self, reply: Reply) -> CallOutcome:
        return await self._answer(answer_request(reply))

    def detect(self, expression: str, image: Optional[AnyImage] = None, camera: str = "") -> CallOutcome:
        """Is it ambiguous? `value` is a clue_ros/Ambiguity. It begins no dialogue."""
        return self.finish(self._detect(expression, image, camera))

    async def detect_async(self, expression: str, image: Optional[AnyImage] = None, camera: str = "") -> CallOutcome:
        return await self._detect(expression, image, camera)

    def chat(self, question: str, image: Optional[AnyImage] = None, camera: str = "") -> CallOutcome:
        """A question about the picture; `value` is a clue_ros/GroundedAnswer. It begins no dialogue."""
        return self.finish(self._chat(question, image, camera))

    async def chat_async(self, question: str, image: Optional[AnyImage] = None, camera: str = "") -> CallOutcome:
        return await self._chat(question, image, camera)

    def state(self) -> CallOutcome:
        """`value` is the label of the node's lifecycle state: active, inactive, unconfigured, finalized."""
        return self.finish(self._state())

    async def state_async(self) -> CallOutcome:
        return await self._state()

    def wait_until_ready(self, timeout: float = 60.0) -> CallOutcome:
        """Until the node is there, found by both sides, and active. Not `ok` after `timeout` seconds; error_msg says
        what is missing. Not needed before `ground`, which waits `server_timeout`; good while a model loads."""
        return self.finish(self._ledger.begin(Readiness(self._wires, timeout)))

    async def wait_until_ready_async(self, timeout: float = 60.0) -> CallOutcome:
        return await self._ledger.begin(Readiness(self._wires, timeout))

    # Its life.

    def close(self) -> None:
        """Cancels what is open, and waits up to 2 s for the results, unless called in a callback of its executor."""
        if self._closed:
            return
        self._closed = True
        self._ledger.shut()
        self.cancel()
        with contextlib.suppress(NotSpunError, WouldBlockError):  # in a callback they are not waited for
            with Blocking(self.node):
                end = time.monotonic() + CLOSE_S
                for goal in self._ledger.goals():
                    goal.wait(max(0.0, end - time.monotonic()))
        self._ledger.drop("the client was closed")
        self._wires.close()
        if self._own is not None:
            self._own.close()

    def __enter__(self) -> "ClueClient":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    # Within.

    def _call(self, client: Any, request: Any, read: Read) -> Call:
        return self._ledger.begin(Call(client, request, read, self._limits[0], self._reply_s))

    def _answer(self, request: Any) -> Call:
        return self._call(self._wires.client("answer"), request, read_answer)

    def _detect(self, expression: str, image: Optional[AnyImage], camera: str) -> Call:
        request = DetectAmbiguity.Request(expression=expression, image=image_message(image), camera=camera)
        return self._call(self._wires.client("detect"), request, reader_of("ambiguity"))

    def _chat(self, question: str, image: Optional[AnyImage], camera: str) -> Call:
        request = Chat.Request(question=question, image=image_message(image), camera=camera)
        return self._call(self._wires.client("chat"), request, reader_of("answer"))

    def _state(self) -> Call:
        return self._call(self._wires.client("state"), self._wires.client("state").srv_type.Request(), read_state)
