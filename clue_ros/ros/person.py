"""The person of the demo: says what the robot should find, and answers its questions.

    python -m clue_ros.ros.person --ros-args -p seed:=0              the scripted person
    python -m clue_ros.ros.person --ros-args -p mode:=me             you: type the instruction and the answers

Speaks on `speech`, listens to `utterance`. The scripted one knows the scene from (seed, index), as the camera does, and
answers truthfully by text, or by a click through the `answer` service where the episode says so. The topic `scene`
tells when the camera shows a new one.
"""

from __future__ import annotations

import os
import queue
import re
import select
import sys
import threading
import time
from typing import Any, Callable, List, Optional

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from std_msgs.msg import String, UInt32

from clue_ros.ros.demonstration.scripted_scene import LATCHED, Stage, closing_of
from clue_ros.ros.running import overrides, spinning
from clue_ros.srv import Answer
from clue_ros.types import ClueError

THINKING_S = 0.4  # before the instruction, so that the robot has seen the new scene, and before an answer
MATCHING_S = 10.0  # for DDS to match the person with the node
_CLICK = re.compile(r"\(?\s*click\s+(\d+(?:\.\d+)?)[\s,]+(\d+(?:\.\d+)?)\s*\)?", re.IGNORECASE)


class Person(Node):
    """What both persons share: mouth, ears and finger."""

    def __init__(self, **kwargs) -> None:
        super().__init__("person", **kwargs)
        describe = ParameterDescriptor
        self.seed = overrides.declare(self, "seed", 0, describe(description="Seed of the episodes."))
        self.mode = overrides.declare(self, "mode", "scripted", describe(description="scripted or me."))
        overrides.check(self)
        if self.mode not in ("scripted", "me"):
            raise ClueError(f"mode is {self.mode!r}: give scripted or me")
        self.done = False
        self.expression = ""  # of the open dialogue; empty: none is open
        self._speech = self.create_publisher(String, "speech", 10)
        self._answer = self.create_client(Answer, "answer")
        self._mind: Any = Typist(self) if self.mode == "me" else Script(self)
        self.create_subscription(UInt32, "scene", lambda message: self._mind.on_scene(message.data), LATCHED)
        self.create_subscription(String, "utterance", self._on_utterance, 10)

    def instruct(self, expression: str) -> None:
        self.expression = expression
        self.say(expression)

    def say(self, text: str) -> None:
        """Speaks as soon as the node listens: what is published before DDS has matched both ends is lost."""
        begun = time.monotonic()
        if self._heard():
            self._speech.publish(String(data=text))
            return

        def again() -> None:
            if self._heard() or time.monotonic() - begun > MATCHING_S:
                self.destroy_timer(timer)
                self._speech.publish(String(data=text))

        timer = self.create_timer(0.1, again)

    def _heard(self) -> bool:
        listeners = self.count_subscribers("speech")
        return (
            listeners > 0
            and self._speech.get_subscription_count() >= listeners
            and self.count_publishers("utterance") > 0
            and self._answer.service_is_ready()
        )

    def click(self, x: float, y: float) -> None:
        request = Answer.Request(kind=Answer.Request.POINT, x=float(x), y=float(y))
        self._answer.call_async(request).add_done_callback(self._after_click)

    def later(self, action: Callable[[], None]) -> None:
        """Does it once, after a moment of thought."""

        def once() -> None:
            self.destroy_timer(timer)
            action()

        timer = self.create_timer(THINKING_S, once)

    def start(self) -> None:
        """A person at the terminal is read from now on."""
        self._mind.start()

    def close(self) -> None:
        self._mind.close()

    def _after_click(self, future) -> None:
        response = future.result()
        if not response.accepted:
            self.get_logger().warning(f"the click was not taken: {response.message}")

    def _on_utterance(self, message: String) -> None:
        if not self.expression:
            return
        if closing_of(message.data, self.expression) is not None:
            self.expression = ""
            self._mind.on_end()
        else:
            self._mind.on_question(message.data)


class Script:
    """Has one object in mind and answers from the scene's truth."""

    def __init__(self, person: Person) -> None:
        self._person = person
        self._stage = Stage(person.seed)
        self._episode: Any = None
        self._simulated: Any = None

    def start(self) -> None:
        """It begins when it sees a scene."""

    def on_scene(self, index: int) -> None:
        from clue_ros.evaluation.episode_runner import person_rng
        from clue_ros.simulation.person import SimulatedPerson

        self._episode, view = self._stage.render(index)
        rng = person_rng(self._person.seed, index)
        self._simulated = SimulatedPerson(view.objects, self._episode.target_index, rng)
        self._person.later(lambda: self._person.instruct(self._episode.expression))

    def on_question(self, question: str) -> None:
        if self._episode.answer_by_click:
            self._person.later(lambda: self._person.click(*self._simulated.click()))
        else:
            self._person.later(lambda: self._person.say(self._simulated.answer(question)))

    def on_end(self) -> None:
        """Nothing left to say."""

    def close(self) -> None:
        self._stage.close()


class Typist:
    """Somebody at the terminal. One thread reads it, so that the node goes on listening meanwhile."""

    def __init__(self, person: Person) -> None:
        self._person = person
        self._closed = False
        self._pending = b""
        self._prompts: "queue.Queue[str]" = queue.Queue()
        self._thread = threading.Thread(target=self._serve, name="terminal", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def on_scene(self, index: int) -> None:
        self._person.later(lambda: self._prompts.put('What shall I find? ("quit" ends) > '))

    def on_question(self, question: str) -> None:
        # The demo prints the robot's line; the pause keeps the prompt below it.
        self._person.later(lambda: self._prompts.put('Your answer (words, "click X Y" or "never mind") > '))

    def on_end(self) -> None:
        """The next scene brings the next prompt."""

    def close(self) -> None:
        self._closed = True
        if self._thread.is_alive():
            self._thread.join(2.0)

    def _serve(self) -> None:
        while not self._closed:
            try:
                prompt = self._prompts.get(timeout=0.2)
            except queue.Empty:
                continue
            text = ""
            while not text:
                print(prompt, end="", flush=True)
                line = self._read_line()
                if line is None or line.lower() in ("quit", "exit", "q"):
                    self._person.done = True
                    return
                text = line
            self._take(text)

    def _take(self, text: str) -> None:
        click = _CLICK.fullmatch(text)
        if not self._person.expression:
            self._person.instruct(text)
        elif click is not None:
            self._person.click(float(click[1]), float(click[2]))
        else:
            self._person.say(text)

    def _read_line(self) -> Optional[str]:
        """One line of the terminal, None at its end. Not input(): a thread inside that one cannot be ended."""
        while b"\n" not in self._pending:
            if self._closed:
                return None
            if not select.select([sys.stdin.fileno()], [], [], 0.2)[0]:
                continue
            data = os.read(sys.stdin.fileno(), 4096)
            if not data:
                return None
            self._pending += data
        line, self._pending = self._pending.split(b"\n", 1)
        return line.decode("utf-8", errors="replace").strip()


def main(args: Optional[List[str]] = None) -> int:
    return spinning.run("person", Person, args)


if __name__ == "__main__":
    sys.exit(main())
