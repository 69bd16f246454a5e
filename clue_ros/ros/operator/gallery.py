"""What the robot was taught, for the console: asked for from time to time, and after everything that a page does."""

from __future__ import annotations

from typing import Any, Callable, Optional

from rclpy.node import Node

from clue_ros.console import requests
from clue_ros.console.state import ConsoleState
from clue_ros.msg import Pointing
from clue_ros.ros.operator.goals import Tell
from clue_ros.ros.wire.messages import box_to_msg
from clue_ros.srv import Forget, ListTaught, Teach

LOOK_S = 3.0  # others teach, too


class Gallery:
    """For the executor's thread."""

    def __init__(self, node: Node, state: ConsoleState) -> None:
        self._state = state
        self._teach = node.create_client(Teach, "teach")
        self._forget = node.create_client(Forget, "forget")
        self._list = node.create_client(ListTaught, "list")
        self._asked: Any = None
        node.create_timer(LOOK_S, self.look)

    def look(self, pictures: bool = False) -> None:
        """Asks for the names, and for the pictures where these have changed."""
        if not self._list.service_is_ready():
            return
        if self._asked is not None and not self._asked.done():
            self._list.remove_pending_request(self._asked)  # the node may have died meanwhile
        self._asked = self._list.call_async(ListTaught.Request(pictures=pictures))
        self._asked.add_done_callback(lambda done: self._seen(done, pictures))

    def teach(self, request: requests.Teach, tell: Tell) -> None:
        shown = Pointing(kind=Pointing.BOX, box=box_to_msg(request.box))
        asked = Teach.Request(name=request.name, shown=shown, shadow=request.shadow)
        self._call(self._teach, asked, tell, lambda found: f"The robot knows “{found.thing.name}” now.")

    def forget(self, request: requests.Forget, tell: Tell) -> None:
        asked = Forget.Request(name=request.name)
        self._call(self._forget, asked, tell, lambda found: f"The robot has forgotten “{found.thing.name}”.")

    def _call(self, client: Any, request: Any, tell: Tell, said: Callable[[Any], str]) -> None:
        if not client.service_is_ready():
            tell("error", "Nothing can be taught: the node is away.")
            return

        def answered(done: Any) -> None:
            if done.cancelled() or done.exception() is not None:
                tell("error", f"The answer was lost: {done.exception()}")
                return
            found = done.result()
            tell(*(("info", said(found)) if found.success else ("warn", f"Not done: {found.error_msg}.")))
            self.look()

        client.call_async(request).add_done_callback(answered)

    def _seen(self, done: Any, pictures: bool) -> None:
        if done.cancelled() or done.exception() is not None:
            return
        found: Optional[ListTaught.Response] = done.result()
        if found is None or not found.success:
            self._state.teach(None)
            return
        told = [(thing["name"], thing["views"]) for thing in self._state.taught or ()]
        if pictures or not found.things:
            self._state.teach([
                {"name": thing.name, "views": thing.views, "picture": bytes(thing.picture.data)}
                for thing in found.things
            ])  # fmt: skip
        elif told != [(thing.name, thing.views) for thing in found.things]:
            self.look(pictures=True)
