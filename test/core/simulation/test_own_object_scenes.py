"""Scenes and data sets with own objects, and what is said of them."""

import hashlib
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from own_meshes import write_cube

from clue_ros.cli.main import main
from clue_ros.data import SampleStream, open_data
from clue_ros.evaluation.oracle import SceneOracle
from clue_ros.simulation.dataset import generate, read_scenes, scene_for
from clue_ros.simulation.own_files import OwnObjectError
from clue_ros.simulation.own_folder import load_objects
from clue_ros.simulation.own_scenes import load_for_scenes, own_config
from clue_ros.simulation.scene_draw import sample_scene
from clue_ros.simulation.splits import out_of_distribution_scene
from clue_ros.simulation.words import NOUNS, all_words, learn_nouns
from clue_ros.types import Box, ClueError


def rounded(value):
    if isinstance(value, (tuple, list)):
        return [rounded(v) for v in value]
    return round(float(value), 9) if isinstance(value, float) else value


def digest(scenes):
    plain = [
        [
            [o.category, o.color, o.size, o.shape, rounded(o.position), rounded(o.yaw), rounded(o.rgb), o.texture_seed]
            for o in s.objects
        ]
        + [
            [rounded([*s.camera.position, *s.camera.target, s.camera.fovy])],
            [rounded([*light.position, *light.diffuse]) for light in s.lights],
            s.table_seed,
            s.wall_seed,
            list(s.surfaces),
        ]
        for s in scenes
    ]
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()[:16]


def test_the_built_in_scenes_are_those_from_before_own_objects():
    assert digest([scene_for(7, i) for i in range(40)]) == "bb04168ed6638ffa"
    assert digest([out_of_distribution_scene(7, i) for i in range(20)]) == "02bd8194172d8555"


def test_scenes_mix_own_objects_with_the_built_in_ones(folder):
    own = load_for_scenes(folder)
    config = own_config(own)
    assert {"box", "goblet", "cracker box", "mug"} <= set(config.categories)
    drawn = [o for i in range(60) for o in scene_for(3, i, config).objects]
    assert any(o.own is None for o in drawn) and {"goblet", "cracker box"} <= {o.category for o in drawn if o.own}
    assert all((o.own is not None) == (o.category in ("goblet", "cracker box")) for o in drawn)
    alone = own_config(own, only_own=True)
    assert all(o.own is not None for i in range(16) for o in scene_for(3, i, alone).objects)
    assert json.dumps(scene_for(3, 0, alone).to_dict())


def test_things_as_large_as_the_table_still_make_scenes(tmp_path):
    write_cube(tmp_path, side=0.59)
    config = own_config(load_objects(tmp_path), only_own=True)
    assert len(sample_scene(np.random.default_rng(0), config).objects) == 1


def test_a_data_set_of_own_objects_is_made_by_the_command_and_read_back(folder, tmp_path, capsys):
    out = tmp_path / "own"
    generate(out, 6, seed=1, progress=False, shard=6, objects=folder, only_own=True)
    lines = list(read_scenes(out))
    assert {o["category"] for line in lines for o in line["objects"]} == {"goblet", "cracker box"}
    assert all(o["visibility"] > 0.9 or o["pixels"] < 4000 for line in lines for o in line["objects"])
    before = (out / "scenes-00000.jsonl").read_text()
    (out / "scenes-00000.jsonl").unlink()
    generate(out, 6, seed=1, progress=False, shard=6, objects=folder, only_own=True)
    assert (out / "scenes-00000.jsonl").read_text() == before
    assert main(["scenes", "--objects", str(folder), "--output", str(out), "-n", "6"]) == 2  # not only own ones
    assert "other objects" in capsys.readouterr().err
    assert main(["scenes", "--only-own", "--output", str(out), "-n", "6"]) == 2
    assert "--objects" in capsys.readouterr().err


