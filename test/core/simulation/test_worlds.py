"""Data sets of other worlds than the shipped model's: any camera, more colours, weights of kinds, kinds of kinds."""

from dataclasses import replace
from math import dist

import numpy as np
import pytest

from clue_ros.cli.main import main
from clue_ros.language.kinds import fits
from clue_ros.simulation.dataset import World, generate, read_scenes
from clue_ros.simulation.own_folder import load_objects
from clue_ros.simulation.own_scenes import load_for_scenes, own_config, remarks
from clue_ros.simulation.projection import foresee
from clue_ros.simulation.referring import Reference, resolve
from clue_ros.simulation.scene import ImageSize
from clue_ros.simulation.scene_draw import SceneConfig, sample_scene
from clue_ros.simulation.shapes import COLORS, MORE_COLORS
from clue_ros.types import ClueError

BOX = """<mujoco><worldbody><body>
<geom type="box" size=".03 .02 .05" pos="0 0 .05" rgba=".8 .06 .06 1"/></body></worldbody></mujoco>"""


@pytest.fixture(scope="module")
def cups(tmp_path_factory):
    """Three things to drink from, two of them "cup" by their own first noun or by the table."""
    root = tmp_path_factory.mktemp("cups")
    for name in ("a", "b", "c"):
        (root / f"{name}.xml").write_text(BOX)
    (root / "objects.yaml").write_text(
        "a: {category: [paper cup, cup], color: pink}\nb: {category: [jug, pitcher]}\nc: {category: [gear box, box]}\n"
    )
    return root


def test_a_noun_may_belong_to_several_categories(cups):
    own = load_for_scenes(cups)
    assert [o.category for o in own] == ["paper cup", "pitcher", "gear box"] and own[0].color == "pink"
    config = own_config(own)
    assert {"mug", "box", "paper cup", "pitcher", "gear box"} <= set(config.categories) and not remarks(own)
    size = ImageSize(640, 480)
    clear = several = 0
    boxes = replace(config, categories=("box", "gear box"), category_weights=())
    for seed in range(60):
        scene = [o for o in foresee(sample_scene(np.random.default_rng(seed), boxes)) if o.pixels]
        found = resolve(Reference("box"), scene, size)
        if found is not None:
            assert found == tuple(sorted(range(len(scene)), key=lambda i: scene[i].box.center[0]))
            several += len({scene[i].category for i in found}) == 2
        clear += len(resolve(Reference("gear box"), scene, size) or ()) == 1
    assert several > 10 and clear > 5


def test_weights_are_of_the_kinds_that_a_noun_covers(cups):
    own = load_for_scenes(cups)
    assert not own_config(own).category_weights
    config = own_config(own, weights=(("cup", 5.0), ("gear box", 0.5)))
    weights = dict(zip(config.categories, config.category_weights))
    assert weights["mug"] == weights["paper cup"] == 5.0 and weights["gear box"] == 0.5 and weights["box"] == 1.0
    drawn = [o for seed in range(80) for o in sample_scene(np.random.default_rng(seed), config).objects]
    assert sum(fits("cup", o.category) for o in drawn) > len(drawn) / 3


def test_any_camera_is_near_or_far_steep_or_flat():
    config = SceneConfig(any_camera=True)
    scenes = [sample_scene(np.random.default_rng(seed), config) for seed in range(60)]
    distances = [dist(s.camera.position, s.camera.target) for s in scenes]
    heights = [(s.camera.position[2] - s.camera.target[2]) / d for s, d in zip(scenes, distances)]
    assert 0.3 <= min(distances) < 0.45 and 1.2 < max(distances) <= 1.5
    assert min(heights) < 0.4 and max(heights) > 0.95
    seen = [sum(o.pixels > 0 for o in foresee(s, 320, 240)) / len(s.objects) for s in scenes]
    assert np.mean(seen) > 0.9 and min(len(s.objects) for s in scenes) < 3


def test_more_colors():
    config = World(more_colors=True).config((), 0)
    drawn = {o.color for seed in range(60) for o in sample_scene(np.random.default_rng(seed), config).objects}
    assert drawn == {*COLORS, *MORE_COLORS} and World().config((), 0) == SceneConfig()


def test_a_data_set_is_continued_as_it_was_begun(tmp_path, capsys):
    options = dict(
        progress=False, shard=1, sizes=((96, 64),), any_camera=True, more_colors=True, weights=(("cup", 2.0),)
    )
    assert generate(tmp_path, 1, 3, **options) == 1 and len(list(read_scenes(tmp_path))) == 1
    assert generate(tmp_path, 1, 3, **options) == 1
    with pytest.raises(ClueError, match="begun with --any-camera"):
        generate(tmp_path, 1, 3, **{**options, "any_camera": False})
    with pytest.raises(ClueError, match="begun with --weight 'cup=2'"):
        generate(tmp_path, 1, 3, **{**options, "weights": ()})
    with pytest.raises(SystemExit):
        main(["scenes", "-o", str(tmp_path / "x"), "--weight", "cup"])
    assert "NOUN=W" in capsys.readouterr().err
    old = tmp_path / "old"
    generate(old, 1, 3, progress=False, shard=1, sizes=((96, 64),), varied=True)
    (old / "varied").write_text("")
    (old / "sizes").write_text("96x64\n")
    assert generate(old, 1, 3, progress=False, shard=1, sizes=((96, 64),), varied=True) == 1


def test_a_colour_of_no_such_name_is_refused(cups, tmp_path):
    (tmp_path / "a.xml").write_text(BOX)
    (tmp_path / "objects.yaml").write_text("a: {color: beige}\n")
    with pytest.raises(ClueError, match="'beige' is not one of red"):
        load_objects(tmp_path)
