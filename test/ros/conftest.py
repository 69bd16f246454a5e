"""Tests over real DDS. Each test has a domain of its own and the shared-memory profile."""

from __future__ import annotations

import importlib.util
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clue_ros.ros.running.dds_profile import profile_variables

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
sys.path.insert(0, str(HERE))  # bench.py, domains.py
sys.path += [str(folder) for folder in HERE.iterdir() if folder.is_dir()]  # tests share what they look with

# Before any participant exists. Fast DDS's default profile loses most best-effort images (docs/behaviour.md).
os.environ.update(profile_variables(os.environ))
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")


def _ros_is_here() -> bool:
    if importlib.util.find_spec("rclpy") is None:
        return False
    return importlib.util.find_spec("clue_ros.msg") is not None


if not _ros_is_here():
    # `make test` always has both; a plain pytest on the core has neither.
    collect_ignore_glob = ["test_*.py", "*/test_*.py"]


@pytest.fixture
def domain():
    """A DDS domain of this test's own, with rclpy initialised in it."""
    import rclpy
    from domains import isolated
    from rclpy.signals import SignalHandlerOptions

    with isolated() as number:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        try:
            yield str(number)
        finally:
            rclpy.try_shutdown()


@pytest.fixture
def make_bench(domain, monkeypatch):
    """make_bench(script={...}, **parameters) -> Bench: a clue node with a ScriptedGrounder, and a client.

    The node looks for publishers and reports more often than it would, so that nobody waits for it.
    """
    from bench import Bench

    from clue_ros.ros.serving import diagnostics
    from clue_ros.ros.wire import adaptive_subscription

    monkeypatch.setattr(adaptive_subscription, "LOOK_S", 0.1)
    monkeypatch.setattr(diagnostics, "PERIOD_S", 0.2)
    benches = []

    def make(*args, **kwargs):
        benches.append(Bench(*args, **kwargs))
        return benches[-1]

    yield make
    for bench in benches:
        bench.close()


_STAND_INS: dict = {}  # modules of the stand-in packages, kept while no test wants them: they load only once
_BUILT = pytest.StashKey()  # the future of their folder


def pytest_collection_finish(session):
    """They take ten seconds to build: that begins when the tests do."""
    asked = any("stand_ins" in getattr(item, "fixturenames", ()) for item in session.items)
    if asked and not session.config.option.collectonly and os.environ.get("CLUE_ROS") != "jazzy":
        import stand_ins

        missing, cache = stand_ins.missing_packages(), session.config.cache.mkdir("stand_ins")
        if missing:
            session.config.stash[_BUILT] = ThreadPoolExecutor(1).submit(stand_ins.build, missing, cache)


@pytest.fixture
def stand_ins(pytestconfig, monkeypatch):
    """The optional interface packages are importable: the real ones, or else stand-ins (stand_ins.py)."""
    import stand_ins

    missing = stand_ins.missing_packages()
    if missing and os.environ.get("CLUE_ROS") == "jazzy":
        pytest.skip("the rmw of Jazzy's wheels refuses the stand-ins: 'type object with incompatible type'")
    if missing:
        monkeypatch.syspath_prepend(str(pytestconfig.stash[_BUILT].result()))
    for name, module in _STAND_INS.items():
        monkeypatch.setitem(sys.modules, name, module)
    yield
    mine = {name: module for name, module in sys.modules.items() if name.split(".")[0] in missing}
    _STAND_INS.update(mine)
    for name in mine:
        sys.modules.pop(name)
