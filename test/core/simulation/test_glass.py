"""Own objects that are seen through."""

import pytest
from own_meshes import MJCF, write_cube

from clue_ros.simulation.own_files import OwnObjectError
from clue_ros.simulation.own_folder import load_objects
from clue_ros.simulation.renderer import TabletopRenderer
from clue_ros.simulation.scene import Camera, Light, Scene, SceneObject

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
