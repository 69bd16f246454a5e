"""examples/pick_pipeline.py against the scripted Ground server: questions, positions, a plan for every error code."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest
from bench import wait_until
from conftest import REPOSITORY
from rclpy.parameter import Parameter

from clue_ros.action import Ground
from clue_ros.ros.node import autostart
from clue_ros.ros.scripted_ground import CODES, ScriptedGround
from clue_ros.ros.spinning import Spinner

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
    node = ScriptedGround(parameter_overrides=[Parameter("answer_timeout_s", value=20.0)])
    spinner = Spinner(node)
    node.spinner = spinner
    assert spinner.call(lambda: autostart(node))
    yield node
    spinner.call(node.stop_dialogues)
    spinner.close()
    node.destroy_node()


@pytest.fixture
def pipeline(example, server):
    """The example's node with an arm, and answers from a list."""
    questions, answers, arm = [], [], example.StubArm()

    def ask(question):
        questions.append(question)
        return answers.pop(0)

    node = example.PickPipeline(ask, arm)
    spinner = Spinner(node)

    def pick(expression, policy=Ground.Goal.ASK):
        task = spinner.executor.create_task(node.pick, expression, policy)
        wait_until(task.done, 30.0, what=expression)
        return task.result()

    ready = spinner.executor.create_task(node.wait_for_server)
    wait_until(ready.done, 30.0, what="server")
    # The grey camera's first depth may come after its first image.
    wait_until(lambda: server.spinner.call(lambda: server.count_publishers("depth")) > 0)
    node.pick_now, node.questions, node.answers, node.arm = pick, questions, answers, arm
    yield node
    spinner.close()
    node.close()
    node.destroy_node()


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
    assert set(example.PLANS) == set(CODES.values())
    retried = set()
    for name, code in CODES.items():
        outcome = pipeline.pick_now("error " + name.lower().replace("_", " "))
        assert (outcome.code, outcome.plan) == (code, example.PLANS[code]), name
        assert outcome.message
        if outcome.attempts > 1:
            retried.add(name)
    assert retried == {"NO_IMAGE", "TIMEOUT", "NOT_ACTIVE"}
    assert pipeline.arm.reached == [], "no error may move the arm"


def test_never_mind_and_an_inactive_server_stop_it(pipeline, example, server):
    pipeline.answers.append("never mind")
    assert pipeline.pick_now("the mug")[:2] == (example.Plan.STOP, Code.ABANDONED)
    server.spinner.call(server.trigger_deactivate)
    outcome = pipeline.pick_now("the red mug")
    assert "not active" in outcome.message and outcome.attempts == example.ATTEMPTS
    assert pipeline.arm.reached == []


def test_as_a_program_with_answers_from_stdin(server, tmp_path):
    for answer, code, said in (("red\n", 0, "arm: picks at x -0.2"), ("", 1, "plan: stop")):
        done = subprocess.run(
            [sys.executable, str(PATH), "pick", "up", "the", "mug"], input=answer, capture_output=True, text=True,
            timeout=60, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == code and said in done.stdout, done.stdout + done.stderr
