"""What the node tells of its surroundings, each test in an interpreter of its own: they judge the graph of DDS, in which
what earlier tests of one process made and killed stays for a while."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from conftest import HERE

FILE = HERE / "surroundings_alone.py"


@pytest.mark.parametrize("name", re.findall(r"^def (test_\w+)", FILE.read_text(encoding="utf-8"), re.MULTILINE))
def test_alone(name):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{FILE}::{name}", "--import-mode=importlib"]
    for _ in range(2):  # a second try, since discovery on a loaded machine may take longer than any limit
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=90, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired as error:
            said = str(error)
            continue
        if done.returncode == 0:
            return
        said = done.stdout[-4000:]
    raise AssertionError(said)
