"""The node and the replay of a bag do the same with the same events: one set of rules, played in two ways (hypothesis).

The node's side is its own modules, ears, conversation, dialogues, reports, worker's jobs, over an executor of two dozen
lines and a clock that the test moves; no DDS, so that hundreds of conversations take seconds. What goes over DDS is
tested next door (test_conversation, test_corrections, test_bag_replay).
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from rclpy.parameter import Parameter
from rclpy.task import Future, Task
from std_msgs.msg import Bool, Header, String

from clue_ros.bags.events import NS, Frame, Heard, Pointed, ReplaySettings
from clue_ros.bags.replay import Replay
from clue_ros.dialogue.acts import Begin, Ignore, TakeBack
from clue_ros.fleet.job_queue import JobQueue
from clue_ros.ros.running import parameters
from clue_ros.ros.running.errors import CODE_NAMES
from clue_ros.ros.seeing.sight import Sight
from clue_ros.ros.serving import conversation, corrections, grounding, report, speech
from clue_ros.ros.serving.grounding import Parts
from clue_ros.ros.serving.inference import Job
from clue_ros.ros.wire.conversions import rgb_to_image
from clue_ros.testing.fake_grounder import Say, ScriptedGrounder
from clue_ros.types import Answer, Box, ClueError

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed: pip install hypothesis")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

GREY = np.full((24, 32, 3), 90, np.uint8)
RED, BLUE = Box(4, 4, 12, 12), Box(20, 4, 28, 12)
OUTCOMES = {"NONE": "found", "UNKNOWN": "error"}


class Mugs(ScriptedGrounder):
    """A red mug and a blue one; the last words or the last click decide."""

    def _line(self, expression, turns):
        if expression == "the broken one":
            return Say.failure(ClueError("no luck"))
        if expression == "the dax":
            return Say.unknown("dax")
        answer = turns[-1].answer if turns else Answer(text=expression)
        if answer.point is not None:
            return Say.found(RED if answer.point[0] < 16 else BLUE)
        if "cup" in answer.text:
            return Say.not_found()
        named = [box for word, box in (("red", RED), ("blue", BLUE)) if word in answer.text]
        return Say.found(named[0]) if named else Say.ask("Do you mean the red mug or the blue mug?")


class Clock:
    """Takes the place of the module `time`."""

    def __init__(self):
        self.now_ns = 0

    def monotonic(self):
        return self.now_ns / NS

    perf_counter = monotonic


class Executor:
    """Runs what it was given until nothing moves."""

    def __init__(self):
        self.tasks = []

    def create_task(self, callback, *args):
        task = Task(callback, args, executor=self)
        self.tasks.append(task)
        return task

    def wake(self):
        pass

    def settle(self):
        still = 0
        while still < 2:  # a coroutine is looked at once more after the last thing that happened
            before = len(self.tasks)
            for task in list(self.tasks):
                task()
            done = [task for task in self.tasks if task.done()]
            for task in done:
                if task.exception() is not None:
                    raise task.exception()
            self.tasks = [task for task in self.tasks if not task.done()]
            still = still + 1 if not done and len(self.tasks) == before else 0


class Node:
    """As much of a node as these modules use."""

    def __init__(self, clock, **values):
        self.executor = Executor()
        self.heard = {}
        defaults = {name: value for name, (value, _, _) in parameters._DECLARATIONS.items()}
        self._values = {name: Parameter(name, value=value) for name, value in {**defaults, **values}.items()}
        self._stamp = SimpleNamespace(now=lambda: SimpleNamespace(to_msg=lambda: Header().stamp))

    def get_parameter(self, name):
        return self._values[name]

    def get_clock(self):
        return self._stamp

    def get_logger(self):
        def fail(text):
            raise AssertionError(text)

        quiet = lambda *_, **__: None  # noqa: E731
        return SimpleNamespace(info=quiet, warning=quiet, error=fail)

    def create_timer(self, *_, **__):
        return SimpleNamespace(cancel=lambda: None, reset=lambda: None)

    def create_service(self, *_, **__):
        return None

    def create_subscription(self, kind, topic, callback, *_, **__):
        self.heard[topic] = callback

    def resolve_topic_name(self, topic):
        return topic


class Camera:
    """Frames without stamps, so that their age is that of their arrival, as in the replay."""

    def __init__(self, clock, executor):
        self._clock, self._executor, self._frame, self._waiters = clock, executor, None, []

    def show(self, message):
        self._frame = (message, self._clock.now_ns)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.set_result(None)

    def latest(self, max_age_s):
        young = self._frame is not None and self._clock.now_ns - self._frame[1] <= max_age_s * NS
        return self._frame[0] if young else None

    def next(self):
        self._waiters.append(Future(executor=self._executor))
        return self._waiters[-1]

    def why_none(self, _):
        return "no image came"

    def depth_of(self, _):
        return None

    def __getattr__(self, name):  # calibration and whatever else it may be asked for: it has none
        return None


class Subscriptions:
    """In place of those whose QoS follows what is offered: nothing is offered here."""

    def __init__(self, node, _):
        self.add = node.create_subscription


class Nowhere:
    """In place of whereabouts: no depth, so no position."""

    def __init__(self, *_):
        pass

    async def locate(self, *_):
        return None, "no depth"

    def on_time(self, _):
        pass


class Outputs:
    speaking = False

    def __init__(self, clock):
        self._clock, self.said_at, self.said = clock, None, []

    def say(self, words):
        self.said.append(words)
        self.said_at = self._clock.monotonic()

    def __getattr__(self, name):
        return lambda *_: None


class Model:
    """The worker, at once."""

    taught = server = None

    def __init__(self, grounder):
        self._grounder = grounder

    def submit(self, work, executor, lane, source=""):
        job = Job(work, executor, JobQueue())
        job.run(self._grounder, None)
        return job


class Watched(conversation.Conversation):
    """Keeps what came of everything, in order."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.numbers, self.ended, self.ignored = {"": None}, [], []

    def _carry_out(self, acts, *rest):
        for act in acts:
            if isinstance(act, Begin):
                self.numbers[act.dialogue.instruction.dialogue] = len(self.numbers)
            elif isinstance(act, TakeBack):
                number = self.numbers[act.instruction.dialogue] = len(self.numbers)
                words = act.reopening.said.text
                self.ended.append((number, self.numbers[act.instruction.corrects], words, "withdrawn", None))
            elif isinstance(act, Ignore):
                self.ignored.append(act.reason)
        super()._carry_out(acts, *rest)

    async def run(self, dialogue):
        result = await super().run(dialogue)
        name = CODE_NAMES[result.error_code]
        box = result.target.box if name == "NONE" else None
        self.ended.append((
            self.numbers[dialogue.request.dialogue], self.numbers[dialogue.request.corrects],
            lines(dialogue.dialogue.session), OUTCOMES.get(name, name.lower()),
            None if box is None else (box.x0, box.y0, box.x1, box.y1),
        ))  # fmt: skip
        return result


