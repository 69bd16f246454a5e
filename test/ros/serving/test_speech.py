"""What the node hears, and what it must not hear, over DDS."""

from __future__ import annotations

import importlib.util
import sys

import pytest
from bench import SUCCEEDED, wait_until
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_msgs.msg import Bool
from test_frames import see, stand_in

from clue_ros.action import Ground
from clue_ros.ros.running.errors import MissingPackageError
from clue_ros.ros.serving.speech import Speech, live_speech_type
from clue_ros.ros.serving.voice import KINDS
from clue_ros.ros.wire import frames
from clue_ros.testing.fake_grounder import Say
from clue_ros.types import Box

QUESTION = "Which mug?"
MUGS = [Say.ask(QUESTION), Say.found(Box(1, 2, 3, 4))]


def heard(bench) -> list:
    return [turn.text for turn in bench.turns if turn.speaker == "person"]


def watch(bench, monkeypatch) -> list:
    """What reaches the node's ears from now on, each text after the node has dealt with it."""
    words, ears = [], bench.part(Speech)
    real = ears._on_words
    monkeypatch.setattr(ears, "_on_words", lambda text: (real(text), words.append(text)))
    return words


def say(bench, words: list, text: str) -> None:
    """Says it and waits until the node has dealt with it."""
    count = len(words)
    bench.say(text)
    wait_until(lambda: len(words) > count, what=f"{text!r} at the node")


def test_speech_that_only_answers(make_bench, monkeypatch):
    bench = make_bench({"the mug": MUGS}, speech_mode="answer")
    words = watch(bench, monkeypatch)
    say(bench, words, "the cup")
    assert not bench.node.busy and not bench.grounder.calls, "an open microphone must not move a robot"
    goal = bench.goal("the mug")
    bench.hear(QUESTION)
    bench.say("the red one")
    assert goal.finish()[0] == SUCCEEDED
    goal = bench.goal("the mug")
    wait_until(lambda: bench.utterances.count(QUESTION) == 2)
    bench.say("never mind")
    assert goal.finish()[1].error_code == goal.finish()[1].ABANDONED
    bench.node.set_parameters([Parameter("speech_mode", value="start")])
    bench.say("the cup")
    wait_until(lambda: [target for target in bench.targets if target.expression == "the cup"])


def test_speech_off(make_bench, monkeypatch):
    bench = make_bench({"the mug": MUGS}, speech_mode="off")
    words = watch(bench, monkeypatch)
    goal = bench.goal("the mug")
    bench.hear(QUESTION)
    say(bench, words, "the red one")
    wait_until(lambda: heard(bench))
    assert not goal.done and heard(bench) == ["the mug"]
    assert bench.answer(kind=0, text="the red one").accepted, "the service is no microphone"
    assert goal.finish()[0] == SUCCEEDED


def test_the_robot_does_not_answer_itself(make_bench, monkeypatch):
    bench = make_bench({"the mug": MUGS}, mute_after_utterance_s=60.0)
    words = watch(bench, monkeypatch)
    bench.say("the mug")
    bench.hear(QUESTION)
    say(bench, words, QUESTION)  # what the microphone hears of it
    assert len(bench.grounder.calls) == 1 and bench.node.busy
    bench.node.set_parameters([Parameter("mute_after_utterance_s", value=0.0)])
    bench.say("the red one")
    bench.hear("I see it.")
    wait_until(lambda: heard(bench) == ["the mug", "the red one"], what="both turns, and no other")


def test_a_muted_robot_still_stops(make_bench, monkeypatch):
    bench = make_bench({"the mug": MUGS}, mute_after_utterance_s=60.0)
    words = watch(bench, monkeypatch)
    goal = bench.goal("the mug")
    bench.hear(QUESTION)
    bench.say("Stop!")
    assert goal.finish()[1].error_code == goal.finish()[1].ABANDONED
    bench.hear("All right, never mind.")
    say(bench, words, "All right, never mind.")
    assert not bench.node.busy and len(bench.grounder.calls) == 1


@pytest.mark.parametrize("mode", ["start", "off"])
def test_stop_while_a_position_is_looked_for(make_bench, monkeypatch, mode):
    monkeypatch.setitem(sys.modules, "tf2_ros", stand_in())
    bench = make_bench(target_frame="base_link", speech_mode=mode)
    see(bench)
    monkeypatch.setattr(frames, "PATIENCE_S", 600.0)  # for a transform that never comes
    targets = len(bench.targets)
    goal = bench.goal("the mug")
    wait_until(lambda: goal.reached(Ground.Feedback.PROJECTING))
    bench.say("Stop!")
    assert goal.finish()[1].error_code == Ground.Result.ABANDONED
    bench.hear("All right, never mind.")
    assert len(bench.targets) == targets and not bench.answer(text="the other one").accepted, "it gave no target"


def test_speaking_mutes_while_its_publisher_lives(make_bench, monkeypatch):
    bench = make_bench({"the mug": MUGS})
    words = watch(bench, monkeypatch)
    ears = bench.part(Speech)
    voice = bench.client.create_publisher(Bool, "speaking", 10)
    wait_until(lambda: voice.get_subscription_count() > 0 and bench.node.count_publishers("speaking") > 0)
    voice.publish(Bool(data=True))
    wait_until(lambda: ears._says_it_speaks)
    say(bench, words, "the mug")
    assert not bench.node.busy and not bench.grounder.calls
    voice.publish(Bool(data=False))
    wait_until(lambda: not ears._says_it_speaks)
    bench.say("the mug")
    bench.hear(QUESTION)
    voice.publish(Bool(data=True))
    wait_until(lambda: ears._says_it_speaks)
    say(bench, words, "the blue one")
    assert len(bench.grounder.calls) == 1
    bench.drop(voice)  # it died while it spoke
    wait_until(lambda: bench.node.count_publishers("speaking") == 0)
    bench.say("the red one")
    bench.hear("I see it.")
    wait_until(lambda: heard(bench) == ["the mug", "the red one"], what="both turns, and no other")


@pytest.mark.skipif(importlib.util.find_spec("hri_msgs") is not None, reason="hri_msgs is here")
def test_a_node_without_hri_msgs_does_not_configure_and_says_why(make_bench):
    with pytest.raises(MissingPackageError, match="ros-.ROS_DISTRO-hri-msgs"):
        live_speech_type("/humans/voices/ann/speech")
    bench = make_bench(activate=False, live_speech_topic="/humans/voices/ann/speech")
    assert bench.lifecycle("configure") == TransitionCallbackReturn.FAILURE
    bench.node.set_parameters([Parameter("live_speech_topic", value="")])
    assert bench.lifecycle("configure") == TransitionCallbackReturn.SUCCESS
    refused = bench.node.set_parameters([Parameter("live_speech_topic", value="what? ever")])[0]
    assert not refused.successful and "live_speech_topic" in refused.reason


@pytest.mark.parametrize("kind", KINDS)
def test_a_node_without_the_package_of_its_voice_does_not_configure_and_says_why(make_bench, capfd, kind):
    package = kind.split("/")[0]
    if importlib.util.find_spec(package) is not None:
        pytest.skip(f"{package} is here")
    bench = make_bench(activate=False, say_action="/skill/say", say_action_type=kind)
    assert bench.lifecycle("configure") == TransitionCallbackReturn.FAILURE
    wait_until(lambda: f"but {package} cannot be imported" in capfd.readouterr().err)
    bench.node.set_parameters([Parameter("say_action", value="")])
    assert bench.lifecycle("configure") == TransitionCallbackReturn.SUCCESS
