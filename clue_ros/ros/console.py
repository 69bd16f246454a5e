"""The operator console: one page in a browser to see the camera, talk to the robot, and know how it is.

    ros2 run clue_ros console --ros-args -r __ns:=/clue -r image:=/camera/color/image_raw
    python -m clue_ros.ros.console --ros-args -p port:=8765

It listens to the grounding node like any other client; nothing in the node waits for it. docs/console.md describes it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from geometry_msgs.msg import Point, PointStamped
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from std_msgs.msg import Header, String

from clue_ros.console import requests
from clue_ros.console.access import check_bind
from clue_ros.console.export import export_html
from clue_ros.console.pictures import Pictures
from clue_ros.console.server import PORT, ConsoleServer, Settings
from clue_ros.console.state import ConsoleState
from clue_ros.dialogue.lesson_words import teaches
from clue_ros.images.sample_bits import CHOICES as SAMPLE_BITS
from clue_ros.ros.operator.ears import CameraEars, DialogueEars
from clue_ros.ros.operator.gallery import Gallery
from clue_ros.ros.operator.goals import ConsoleGoals, Tell, open_dialogue
from clue_ros.ros.operator.health import ConsoleHealth
from clue_ros.ros.running import overrides, spinning
from clue_ros.ros.running.loading import ModelSettings, load_grounder
from clue_ros.ros.wire.messages import box_to_msg
from clue_ros.srv import Answer
from clue_ros.types import ClueError

_PARAMETERS = (
    # name, default, what it is, (lowest, highest) or None
    ("address", "127.0.0.1", "Where it listens; another than loopback needs a token or allow_open.", None),
    ("port", PORT, "TCP port; 0: any free one, which the log names.", (0, 65535)),
    ("token", "", "16 characters or more that the address must carry as ?token=...; empty: none.", None),
    ("allow_open", False, "Listen beyond loopback without a token: everybody on that network may send goals.", None),
    (
        "allowed_hosts",
        [""],
        ("Names under which the page may be opened, beside localhost, the machine's and IP addresses."),
        None,
    ),
    ("max_viewers", 32, "Pages at once.", (1, 1000)),
    ("frames_per_s", 10.0, "At most so many live images a second are encoded.", (0.2, 30.0)),
    ("can_instruct", True, "Pages may send goals, answers and points; false: they may only look.", None),
    ("node", "clue", "Name of the grounding node, relative to the namespace.", None),
    ("cameras", [""], "The node's parameter of this name; the first is shown live.", None),
    ("image_transport", "both", "Which camera topics to take: raw, compressed or both.", None),
    ("sample_bits", 0, "The node's parameter of this name: bits that 16-bit image samples use; 0: all.", (0, 16)),
    ("replay", [""], "Bags and runs of clue evaluate or the demo that pages may step through: paths.", None),
    ("replay_model", "", "Model directory that bags are played to; empty: the embedded model.", None),
    ("replay_device", "cpu", "torch device for that.", None),
)


class Console(Node):
    """The node and its server. Raises ClueError where the server cannot listen as it is told."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("console", **kwargs)
        values = {name: self._declare(name, default, text, limits) for name, default, text, limits in _PARAMETERS}
        overrides.check(self)
        if values["image_transport"] not in ("raw", "compressed", "both"):
            raise ClueError(f"image_transport is {values['image_transport']!r}: give raw, compressed or both")
        if values["sample_bits"] not in SAMPLE_BITS:
            raise ClueError(f"sample_bits is {values['sample_bits']}: give 8 to 16, or 0 for all")
        self.state, self.pictures = ConsoleState(), Pictures()
        check_bind(values["address"], values["token"], values["allow_open"])  # said before a bag is played for minutes
        self._recordings = self._open(values["replay"], ModelSettings(values["replay_model"], values["replay_device"]))
        self._may_act = values["can_instruct"]
        self._server: Optional[ConsoleServer] = None
        names = [name for name in values["cameras"] if name] or [""]
        self._camera = CameraEars(self, names, values["image_transport"], self.pictures, values["sample_bits"])
        self._ears = DialogueEars(self, self.state, self.pictures, self._camera)
        self._goals = ConsoleGoals(self, self.state)
        self._health = ConsoleHealth(
            self, self.state, self._camera, values["node"], self._goals.lose_all, self._goals.ask_again, self._own_line
        )
        self._gallery = Gallery(self, self.state)
        self._answer = self.create_client(Answer, "answer")
        self._speech = self.create_publisher(String, "speech", 10)
        self._point = self.create_publisher(PointStamped, "point", 10)
        settings = Settings(
            values["address"], values["port"], values["token"], values["allow_open"],
            tuple(name for name in values["allowed_hosts"] if name), values["max_viewers"], values["frames_per_s"],
            values["can_instruct"],
        )  # fmt: skip
        self._server = ConsoleServer(
            self.state, self.pictures, self, settings, self._recordings,
            export=lambda: export_html(self.state, self.pictures),
        )  # fmt: skip

    def start(self) -> None:
        """Serves pages from now on; the log says where."""
        self._server.start()
        self.get_logger().info(f"open {self._server.url}")

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def viewers(self) -> int:
        feed = self._server.feed if self._server is not None else None
        return 0 if feed is None else len(feed.viewers)

    def close(self) -> None:
        if self._server is not None:
            self._server.stop()
        for recording in self._recordings.values():
            recording.close()
        self.pictures.close()

    # What pages ask for; called in the server's thread, done in the executor's.

    def do(self, request: requests.Request, tell: Tell) -> None:
        if not self._may_act:
            tell("warn", "This console may only look (its parameter can_instruct is false).")
        elif self.executor is not None:
            self.executor.create_task(self._do, request, tell)

    def _do(self, request: requests.Request, tell: Tell) -> None:
        actions: "dict[type, Callable[[Any, Tell], None]]" = {
            requests.Instruct: self._instruct, requests.Answer: self._give_answer, requests.Point: self._point_at,
            requests.Teach: self._gallery.teach, requests.Forget: self._gallery.forget,
            requests.NeverMind: self._never_mind, requests.Cancel: lambda r, tell: self._goals.cancel(r.goal, tell),
        }  # fmt: skip
        actions[type(request)](request, tell)

    def _instruct(self, request: requests.Instruct, tell: Tell) -> None:
        if self.state.taught is not None and teaches(request.text, [thing["name"] for thing in self.state.taught]):
            self._speech.publish(String(data=request.text))  # no goal: a goal moves the robot
            return
        if not self._goals.ready:
            tell("error", self.state.connection["advice"] or "The node's action is not there yet: try again.")
            return
        self._goals.send(request.text, tell)

    def _give_answer(self, request: requests.Answer, tell: Tell) -> None:
        if request.click is not None:
            x, y = request.click
            self._call_answer(Answer.Request(kind=Answer.Request.POINT, x=x, y=y), tell)
        elif request.box is not None:
            self._call_answer(Answer.Request(kind=Answer.Request.BOX, box=box_to_msg(request.box)), tell)
        else:
            self._call_answer(Answer.Request(kind=Answer.Request.TEXT, text=request.text), tell)

    def _call_answer(self, request: Answer.Request, tell: Tell, refused: Optional[Callable[[], bool]] = None) -> None:
        """refused: what else can be done where the node does not take it; false if nothing."""
        if not self._answer.service_is_ready():
            tell("error", "Nobody takes the answer: the node is away.")
            return

        def answered(done: Any) -> None:
            if done.exception() is not None:
                tell("error", f"The answer was lost: {done.exception()}")
            elif not done.result().accepted and not (refused and refused()):
                tell("warn", f"The answer was not taken: {done.result().message}")

        self._answer.call_async(request).add_done_callback(answered)

    def _point_at(self, request: requests.Point, tell: Tell) -> None:
        if not self._point.get_subscription_count():
            tell("error", "Nobody looks where you point: the node is away.")
            return
        x, y = request.click
        header = Header(stamp=self.get_clock().now().to_msg())
        self._point.publish(PointStamped(header=header, point=Point(x=x, y=y, z=0.0)))

    def _never_mind(self, request: requests.NeverMind, tell: Tell) -> None:
        """While a question is open, or after a target, the node hears it; a goal at work is canceled."""
        opened = open_dialogue(self.state)
        if opened is None or opened[1]:
            # The question may be on the page a moment before the node takes answers: the goal then is canceled.
            goal = opened[0] if opened else None
            self._call_answer(
                Answer.Request(kind=Answer.Request.TEXT, text="never mind"), tell, lambda: self._cancel(goal, tell)
            )
        elif self.state.runs(opened[0]):
            self._goals.cancel(opened[0], tell)
        else:
            self._speech.publish(String(data="never mind"))

    def _cancel(self, goal: Optional[str], tell: Tell) -> bool:
        running = goal is not None and self.state.runs(goal)
        if running:
            self._goals.cancel(goal, tell)
        return running

    def _open(self, paths: List[str], model: ModelSettings) -> Dict[str, Any]:
        """{id: recording}; bags are played to the model now, so that pages only look."""
        wanted = [path for path in paths if path]
        if not wanted:
            return {}
        from clue_ros.console.recordings import open_recording

        grounders: List[Any] = []

        def load() -> Any:
            if not grounders:
                grounders.append(load_grounder(model))
            return grounders[0]

        recordings: Dict[str, Any] = {}
        for path in wanted:
            self.get_logger().info(f"reads {path}")
            recording = open_recording(Path(path).expanduser(), load)
            recordings[f"r{len(recordings) + 1}"] = recording
            self.get_logger().info(f"{recording.about()['episodes']} episodes of {path} can be stepped through")
        for grounder in grounders:
            grounder.close()
        return recordings

    def _own_line(self) -> dict:
        values = [
            ["viewers", str(self.viewers)],
            ["live_images", str(self.pictures.encoded_live)],
            ["camera_frames", str(self._camera.frames)],
        ]
        return {
            "name": f"{self.get_fully_qualified_name().lstrip('/')}: pages",
            "level": "ok",
            "message": "served",
            "values": values,
        }

    def _declare(self, name: str, default: Any, text: str, limits: Any) -> Any:
        descriptor = ParameterDescriptor(description=text, read_only=True)
        if limits is not None and isinstance(default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=limits[0], to_value=limits[1])]
        elif limits is not None:
            descriptor.integer_range = [IntegerRange(from_value=limits[0], to_value=limits[1], step=1)]
        return overrides.declare(self, name, default, descriptor)


def main(args: Optional[List[str]] = None) -> int:
    """Serves until SIGINT or SIGTERM; 2 where it may not or cannot listen as it is told."""
    return spinning.run("console", Console, args)


if __name__ == "__main__":
    sys.exit(main())
