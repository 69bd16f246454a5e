"""The optional packages over real DDS: detections, annotations, live speech, transforms and the two voices.

Where a package is absent, a stand-in with the same definition is built (stand_ins.py) and kept in pytest's cache.
"""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
from bench import FRAME, SUCCEEDED, depth_image, wait_until
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.task import Future
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header
from test_frames import LATCHED, stand_in

from clue_ros.ros.serving import voice as voice_module
from clue_ros.ros.serving.outputs import Outputs
from clue_ros.ros.serving.speech import Speech
from clue_ros.testing.fake_grounder import Say
from clue_ros.types import Box

pytestmark = pytest.mark.usefixtures("stand_ins")

QUESTION = "Which mug?"
MUGS = [Say.ask(QUESTION), Say.found(Box(32, 24, 64, 48), confidence=0.75)]
K = [100.0, 0.0, 31.5, 0.0, 100.0, 23.5, 0.0, 0.0, 1.0]
TTS, SAY = "tts_msgs/action/TTS", "communication_skills/action/Say"


def collect(bench, kind, topic) -> list:
    """What arrives on a topic of the node from now on, discovered at both ends."""
    got = []
    bench.client.create_subscription(kind, topic, got.append, 10)
    wait_until(lambda: bench.client.count_publishers(topic) > 0, what=f"a publisher on {topic}")
    wait_until(lambda: bench.node.count_subscribers(topic) > 0, what=f"a subscription to {topic}")
    return got


def test_detections_and_annotations(make_bench):
    from foxglove_msgs.msg import ImageAnnotations
    from vision_msgs.msg import Detection2DArray, Detection3DArray

    bench = make_bench({"the mug": MUGS[1:]}, publish_detections=True)
    flat, solid = collect(bench, Detection2DArray, "detections_2d"), collect(bench, Detection3DArray, "detections_3d")
    drawn = collect(bench, ImageAnnotations, "annotations")
    wait_until(lambda: bench.part(Outputs)._annotations.get_subscription_count() > 0)
    status, result = bench.ground("the mug")
    assert status == SUCCEEDED and not result.target.has_position
    (detection,) = wait_until(lambda: flat)[0].detections
    assert flat[0].header == detection.header == result.target.header and detection.header.frame_id == FRAME
    assert (detection.bbox.center.position.x, detection.bbox.center.position.y) == (48.0, 36.0)
    assert (detection.bbox.size_x, detection.bbox.size_y) == (32.0, 24.0) and detection.id == "the mug"
    hypothesis = detection.results[0].hypothesis
    assert hypothesis.class_id == "the mug" and hypothesis.score == pytest.approx(0.75)
    assert not wait_until(lambda: solid)[0].detections, "no position, no box in space"
    outline = wait_until(lambda: drawn)[0].points[-1]
    assert [(p.x, p.y) for p in outline.points] == [(32.0, 24.0), (64.0, 24.0), (64.0, 48.0), (32.0, 48.0)]
    assert outline.timestamp == drawn[0].texts[0].timestamp == result.target.header.stamp
    assert drawn[0].texts[0].text == "the mug (75 %)"

    bench.depth = depth_image(np.full((48, 64), 0.8))
    bench.info = CameraInfo(header=Header(frame_id=FRAME), width=64, height=48, k=K)
    wait_until(lambda: bench.ground("the mug")[1].target.has_position)
    (detection,) = wait_until(lambda: solid[-1].detections)
    position, size = detection.bbox.center.position, detection.bbox.size
    assert (position.x, position.y, position.z) == pytest.approx((0.128, 0.096, 0.8), abs=1e-4)
    assert (size.x, size.y) == pytest.approx((0.256, 0.192), abs=1e-4) and detection.header.frame_id == FRAME
    assert detection.results[0].pose.pose == detection.bbox.center


def test_live_speech_counts_when_it_is_final(make_bench):
    from hri_msgs.msg import LiveSpeech

    topic = "/humans/voices/ann/speech"
    bench = make_bench({"the mug": MUGS}, live_speech_topic=topic)
    ann = bench.client.create_publisher(LiveSpeech, topic, 10)
    wait_until(lambda: ann.get_subscription_count() > 0 and bench.node.count_publishers(topic) > 0)
    for words in ("the", "the mug"):
        ann.publish(LiveSpeech(incremental=words))  # zero stamps, as many recognisers send them
    ann.publish(LiveSpeech(incremental="the mug", final="the mug", confidence=0.9, language="en-GB"))
    bench.hear(QUESTION)
    ann.publish(LiveSpeech(final="the red one"))
    bench.hear("I see it.")
    said = lambda: [turn.text for turn in bench.turns if turn.speaker == "person"]  # noqa: E731
    wait_until(lambda: said() == ["the mug", "the red one"], what="both turns, and no other")


