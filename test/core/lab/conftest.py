"""A model of the real class with random weights, as the bench makes it."""

import pytest

from clue_ros.training.vision import start


@pytest.fixture(scope="session")
def model(tiny_size):
    return start(tiny_size)[1].eval()
