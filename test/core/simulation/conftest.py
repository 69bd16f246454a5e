"""A folder of own objects, and words that are forgotten after a test."""

import pytest
from own_meshes import MJCF, write_cube

from clue_ros.language import kinds
from clue_ros.simulation.shapes import CATEGORIES
from clue_ros.simulation.words import NOUNS, PLURALS


@pytest.fixture
def learnt():
    """Forgets the nouns of own objects that a test has read."""
    yield
    for category in set(NOUNS) - {*CATEGORIES, *kinds.NOUNS}:
        del NOUNS[category], PLURALS[category]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("objects")
    write_cube(root)
    (root / "blue_cup.xml").write_text(MJCF)
    (root / "objects.yaml").write_text("blue_cup: {category: [goblet, chalice], size: large}\n")
    return root
