"""A lifecycle node that stays live while it is configured.

rclpy runs a transition inside the service's callback: while `on_configure` loads a model for a minute, the executor
answers nothing. Here `configure` begins what takes long in a thread (`prepare`), the service's callback awaits it, and
`on_configure` runs in the executor's thread when it is over. So the state is `configuring` meanwhile, the client of
`change_state` gets its answer at the end, as with rclcpp, and everything else is answered at once.

`trigger_configure` is rclpy's own and blocks until the node is configured.
"""

from __future__ import annotations

import time
from concurrent.futures import Future as ThreadFuture
from typing import Any, Optional

from lifecycle_msgs.msg import State, Transition, TransitionDescription
from lifecycle_msgs.srv import ChangeState, GetAvailableTransitions
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.task import Future

CONFIGURING = "configuring"
_LABELS = {
    Transition.TRANSITION_CONFIGURE: "configure", Transition.TRANSITION_CLEANUP: "cleanup",
    Transition.TRANSITION_ACTIVATE: "activate", Transition.TRANSITION_DEACTIVATE: "deactivate",
    Transition.TRANSITION_UNCONFIGURED_SHUTDOWN: "shutdown", Transition.TRANSITION_INACTIVE_SHUTDOWN: "shutdown",
    Transition.TRANSITION_ACTIVE_SHUTDOWN: "shutdown",
}  # fmt: skip
# What ends a configure that is under way: label, id, the state after it.
_WAYS_OUT = (
    ("cleanup", Transition.TRANSITION_CLEANUP, State(id=State.PRIMARY_STATE_UNCONFIGURED, label="unconfigured")),
    (
        "shutdown",
        Transition.TRANSITION_UNCONFIGURED_SHUTDOWN,
        State(id=State.PRIMARY_STATE_FINALIZED, label="finalized"),
    ),
)
_SHUTDOWN_FROM = ("unconfigured", "inactive", "active")


class LiveLifecycleNode(LifecycleNode):
    """See the module. A subclass gives `prepare`, `give_up` and `on_configure`. For the executor's thread."""

    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self._configured: Optional[Future] = None  # of the configure under way: ends with its result
        self._since = 0.0
        # rclpy makes these services with its own callbacks, in a group that lets one run at a time.
        change, available = self._service_change_state, self._service_get_available_transitions
        self._change_at_once, change.callback = change.callback, self._on_change_state
        self._transitions_at_rest, available.callback = available.callback, self._on_available_transitions
        change.callback_group = ReentrantCallbackGroup()
        change.callback_group.add_entity(change)

    def prepare(self) -> ThreadFuture:
        """Begins what takes long of a configure, without blocking; `on_configure` is called when the future is done."""
        raise NotImplementedError

    def give_up(self, why: str) -> None:
        """Ends what `prepare` began as soon as may be; the future then is done."""
        raise NotImplementedError

    @property
    def state(self) -> str:
        """The label of the lifecycle's state."""
        return "finalized" if self._state_machine is None else self._state_machine.current_state[1]

    @property
    def configuring_s(self) -> Optional[float]:
        """Seconds since the configure under way began; None while there is none."""
        return None if self._configured is None else time.monotonic() - self._since

    async def configure(self) -> TransitionCallbackReturn:
        """The transition, awaited: while it is prepared the executor works on."""
        before = LifecycleState(state_id=self._state_machine.current_state[0], label=self.state)
        self._state_machine.trigger_transition_by_id(Transition.TRANSITION_CONFIGURE, True)
        self._configured, self._since = Future(executor=self.executor), time.monotonic()
        result = TransitionCallbackReturn.ERROR
        try:
            await self._done(self.prepare())
            result = self.on_configure(before)
        except Exception:  # as rclpy: error processing; the node's own code has logged what it was
            pass
        self._end(result, before)
        configured, self._configured = self._configured, None
        configured.set_result(result)
        return result

    def destroy_node(self) -> None:
        """Also lets go of the state machine: rclpy forgets it, and until the garbage collector finds it the node's DDS
        participant lives on, so that others see a node that is none any more."""
        super().destroy_node()
        # Not by its `destroy_when_not_in_use`: that makes every later look at it a segmentation fault.
        self._state_machine = None

    def shut_down(self) -> None:
        """The transition `shutdown`, where the state has one: somebody else may have asked for it before."""
        if self.state in _SHUTDOWN_FROM:
            self.trigger_shutdown()

    def _end(self, result: TransitionCallbackReturn, before: LifecycleState) -> None:
        self._state_machine.trigger_transition_by_label(result.to_label(), True)
        if result != TransitionCallbackReturn.ERROR:
            return
        try:
            result = self.on_error(before)
        except Exception as error:
            self.get_logger().error(f"on_error failed, the node is finalized: start it anew: {error!r}")
            result = TransitionCallbackReturn.ERROR
        self._state_machine.trigger_transition_by_label(result.to_label(), True)

    async def _done(self, prepared: ThreadFuture) -> None:
        """Waits in the executor for what a thread does."""
        executor = self.executor
        over: Future = Future(executor=executor)

        def wake(_: Any) -> None:
            over.set_result(None)
            executor.wake()

        prepared.add_done_callback(wake)
        if not over.done():
            await over

    async def _on_change_state(
        self, request: ChangeState.Request, response: ChangeState.Response
    ) -> ChangeState.Response:
        asked = request.transition.label or _LABELS.get(request.transition.id, str(request.transition.id))
        if self._configured is not None:
            response.success = await self._leave(asked)
        elif asked == "configure" and self.state == "unconfigured":
            response.success = await self.configure() == TransitionCallbackReturn.SUCCESS
        else:
            return self._change_at_once(request, response)
        return response

    async def _leave(self, asked: str) -> bool:
        """A transition that is asked for while the node is configured."""
        configured, since = self._configured, self.configuring_s
        if asked not in (label for label, _, _ in _WAYS_OUT):
            self.get_logger().warning(
                f"{asked} was refused: the node has been configuring for {since:.0f} s. Wait, or ask for "
                "cleanup or "
                "shutdown"
            )
            return False
        self.give_up(f"{asked} was asked for")
        await configured
        if asked == "cleanup":  # a configure that was ready at that very moment is undone
            return self.state == "unconfigured" or self.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
        return self.state in _SHUTDOWN_FROM and self.trigger_shutdown() == TransitionCallbackReturn.SUCCESS

    def _on_available_transitions(
        self, request: GetAvailableTransitions.Request, response: GetAvailableTransitions.Response
    ) -> GetAvailableTransitions.Response:
        """rcl lists what ends a transition from inside; nobody outside may ask for that."""
        if self._configured is None:
            return self._transitions_at_rest(request, response)
        start = State(id=State.TRANSITION_STATE_CONFIGURING, label=CONFIGURING)
        for label, number, goal in _WAYS_OUT:
            transition = Transition(id=number, label=label)
            response.available_transitions.append(
                TransitionDescription(transition=transition, start_state=start, goal_state=goal)
            )
        return response
