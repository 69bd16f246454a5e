"""`/diagnostics` over DDS: what the node says of itself in each of its states."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from bench import wait_until
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.lifecycle import TransitionCallbackReturn

from clue_ros.action import Ground
from clue_ros.ros.running.errors import CODE_NAMES
from clue_ros.ros.running.loading import ModelSettings, load_grounder
from clue_ros.seams import Capability
from clue_ros.testing.fake_grounder import Say, ScriptedGrounder
from clue_ros.types import ModelLoadError

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


def watch(bench):
    """A function part -> (level, message, {key: value}) of the newest array."""
    arrays = []
    bench.client.create_subscription(DiagnosticArray, "/diagnostics", arrays.append, 10)

    def newest(part):
        if not arrays:
            return None, "", {}
        (status,) = [status for status in arrays[-1].status if status.name == f"clue: {part}"]
        return status.level, status.message, {pair.key: pair.value for pair in status.values}

    newest.arrays = arrays
    return newest


def test_a_node_without_a_model_is_an_error_that_says_what_to_do(make_bench):
    def factory(settings):
        raise ModelLoadError(f"{settings.model} is not a directory")

    bench = make_bench(activate=False, factory=factory, model="/models/x", device="cuda:1")
    newest = watch(bench)
    assert bench.lifecycle("configure") == TransitionCallbackReturn.FAILURE
    wait_until(lambda: newest.arrays and newest("model")[0] == ERROR)
    level, message, values = newest("model")
    assert "configure the node" in message
    assert values == {"model": "/models/x", "device": "cuda:1"}
    assert newest("goals")[2]["active"] == "false"


def test_model_camera_and_goals_of_a_working_node(make_bench):
    bench = make_bench({"the mug": Say.found(), "the cup": Say.not_found()}, model="/models/x")
    newest = watch(bench)

    def seen():
        level, _, values = newest("camera")
        return values if level == OK and float(values["rate_hz"]) > 1.0 and float(values["age_s"]) < 1.0 else None

    camera = wait_until(seen)
    level, _, values = newest("model")
    assert level == OK and values["model"] == "/models/x" and float(values["memory_mb"]) > 10
    assert camera["topic"] == "/image" and float(camera["age_s"]) > -1.0
    for expression in ("the mug", "the cup", "the cup"):
        bench.ground(expression)
    wait_until(lambda: newest("goals")[2].get("ended") == "3")
    level, message, goals = newest("goals")
    assert (level, message) == (OK, "ready")
    assert goals["ended_NONE"] == "1" and goals["ended_NOT_FOUND"] == "2" and goals["last_outcome"] == "NOT_FOUND"
    assert float(goals["last_response_s"]) > 0 and goals["queue"] == "0"
    bench.ground("  ")  # begins no dialogue, and counts all the same
    wait_until(lambda: newest("goals")[2].get("ended_INVALID_EXPRESSION") == "1")
    assert newest.arrays[-1].header.stamp.sec > 0


def test_what_the_self_check_left_out_is_a_warning_of_the_model_and_a_line_in_the_log(make_bench, capfd):
    remark = "graphs of NVIDIA H200 (9.0) give other logits than plain steps: 3.2 apart, 0.5 is rounding"
    model = SimpleNamespace(remarks=[remark])

    class Checked(ScriptedGrounder):
        capabilities = frozenset({Capability.BACKBONE})
        backbone = property(lambda self: model)

    bench = make_bench(grounder=Checked())
    newest = watch(bench)
    wait_until(lambda: newest.arrays)
    level, message, _ = newest("model")
    assert level == WARN and message.startswith("loaded, slower") and remark in message and "clue doctor" in message
    output = capfd.readouterr()
    assert f"slower than it could be: {remark}" in output.err + output.out
    model.remarks.append("a captured step was refused")  # in the middle of a dialogue
    wait_until(lambda: "refused" in newest("model")[1])


@pytest.mark.parametrize("device, checked", [("cpu", 0), ("cuda", 1)])
def test_the_node_checks_a_model_against_itself_unless_it_is_on_a_cpu(monkeypatch, tmp_path, device, checked):
    asked = []
    loaded = SimpleNamespace(backbone=SimpleNamespace(device=SimpleNamespace(type=device)))
    monkeypatch.setattr("clue_ros.grounder.Grounder.from_pretrained", lambda *_, **__: loaded)
    monkeypatch.setattr("clue_ros.vlm.verdicts.check_once", lambda *arguments: asked.append(arguments))
    assert load_grounder(ModelSettings(str(tmp_path), device, "int8")) is loaded
    assert asked == [(loaded.backbone, tmp_path, "int8", "auto")] * checked


def test_it_warns_when_images_stop_and_when_they_come_back_no_more(make_bench):
    bench = make_bench(max_image_age_s=0.6)
    newest = watch(bench)
    wait_until(lambda: newest("camera")[0] == OK)
    image, bench.image = bench.image, None
    wait_until(lambda: newest("camera")[0] == WARN)
    assert "check that the camera still publishes" in newest("camera")[1]
    bench.image = image
    wait_until(lambda: newest("camera")[0] == OK)


def test_a_failing_model_warns_until_a_goal_ends_otherwise(make_bench):
    bench = make_bench({"the mug": Say.failure(RuntimeError("nan in the logits")), "the cup": Say.found()})
    newest = watch(bench)
    bench.ground("the mug")
    wait_until(lambda: newest("goals")[0] == WARN)
    assert "nan in the logits" in newest("goals")[1] and newest("goals")[2]["ended_MODEL_ERROR"] == "1"
    bench.ground("the cup")
    wait_until(lambda: newest("goals")[0] == OK)


def test_a_question_waits_in_no_queue_and_deactivation_shows_at_once(make_bench):
    bench = make_bench({"the mug": Say.found(delay_s=600.0)})
    newest = watch(bench)
    goal = bench.goal("the mug")
    wait_until(lambda: newest("goals")[2].get("queue") == "1")
    bench.lifecycle("deactivate")
    goal.finish()
    wait_until(lambda: newest("goals")[1] == "goals are refused: the node is not active")
    wait_until(lambda: newest("goals")[2].get("ended_NOT_ACTIVE") == "1")
    bench.lifecycle("cleanup")
    wait_until(lambda: newest("model")[0] == ERROR)


def test_the_node_works_without_diagnostic_msgs(make_bench, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "diagnostic_msgs.msg", None)
    bench = make_bench(grounder=ScriptedGrounder())
    assert bench.ground("the mug")[1].error_code == Ground.Result.NONE
    assert bench.client.count_publishers("/diagnostics") == 0
    output = capfd.readouterr()
    assert "diagnostic_msgs is not installed" in output.err + output.out


def test_every_error_code_has_its_name():
    assert CODE_NAMES[0] == "NONE" and CODE_NAMES[7005] == "NOT_FOUND" and len(CODE_NAMES) == 19
