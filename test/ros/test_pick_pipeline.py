"""examples/pick_pipeline.py against the scripted Ground server: questions, positions, a plan for every error code."""

from __future__ import annotations

import functools
import importlib.util
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from bench import PATIENT, TIMEOUT, wait_until
from conftest import REPOSITORY
from rclpy.parameter import Parameter
from std_msgs.msg import String

from clue_ros.action import Ground
from clue_ros.ros.client import ClientCode, ClueClient
from clue_ros.ros.node import autostart
from clue_ros.ros.running.spinning import Spinner
from clue_ros.ros.scripted_ground import CODES, ScriptedGround

PATH = REPOSITORY / "examples" / "pick_pipeline.py"
Code = Ground.Result


@pytest.fixture
def example():
    spec = importlib.util.spec_from_file_location("pick_pipeline", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["pick_pipeline"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["pick_pipeline"]


@pytest.fixture
def server(domain):
    node = ScriptedGround(parameter_overrides=[Parameter(name, value=value) for name, value in PATIENT.items()])
    spinner = Spinner(node)
    node.spinner = spinner
    assert spinner.call(functools.partial(autostart, node))
    yield node
    spinner.call(node.stop_dialogues)
    spinner.close()
    node.destroy_node()


@pytest.fixture
def pipeline(example, server):
    """The example's pipeline with an arm, and answers from a list."""
    questions, answers, arm = [], [], example.StubArm(seconds=0.01)

    def ask(question):
        questions.append(question)
        return answers.pop(0)

    with ClueClient(server_timeout=TIMEOUT, acceptance_timeout=TIMEOUT) as clue, ThreadPoolExecutor(1) as threads:
        pipeline = example.PickPipeline(clue, ask, arm)
        pipeline.begin = lambda expression: threads.submit(pipeline.pick, expression)
        pipeline.pick_now = lambda expression: pipeline.begin(expression).result(300.0)
        assert clue.wait_until_ready(TIMEOUT).ok
        # The grey camera's first depth may come after its first image.
        wait_until(lambda: server.spinner.call(lambda: server.count_publishers("depth")) > 0)
        wait_until(lambda: server.count_subscribers("correction") > 0)
        pipeline.clue, pipeline.questions, pipeline.answers, pipeline.arm = clue, questions, answers, arm
        yield pipeline
        clue.close()  # whatever the pipeline waits for, it ends


def test_a_clear_instruction_moves_the_arm(pipeline):
    wait_until(lambda: pipeline.pick_now("the red mug").plan is None)
    assert pipeline.questions == [] and pipeline.arm.reached[-1][2] == pytest.approx(0.8)


def test_questions_are_answered_one_after_the_other(pipeline):
    wait_until(lambda: pipeline.pick_now("the red mug").plan is None)
    pipeline.answers.extend(["pardon?", "the blue one"])
    outcome = pipeline.pick_now("hand me the mug")
    assert outcome == (None, Code.NONE, "", 1)
    assert pipeline.questions == ["Which mug, the red or the blue one?"] * 2
    red, blue = pipeline.arm.reached[0], pipeline.arm.reached[-1]
    assert red[0] < 0 < blue[0], "the blue mug is right of the image's middle"


def test_every_error_code_has_a_plan(pipeline, example):
    assert set(example.PLANS) == set(CODES.values()) and set(example.CLIENT_PLANS) == set(ClientCode)
    retried = set()
    for name, code in CODES.items():
        outcome = pipeline.pick_now("the error " + name.lower().replace("_", " "))
        assert (outcome.code, outcome.plan) == (code, example.PLANS[code]), name
        assert outcome.message
        if outcome.attempts > 1:
            retried.add(name)
    assert retried == {"NO_IMAGE", "TIMEOUT", "NOT_ACTIVE", "MODEL_UNAVAILABLE"}
    assert pipeline.arm.reached == [], "no error may move the arm"


def test_never_mind_and_an_inactive_server_stop_it(pipeline, example, server):
    pipeline.answers.append("never mind")
    assert pipeline.pick_now("the mug")[:2] == (example.Plan.STOP, Code.ABANDONED)
    server.spinner.call(server.trigger_deactivate)
    outcome = pipeline.pick_now("the red mug")
    assert "not active" in outcome.message and outcome.attempts == example.ATTEMPTS
    assert pipeline.arm.reached == []


@pytest.fixture
def moving(pipeline, server):
    """The arm is on its way to the red mug, and takes its time; a person may speak. Gives the pick's task."""
    wait_until(lambda: pipeline.pick_now("the red mug").plan is None)
    voice = pipeline.clue.node.create_publisher(String, "speech", 10)
    wait_until(lambda: voice.get_subscription_count() > 0)
    pipeline.say = lambda text: voice.publish(String(data=text))
    pipeline.arm.seconds = 600.0
    pipeline.arm.reached.clear()
    pipeline.answers.append("the red one")
    task = pipeline.begin("the mug")
    wait_until(lambda: pipeline.arm.goes_to)
    # Its result is out, and the node has noted the target: from now on words may take it back.
    wait_until(lambda: server.spinner.call(lambda: server._conversation.corrigible and not server.busy))
    return task


def test_a_corrected_target_turns_the_arm(pipeline, moving):
    red = pipeline.arm.goes_to
    pipeline.say("no, the blue one")
    wait_until(lambda: pipeline.arm.goes_to not in (None, red))
    assert pipeline.arm.stops == 1 and pipeline.arm.goes_to[0] > 0 > red[0] and not moving.done()
    pipeline.arm.seconds = 0.01
    pipeline.say("no, the red one")  # of the correction's own target
    wait_until(moving.done)
    assert moving.result().plan is None and pipeline.arm.reached == [red] and pipeline.arm.stops == 2


def test_a_target_taken_back_stops_the_arm(pipeline, example, moving):
    pipeline.say("never mind")
    wait_until(moving.done)
    outcome = moving.result()
    assert (outcome.plan, outcome.code) == (example.Plan.STOP, Code.ABANDONED) and "never mind" in outcome.message
    assert pipeline.arm.stops == 1 and pipeline.arm.goes_to is None and pipeline.arm.reached == []


def test_as_a_program_with_answers_from_stdin(server, tmp_path):
    for answer, code, said in (("red\n", 0, "arm: picks at x -0.2"), ("", 1, "plan: stop")):
        done = subprocess.run(
            [sys.executable, str(PATH), "pick", "up", "the", "mug"], input=answer, capture_output=True, text=True,
            timeout=300, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == code and said in done.stdout, done.stdout + done.stderr
