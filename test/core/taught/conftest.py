"""A store in a folder of its own, and eyes that see colours."""

import pytest
from coloured_sight import ColourSight

from clue_ros.taught.memory import TaughtMemory
from clue_ros.taught.store import TaughtStore


@pytest.fixture
def sight():
    return ColourSight()


@pytest.fixture
def store(tmp_path):
    return TaughtStore(tmp_path / "taught")


@pytest.fixture
def memory(store, sight):
    return TaughtMemory(store, sight)
