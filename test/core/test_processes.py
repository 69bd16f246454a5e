"""Work shared among processes and on Ray: in order, errors raised, no more taken than is wanted."""

from __future__ import annotations

import operator
import os
import signal
from functools import partial
from itertools import count

import pytest

from clue_ros import processes
from clue_ros.processes import OWN_RAY, Sharing, in_processes
from clue_ros.types import ClueError

TWO = Sharing(2)


def test_work_comes_back_in_order_from_spawned_processes():
    assert list(in_processes(TWO, partial(float, 6), operator.truediv, [1, 2, 3, 4, 6, 12])) == [6, 3, 2, 1.5, 1, 0.5]


def test_an_error_in_a_process_is_raised_and_a_dead_process_is_named(quick_processes):
    with pytest.raises(ZeroDivisionError):
        list(in_processes(Sharing(1), partial(float, 6), operator.truediv, [0]))
    with pytest.raises(ValueError, match="gizmo"):  # of what prepares the process
        list(in_processes(Sharing(1), partial(float, "gizmo"), operator.truediv, [1]))
    with pytest.raises(ClueError, match="fewer --processes"):
        list(in_processes(Sharing(1), os.getpid, os.kill, [signal.SIGKILL]))


def test_work_without_an_end_is_taken_as_it_is_wanted(quick_processes):
    taken = []
    numbers = (taken.append(n) or n for n in count(1))
    results = in_processes(TWO, partial(float, 6), operator.mul, numbers)
    assert [next(results) for _ in range(3)] == [6, 12, 18]
    results.close()
    assert len(taken) < 10


def test_without_ray_its_installation_is_named(monkeypatch):
    monkeypatch.setattr(processes.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ClueError, match="clue_ros\\[fleet\\]"):
        list(in_processes(Sharing(2, OWN_RAY), partial(float, 6), operator.mul, [1]))


@pytest.mark.skipif("CLUE_TEST_RAY" not in os.environ, reason="starts a Ray of its own: CLUE_TEST_RAY=1 with Ray")
def test_the_same_on_a_ray_of_its_own(tmp_path):
    from clue_ros.simulation.dataset import generate

    own, before = Sharing(2, OWN_RAY), signal.getsignal(signal.SIGTERM)
    assert list(in_processes(own, partial(float, 6), operator.truediv, [1, 2, 3, 4])) == [6, 3, 2, 1.5]
    with pytest.raises(ZeroDivisionError):
        list(in_processes(own, partial(float, 6), operator.truediv, [0]))
    with pytest.raises(ValueError, match="gizmo"):
        list(in_processes(own, partial(float, "gizmo"), operator.truediv, [1]))
    assert signal.getsignal(signal.SIGTERM) is before
    for name, sharing in (("alone", Sharing()), ("shared", own)):
        generate(tmp_path / name, 8, 5, sharing, progress=False, shard=4)
    files = sorted(path.relative_to(tmp_path / "alone") for path in (tmp_path / "alone").rglob("*.*"))
    assert len(files) == 18
    assert all((tmp_path / "alone" / f).read_bytes() == (tmp_path / "shared" / f).read_bytes() for f in files)
