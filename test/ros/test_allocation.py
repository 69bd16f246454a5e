"""What the node does to the memory of its process: everything where it is alone, nothing where it is a guest."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading

import pytest

from clue_ros.ros import allocation
from clue_ros.ros import node as clue_node

ALONE = """
import gc, threading
from clue_ros.ros import allocation
allocation.own_process()
assert "tidy" in [thread.name for thread in threading.enumerate()]
allocation.settle()
print(gc.get_freeze_count() > 1000, end=" ")
allocation.unsettle()
print(gc.get_freeze_count())
"""


def test_a_guest_leaves_the_collector_alone(make_bench):
    """The bench's node shares its process with the tests, as one that is composed with other nodes does."""
    bench = make_bench(activate=False, camera=False)
    before = gc.get_freeze_count(), gc.get_threshold(), gc.isenabled()
    bench.lifecycle("configure")
    assert (gc.get_freeze_count(), gc.get_threshold(), gc.isenabled()) == before
    gc.freeze()  # the host's own wish
    try:
        frozen = gc.get_freeze_count()
        bench.lifecycle("cleanup")
        assert gc.get_freeze_count() > 0.9 * frozen > 1000, "what the host has frozen stays so"
    finally:
        gc.unfreeze()
    assert "tidy" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize("malloc", [{}, {"MALLOC_ARENA_MAX": "2"}])
def test_alone_it_freezes_what_a_model_brought_and_releases_it(malloc):
    environment = {**os.environ, **malloc, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=60, env=environment)
    assert done.stdout == "True 0\n", done.stderr


def test_the_nodes_main_is_alone(monkeypatch, domain):
    called = []
    monkeypatch.setattr(allocation, "own_process", lambda: called.append(True))
    monkeypatch.setattr(clue_node.spinning, "init", lambda args: called.append("init"))
    arguments = ["--ros-args", "-p", "autostart:=perhaps"]
    monkeypatch.setattr(clue_node, "ClueNode", _Refused)
    assert clue_node.main(arguments) == 2
    assert called == [True, "init"]


class _Refused:
    def __init__(self, factory) -> None:
        raise clue_node.ParameterException("no such value", "autostart")
