"""Speech, the answer service and the ambiguity service over DDS."""

from __future__ import annotations

import numpy as np
import pytest
from bench import ABORTED, FRAME, SUCCEEDED, TIMEOUT, wait_until
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from test_answers import Held
from test_speech import say, watch

from clue_ros.action import Ground
from clue_ros.dialogue.phrases import UNSURE
from clue_ros.msg import Box as BoxMsg
from clue_ros.ros.wire.conversions import rgb_to_image
from clue_ros.ros.wire.messages import msg_to_attention_map
from clue_ros.srv import Answer
from clue_ros.testing.fake_grounder import Say
from clue_ros.types import Box

Code = Ground.Result
QUESTION = "Which mug?"
MUGS = [Say.ask(QUESTION), Say.found(Box(1, 2, 3, 4))]


def test_a_spoken_instruction(make_bench):
    bench = make_bench({"the mug": MUGS, "the cup": Say.found(confidence=0.3)})
    bench.say("the mug")
    bench.hear(QUESTION)
    assert not bench.targets
    bench.say("the red one")
    bench.hear("I see it.")
    target = wait_until(lambda: bench.targets)[0]
    assert target.expression == "the mug" and target.header.frame_id == FRAME
    wait_until(lambda: len(bench.turns) == 4)
    assert [(turn.speaker, turn.text) for turn in bench.turns] == [
        ("person", "the mug"), ("robot", QUESTION), ("person", "the red one"), ("robot", "I see it."),
    ]  # fmt: skip
    bench.say("the cup")  # the dialogue is over: an instruction again
    wait_until(lambda: len(bench.targets) == 2)
    bench.hear(UNSURE)


def test_the_person_hears_why_an_instruction_fails(make_bench):
    bench = make_bench({"the mug": Say.unknown("mug"), "the cup": Say.failure(ValueError("boom"))})
    bench.say("the mug")
    bench.hear('I do not know the word "mug".')
    bench.say("the cup")
    wait_until(lambda: any(words.startswith("I cannot do that:") for words in bench.utterances))


def test_never_mind_while_the_model_works(make_bench):
    bench = make_bench({"the mug": Say.found(delay_s=600.0)})
    bench.say("the mug")
    assert bench.grounder.working.wait(TIMEOUT)
    bench.say("Never mind!")
    bench.hear("All right, never mind.")
    assert bench.grounder.stopped.wait(TIMEOUT)


def test_a_new_instruction_replaces_a_spoken_one_that_has_asked_nothing(make_bench):
    bench = make_bench({"the mug": Say.found(delay_s=600.0)})
    bench.say("the mug")
    assert bench.grounder.working.wait(TIMEOUT)
    bench.say("the cup")
    assert wait_until(lambda: bench.targets)[0].expression == "the cup"


def test_speech_does_not_replace_a_goal(make_bench, monkeypatch):
    bench = make_bench(grounder=Held({}, 0))
    words = watch(bench, monkeypatch)
    goal = bench.goal("the mug")
    assert bench.grounder.working.wait(TIMEOUT)
    say(bench, words, "some words in passing")
    bench.grounder.let_go.set()
    assert goal.finish()[0] == SUCCEEDED
    assert [call[0] for call in bench.grounder.calls] == ["the mug"]


def test_a_goal_preempts_a_spoken_instruction(make_bench):
    bench = make_bench({"the mug": MUGS})
    bench.say("the mug")
    bench.hear(QUESTION)
    assert bench.ground("the cup")[0] == SUCCEEDED


def test_answer_by_click(make_bench):
    bench = make_bench({"the mug": MUGS})
    goal = bench.goal("the mug")
    bench.hear(QUESTION)
    outside = bench.answer(kind=Answer.Request.POINT, x=64.5, y=3.0)
    assert not outside.accepted and "64x48" in outside.message
    assert bench.answer(kind=Answer.Request.POINT, x=12.0, y=30.0).accepted
    status, result = goal.finish()
    assert status == SUCCEEDED
    assert result.turns[2].text == "(click 12 30)"
    assert bench.grounder.calls[-1][1][0].answer.point == (12.0, 30.0)