def test_transforms_travel_as_tf2_sends_them(make_bench, monkeypatch):
    """/tf_static and tf2_msgs/TFMessage; the buffer is tf2_ros's where it is installed, else the one of test_frames."""
    from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
    from tf2_msgs.msg import TFMessage

    if importlib.util.find_spec("tf2_ros") is None:
        module = stand_in()

        class TransformListener:
            def __init__(self, buffer, node):
                def keep(message):
                    for each in message.transforms:
                        buffer.known[(each.header.frame_id, each.child_frame_id)] = each

                self._end = lambda: node.destroy_subscription(subscription)
                subscription = node.create_subscription(TFMessage, "/tf_static", keep, LATCHED)

            def unregister(self):
                self._end()

        module.TransformListener = TransformListener
        monkeypatch.setitem(sys.modules, "tf2_ros", module)
    bench = make_bench({"the mug": MUGS[1:]}, target_frame="base_link")
    bench.depth = depth_image(np.full((48, 64), 0.8))
    bench.info = CameraInfo(header=Header(frame_id=FRAME), width=64, height=48, k=K)
    looks_forward = Transform(translation=Vector3(z=1.0), rotation=Quaternion(x=-0.5, y=0.5, z=-0.5, w=0.5))
    transform = TransformStamped(header=Header(frame_id="base_link"), child_frame_id=FRAME, transform=looks_forward)
    bench.client.create_publisher(TFMessage, "/tf_static", LATCHED).publish(TFMessage(transforms=[transform]))
    position = wait_until(lambda: seen_from_the_base(bench))
    assert (position.x, position.y, position.z) == pytest.approx((0.8, -0.128, 1 - 0.096), abs=1e-4)


def seen_from_the_base(bench):
    target = bench.ground("the mug")[1].target
    return target.position.point if target.position.header.frame_id == "base_link" else None


class Engine:
    """A text-to-speech server: `said` holds the goals; each is spoken until `finish`. `obedient` False: it rejects."""

    def __init__(self, bench, name: str, kind: str) -> None:
        if kind == TTS:
            from tts_msgs.action import TTS as action
        else:
            from communication_skills.action import Say as action
        self.bench, self.action, self.said, self.obedient = bench, action, [], True
        self._speaking: list = []
        self.server = ActionServer(
            bench.client, action, name, self._execute, callback_group=ReentrantCallbackGroup(),
            goal_callback=lambda goal: GoalResponse.ACCEPT if self.obedient else GoalResponse.REJECT,
            cancel_callback=lambda handle: CancelResponse.ACCEPT,
        )  # fmt: skip
        self.ears = bench.part(Speech)
        self.voice = bench.part(Outputs)._voice
        wait_until(self.voice._client.server_is_ready, what="the engine")

    def close(self) -> None:
        if self.server is not None:
            self.bench.spinner.call(self.server.destroy)
            self.server = None

    def hear(self, text: str) -> None:
        wait_until(lambda: [goal.input for goal in self.said][-1:] == [text], what=f"{text!r}: {self.said}")
        assert self.voice.speaking

    def finish(self, error: str = "") -> None:
        """The oldest utterance ends, and the node has learnt it."""
        utterance = self.voice._utterance
        future, handle = self._speaking.pop(0)
        self.bench.spinner.call(lambda: future.set_result(error))
        wait_until(lambda: not self.voice.speaking or self.voice._utterance > utterance, what="the end of it")

    async def _execute(self, handle):
        end = Future(executor=self.bench.client.executor)
        self._speaking.append((end, handle))
        self.said.append(handle.request)
        error = await end
        if error:
            handle.abort()
        else:
            handle.succeed()
        result = self.action.Result()
        complaint = result if hasattr(result, "error_msg") else result.result
        complaint.error_msg = error
        return result


@pytest.fixture
def make_engine(make_bench):
    made = []

    def make(*arguments) -> Engine:
        made.append(Engine(*arguments))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


