"""Meshes that users bring: read, checked, rendered, measured, and turned into a data set."""

import hashlib
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from clue_ros.cli.main import main
from clue_ros.data import SampleStream, open_data
from clue_ros.evaluation.oracle import SceneOracle
from clue_ros.language import kinds
from clue_ros.simulation.color_names import dominant_color, name_pixels
from clue_ros.simulation.dataset import generate, read_scenes, scene_for
from clue_ros.simulation.own_files import OwnObjectError
from clue_ros.simulation.own_folder import category_of, load_objects
from clue_ros.simulation.own_scenes import load_for_scenes, own_config, remarks
from clue_ros.simulation.projection import camera_pose, foresee
from clue_ros.simulation.renderer import TabletopRenderer
from clue_ros.simulation.scene import Camera, Light, Scene, SceneObject, sample_scene
from clue_ros.simulation.shapes import CATEGORIES, COLORS
from clue_ros.simulation.splits import out_of_distribution_scene
from clue_ros.simulation.words import NOUNS, PLURALS, all_words, learn_nouns
from clue_ros.types import Box, ClueError

CORNERS = [(x, y, z) for z in (0, 1) for y in (0, 1) for x in (0, 1)]
SIDES = ((1, 3, 4, 2), (5, 6, 8, 7), (1, 2, 6, 5), (2, 4, 8, 6), (4, 3, 7, 8), (3, 1, 5, 7))
MTL = "newmtl m\nKd 0.1 0.5 0.1\nmap_Kd -s 1 1 1 texture map.png\n"
MJCF = """<mujoco><worldbody><body pos="0 0 .5"><freejoint/>
<geom type="cylinder" size=".035 .05" rgba=".06 .18 .72 1"/>
<geom type="sphere" size=".3" group="3"/>
<geom type="capsule" size=".008 .02" pos=".05 0 0" rgba=".06 .18 .72 1"/></body></worldbody></mujoco>"""


def write_cube(folder, name="003_cracker_box", side=0.1, texture=None, mtl=MTL, ext="png"):
    """An OBJ cube in the YCB layout, not centred, its texture on every side; returns its folder."""
    place = folder / name / "google_16k"
    place.mkdir(parents=True)
    if texture is None:
        texture = np.full((32, 32, 3), (6, 15, 204), np.uint8)  # BGR: red
    cv2.imwrite(str(place / f"texture map.{ext}"), texture)
    (place / "textured.mtl").write_text(mtl)
    lines = ["mtllib textured.mtl", *(f"v {x * side + 0.3} {y * side} {z * side - 0.2}" for x, y, z in CORNERS)]
    lines += ["vt 0 0", "vt 1 0", "vt 1 1", "vt 0 1", "usemtl m"]
    lines += ["f " + " ".join(f"{v}/{n + 1}" for n, v in enumerate(quad)) for quad in SIDES]
    (place / "textured.obj").write_text("\n".join(lines) + "\n")
    return place


@pytest.fixture
def learnt():
    """Forgets the nouns of own objects that a test has read."""
    yield
    for category in set(NOUNS) - {*CATEGORIES, *kinds.NOUNS}:
        del NOUNS[category], PLURALS[category]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("objects")
    write_cube(root)
    (root / "blue_cup.xml").write_text(MJCF)
    (root / "objects.yaml").write_text("blue_cup: {category: [goblet, chalice], size: large}\n")
    return root


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


def test_a_folder_is_read_centred_and_named(folder):
    box, goblet = load_objects(folder)
    assert (box.name, box.nouns, box.color, box.size) == ("003_cracker_box", ("cracker box",), "red", "medium")
    assert (goblet.nouns, goblet.color, goblet.size) == (("goblet", "chalice"), "blue", "large")
    for item, extent in ((box, (0.1, 0.1, 0.1)), (goblet, (0.093, 0.07, 0.1))):
        low, high = item.triangles.reshape(-1, 3).min(0), item.triangles.reshape(-1, 3).max(0)
        assert np.allclose(item.extent, extent, atol=2e-4), item.extent
        assert abs(low[2]) < 1e-6 and np.allclose(low[:2] + high[:2], 0, atol=1e-6)
    assert box.radius == pytest.approx(0.1 / 2**0.5, abs=1e-6)