@pytest.mark.parametrize(
    "fields, accepted",
    [
        ({"kind": Answer.Request.TEXT, "text": "the red one"}, True),
        ({"kind": Answer.Request.TEXT, "text": "  "}, False),
        ({"kind": Answer.Request.TEXT, "text": "x" * 1001}, False),
        ({"kind": Answer.Request.BOX, "box": BoxMsg(x0=1.0, y0=1.0, x1=9.0, y1=9.0)}, True),
        ({"kind": Answer.Request.BOX, "box": BoxMsg(x0=9.0, y0=1.0, x1=1.0, y1=9.0)}, False),
        ({"kind": Answer.Request.POINT, "x": float("nan"), "y": 1.0}, False),
        ({"kind": 7}, False),
    ],
    ids=["text", "blank", "long", "box", "inverted box", "nan", "kind"],
)
def test_answer_service(make_bench, fields, accepted):
    bench = make_bench({"the mug": MUGS})
    assert bench.answer(**fields).message == "no question is open"
    goal = bench.goal("the mug")
    bench.hear(QUESTION)
    response = bench.answer(**fields)
    assert response.accepted is accepted and bool(response.message) is not accepted
    if accepted:
        assert goal.finish()[0] == SUCCEEDED
        assert not bench.answer(**fields).accepted, "a second answer has no question"
    else:
        assert not goal.done, "a bad answer leaves the question open"


def test_detect_ambiguity(make_bench):
    bench = make_bench({"the mug": Say.ask(probability=0.8)})
    wait_until(lambda: bench.detect("the mug").success)
    response = bench.detect("the mug")
    assert response.error_code == Code.NONE and response.ambiguity.is_ambiguous
    assert response.ambiguity.probability == pytest.approx(0.8)
    assert response.ambiguity.header.frame_id == FRAME
    assert msg_to_attention_map(response.ambiguity)[4, 4] == 1.0
    assert [region.strength for region in response.ambiguity.regions] == [1.0, 0.5]
    assert not bench.utterances, "it never starts a dialogue"
    assert bench.detect(" ").error_code == Code.INVALID_EXPRESSION
    assert (
        bench.detect("the mug", image=Image(encoding="xyz", height=1, width=1)).error_code == Code.UNSUPPORTED_ENCODING
    )


def test_detect_ambiguity_while_a_question_is_open(make_bench):
    bench = make_bench({"the mug": MUGS})
    goal = bench.goal("the mug")
    bench.hear(QUESTION)
    assert bench.detect("the cup").success
    bench.say("the red one")
    assert goal.finish()[0] == SUCCEEDED


def test_detect_ambiguity_without_a_camera(make_bench):
    bench = make_bench(camera=False, wait_for_image_s=0.1)
    assert bench.detect("the mug").error_code == Code.NO_IMAGE
    pixels = np.zeros((8, 8, 3), np.uint8)
    assert bench.detect("the mug", image=rgb_to_image(pixels, Header())).success


def test_compressed_camera(make_bench):
    import cv2

    bench = make_bench(camera=False, image_transport="compressed")
    publisher = bench.client.create_publisher(CompressedImage, "image/compressed", 10)
    wait_until(lambda: publisher.get_subscription_count() > 0)
    ok, data = cv2.imencode(".png", np.full((20, 30, 3), (250, 100, 10), np.uint8))
    assert ok
    message = CompressedImage(header=Header(frame_id=FRAME), format="png", data=data.tobytes())
    bench.client.create_timer(0.05, lambda: publisher.publish(message))  # zero stamps: some drivers never set them
    status, result = bench.ground("the mug")
    assert status == SUCCEEDED and result.target.header.frame_id == FRAME
    assert bench.grounder.images[0].shape == (20, 30, 3) and tuple(bench.grounder.images[0][0, 0]) == (10, 100, 250)


def test_debug_image_only_if_somebody_listens(make_bench, monkeypatch):
    drawn = []
    from clue_ros.visualization import debug_image

    real = debug_image.draw_debug
    monkeypatch.setattr(debug_image, "draw_debug", lambda *a: drawn.append(a) or real(*a))
    bench = make_bench()
    assert bench.ground("the mug")[0] == SUCCEEDED and not drawn
    pictures = []
    bench.client.create_subscription(Image, "debug_image", pictures.append, 1)
    wait_until(lambda: bench.node.count_subscribers("debug_image") > 0)
    # The first ones go by while DDS matches the two ends.
    wait_until(lambda: bench.ground("the mug")[0] == SUCCEEDED and pictures)
    picture = pictures[0]
    assert (picture.height, picture.width, picture.encoding) == (48, 64, "rgb8") and drawn


def test_deactivation_during_a_goal_gives_a_result(make_bench):
    bench = make_bench({"the mug": MUGS})
    goal = bench.goal("the mug")
    bench.hear(QUESTION)
    bench.lifecycle("deactivate")
    status, result = goal.finish()
    assert (status, result.error_code) == (ABORTED, Code.NOT_ACTIVE)
    assert not bench.goal("the mug").accepted
    assert bench.detect("the mug").error_code == Code.NOT_ACTIVE
    assert not bench.answer(kind=0, text="the red one").accepted
    bench.say("the mug")
    bench.lifecycle("activate")
    assert bench.ground("the cup")[0] == SUCCEEDED
