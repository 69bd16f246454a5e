"""The type checker takes half a minute: it begins when the tests do, and its own test takes what it found."""

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHECK = pytest.StashKey()


class TypeCheck:
    def __init__(self) -> None:
        self._said = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            ["nice", "-n", "10", sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable], cwd=ROOT,
            stdout=self._said, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def wait(self) -> "tuple[int, str]":
        """(exit code, what it said)."""
        code = self._process.wait()
        self._said.seek(0)
        return code, self._said.read()

    def stop(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait()
        self._said.close()


def pytest_collection_finish(session):
    asked = any("type_check" in getattr(item, "fixturenames", ()) for item in session.items)
    if asked and not session.config.option.collectonly and importlib.util.find_spec("basedpyright"):
        session.config.stash[CHECK] = TypeCheck()


def pytest_unconfigure(config):
    if CHECK in config.stash:
        config.stash[CHECK].stop()


@pytest.fixture
def type_check(pytestconfig) -> TypeCheck:
    assert CHECK in pytestconfig.stash, "basedpyright is missing: make setup-with-lint"
    return pytestconfig.stash[CHECK]