@pytest.mark.parametrize(
    "name, words",
    [
        ("025_mug", "mug"),
        ("003_cracker_box", "cracker box"),
        ("mug_2", "mug"),
        ("065-a_cups", "cups"),
        ("Tea-Pot", "tea pot"),
    ],
)
def test_category_words_come_from_the_id(name, words):
    assert category_of(name) == words


def test_settings_turn_scale_and_colour(tmp_path):
    place = write_cube(tmp_path, "7up", side=1.0)
    (tmp_path / "objects.yaml").write_text("7up: {category: Can, color: green, scale: 0.1, up: -y, yaw: 45}\n")
    (item,) = load_objects(tmp_path)
    assert item.category == "can" and item.color == "green"
    assert np.allclose(item.extent, (0.1 * 2**0.5, 0.1 * 2**0.5, 0.1), atol=1e-6)
    (tmp_path / "objects.yaml").write_text("7up: {category: can, color: none, scale: 0.1}\n")
    assert load_objects(tmp_path)[0].color == "" and place.exists()


def test_every_colour_is_named_and_a_mixture_is_not():
    for color, rgb in COLORS.items():
        assert name_pixels(np.array([rgb]))[0] == color
    half = np.array([COLORS["red"]] * 5 + [COLORS["white"]] * 5)
    assert dominant_color(half) == "" and dominant_color(half[:6]) == "red"
    assert dominant_color(np.array([[0.45, 0.28, 0.1]])) == "" and dominant_color(np.array([[0.5, 0.5, 0.5]])) == ""


@pytest.mark.parametrize(
    "change, words",
    [
        ({"side": 100.0}, "millimetres.*scale: 0.001"),
        ({"side": 0.001}, "5 mm.*scale: 1.5e"),
        ({"side": 9.0}, "centimetres.*scale: 0.01"),
        ({"mtl": MTL.replace("texture map", "../../../../etc/texture")}, "lies outside"),
        ({"mtl": MTL.replace("texture map.png", "/etc/hostname")}, "lies outside"),
        ({"mtl": "newmtl m\nKd red\n"}, "three numbers"),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_to_do(tmp_path, change, words):
    write_cube(tmp_path, **change)
    with pytest.raises(OwnObjectError, match=words):
        load_objects(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>",
        "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 9\n",
        "f 1 2 3\n",
        "v nan 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\n",
        "v 0 0 0\nf 0 0 0\n",
        "mtllib ../../../x.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\n",
    ],
)
def test_broken_obj_files_name_themselves(tmp_path, text):
    (write_cube(tmp_path) / "textured.obj").write_text(text)
    with pytest.raises(OwnObjectError, match="textured.obj"):
        load_objects(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "<mujoco>",
        "<robot/>",
        '<mujoco><include file="x.xml"/></mujoco>',
        "<mujoco><worldbody/></mujoco>",
        '<!DOCTYPE m [<!ENTITY a "b">]><mujoco/>',
        '<mujoco><compiler meshdir="../.."/></mujoco>',
        '<mujoco><asset><mesh name="m" file="../../m.obj"/></asset></mujoco>',
        '<mujoco><asset><texture name="t" type="2d" file="/etc/t.png"/></asset></mujoco>',
        '<mujoco><asset><mesh name="m" file="lost.obj"/></asset></mujoco>',
    ],
)
def test_broken_models_name_themselves(tmp_path, text):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "cup.xml").write_text(text)
    with pytest.raises(OwnObjectError, match="cup.xml"):
        load_objects(tmp_path / "in")