def test_what_is_said_of_own_objects_is_sensible(learnt, tmp_path):
    def own(category, color, x, nouns):
        return {
            "category": category,
            "nouns": nouns,
            "color": color,
            "size": "medium",
            "shape": "a",
            "pixels": 900,
            "box": [x, 90, x + 30, 120],
            "visibility": 1.0,
            "point": [0, 0, 0.7],
        }

    things = [
        own("goblet", "", 20, ["goblet", "chalice"]),
        own("goblet", "red", 120, ["goblet", "chalice"]),
        own("cracker box", "", 220, ["cracker box"]),
    ]
    lines = [{"id": f"{n:06d}", "width": 320, "height": 240, "objects": things} for n in range(40)]
    (tmp_path / "scenes-00000.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    (tmp_path / "images").mkdir()
    for line in lines:
        cv2.imwrite(str(tmp_path / "images" / f"{line['id']}.webp"), np.full((240, 320, 3), 128, np.uint8))
    stream = SampleStream(open_data(tmp_path), None)
    said = list(stream)
    texts = [s.expression for s in said]
    texts += [t for s in said for turn in s.turns for t in (turn.question, turn.answer.text)]
    assert not stream.problems.total and len(said) > 100 and not any("  " in t for t in texts)
    assert any("chalice" in t for t in texts) and any("goblet" in t for t in texts)
    asked = [s.turns[0].question for s in said if s.turns]
    assert any("left goblet" in q for q in asked) and not any("red goblet" in q for q in asked)
    oracle = SceneOracle(tmp_path)
    person = oracle.person(next(s for s in said if s.boxes == (Box(220, 90, 250, 120),)), None)
    assert "cracker box" in person.answer("do you mean the goblet or the cracker box ?")
    learn_nouns("thingummy", ("thingummy",))
    assert "thingummy" in NOUNS and "thingummy" not in all_words()


def test_one_noun_cannot_mean_two_categories(folder, tmp_path):
    write_cube(tmp_path, "gizmo")
    write_cube(tmp_path, "sugar_box")
    (tmp_path / "objects.yaml").write_text("sugar_box: {category: [sugar box, gizmo]}\n")
    with pytest.raises(OwnObjectError, match="'gizmo' means both"):
        load_for_scenes(tmp_path)


def test_many_looks_become_few_and_none_is_lost(tmp_path):
    place = tmp_path / "patchwork" / "google_16k"
    place.mkdir(parents=True)
    lines, materials = ["mtllib textured.mtl"], []
    for k in range(150):  # 150 flat triangles in a row, two materials of each colour
        x = k * 0.002
        lines += [
            f"v {x} 0 0",
            f"v {x + 0.002} 0 0",
            f"v {x} .1 .02",
            f"usemtl m{k}",
            f"f {3 * k + 1} {3 * k + 2} {3 * k + 3}",
        ]
        materials += [f"newmtl m{k}", f"Kd {(k // 2) / 80:.3f} 0.2 0.4"]
    (place / "textured.obj").write_text("\n".join(lines) + "\n")
    (place / "textured.mtl").write_text("\n".join(materials) + "\n")
    (item,) = load_objects(tmp_path)
    assert sum(len(s.faces) for s in item.surfaces) == 150 and len(item.surfaces) <= 64
    assert "75 looks" in item.notes[0]
    reds = np.array([s.rgb[0] for s in item.surfaces])
    assert reds.min() < 0.1 and reds.max() > 0.8, "dark and bright ones are still there"


def test_weights_say_how_often_a_thing_is_drawn(tmp_path):
    write_cube(tmp_path, "001_brick")
    write_cube(tmp_path, "002_brick")
    write_cube(tmp_path, "003_tile")
    (tmp_path / "objects.yaml").write_text(
        "001_brick: {category: brick, weight: 9}\n002_brick: {category: brick, weight: 3}\n"
        "003_tile: {category: tile, weight: 2}\n"
    )
    config = own_config(load_objects(tmp_path), only_own=True)
    config = replace(config, min_objects=1, max_objects=1, duplicate_probability=0.0)
    rng = np.random.default_rng(0)
    names = [sample_scene(rng, config).objects[0].shape for _ in range(800)]
    share = {name: names.count(name) / len(names) for name in set(names)}
    assert share["001_brick"] == pytest.approx(0.75 * 6 / 8, abs=0.05), "9 : 3 among bricks, bricks 6 : 2 to tiles"
    assert share["002_brick"] == pytest.approx(0.25 * 6 / 8, abs=0.05)
    assert share["003_tile"] == pytest.approx(2 / 8, abs=0.05)


def test_the_size_of_the_images_is_a_choice_and_is_kept(tmp_path, capsys):
    out = tmp_path / "large"
    assert generate(out, 4, 0, progress=False, shard=2, sizes=((640, 480), (64, 96))) == 4
    sizes = [cv2.imread(str(path)).shape[:2] for path in sorted((out / "images").iterdir())]
    assert sizes == [(480, 640)] * 2 + [(96, 64)] * 2
    with pytest.raises(ClueError, match="--size 640x480 --size 64x96"):
        generate(out, 6, 0, progress=False, shard=2)
    with pytest.raises(SystemExit):
        main(["scenes", "-o", str(out), "--size", "640"])
    assert "640x480" in capsys.readouterr().err
