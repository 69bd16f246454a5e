"""Bent shapes (simulation/variety.py): the same everywhere, within their limits, and the same for camera and
geometry.
"""

import numpy as np
import pytest

from clue_ros.processes import Sharing
from clue_ros.simulation.dataset import generate, read_scenes, scene_for
from clue_ros.simulation.projection import foresee
from clue_ros.simulation.renderer import SimulationError, TabletopRenderer
from clue_ros.simulation.scene_draw import SceneConfig
from clue_ros.simulation.shapes import HELD_OUT_SHAPES, SHAPES, SIZES
from clue_ros.simulation.variety import UNBENT, deformation
from clue_ros.types import ClueError

BENT = SceneConfig(variety=7)


def test_variety_fixes_the_deformation():
    first = [deformation(v, "mug", "tall", "small", 0.12) for v in range(1, 60)]
    deformation.cache_clear()
    assert first == [deformation(v, "mug", "tall", "small", 0.12) for v in range(1, 60)]
    assert len(set(first)) > 35 and UNBENT in first
    assert deformation(0, "mug", "tall", "small", 0.12) == UNBENT


def test_held_out_shapes_are_not_in_the_training_set_of_the_shipped_model():
    """The oval ball is 1.58 times as long as high, the slim can 5.37 radii high."""
    can = SHAPES["can"]["standard"]
    for shard in range(1, 200, 2):  # of 20,000 scenes
        for size in SIZES:
            ball = deformation(shard, "ball", "standard", size, 0.076)
            assert max(ball.scale) / min(ball.scale) < 1.38
            bent = deformation(shard, "can", "standard", size, can.height)
            radius = 0.033 * np.sqrt(bent.scale[0] * bent.scale[1]) * (1 + bent.belly * 2 / 3)  # on average
            assert can.height * bent.scale[2] / radius < 5.01
    assert {("ball", "oval"), ("can", "slim")} <= set(HELD_OUT_SHAPES)


def test_bent_shapes_are_seen_where_geometry_foresees_them():
    with TabletopRenderer(320, 240, variety=7) as renderer:
        for index in range(6):
            view = renderer.render(scene_for(3, index, BENT), depth=False)
            for seen, expected in zip(view.objects, foresee(scene_for(3, index, BENT))):
                if expected.box is not None and expected.visibility > 0.9 and seen.box is not None:
                    assert np.abs(np.subtract(tuple(seen.box), tuple(expected.box))).max() <= 3


def test_renderer_refuses_another_variety():
    with TabletopRenderer(64, 48) as renderer, pytest.raises(SimulationError, match=r"variety=7"):
        renderer.render(scene_for(3, 0, BENT))


def test_data_set_bends_every_second_shard(tmp_path):
    generate(tmp_path / "plain", 8, 5, progress=False, shard=4)
    generate(tmp_path / "bent", 8, 5, progress=False, shard=4, varied=True)
    plain, bent = (list(read_scenes(tmp_path / name)) for name in ("plain", "bent"))
    assert plain[:4] == bent[:4] and plain[4:] != bent[4:]
    generate(tmp_path / "again", 8, 5, sharing=Sharing(2), progress=False, shard=4, varied=True)
    assert list(read_scenes(tmp_path / "again")) == bent


def test_data_set_is_not_continued_the_other_way(tmp_path):
    generate(tmp_path, 4, 5, progress=False, shard=4)
    with pytest.raises(ClueError, match="was begun without --varied"):
        generate(tmp_path, 8, 5, progress=False, shard=4, varied=True)