def test_all_mistakes_of_the_settings_are_reported_together(tmp_path):
    write_cube(tmp_path)
    (tmp_path / "objects.yaml").write_text(
        "003_cracker_bax: {}\n003_cracker_box: {colour: red, size: huge, scale: -1, color: beige, category: 7}\n"
    )
    with pytest.raises(OwnObjectError) as error:
        load_objects(tmp_path)
    for words in ("'003_cracker_box'?", "'color'?", "size must be", "scale must be", "'beige'", "category must be"):
        assert words in str(error.value)
    with pytest.raises(OwnObjectError, match="google_16k/textured.obj"):
        (tmp_path / "empty").mkdir()
        load_objects(tmp_path / "empty")


def test_a_missing_texture_leaves_the_plain_colour_and_a_jpeg_is_read(tmp_path):
    place = write_cube(tmp_path)
    (place / "texture map.png").unlink()
    (item,) = load_objects(tmp_path)
    assert item.color == "green" and "Kd" in remarks([item])[0] and item.surfaces[0].image is None
    write_cube(tmp_path, "ball", ext="jpg", mtl=MTL.replace(".png", ".jpg"))
    assert load_objects(tmp_path)[1].color == "red"
    (place / "textured.mtl").unlink()
    assert "missing" in load_objects(tmp_path)[0].notes[0]


def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path):
    outside = write_cube(tmp_path / "elsewhere")
    place = write_cube(tmp_path / "in")
    (place / "texture map.png").unlink()
    (place / "texture map.png").symlink_to(outside / "texture map.png")
    with pytest.raises(OwnObjectError, match="lies outside"):
        load_objects(tmp_path / "in")


def test_mjcf_meshes_carry_their_texture(tmp_path):
    place = write_cube(tmp_path)
    (tmp_path / "crate").mkdir()
    (place / "textured.obj").rename(tmp_path / "crate" / "m.obj")
    (place / "texture map.png").rename(tmp_path / "crate" / "t.png")
    (tmp_path / "crate" / "model.xml").write_text(
        '<mujoco><asset><texture name="t" type="2d" file="t.png"/><material name="m" texture="t"/>'
        '<mesh name="m" file="m.obj" scale=".5 .5 .5"/></asset>'
        '<worldbody><geom type="mesh" mesh="m" material="m"/></worldbody></mujoco>'
    )
    (crate,) = load_objects(tmp_path)
    assert crate.name == "crate" and crate.color == "red" and crate.surfaces[0].image.shape == (32, 32, 3)
    assert np.allclose(crate.extent, 0.05, atol=1e-5)


def test_the_texture_stands_as_in_the_obj_file_and_the_silhouette_is_the_pixels(tmp_path):
    quarters = np.zeros((64, 64, 3), np.uint8)  # BGR; rows from the top: red and green over blue and yellow
    quarters[:32, :32], quarters[:32, 32:] = (0, 0, 255), (0, 255, 0)
    quarters[32:, :32], quarters[32:, 32:] = (255, 0, 0), (0, 255, 255)
    write_cube(tmp_path, texture=quarters)
    (tmp_path / "cup.xml").write_text(MJCF)
    cube, cup = load_objects(tmp_path)
    assert cube.color == ""
    # The side with the smallest y has vt (0, 0) at its lower corner of small x; the camera looks along +y at it.
    camera = Camera((0, -0.7, 0.15), (0, 0, 0.05), 40)
    things = tuple(
        SceneObject(o.category, o.color, o.size, (x, 0, 0), 0.0, o.rgb, shape=o.name, own=o)
        for o, x in ((cube, 0.0), (cup, 0.2))
    )
    with TabletopRenderer(320, 240, own=(cube, cup)) as renderer:
        scene = Scene(things, camera, (Light((-0.5, -1, 2), (0.8, 0.8, 0.8)),), 1, 2)
        view = renderer.render(scene)
    rotation, origin = camera_pose(camera)
    fx, fy, cx, cy = view.intrinsics
    for x, z, color in (
        (-0.025, 0.075, "red"),
        (0.025, 0.075, "green"),
        (-0.025, 0.025, "blue"),
        (0.025, 0.025, "yellow"),
    ):
        point = (np.array([x, -0.05, z]) - origin) @ rotation
        pixel = view.rgb[int(cy + fy * point[1] / point[2]), int(cx + fx * point[0] / point[2])]
        assert name_pixels(pixel[None] / 255)[0] == color, (x, z, pixel)
    for seen, planned in zip(view.objects, foresee(scene)):
        assert seen.visibility > 0.9 and max(abs(a - b) for a, b in zip(seen.box, planned.box)) <= 1.5


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


