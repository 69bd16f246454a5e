"""The `clue` lifecycle node: it wires one Grounder to topics, the `ground` action and two services.

    python -m clue_ros.ros.node --ros-args -r __ns:=/clue -r image:=/camera/color/image_raw

configure loads the model, activate lets goals and speech in, deactivate ends what is in flight with a result, cleanup
frees the model. With `autostart` (default) it configures and activates itself once. Spin it with a single-threaded
executor: nothing in it blocks, and its parts rely on being called from one thread.
"""

from __future__ import annotations

import functools
import sys
import traceback
from concurrent.futures import Future as ThreadFuture
from typing import Any, Callable, List, Optional

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from clue_ros.ros.running import allocation, overrides, parameters, spinning
from clue_ros.ros.running.bonds import Bonds
from clue_ros.ros.running.errors import MissingPackageError
from clue_ros.ros.running.lifecycle import LiveLifecycleNode
from clue_ros.ros.running.loading import GrounderFactory, load_grounder
from clue_ros.ros.running.surroundings import Surroundings
from clue_ros.ros.seeing.cameras import Cameras
from clue_ros.ros.seeing.sight import Sight
from clue_ros.ros.serving.chat import Chat
from clue_ros.ros.serving.conversation import Conversation
from clue_ros.ros.serving.detect_service import DetectService
from clue_ros.ros.serving.diagnostics import Diagnostics
from clue_ros.ros.serving.ground_action import GroundAction
from clue_ros.ros.serving.grounding import Parts
from clue_ros.ros.serving.inference import Inference
from clue_ros.ros.serving.look_ahead import LookAhead
from clue_ros.ros.serving.outputs import Outputs
from clue_ros.ros.serving.pointing import Pointing
from clue_ros.ros.serving.speech import Speech, live_speech_type
from clue_ros.ros.serving.teaching import Teaching
from clue_ros.ros.serving.voice import Voice, say_action_type
from clue_ros.ros.wire.frames import Frames
from clue_ros.types import Cancelled, ClueError

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
DRAIN_S = 5.0  # how long goals in flight may take to give their results at shutdown
LINGER_S = 0.3  # then: how long DDS may take to send them


