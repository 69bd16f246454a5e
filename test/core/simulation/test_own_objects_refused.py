"""Meshes and settings that cannot be used are named, with what to do."""

import pytest
from own_meshes import MTL, write_cube

from clue_ros.simulation.own_files import OwnObjectError
from clue_ros.simulation.own_folder import load_objects


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


def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path):
    outside = write_cube(tmp_path / "elsewhere")
    place = write_cube(tmp_path / "in")
    (place / "texture map.png").unlink()
    (place / "texture map.png").symlink_to(outside / "texture map.png")
    with pytest.raises(OwnObjectError, match="lies outside"):
        load_objects(tmp_path / "in")