def lines(session):
    return [(line.speaker, line.text, line.at) for line in session.transcript]


def by_node(monkeypatch, events, **values):
    clock = Clock()
    for module in (conversation, grounding, report, speech, corrections):
        if hasattr(module, "time"):
            monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(grounding, "Whereabouts", Nowhere)
    monkeypatch.setattr(speech, "AdaptiveSubscriptions", Subscriptions)
    node = Node(clock, **values)
    camera, outputs, sight = Camera(clock, node.executor), Outputs(clock), Sight()
    sight.open()
    cameras = SimpleNamespace(first=camera, named=lambda _: camera)
    parts = Parts(node, Model(Mugs()), cameras, sight, outputs, None)
    talk = Watched(parts, None, clock.monotonic)
    talk.active = True
    speech.Speech(node, parameters.read(node), outputs, talk, None)
    node.heard["speaking"](Bool(data=False))
    for event in [*events, None]:
        clock.now_ns = event.time if event is not None else clock.now_ns + 24 * 3600 * NS
        talk._on_time()
        node.executor.settle()
        if isinstance(event, Frame):
            camera.show(rgb_to_image(event.rgb(), Header()))
        elif isinstance(event, Heard):
            node.heard["speech"](String(data=event.text))
        elif isinstance(event, Pointed):
            talk.point(event.answer)
        node.executor.settle()
    assert not talk.busy and not node.executor.tasks
    return talk.ended, talk.ignored