def _told(transition: Callable) -> Callable:
    """Logs what a transition raises: rclpy turns it into error processing and says nothing."""

    @functools.wraps(transition)
    def told(self: "ClueNode", *state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(self, *state)
        except Exception:
            self.get_logger().error(f"{transition.__name__} failed:\n{traceback.format_exc()}")
            raise

    return told


class ClueNode(LiveLifecycleNode):
    """See the module. `factory(ModelSettings)` makes the Grounder; tests give a scripted one."""

    def __init__(self, factory: GrounderFactory = load_grounder, **kwargs) -> None:
        super().__init__("clue", **kwargs)
        self._inference = Inference(factory, self.get_logger())
        # Reentrant: a service that awaits the model must not hold up an answer or a cancel.
        self._group = ReentrantCallbackGroup()
        self._conversation: Optional[Conversation] = None
        self._look_ahead: Optional[LookAhead] = None
        self._entities: List = []  # everything with a close(), in the order of making
        self._leaving: List = []  # of a cleanup that waits for the last results
        self._settings: Optional[parameters.Parameters] = None  # as `prepare` read them
        self._prepared: Optional[ThreadFuture] = None
        self.gave_up = False  # the last configure ended because somebody wanted it to
        self._diagnostics: Optional[Diagnostics] = None
        parameters.declare(self)  # it may raise, and then destroy_node is called
        self._surroundings = Surroundings(self, self._group, overrides.check(self))
        self._bonds = Bonds(self, self._group)
        self._diagnostics = Diagnostics(self, self._inference, self._group, self._surroundings)

    @property
    def busy(self) -> bool:
        """True until every dialogue has given its result, and while the node is being configured."""
        return self.configuring_s is not None or (self._conversation is not None and self._conversation.busy)

    @property
    def loads_still(self) -> bool:
        """Whether a thread still loads a model that nobody waits for."""
        return self._inference.leftover

    @_told
    def prepare(self) -> ThreadFuture:
        """Begins to load the model. What else is missing is said before it loads for minutes."""
        self._settings = settings = parameters.read(self)
        self.get_logger().info(f"loading {settings.model_settings.name} on {settings.device}")
        try:
            live_speech_type(settings.live_speech_topic)
            say_action_type(settings)
            ready = self._inference.begin(settings.model_settings).ready
        except ClueError as error:
            ready = ThreadFuture()
            ready.set_exception(error)
        self._prepared, self.gave_up = ready, False
        self._diagnostics.publish()
        return ready

    def give_up(self, why: str) -> None:
        """A model on its way is not waited for any longer; its memory is freed when it is there."""
        self._inference.give_up(why)

    @_told
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """The rest of it, with a model that `prepare` has loaded; without one this blocks until it is there."""
        if self._prepared is None:
            self.prepare()
        settings, loading, prepared, self._prepared = self._settings, self._inference.loading, self._prepared, None
        name = settings.model_settings.name
        try:
            if loading is None:
                prepared.result()
            self._inference.finish()
        except ClueError as error:
            self._tell_failure(name, error)
            self._diagnostics.publish()
            return FAILURE
        self.get_logger().info(f"loaded {name} in {loading.seconds:.1f} s")
        outputs = self._keep(Outputs(self, settings.publish_detections, Voice(self, settings, self._group)))
        frames = Frames(self, settings.target_frame, self._group)
        cameras = self._keep(Cameras(self, settings, self._group, frames))
        sight = Sight(settings.sample_bits, self.get_logger().warning)
        self._keep(frames)
        parts = Parts(self, self._inference, cameras, sight, outputs, frames)
        self._conversation = conversation = self._keep(Conversation(parts, self._group))
        self._look_ahead = self._keep(LookAhead(self, cameras.first, self._inference, sight, conversation, self._group))
        self._keep(GroundAction(self, conversation, self._group))
        self._keep(DetectService(self, parts, conversation, self._group))
        self._keep(Speech(self, settings, outputs, conversation, self._group))
        self._keep(Pointing(self, cameras, frames, conversation, self._group))
        self._keep(Chat(self, parts, conversation, self._group))
        self._keep(Teaching(self, parts, conversation, self._group))
        allocation.settle()
        self._diagnostics.configured(settings.model_settings, cameras, self._conversation)
        self._diagnostics.publish()
        return super().on_configure(state)

    def _tell_failure(self, name: str, error: ClueError) -> None:
        if isinstance(error, Cancelled):
            self.gave_up = True
            self.get_logger().info(f"{name} is not loaded: {error}")
        elif isinstance(error, MissingPackageError):
            self.get_logger().error(f"cannot configure: {error}")
        else:
            self.get_logger().error(f"cannot configure: {name} does not load: {error}")

    @_told
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._conversation.active = True
        self._look_ahead.start()
        self._bonds.start()
        self._diagnostics.publish()
        result = super().on_activate(state)
        self.get_logger().info(f"active: waiting for instructions on {self.resolve_topic_name('speech')} and goals")
        return result

    @_told
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop("the node was deactivated: activate it and send the goal again")
        return super().on_deactivate(state)

    @_told
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._release()
        return super().on_cleanup(state)

    @_told
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop("the node is shutting down")
        self._release()
        return super().on_shutdown(state)

    @_told
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """After an exception in a transition (rclpy keeps its text to itself: see `_told`)."""
        self.get_logger().error("a transition failed; back to unconfigured")
        try:
            self._stop("the node failed and was reset: configure it again")
        finally:  # whatever else is broken, the model's memory is given back
            self._prepared = None
            self._release()
        return SUCCESS

    def destroy_node(self) -> None:
        """Also destroys the action server: rclpy does not, and it would keep the DDS participant in memory."""
        self._inference.unload()
        self._conversation = self._look_ahead = None
        if self._diagnostics is not None:
            self._diagnostics.close()
            self._surroundings.close()
            self._bonds.stop()
        for entities in (self._entities, self._leaving):
            _close(entities)
        super().destroy_node()

    def stop_dialogues(self) -> None:
        """Ends every dialogue with NOT_ACTIVE; their results go out while the executor spins on. Ends loading, too."""
        self.give_up("the node is shutting down")
        self._stop("the node is shutting down")

    def _keep(self, entity: Any) -> Any:
        """Notes an entity as soon as it is made: a configure that fails half way leaves nothing behind."""
        self._entities.append(entity)
        return entity

    def _stop(self, message: str) -> None:
        if self._conversation is not None:
            self._conversation.active = False
            self._conversation.end_all(message)
        self._bonds.stop()
        self._inference.cancel_all()
        if self._look_ahead is not None:
            self._look_ahead.stop()
        self._diagnostics.publish()

    def _release(self) -> None:
        """Frees the model at once, and the interfaces as soon as the last result is out."""
        self._inference.unload()
        allocation.unsettle()
        self._diagnostics.released()
        self._diagnostics.publish()
        conversation, self._conversation = self._conversation, None
        self._look_ahead = None
        if conversation is None:
            _close(self._entities)
            return
        if not conversation.busy or self.executor is None:
            _close(self._entities)
            return
        _close(self._leaving)  # of an earlier cleanup that is not over yet
        self._entities, self._leaving = [], self._entities

        def when_idle() -> None:
            if not conversation.busy:
                self.destroy_timer(timer)
                _close(self._leaving)

        timer = self.create_timer(LINGER_S, when_idle, callback_group=self._group)


def _close(entities: List) -> None:
    """Closes them, the last made first, and empties the list."""
    while entities:
        entities.pop().close()


async def autostart(node: ClueNode) -> bool:
    """configure and activate; False (and a log line) if the model does not load. The node then stays unconfigured.

    A task for the node's executor, which works on while the model loads.
    """
    if node.state != "unconfigured":
        return False  # somebody was faster
    if await node.configure() == SUCCESS:
        return node.trigger_activate() == SUCCESS
    if not node.gave_up:
        name = node.get_fully_qualified_name()
        node.get_logger().error(f"autostart failed: correct the parameters, then `ros2 lifecycle set {name} configure`")
    return False


def main(
    args: Optional[List[str]] = None, factory: GrounderFactory = load_grounder,
    make: Optional[Callable[[], ClueNode]] = None,
) -> int:  # fmt: skip
    """Spins until SIGINT or SIGTERM, then lets every goal in flight end with a result; 2 for bad parameters."""
    allocation.own_process()

    def spin(node: ClueNode, executor: SingleThreadedExecutor, stop: spinning.StopSignals) -> None:
        if node.get_parameter("autostart").value:
            executor.create_task(autostart, node)
        spinning.until_stopped(node, executor, stop)
        node.stop_dialogues()
        spinning.spin_while(executor, lambda: node.busy, DRAIN_S)
        spinning.spin_while(executor, lambda: True, LINGER_S)
        node.shut_down()

    return spinning.run("clue", make or (lambda: ClueNode(factory)), args, spin)


if __name__ == "__main__":
    sys.exit(main())