def hears(engine) -> bool:
    """Whether words would be listened to now."""
    return not engine.ears._robot_speaks(0.0)


@pytest.mark.parametrize("kind, name", [(TTS, "/tts_engine/tts"), (SAY, "/skill/say")])
def test_the_voice_speaks_and_mutes_the_ears_until_it_has_ended(make_bench, make_engine, kind, name):
    bench = make_bench({"the mug": MUGS}, say_action=name, say_action_type=kind)
    engine = make_engine(bench, name, kind)
    bench.say("the mug")
    engine.hear(QUESTION)
    bench.hear(QUESTION)  # on `utterance` as well
    if kind == SAY:
        assert (engine.said[0].meta.caller, engine.said[0].meta.priority) == ("clue", 128)
    assert not hears(engine)
    bench.say(QUESTION)  # the microphone hears the loudspeaker
    assert bench.answer(text="the red one").accepted, "the service is no microphone"
    bench.hear("I see it.")
    wait_until(lambda: bench.targets)
    assert len(bench.targets) == 1 and len(engine.said) == 1, "it waits until the question has been spoken"
    engine.finish()
    engine.hear("I see it.")
    engine.finish()
    assert hears(engine)
    said = lambda: [turn.text for turn in bench.turns if turn.speaker == "person"]  # noqa: E731
    wait_until(lambda: said() == ["the mug", "the red one"], what="both turns, and no other")


def test_only_the_newest_of_those_that_wait_is_spoken(make_bench, make_engine):
    bench = make_bench(say_action="tts")
    engine = make_engine(bench, "tts", TTS)
    for text in ("one", "two", "three"):
        bench.node_spinner.call(lambda text=text: engine.voice.say(text))
    engine.hear("one")
    engine.finish()
    engine.hear("three")
    engine.finish()
    assert [goal.input for goal in engine.said] == ["one", "three"] and hears(engine)


def test_a_voice_that_is_away_rejects_or_fails_holds_nothing_up_and_is_named_once(make_bench, make_engine, capfd):
    bench = make_bench({"the mug": MUGS[1:]}, say_action="tts")
    spoken = []

    def complaints() -> int:
        spoken.append(capfd.readouterr().err)
        return "".join(spoken).count("tts does not speak:")

    voice = bench.part(Outputs)._voice
    assert not voice._client.server_is_ready()
    assert [bench.ground("the mug")[0] for _ in range(3)] == [SUCCEEDED] * 3
    wait_until(lambda: complaints() == 1, what="no server")
    engine = make_engine(bench, "tts", TTS)
    assert bench.ground("the mug")[0] == SUCCEEDED
    engine.hear("I see it.")
    engine.finish()
    engine.obedient = False
    assert [bench.ground("the mug")[0] for _ in range(2)] == [SUCCEEDED] * 2
    wait_until(lambda: complaints() == 2, what="a rejection, named again because it had spoken in between")
    wait_until(lambda: hears(engine))
    engine.obedient = True
    assert bench.ground("the mug")[0] == SUCCEEDED
    engine.hear("I see it.")
    engine.finish(error="the loudspeaker is gone")
    assert hears(engine) and "".join(spoken).count("does not speak") == 2


def test_a_voice_that_hangs_or_dies_does_not_leave_the_robot_deaf(make_bench, make_engine, monkeypatch):
    bench = make_bench(say_action="tts")
    engine = make_engine(bench, "tts", TTS)
    bench.node_spinner.call(lambda: engine.voice.say("one"))
    engine.hear("one")
    bench.node_spinner.call(lambda: engine.voice.say("overtaken"))
    assert not hears(engine)
    monkeypatch.setattr(voice_module, "PATIENCE_S", 0.0)
    assert hears(engine), "it hangs"
    monkeypatch.setattr(voice_module, "PATIENCE_S", 3600.0)  # no undo(): the stand-ins would leave sys.path with it
    assert not hears(engine)
    engine.close()
    wait_until(lambda: hears(engine), what="it died")
    assert bench.lifecycle("deactivate") == bench.lifecycle("cleanup") == TransitionCallbackReturn.SUCCESS


def test_bad_names_and_types_of_the_voice_are_refused(make_bench):
    bench = make_bench(activate=False)
    for name, value in (("say_action", "what? ever"), ("say_action_type", "std_msgs/action/Shout")):
        refused = bench.node.set_parameters([Parameter(name, value=value)])[0]
        assert not refused.successful and name in refused.reason
