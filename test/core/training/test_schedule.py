"""The learning rate over a run: warm-up, one curve, and a second one where a recipe restarts."""

import pytest

from clue_ros.training.optimizer import SCHEDULES, rate


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_it_rises_to_one_and_falls_to_nearly_nothing(name):
    curve = [rate(name, step, 200, 20) for step in range(200)]
    assert curve[0] == pytest.approx(1 / 20) and max(curve) == curve[20] == pytest.approx(1, abs=1e-3)
    assert curve[20:] == sorted(curve[20:], reverse=True) and 0 < curve[-1] < 0.03


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_a_restart_goes_on_where_a_shorter_run_ended(name):
    short = [rate(name, step, 100, 10) for step in range(100)]
    longer = [rate(name, step, 180, 10, restart=100, restart_scale=0.5) for step in range(180)]
    assert longer[:100] == short
    assert longer[100:] == [0.5 * rate(name, step, 80, 10) for step in range(80)]


@pytest.mark.parametrize("restart", [0, 180, 500])
def test_a_restart_that_is_not_reached_changes_nothing(restart):
    assert [rate("cosine", s, 180, 10, restart) for s in range(180)] == [rate("cosine", s, 180, 10) for s in range(180)]
