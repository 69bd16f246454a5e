"""Grounded chat over DDS: the service, the topics, and that a dialogue never notices."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from bench import FRAME, SUCCEEDED, TIMEOUT, wait_until
from std_msgs.msg import Header, String

from clue_ros.action import Ground
from clue_ros.chat.answer import Writer
from clue_ros.msg import GroundedAnswer
from clue_ros.ros.wire.conversions import rgb_to_image
from clue_ros.srv import Chat
from clue_ros.testing.fake_grounder import Say
from clue_ros.types import Box, InvalidExpressionError, OutOfMemoryError

Code = Ground.Result
WHAT = "what is on the table?"
TWO = (
    Writer()
    .plain("I see ")
    .grounded("two müg", [(Box(1, 2, 30, 40), 0.9), (Box(31, 2, 60, 40), 0.8)])
    .plain(".")
    .answer(WHAT)
)
CHATS = {
    WHAT: TWO,
    "no": InvalidExpressionError("say more"),
    "full": OutOfMemoryError("no memory left"),
    "bug": ValueError("boom"),
}


@pytest.fixture
def bench(make_bench):
    made = make_bench({"the mug": [Say.ask("Which mug?"), Say.found(Box(1, 2, 3, 4))]})
    made.grounder.chats = CHATS
    made.answers = []
    made.client.create_subscription(GroundedAnswer, "chat_answer", made.answers.append, 10)
    made.asks = made.client.create_publisher(String, "chat", 10)
    made.chat_client = made.client.create_client(Chat, "chat")
    wait_until(lambda: made.chat_client.service_is_ready() and made.node.count_clients("chat") > 0)
    wait_until(lambda: made.asks.get_subscription_count() > 0 and made.node.count_subscribers("chat_answer") > 0)
    wait_until(lambda: made.client.count_publishers("chat_answer") > 0)
    wait_until(lambda: made.eye.frame_id, what="the first image")
    return made


def ask(bench, question, **fields):
    return bench.call(bench.chat_client, Chat.Request(question=question, **fields))


def test_the_service_answers_with_boxes_and_the_images_header(bench):
    response = ask(bench, WHAT)
    assert response.success and response.error_code == Code.NONE
    said = response.answer
    assert said.text == "I see two müg." and said.question == WHAT and said.header.frame_id == FRAME
    assert [said.text[p.start : p.end] for p in said.phrases] == [p.text for p in said.phrases] == ["two müg"] * 2
    assert (said.phrases[0].box.x0, said.phrases[1].box.x1) == (1.0, 60.0)
    assert said.phrases[1].confidence == pytest.approx(0.8)
    wait_until(lambda: bench.answers)
    assert bench.answers == [said], "the topic carries it too"


def test_a_question_on_the_topic_and_an_image_of_ones_own(bench):
    bench.asks.publish(String(data="  "))
    bench.asks.publish(String(data=WHAT))
    wait_until(lambda: bench.answers)
    assert bench.answers[0].text == TWO.text and bench.answers[0].header.stamp.sec > 0
    small = rgb_to_image(np.full((8, 10, 3), 7, np.uint8), Header(frame_id="elsewhere"))
    said = ask(bench, "what else?", image=small).answer
    assert said.header.frame_id == "elsewhere" and said.phrases[0].box.x1 <= 10
    assert bench.grounder.used[-1].shape == (8, 10, 3)


def test_a_chat_during_an_open_question_leaves_the_dialogue_as_it_is(bench):
    goal = bench.goal("the mug")
    bench.hear("Which mug?")
    wait_until(lambda: goal.reached(Ground.Feedback.WAITING_FOR_ANSWER))
    before = (len(bench.utterances), len(bench.turns), len(goal.feedback), list(bench.grounder.calls))
    assert ask(bench, WHAT).success
    bench.asks.publish(String(data="the red one"))  # words that would answer the question, had they been spoken
    bench.asks.publish(String(data="never mind"))
    wait_until(lambda: len(bench.answers) == 3)
    time.sleep(0.2)
    assert before == (len(bench.utterances), len(bench.turns), len(goal.feedback), list(bench.grounder.calls))
    assert not goal.done and not bench.targets and not bench.corrections
    assert bench.answer(kind=0, text="the red one").accepted
    status, result = goal.finish()
    assert status == SUCCEEDED and (result.target.box.x0, result.target.box.y1) == (1.0, 4.0)
    (turn,) = bench.grounder.calls[-1][1]
    assert (turn.question, turn.answer.text) == ("Which mug?", "the red one"), "the one turn that was spoken"


def test_a_chat_after_a_result_corrects_nothing(bench):
    bench.say("the bowl")
    wait_until(lambda: bench.targets)
    bench.asks.publish(String(data="the other one"))
    wait_until(lambda: bench.answers)
    time.sleep(0.1)
    assert len(bench.targets) == 1 and not bench.corrections


@pytest.mark.parametrize(
    "question, code",
    [
        ("no", Code.INVALID_EXPRESSION),
        ("", Code.INVALID_EXPRESSION),
        ("full", Code.OUT_OF_MEMORY),
        ("bug", Code.MODEL_ERROR),
    ],
)
def test_what_goes_wrong_has_a_code_and_the_node_stays_up(bench, question, code):
    response = ask(bench, question)
    assert not response.success and response.error_code == code == response.answer.error_code and response.error_msg
    assert ask(bench, WHAT).success


def test_an_unknown_camera_no_image_and_an_inactive_node(make_bench):
    bench = make_bench(camera=False, wait_for_image_s=0.1)
    bench.chat_client = bench.client.create_client(Chat, "chat")
    wait_until(bench.chat_client.service_is_ready)
    assert ask(bench, WHAT, camera="wrist").error_code == Code.UNKNOWN_CAMERA
    assert ask(bench, WHAT).error_code == Code.NO_IMAGE
    bench.lifecycle("deactivate")
    assert ask(bench, WHAT).error_code == Code.NOT_ACTIVE


def test_deactivation_ends_a_question_that_is_being_answered(bench):
    bench.grounder.delay_s = 600.0
    future = bench.chat_client.call_async(Chat.Request(question=WHAT))
    assert bench.grounder.working.wait(TIMEOUT)
    threading.Event().wait(0.05)
    bench.lifecycle("deactivate")
    wait_until(future.done)
    assert future.result().error_code == Code.NOT_ACTIVE
