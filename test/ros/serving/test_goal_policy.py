"""What becomes of a goal when another one comes: goal_policy preempt and queue, over DDS."""

from __future__ import annotations

import pytest
from bench import ABORTED, CANCELED, SUCCEEDED, TIMEOUT, wait_until
from rclpy.parameter import Parameter

from clue_ros.action import Ground
from clue_ros.ros.serving import conversation
from clue_ros.testing.fake_grounder import Say

Code, State = Ground.Result, Ground.Feedback
SCRIPT = {"the mug": [Say.ask("Which mug?"), Say.found()], "the plate": Say.found(delay_s=600.0)}


def open_goal(bench):
    """A goal whose question is open."""
    goal = bench.goal("the mug")
    wait_until(lambda: goal.reached(State.WAITING_FOR_ANSWER))
    return goal


def ended(goal):
    status, result = goal.finish()
    return status, result.error_code


@pytest.mark.parametrize("where", ["question", "model"])
def test_preempt_ends_the_open_one_with_a_code_of_its_own(make_bench, where):
    bench = make_bench(SCRIPT)
    first = open_goal(bench) if where == "question" else bench.goal("the plate")
    if where == "model":
        assert bench.grounder.working.wait(TIMEOUT)
    second = bench.goal("the cup")
    status, result = first.finish()
    assert (status, result.error_code) == (ABORTED, Code.PREEMPTED) and "newer goal" in result.error_msg
    assert ended(second) == (SUCCEEDED, Code.NONE)


def test_queued_goals_wait_for_their_turn_in_order(make_bench):
    bench = make_bench(SCRIPT, goal_policy="queue")
    goals = [open_goal(bench), bench.goal("the cup"), bench.goal("the bowl")]
    wait_until(lambda: all(goal.reached(State.QUEUED) for goal in goals[1:]))
    assert len(bench.grounder.calls) == 1 and not any(goal.done for goal in goals)
    bench.say("the red one")  # goes to the goal whose question is open
    assert [ended(goal) for goal in goals] == [(SUCCEEDED, Code.NONE)] * 3
    assert [call[0] for call in bench.grounder.calls] == ["the mug", "the mug", "the cup", "the bowl"]
    wait_until(lambda: len(bench.turns) == 8)  # what a goal says goes out when its turn comes
    assert [t.text for t in bench.turns if t.speaker == "person"] == ["the mug", "the red one", "the cup", "the bowl"]


def test_a_goal_that_waits_can_be_canceled_run_out_of_time_or_be_deactivated(make_bench):
    bench = make_bench(SCRIPT, goal_policy="queue")
    first, canceled = open_goal(bench), bench.goal("the cup")
    late, last = bench.goal("the cup", timeout=0.2), bench.goal("the cup")
    canceled.cancel()
    assert ended(canceled) == (CANCELED, Code.CANCELED)
    assert ended(late) == (ABORTED, Code.TIMEOUT), "its time runs while it waits"
    assert len(bench.grounder.calls) == 1
    bench.lifecycle("deactivate")
    assert [ended(first), ended(last)] == [(ABORTED, Code.NOT_ACTIVE)] * 2
    bench.lifecycle("activate")
    assert bench.ground("the bowl")[0] == SUCCEEDED, "nothing was left behind in the queue"


def test_the_policy_changes_at_run_time(make_bench):
    bench = make_bench(SCRIPT, goal_policy="queue")
    first, second = open_goal(bench), bench.goal("the cup")
    wait_until(lambda: second.reached(State.QUEUED))
    assert bench.node.set_parameters([Parameter("goal_policy", value="preempt")])[0].successful
    third = bench.goal("the bowl")
    assert [ended(first), ended(second)] == [(ABORTED, Code.PREEMPTED)] * 2
    assert ended(third) == (SUCCEEDED, Code.NONE)
    refused = bench.node.set_parameters([Parameter("goal_policy", value="fifo")])[0]
    assert not refused.successful and "preempt, queue" in refused.reason


def test_goals_wait_behind_a_spoken_instruction_and_words_replace_only_words(make_bench):
    bench = make_bench(SCRIPT, goal_policy="queue")
    bench.say("the plate")
    assert bench.grounder.working.wait(TIMEOUT)
    goal = bench.goal("the cup")
    wait_until(lambda: goal.reached(State.QUEUED))
    bench.say("the bowl")  # the person thought better of it
    assert ended(goal) == (SUCCEEDED, Code.NONE)
    wait_until(lambda: len(bench.targets) == 2)
    assert [target.expression for target in bench.targets] == ["the bowl", "the cup"]


def test_too_many_are_refused(make_bench, monkeypatch):
    monkeypatch.setattr(conversation, "MAX_WAITING", 2)
    bench = make_bench(SCRIPT, goal_policy="queue")
    first = open_goal(bench)
    waiting = [bench.goal("the cup"), bench.goal("the cup")]
    wait_until(lambda: waiting[1].reached(State.QUEUED))
    assert not bench.goal("the cup").accepted
    bench.say("the red one")
    assert [ended(goal) for goal in (first, *waiting)] == [(SUCCEEDED, Code.NONE)] * 3
    assert bench.goal("the cup").accepted
