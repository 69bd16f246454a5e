"""Corrections after the result, over DDS: by speech and by the answer service, what is published, what must not
move.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
from bench import FRAME, SUCCEEDED, TIMEOUT, depth_image, wait_until
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from clue_ros.action import Ground
from clue_ros.dialogue.correction import QUESTION as WHICH
from clue_ros.msg import Correction
from clue_ros.ros.wire.messages import box_to_msg, msg_to_box
from clue_ros.srv import Answer
from clue_ros.testing.fake_grounder import Say, ScriptedGrounder
from clue_ros.types import Box

RED, BLUE, GREEN = Box(4, 4, 14, 14), Box(40, 4, 50, 14), Box(40, 30, 50, 40)
QUESTION = "Do you mean the red mug or the blue mug?"
REOPENED, CORRECTED = Correction.REOPENED, Correction.CORRECTED
WITHDRAWN, FAILED = Correction.WITHDRAWN, Correction.FAILED


class Mugs(ScriptedGrounder):
    """Two mugs; what was said last decides, a click finds what lies there."""

    question = QUESTION
    things = (("red", RED), ("blue", BLUE))

    def _line(self, expression, turns):
        if not turns:
            return Say.ask(self.question) if expression == "the mug" else Say.found(RED)
        answer = turns[-1].answer
        if answer.point is not None:
            x, y = answer.point
            boxes = [box for _, box in self.things if box.x0 <= x <= box.x1 and box.y0 <= y <= box.y1]
            return Say.found(boxes[0]) if boxes else Say.not_found()
        boxes = [box for name, box in self.things if name in answer.text]
        return Say.found(boxes[0], delay_s=self.delay_s) if boxes else Say.not_found()


class ThreeMugs(Mugs):
    things = (*Mugs.things, ("green", GREEN))
    question = "Do you mean the red mug, the blue mug or the green mug?"


@pytest.fixture
def mugs(make_bench):
    """mugs(**parameters) -> (bench, goal): a goal for the mug, answered with "the red one" and found."""

    def make(grounder=None, **parameters):
        bench = make_bench(grounder=grounder or Mugs(), **parameters)
        goal = bench.goal("the mug")
        bench.hear(bench.grounder.question)
        assert bench.answer(text="the red one").accepted
        status, result = goal.finish()
        assert status == SUCCEEDED and msg_to_box(result.target.box) == RED
        bench.hear("I see it.")
        wait_until(lambda: bench.targets)
        return bench, goal

    return make


def states(bench):
    return [correction.state for correction in bench.corrections]


def corrected(bench, count: int = 1) -> Correction:
    """The correction that ended, as the n-th one."""
    ended = lambda: [c for c in bench.corrections if c.state != REOPENED]  # noqa: E731
    return wait_until(lambda: len(ended()) >= count and ended()[count - 1], what="correction")


@pytest.mark.parametrize("words", ["the other one", "No, not that one!", "no, the blue one"])
def test_another_target_by_speech(mugs, words):
    bench, goal = mugs()
    images = len(bench.grounder.images)
    first = bench.targets[0]
    assert (first.dialogue, first.corrects) == (goal.id, "")
    bench.say(words)
    done = corrected(bench)
    assert states(bench) == [REOPENED, CORRECTED] and msg_to_box(done.target.box) == BLUE
    assert {c.corrects for c in bench.corrections} == {goal.id} and len({c.dialogue for c in bench.corrections}) == 1
    assert done.dialogue not in ("", goal.id) and done.text == words and done.error_code == 0
    target = wait_until(lambda: len(bench.targets) == 2 and bench.targets[1])
    assert target == done.target and (target.dialogue, target.corrects) == (done.dialogue, goal.id)
    assert target.header == first.header and target.expression == "the mug", "the same image, the same instruction"
    assert len(bench.grounder.images) == images, "the image is not encoded again"
    wait_until(lambda: bench.utterances.count("I see it.") == 2 and words in [turn.text for turn in bench.turns])
    if words == "no, the blue one":
        said = bench.grounder.calls[-1][1]
        assert [turn.question for turn in said] == [QUESTION, WHICH] and said[1].answer.text == "the blue one"


def test_of_an_instruction_that_was_spoken_and_of_a_correction(make_bench):
    bench = make_bench(grounder=Mugs())
    bench.say("the red mug")
    first = wait_until(lambda: bench.targets)[0]
    assert len(first.dialogue) == 32
    bench.say("I meant the blue one")
    assert corrected(bench).corrects == first.dialogue
    wait_until(lambda: len(bench.targets) == 2)
    bench.say("no, the red one")
    assert corrected(bench, 2).corrects == bench.targets[1].dialogue
    assert msg_to_box(corrected(bench, 2).target.box) == RED


def test_never_mind_takes_it_back(mugs):
    bench, goal = mugs(mute_after_utterance_s=60.0)
    calls = len(bench.grounder.calls)
    bench.say("Never mind!")  # heard although the robot speaks
    assert corrected(bench).corrects == goal.id and states(bench) == [WITHDRAWN]
    bench.hear("All right, never mind.")
    assert len(bench.grounder.calls) == calls and len(bench.targets) == 1 and not bench.node.busy


def test_several_others_are_asked_about_and_answered_by_speech(mugs):
    bench, _ = mugs(ThreeMugs())
    bench.say("not that one")
    bench.hear("Do you mean the blue mug or the green mug?")
    wait_until(lambda: bench.corrections)
    assert states(bench) == [REOPENED], "the target is taken back before there is another"
    bench.say("the green one")
    assert msg_to_box(corrected(bench).target.box) == GREEN


def test_nothing_else_there(mugs):
    bench, goal = mugs()
    bench.say("the other one")
    corrected(bench)
    bench.say("no")  # the blue one is not it either, and the red one was rejected
    failed = corrected(bench, 2)
    assert (failed.state, failed.error_code) == (FAILED, Ground.Result.NOT_FOUND) and failed.error_msg
    bench.hear("I see no other one.")
    calls = len(bench.grounder.calls)
    for late in (
        "never mind",
        "Stop!",
        "no",
        "ok, thank you",
    ):  # nothing to take back, and nothing that is called "stop"
        bench.say(late)
    bench.say("the bowl")
    wait_until(lambda: len(bench.grounder.calls) > calls)
    assert [call[0] for call in bench.grounder.calls[calls:]] == ["the bowl"]


def test_an_open_microphone_must_not_move_a_robot(mugs):
    bench, goal = mugs(speech_mode="answer")
    calls = len(bench.grounder.calls)
    bench.say("no, the blue one")
    assert corrected(bench).state == WITHDRAWN and corrected(bench).corrects == goal.id
    bench.hear("All right, not that one.")
    assert len(bench.grounder.calls) == calls and len(bench.targets) == 1
    assert bench.corrections[0].text == "no, the blue one", "what a client may send on"


def test_speech_off_hears_no_correction_but_the_service_is_no_microphone(mugs):
    bench, _ = mugs(speech_mode="off")
    bench.say("the other one")
    refused = bench.answer(text="the weather")
    assert not refused.accepted and "corrects no target" in refused.message and not bench.corrections
    assert bench.answer(text="the other one").accepted
    assert msg_to_box(corrected(bench).target.box) == BLUE


def test_by_a_click(mugs):
    bench, _ = mugs(ThreeMugs())
    assert not bench.answer(kind=Answer.Request.POINT, x=RED.center[0], y=RED.center[1]).accepted, "it is the target"
    assert not bench.answer(kind=Answer.Request.POINT, x=65.0, y=1.0).accepted, "outside the image"
    assert bench.answer(kind=Answer.Request.POINT, x=GREEN.center[0], y=GREEN.center[1]).accepted
    done = corrected(bench)
    assert msg_to_box(done.target.box) == GREEN and done.text == "(click 45 35)"


def test_the_window_ends(mugs):
    bench, _ = mugs(correction_window_s=0.2)
    time.sleep(0.3)
    assert bench.answer(text="the other one").message == "no question is open"
    bench.node.set_parameters([Parameter("correction_window_s", value=0.0)])
    assert bench.ground("the bowl")[0] == SUCCEEDED
    assert not bench.answer(text="the other one").accepted and not bench.corrections


def test_a_new_goal_or_deactivation_ends_it(mugs):
    bench, _ = mugs()
    assert bench.ground("zyzzyva", ambiguity_policy=9)[1].error_code == Ground.Result.UNKNOWN
    bench.grounder.script = {}
    goal = bench.goal("the mug")
    wait_until(lambda: bench.utterances.count(QUESTION) == 2)
    goal.cancel()
    goal.finish()
    assert not bench.answer(text="the other one").accepted, "the last dialogue gave no target"
    assert bench.ground("the bowl")[0] == SUCCEEDED
    bench.lifecycle("deactivate")
    bench.lifecycle("activate")
    assert not bench.answer(text="the other one").accepted and not bench.corrections


def test_a_goal_ends_a_correction_that_runs(mugs):
    bench, _ = mugs()
    bench.grounder.delay_s = 600.0
    bench.grounder.working.clear()
    bench.say("the other one")
    assert bench.grounder.working.wait(TIMEOUT)
    bench.grounder.delay_s = 0.0
    assert bench.ground("the bowl")[0] == SUCCEEDED
    failed = corrected(bench)
    assert (failed.state, failed.error_code) == (FAILED, Ground.Result.PREEMPTED)


def test_the_position_is_that_of_the_same_image(make_bench):
    bench = make_bench(grounder=Mugs())
    metres = np.full((48, 64), 0.8)
    metres[:, 32:] = 0.5
    bench.depth = depth_image(metres)
    k = [100.0, 0.0, 31.5, 0.0, 100.0, 23.5, 0.0, 0.0, 1.0]
    bench.info = CameraInfo(header=Header(frame_id=FRAME), width=64, height=48, k=k)
    wait_until(lambda: bench.ground("the red mug")[1].target.has_position)
    bench.depth = bench.image = None  # the camera stops; the depth of that image is kept
    time.sleep(0.1)
    bench.say("no, the blue one")
    done = corrected(bench)
    assert done.target.has_position and done.target.position.point.z == pytest.approx(0.5)
    assert done.target.position.header.stamp == done.target.header.stamp == bench.targets[-1].header.stamp


def test_of_two_detections_the_other_one(make_bench):
    boxes = [box_to_msg(box) for box in (RED, BLUE)]

    class Chooses(Mugs):
        def ground(self, image, expression, turns=(), *, candidates=(), **rest):
            if turns and turns[-1].answer.point is not None:
                inside = [b for b in candidates if b.x0 <= turns[-1].answer.point[0] <= b.x1]
                candidates = inside or candidates
            return super().ground(image, expression, turns, candidates=candidates, **rest)

    bench = make_bench(grounder=Chooses())
    _, result = bench.ground("the red mug", candidates=boxes)
    assert result.chosen_candidate == 0
    bench.say("the other one")
    assert corrected(bench).chosen_candidate == 1 and msg_to_box(corrected(bench).target.box) == BLUE
