"""Scenes, the grammar over them, the teacher, the simulated person, and data sets on disk."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clue_ros.simulation import paraphrases
from clue_ros.simulation.dataset import generate, read_scenes, scene_for
from clue_ros.simulation.episodes import PLAN, EpisodeKind, sample_episode
from clue_ros.simulation.projection import foresee
from clue_ros.simulation.referring import Reference, absent_references, enumerate_references, resolve
from clue_ros.simulation.renderer import SimulationError, TabletopRenderer
from clue_ros.simulation.scene import ImageSize, SceneObject
from clue_ros.simulation.scene_draw import SceneConfig, sample_scene
from clue_ros.simulation.standing import extreme
from clue_ros.simulation.teacher import best_question, sample_dialogue
from clue_ros.types import Box

SIZE = ImageSize(320, 240)


def thing(category, color, x, y=120.0, side=30.0):
    return SceneObject(
        category,
        color,
        "medium",
        (0, 0, 0),
        0.0,
        (0, 0, 0),
        box=Box(x, y, x + side, y + side),
        visibility=1.0,
        pixels=700,
    )


MUGS = (thing("mug", "red", 200), thing("mug", "red", 20), thing("mug", "blue", 100), thing("bowl", "red", 280))


@pytest.fixture(scope="module")
def renderer():
    with TabletopRenderer(320, 240) as r:
        yield r


def test_a_reference_selects_a_set():
    assert resolve(Reference("mug"), MUGS, SIZE) == (1, 2, 0)
    assert resolve(Reference("mug", "blue"), MUGS, SIZE) == (2,)
    assert resolve(Reference("mug", "red", "left"), MUGS, SIZE) == (1,)
    assert resolve(Reference("mug", position="middle"), MUGS, SIZE) == (2,)
    assert resolve(Reference("plate"), MUGS, SIZE) == ()


def test_a_near_tie_is_not_decided():
    twins = (thing("mug", "red", 100), thing("mug", "red", 104))
    assert resolve(Reference("mug", position="left"), twins, SIZE) is None
    assert extreme("middle", [0, 1], twins, SIZE) is None


def test_the_teacher_asks_for_the_colour_first_and_then_the_position():
    question = best_question(MUGS, (0, 1, 2), SIZE)
    assert question.kind == "color" and question.text == "do you mean the red mug or the blue mug ?"
    assert [o.keeps for o in question.options] == [(1, 0), (2,)]
    then = best_question(MUGS, (1, 0), SIZE)
    assert then.text == "do you mean the left mug or the right mug ?" and then.options[0].keeps == (1,)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31))
def test_every_dialogue_narrows_down_to_one_object_that_was_meant(seed):
    rng = np.random.default_rng(seed)
    objects = foresee(sample_scene(rng), SIZE.width, SIZE.height)
    for reference, matches in enumerate_references(objects, SIZE):
        if len(matches) < 2:
            continue
        steps = sample_dialogue(paraphrases.instruction(reference, rng), matches, objects, SIZE, rng)
        if not steps:
            continue
        assert len(steps[-1].remaining) == 1 and steps[-1].question is None
        for before, after in zip(steps, steps[1:]):
            assert set(after.remaining) <= set(before.remaining) and len(after.exchanges) == len(before.exchanges) + 1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31))
def test_absent_means_absent(seed):
    rng = np.random.default_rng(seed)
    objects = foresee(sample_scene(rng), SIZE.width, SIZE.height)
    for reference in absent_references(objects, rng, 4):
        assert resolve(reference, objects, SIZE) == ()


def test_what_is_foreseen_is_what_is_rendered(renderer):
    worst = []
    for index in range(6):
        scene = scene_for(5, index)
        view = renderer.render(scene)
        assert view.rgb.shape == (240, 320, 3) and view.depth.shape == (240, 320)
        for seen, planned in zip(view.objects, foresee(scene)):
            if (
                seen.visibility > 0.5
                and seen.box.x0 > 0
                and seen.box.y0 > 0
                and seen.box.x1 < 320
                and seen.box.y1 < 240
            ):
                worst.append(max(abs(a - b) for a, b in zip(seen.box, planned.box)))
    assert len(worst) > 10 and np.median(worst) <= 3


def test_depth_is_metric_and_points_project_into_the_boxes(renderer):
    view = renderer.render(scene_for(5, 1))
    fx, fy, cx, cy = view.intrinsics
    checked = 0
    for index, (item, point) in enumerate(zip(view.objects, view.points)):
        inside = view.segmentation == index
        if item.visibility < 0.9 or not inside.any():
            continue
        u, v = fx * point[0] / point[2] + cx, fy * point[1] / point[2] + cy
        assert item.box.x0 - 8 <= u <= item.box.x1 + 8 and item.box.y0 - 8 <= v <= item.box.y1 + 8
        assert abs(float(np.median(view.depth[inside])) - point[2]) < 0.15
        checked += 1
    assert checked >= 2


@pytest.mark.parametrize("kind", list(EpisodeKind))
def test_episodes_have_their_truth(kind):
    for seed in range(4):
        episode = sample_episode(kind, np.random.default_rng([seed, 3]))
        assert (episode.target_index is None) == (kind is EpisodeKind.ABSENT)
        assert episode.truth == {"clear": "clear", "absent": "absent"}.get(kind.value, "ambiguous")
        objects = foresee(episode.scene, PLAN.width, PLAN.height)
        assert all(o.visibility > 0.6 for o in objects)


def test_the_same_seed_gives_the_same_scene_and_held_out_pairs_stay_out():
    assert scene_for(1, 7) == scene_for(1, 7) != scene_for(2, 7)
    config = SceneConfig(held_out_pairs=(("red", "mug"),), categories=("mug",))
    drawn = [o for i in range(60) for o in sample_scene(np.random.default_rng(i), config).objects]
    assert len(drawn) > 100 and not any(o.color == "red" for o in drawn)


def test_too_many_of_a_kind_are_refused_by_name(renderer):
    scene = scene_for(1, 1)
    crowd = scene.__class__((scene.objects[0],) * 5, scene.camera, scene.lights, 1, 2)
    with pytest.raises(SimulationError, match=scene.objects[0].category):
        renderer.render(crowd)


def test_a_data_set_resumes_where_it_stopped(tmp_path):
    generate(tmp_path, 6, seed=3, progress=False, shard=6)
    first = (tmp_path / "scenes-00000.jsonl").read_text()
    mark = (tmp_path / "scenes-00000.jsonl").stat().st_mtime_ns
    generate(tmp_path, 6, seed=3, progress=False, shard=6)
    assert (tmp_path / "scenes-00000.jsonl").stat().st_mtime_ns == mark
    (tmp_path / "scenes-00000.jsonl").unlink()
    generate(tmp_path, 6, seed=3, progress=False, shard=6)
    assert (tmp_path / "scenes-00000.jsonl").read_text() == first
    lines = list(read_scenes(tmp_path))
    assert len(lines) == 6 and (tmp_path / "images" / f"{lines[0]['id']}.webp").exists()
    assert json.dumps(lines[0]["objects"][0]["category"])
    with pytest.raises(FileNotFoundError, match="clue scenes"):
        next(read_scenes(tmp_path / "images"))
