"""Parameters as another process sees them: described, refused with a reason, in force with the next goal."""

from __future__ import annotations

import pytest
from bench import SUCCEEDED, wait_until
from rcl_interfaces.msg import ParameterType
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient

from clue_ros.action import Ground
from clue_ros.ros.running import parameters
from clue_ros.testing.fake_grounder import Say

Code = Ground.Result
ASK = [Say.ask("Which mug?"), Say.found(probability=0.1)]


class Operator:
    """`ros2 param` against the bench's node."""

    def __init__(self, bench) -> None:
        self._client = AsyncParameterClient(bench.client, "clue")
        wait_until(self._client.services_are_ready, what="parameter services")

    def set(self, **values):
        future = self._client.set_parameters([Parameter(name, value=value) for name, value in values.items()])
        return wait_until(future.done) and future.result().results[0]

    def describe(self, *names):
        future = self._client.describe_parameters(list(names))
        return wait_until(future.done) and future.result().descriptors


def test_every_parameter_has_type_description_and_where_it_makes_sense_a_range(make_bench):
    bench = make_bench(activate=False)
    for described in Operator(bench).describe(*parameters._DECLARATIONS):
        assert described.description.endswith((".", "own.")) and described.type != ParameterType.PARAMETER_NOT_SET
        default, _, limits = parameters._DECLARATIONS[described.name]
        is_number = isinstance(default, (int, float)) and not isinstance(default, bool)
        assert is_number == bool(described.floating_point_range or described.integer_range), described.name
        if limits is not None:
            found = (described.floating_point_range or described.integer_range)[0]
            assert (found.from_value, found.to_value) == limits
        choices = parameters._CHOICES.get(described.name)
        assert bool(choices) == described.additional_constraints.startswith("one of: ")
        assert all(choice in described.additional_constraints for choice in choices or ())
        assert described.read_only == (described.name == "autostart")


@pytest.mark.parametrize(
    "name, value, reason",
    [
        ("threshold", 1.5, "threshold"), ("threshold", float("nan"), "Max: 1.0"),
        ("answer_timeout_s", float("inf"), ""),
        ("max_questions", 21, "max_questions"), ("max_questions", "three", ""), ("max_questions", 2.0, ""),
        ("speech_policy", "sometimes", "ask, best_guess, fail, ask_until_confident"), ("autostart", False, "read-only"),
        ("look_ahead", 1, ""), ("device", " ", "cpu or cuda"), ("no_such_parameter", 1, "undeclared"),
    ],
)  # fmt: skip
def test_a_bad_value_is_refused_with_a_reason_and_changes_nothing(make_bench, name, value, reason):
    bench = make_bench(activate=False)
    before = parameters.read(bench.node)
    outcome = Operator(bench).set(**{name: value})
    assert not outcome.successful and outcome.reason and reason in outcome.reason, outcome.reason
    assert parameters.read(bench.node) == before


def test_changes_take_effect_with_the_next_goal(make_bench):
    bench = make_bench({"the mug": [Say.ask("Which mug?"), Say.ask("Left or right?"), Say.found()],
                        "the cup": Say.found(probability=0.6, confidence=0.4)})  # fmt: skip
    operator = Operator(bench)
    # threshold: the same reading is ambiguous or not.
    assert bench.ground("the cup", ambiguity_policy=Ground.Goal.FAIL)[1].error_code == Code.AMBIGUOUS
    assert operator.set(threshold=0.9).successful
    status, result = bench.ground("the cup", ambiguity_policy=Ground.Goal.FAIL)
    assert (status, result.was_ambiguous) == (SUCCEEDED, False)
    # max_questions: one question, and then no more.
    assert operator.set(max_questions=1, threshold=0.0).successful
    goal = bench.goal("the mug")
    bench.hear("Which mug?")
    assert bench.answer(text="that one").accepted
    assert goal.finish()[1].error_code == Code.AMBIGUOUS
    # max_questions 0: no question at all.
    assert operator.set(max_questions=0).successful
    bench.utterances.clear()
    assert bench.ground("the mug")[1].error_code == Code.AMBIGUOUS
    assert "Which mug?" not in bench.utterances
    # min_confidence: whether a weak box is asked about.
    assert operator.set(max_questions=3, min_confidence=0.3).successful
    assert bench.ground("the cup", ambiguity_policy=Ground.Goal.ASK_UNTIL_CONFIDENT)[0] == SUCCEEDED
    assert operator.set(min_confidence=0.8).successful
    goal = bench.goal("the cup", ambiguity_policy=Ground.Goal.ASK_UNTIL_CONFIDENT)
    bench.hear("Is it this one?")
    # answer_timeout_s: for the next goal, not for the one that waits.
    assert operator.set(answer_timeout_s=0.2).successful
    assert bench.answer(text="never mind").accepted
    assert goal.finish()[1].error_code == Code.ABANDONED
    assert bench.ground("the mug")[1].error_code == Code.ANSWER_TIMEOUT


def test_the_policy_of_spoken_instructions(make_bench):
    bench = make_bench({"the mug": ASK})
    operator = Operator(bench)
    bench.say("the mug")
    bench.hear("Which mug?")
    assert bench.answer(text="never mind").accepted
    wait_until(lambda: not bench.node.busy)
    assert operator.set(speech_policy="best_guess").successful
    bench.say("the mug")
    wait_until(lambda: len(bench.targets) == 1)
    assert operator.set(speech_policy="fail").successful
    bench.say("the mug")
    bench.hear("I am still not sure which one you mean.")
    assert len(bench.targets) == 1 and bench.utterances.count("Which mug?") == 1


def test_several_values_at_once_are_taken_or_refused_one_by_one(make_bench):
    bench = make_bench(activate=False)
    outcomes = bench.node.set_parameters([Parameter("max_questions", value=1), Parameter("threshold", value=2.0)])
    assert [outcome.successful for outcome in outcomes] == [True, False]
    (outcome,) = [bench.node.set_parameters_atomically([Parameter("max_questions", value=5),
                                                        Parameter("threshold", value=2.0)])]  # fmt: skip
    assert not outcome.successful and parameters.read(bench.node).max_questions == 1