PANE = """mtllib textured.mtl
usemtl glass
v 0 0 0
v .2 0 0
v 0 .01 0
v .2 .01 0
v 0 0 .2
v .2 0 .2
v 0 .01 .2
v .2 .01 .2
f 1 3 4 2
f 5 6 8 7
f 1 2 6 5
f 2 4 8 6
f 4 3 7 8
f 3 1 5 7
"""


def pane(folder, name, mtl):
    place = folder / name / "google_16k"
    place.mkdir(parents=True)
    (place / "textured.obj").write_text(PANE)
    (place / "textured.mtl").write_text(f"newmtl glass\nKd .1 .2 .9\n{mtl}\n")


@pytest.mark.parametrize(("mtl", "alpha"), [("d 0.3", .3), ("Tr 0.7", .3), ("d -halo 0.3", .3), ("", 1.0), ("d 1", 1.0),
                                            ("d 0", .1)])  # fmt: skip
def test_transparency_is_read_from_both_keys(tmp_path, mtl, alpha):
    pane(tmp_path, "window", mtl)
    (surface,) = load_objects(tmp_path)[0].surfaces
    assert surface.alpha == pytest.approx(alpha)


def test_a_model_may_be_of_glass_too(tmp_path):
    (tmp_path / "cup.xml").write_text(
        MJCF.replace('rgba=".06 .18 .72 1"/>\n<geom type="sphere"', 'rgba=".06 .18 .72 .25"/>\n<geom type="sphere"')
    )
    assert sorted(s.alpha for s in load_objects(tmp_path)[0].surfaces) == pytest.approx([0.25, 1.0])


def test_a_transparency_that_is_none_is_refused(tmp_path):
    pane(tmp_path, "window", "d glass")
    with pytest.raises(OwnObjectError, match="'d glass' is no transparency"):
        load_objects(tmp_path)


def test_what_stands_behind_glass_is_seen_and_the_glass_is_still_a_thing(tmp_path):
    for name, mtl in (("clear_pane", "d 0.2"), ("solid_pane", "")):
        pane(tmp_path, name, mtl)
    write_cube(tmp_path, "red_cube")  # a texture of plain red on every side
    objects = {o.name: o for o in load_objects(tmp_path)}
    camera, light = Camera((0, -0.7, 0.15), (0, 0, 0.05), 40), Light((-0.5, -1, 2), (0.8, 0.8, 0.8))
    red = {}
    with TabletopRenderer(160, 120, own=tuple(objects.values())) as renderer:
        for name in ("clear_pane", "solid_pane"):
            things = tuple(
                SceneObject(o.category, o.color, o.size, (0, y, 0), 0.0, o.rgb, shape=o.name, own=o)
                for o, y in ((objects["red_cube"], 0.1), (objects[name], -0.1))
            )
            view = renderer.render(Scene(things, camera, (light,), 1, 2))
            r, g, b = view.rgb[view.segmentation == 1].astype(float).T
            assert len(r) > 500 and not (view.segmentation == 0).any(), "the glass is what is in front"
            red[name] = float((r > b).mean())
    assert red["solid_pane"] < 0.05 and red["clear_pane"] > 0.1


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
