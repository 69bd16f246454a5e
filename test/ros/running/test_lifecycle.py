"""The life of the node: transitions, models that do not load, parameters, signals."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys

import pytest
from bench import ABORTED, SUCCEEDED, wait_until
from conftest import HERE, REPOSITORY
from domains import participants
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from clue_ros.action import Ground
from clue_ros.ros.node import ClueNode, autostart
from clue_ros.ros.running import parameters
from clue_ros.ros.running.loading import MOST_GLANCES, ModelSettings
from clue_ros.testing.fake_grounder import Say, ScriptedGrounder
from clue_ros.types import ModelLoadError, OutOfMemoryError

Code = Ground.Result
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


def test_every_transition(make_bench):
    made = []

    def factory(settings):
        made.append(ScriptedGrounder())
        return made[-1]

    bench = make_bench(activate=False, factory=factory)
    assert not bench.serves_goals()
    for _ in range(2):
        assert bench.lifecycle("configure") == SUCCESS
        wait_until(bench.serves_goals)
        assert not bench.goal("the mug").accepted, "inactive: goals are refused"
        assert bench.lifecycle("activate") == SUCCESS
        wait_until(lambda: bench.ground("the mug")[0] == SUCCEEDED)
        assert bench.lifecycle("deactivate") == SUCCESS
        assert bench.lifecycle("cleanup") == SUCCESS
        assert made[-1].closed, "cleanup frees the model"
        wait_until(lambda: not bench.serves_goals())
    assert len(made) == 2, "configure loads the model anew"
    assert bench.lifecycle("shutdown") == SUCCESS


def test_a_node_that_is_destroyed_is_gone_for_the_others_at_once(domain):
    """Though somebody holds it: rclpy waits for the garbage collector."""
    node = ClueNode(lambda settings: ScriptedGrounder())
    assert node.trigger_configure() == node.trigger_activate() == SUCCESS
    assert participants(int(domain))
    node.destroy_node()
    assert not participants(int(domain)) and node.state == "finalized"


def test_shutdown_during_a_goal_gives_a_result(make_bench):
    bench = make_bench({"the mug": Say.ask("Which?")})
    goal = bench.goal("the mug")
    bench.hear("Which?")
    assert bench.lifecycle("shutdown") == SUCCESS
    status, result = goal.finish()
    assert (status, result.error_code) == (ABORTED, Code.NOT_ACTIVE)


@pytest.mark.parametrize(
    "error",
    [ModelLoadError("/models/x/model.safetensors is cut short"), ValueError("garbage"), OSError("no such file")],
)
def test_a_model_that_does_not_load_fails_configure(make_bench, error):
    working = []

    def factory(settings):
        if not working:
            raise error
        return ScriptedGrounder()

    bench = make_bench(activate=False, factory=factory, model="/models/x")
    assert bench.lifecycle("configure") == FAILURE
    assert bench.node._state_machine.current_state[1] == "unconfigured"
    assert not bench.node_spinner.call(functools.partial(autostart, bench.node))
    working.append(True)  # the operator corrects it
    assert bench.lifecycle("configure") == SUCCESS


def test_a_corrupt_checkpoint_fails_configure(domain, tmp_path, capfd):
    pytest.importorskip("torch", reason="the real Grounder needs torch")
    pytest.importorskip("clue_ros.grounder", reason="the Grounder is not there yet")
    (tmp_path / "config.json").write_text("{ not json")
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 64)
    for path in (tmp_path, tmp_path / "missing"):
        node = ClueNode(parameter_overrides=[Parameter("model", value=str(path))])
        try:
            assert node.trigger_configure() == FAILURE
        finally:
            node.destroy_node()
        assert str(path) in capfd.readouterr().err


def test_parameters_have_ranges_and_refuse_nonsense(make_bench):
    bench = make_bench()
    set_one = lambda name, value: bench.node.set_parameters([Parameter(name, value=value)])[0]  # noqa: E731
    for name in parameters._DECLARATIONS:
        assert bench.node.describe_parameter(name).description
    for name, value in (
        ("threshold", 1.5), ("max_questions", -1), ("answer_timeout_s", 0.0), ("image_transport", "theora"),
        ("device", ""), ("threshold", "high"), ("quantization", "int3"), ("dtype", "float8"),
        ("merge_adapters", "perhaps"),
        ("merge_adapters", 1), ("glances", -2), ("glances", MOST_GLANCES + 1),
        ("look_ahead_rate", 0.0), ("look_ahead_tolerance", -1.0), ("min_confidence", 1.1),
    ):  # fmt: skip
        outcome = set_one(name, value)
        assert not outcome.successful and outcome.reason, name
    assert set_one("max_questions", 1).successful
    for value, word in (("yes", "yes"), (True, "yes"), (False, "no"), ("auto", "auto")):  # YAML's yes is a truth value
        assert set_one("merge_adapters", value).successful
        assert parameters.read(bench.node).merge_adapters == word


def test_the_models_settings_reach_the_factory(make_bench):
    seen = []

    def factory(settings):
        seen.append(settings)
        return ScriptedGrounder()

    bench = make_bench(
        activate=False,
        factory=factory,
        model="/models/x",
        device="cuda:1",
        quantization="int8",
        merge_adapters=False,
        dtype="bfloat16",
        glances=3,
    )
    assert bench.lifecycle("configure") == SUCCESS
    assert seen == [ModelSettings("/models/x", "cuda:1", "int8", "no", "bfloat16", 3)]
    assert parameters.read(make_bench(activate=False).node).model_settings.glances is None


@pytest.mark.parametrize("where", ["load", "warm_up"])
@pytest.mark.parametrize("error", [OutOfMemoryError("the weights need 6 GB"), MemoryError("std::bad_alloc")])
def test_too_little_memory_fails_configure(make_bench, capfd, where, error):
    class Starved(ScriptedGrounder):
        def warm_up(self):
            raise error

    def factory(settings):
        if where == "load":
            raise error
        return Starved()

    bench = make_bench(activate=False, factory=factory)
    assert bench.lifecycle("configure") == FAILURE
    log = capfd.readouterr().err
    assert str(error) in log and "cannot configure" in log
    assert isinstance(error, OutOfMemoryError) or "quantization" in log


def test_bad_parameters_at_start_end_the_node_with_the_reason(domain):
    for argument, text in (("quantization:=int3", "none, int8, int4"), ("max_questions:=-1", "max_questions")):
        done = subprocess.run(
            [sys.executable, "-m", "clue_ros.ros.node", "--ros-args", "-p", argument], capture_output=True, text=True,
            timeout=300,
        )  # fmt: skip
        assert done.returncode == 2 and text in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_a_changed_threshold_reaches_the_next_goal(make_bench):
    bench = make_bench({"the mug": Say.found(probability=0.6)})
    assert bench.ground("the mug")[1].error_code in (Code.NONE, Code.AMBIGUOUS)
    bench.node.set_parameters([Parameter("threshold", value=0.9)])
    bench.ground("the mug")
    wait_until(lambda: len(bench.ambiguities) == 2)
    assert [round(message.threshold, 3) for message in bench.ambiguities] == [0.5, 0.9]


def test_config_file_documents_every_parameter():
    import yaml

    text = (REPOSITORY / "config" / "clue.yaml").read_text()
    documented = yaml.safe_load(text)["/**"]["ros__parameters"]
    assert documented == {name: default for name, (default, _, _) in parameters._DECLARATIONS.items()}
    docs = (REPOSITORY / "docs" / "interfaces.md").read_text()
    for name in documented:
        assert f"`{name}`" in docs, f"docs/interfaces.md does not name {name}"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_goals_with_a_result(make_bench, number, tmp_path):
    """The node in a process of its own, as launched; the goal waits for an answer when the signal comes."""
    (tmp_path / "asking_node.py").write_text(
        "import sys\n"
        "from clue_ros.ros.node import main\n"
        "from clue_ros.testing.fake_grounder import Say, ScriptedGrounder\n"
        "sys.exit(main(factory=lambda settings: ScriptedGrounder({'the mug': Say.ask('Which?')})))\n"
    )
    bench = make_bench(activate=False)  # only its client and camera are used
    paths = os.pathsep.join([str(tmp_path), str(HERE), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-m", "asking_node"], env={**os.environ, "PYTHONPATH": paths}, cwd=tmp_path
    )
    try:
        wait_until(bench.serves_goals)
        wait_until(lambda: bench.client.count_publishers("utterance") > 0)
        goal = wait_until(lambda: (lambda g: g if g.accepted else None)(bench.goal("the mug")))
        bench.hear("Which?")
        process.send_signal(number)
        status, result = goal.finish()
        assert (status, result.error_code) == (ABORTED, Code.NOT_ACTIVE)
        assert process.wait(300.0) == 0  # most of it is Python's own end, on a busy machine nine seconds
    finally:
        process.kill()
        process.wait()