def by_replay(events, **values):
    replay = Replay(Mugs(), ReplaySettings(**values))
    ended = []
    for played in replay.run(events):
        box = None if played.box is None else tuple(float(value) for value in played.box)
        said = played.words if played.outcome == "withdrawn" else lines(played.session)
        ended.append((played.number, played.corrects, said, played.outcome, box))
    return ended, [item.reason for item in replay.not_taken]


WORDS = [
    "the mug",
    "the red mug",
    "the blue one",
    "a cup",
    "the dax",
    "the broken one",
    "this one",
    "no, the blue one",
    "not that one",
    "the other one",
    "no",
    "I meant the red one",
    "no, thanks",
    "yes",
    "Never mind!",
    "Stop! ",
    "x" * 1001,
    "No! Stop! Stop!",
    "stop, the blue one",
    "wait, I mean the red one",
    "don't take the red one",
    "All right, never mind.",
]
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.01, 0.4, 1.2, 4.0, 11.0, 40.0]),
        st.one_of(
            st.sampled_from(WORDS), st.sampled_from(["frame", "frame"]), st.sampled_from([(6.0, 6.0), (24.0, 6.0)])
        ),
    ),
    max_size=14,
)


def events_of(steps):
    now, events = NS, [Frame(NS, 0, lambda: GREY)]
    for seconds, what in steps:
        now += int(seconds * NS)
        if what == "frame":
            events.append(Frame(now, 0, lambda: GREY))
        elif isinstance(what, tuple):
            events.append(Pointed(now, Answer(point=what)))
        else:
            if seconds < 1:
                events.append(Frame(now, 0, lambda: GREY))  # most words find a young frame
            events.append(Heard(now, what, len(events)))
    return events


@settings(max_examples=300, deadline=None)
@given(
    STEPS, st.sampled_from([0.0, 10.0]), st.sampled_from([0.0, 0.5]), st.sampled_from([1, 3]),
    st.sampled_from(["ask", "best_guess", "fail"]),
)  # fmt: skip
def test_the_node_and_a_bag_agree(steps, window, mute, budget, policy):
    values = {
        "correction_window_s": window, "mute_after_utterance_s": mute, "max_questions": budget, "speech_policy": policy,
    }  # fmt: skip
    events = events_of(steps)
    with pytest.MonkeyPatch.context() as patch:
        node, ignored = by_node(patch, events, **values)
    bag, not_taken = by_replay(events, **values)
    assert node == bag and ignored == not_taken


def test_the_events_reach_what_they_are_to_compare(monkeypatch):
    """A conversation with a question, a correction by words and one by a click, a target taken back, and a failure."""
    steps = [(0.4, "the mug"), (0.4, "the red one"), (0.4, "no, the blue one"), (0.4, (6.0, 6.0)), (0.4, "Never mind!"),
             (0.4, "the broken one"), (4.0, "the mug"), (0.4, "Stop!")]  # fmt: skip
    ended, _ = by_node(monkeypatch, events_of(steps))
    assert [(number, corrects, outcome, box) for number, corrects, _, outcome, box in ended] == [
        (1, None, "found", RED), (2, 1, "found", BLUE), (3, 2, "found", RED), (4, 3, "withdrawn", None),
        (5, None, "error", None), (6, None, "abandoned", None),
    ]  # fmt: skip
