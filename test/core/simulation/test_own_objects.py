"""Meshes that users bring: read, centred, named and coloured."""

import numpy as np
import pytest
from own_meshes import MJCF, MTL, write_cube

from clue_ros.simulation.color_names import dominant_color, name_pixels
from clue_ros.simulation.own_folder import category_of, load_objects
from clue_ros.simulation.own_scenes import remarks
from clue_ros.simulation.projection import camera_pose, foresee
from clue_ros.simulation.renderer import TabletopRenderer
from clue_ros.simulation.scene import Camera, Light, Scene, SceneObject
from clue_ros.simulation.shapes import COLORS


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


def test_a_missing_texture_leaves_the_plain_colour_and_a_jpeg_is_read(tmp_path):
    place = write_cube(tmp_path)
    (place / "texture map.png").unlink()
    (item,) = load_objects(tmp_path)
    assert item.color == "green" and "Kd" in remarks([item])[0] and item.surfaces[0].image is None
    write_cube(tmp_path, "ball", ext="jpg", mtl=MTL.replace(".png", ".jpg"))
    assert load_objects(tmp_path)[1].color == "red"
    (place / "textured.mtl").unlink()
    assert "missing" in load_objects(tmp_path)[0].notes[0]


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
