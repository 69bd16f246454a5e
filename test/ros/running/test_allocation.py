"""What the node does to the memory of its process: everything where it is alone, nothing where it is a guest; and that
ended dialogues need no collector."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import weakref
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from bench import wait_until
from rclpy.exceptions import ParameterException

from clue_ros.action import Ground
from clue_ros.ros import node as clue_node
from clue_ros.ros.running import allocation
from clue_ros.ros.serving import conversation
from clue_ros.testing.fake_grounder import Say

ALONE = """
import gc, threading
from clue_ros.ros.running import allocation
allocation.own_process()
assert "tidy" in [thread.name for thread in threading.enumerate()]
allocation.settle()
print(gc.get_freeze_count() > 1000, end=" ")
allocation.unsettle()
print(gc.get_freeze_count())
"""


def test_a_guest_leaves_the_collector_alone(make_bench):
    """The bench's node shares its process with the tests, as one that is composed with other nodes does."""
    gc.unfreeze()  # what conftest.py froze: of so much something ends in any second, and the count falls
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
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=300, env=environment)
    assert done.stdout == "True 0\n", done.stderr


def test_the_nodes_main_is_alone(monkeypatch, domain):
    called = []
    monkeypatch.setattr(allocation, "own_process", lambda: called.append(True))
    signals = SimpleNamespace(making=nullcontext, ignore=lambda: None)
    monkeypatch.setattr(clue_node.spinning, "init", lambda args: called.append("init") or signals)
    arguments = ["--ros-args", "-p", "autostart:=perhaps"]
    monkeypatch.setattr(clue_node, "ClueNode", _Refused)
    assert clue_node.main(arguments) == 2
    assert called == [True, "init"]


class _Refused:
    def __init__(self, factory) -> None:
        raise ParameterException("no such value", "autostart")


def test_an_ended_dialogue_is_freed_without_the_collector(make_bench, monkeypatch):
    """It holds an image and what the model made of it; Python's collector may come minutes later."""
    dialogues = []

    class Watched(conversation.Grounding):
        def __init__(self, *args, **kwargs) -> None:
            super().__init__(*args, **kwargs)
            dialogues.append(weakref.ref(self))

    monkeypatch.setattr(conversation, "Grounding", Watched)
    script = {"the mug": [Say.ask("Which one?"), Say.found()], "the cup": Say.found(delay_s=600.0)}
    bench = make_bench(script, correction_window_s=0.0)
    gc.collect()
    gc.disable()
    try:
        codes = [bench.ground("the red mug")[1].error_code, bench.ground("unknown words")[1].error_code]
        asked = bench.goal("the mug")
        bench.hear("Which one?")
        bench.say("the left one")
        codes.append(asked.finish()[1].error_code)
        for interrupt in (lambda goal: goal.cancel(), lambda goal: bench.say("never mind")):
            goal = bench.goal("the cup")
            wait_until(lambda goal=goal: goal.reached(Ground.Feedback.DETECTING_AMBIGUITY))
            interrupt(goal)
            codes.append(goal.finish()[1].error_code)
        code = Ground.Result
        assert codes[2:] == [code.NONE, code.CANCELED, code.ABANDONED]
        wait_until(lambda: not any(dialogue() for dialogue in dialogues), what="dialogues are freed")
        assert len(dialogues) == 5
    finally:
        gc.enable()
