"""Position and size from synthetic depth: holes, walls, pixels that fly between, occluders, scales."""

from __future__ import annotations

import numpy as np
import pytest
from std_msgs.msg import Header

from clue_ros.extent.place import place_of_box
from clue_ros.lens.model import CameraModel
from clue_ros.ros.running.errors import DepthMessageError
from clue_ros.ros.seeing.depth import depth_to_metres
from clue_ros.ros.wire.conversions import array_to_image
from clue_ros.types import Box

CAMERA = CameraModel(200.0, 200.0, 79.5, 59.5, 160, 120)
SIZE = (160, 120)
BOX = Box(60, 40, 100, 80)  # its centre is the principal point
WALL, NEAR = 2.0, 0.8


def scene(region=(slice(40, 80), slice(60, 100)), z=NEAR, wall=WALL):
    depth = np.full((120, 160), wall, np.float32)
    depth[region] = z
    return depth


def test_a_thing_in_front_of_a_wall():
    place = place_of_box(scene(), BOX, SIZE, CAMERA)
    assert place.position == pytest.approx((0.0, 0.0, 0.8), abs=1e-4)
    assert place.size == pytest.approx((40 * 0.8 / 200, 40 * 0.8 / 200, 0.0), abs=1e-4)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6])
def test_holes_do_not_move_it(share):
    depth = scene()
    rng = np.random.default_rng(0)
    depth[rng.random(depth.shape) < share] = np.nan
    place = place_of_box(depth, BOX, SIZE, CAMERA)
    assert place.position == pytest.approx((0.0, 0.0, 0.8), abs=5e-4)
    assert place.size[:2] == pytest.approx((0.16, 0.16), abs=5e-4)


def test_a_hole_in_the_middle_is_looked_around():
    depth = scene()
    depth[48:72, 68:92] = np.nan
    assert place_of_box(depth, BOX, SIZE, CAMERA).position == pytest.approx((0.0, 0.0, 0.8), abs=1e-4)


def test_a_hole_at_one_side_does_not_shift_it():
    depth = scene()
    depth[:, 60:78] = np.nan
    place = place_of_box(depth, BOX, SIZE, CAMERA)
    assert place.position == pytest.approx((0.0, 0.0, 0.8), abs=1e-4) and place.size[0] == pytest.approx(0.16, abs=1e-4)


def test_a_box_that_is_too_large():
    place = place_of_box(scene((slice(50, 70), slice(70, 90))), BOX, SIZE, CAMERA)
    assert place.position == pytest.approx((0.0, 0.0, 0.8), abs=1e-4)
    assert place.size == pytest.approx((20 * 0.8 / 200, 20 * 0.8 / 200, 0.0), abs=1e-4)


def test_a_box_that_is_half_empty():
    place = place_of_box(scene((slice(40, 80), slice(60, 77))), BOX, SIZE, CAMERA)  # 17 of 40
    assert place.position[2] == pytest.approx(0.8, abs=1e-4)
    assert place.position[0] == pytest.approx((68.5 - 80) / 200 * 0.8, abs=1e-4)
    assert place.size[0] == pytest.approx(17 * 0.8 / 200, abs=1e-4)


def test_a_ring_with_the_wall_in_its_middle():
    depth = scene()
    depth[52:68, 72:88] = WALL  # most of the core is wall: a median would lie on it
    place = place_of_box(depth, BOX, SIZE, CAMERA)
    assert place.position == pytest.approx((0.0, 0.0, 0.8), abs=1e-4)
    assert place.size[:2] == pytest.approx((0.16, 0.16), abs=1e-4)


def test_bleeding_edges_and_noise():
    rng = np.random.default_rng(1)
    depth = scene() + rng.normal(0, 0.003, (120, 160)).astype(np.float32)
    rim = np.zeros_like(depth, bool)
    rim[40:80, 60:100] = True
    rim[43:77, 63:97] = False
    depth[rim] = rng.uniform(NEAR, WALL, rim.sum())  # pixels that fly between the thing and the wall
    place = place_of_box(depth, BOX, SIZE, CAMERA)
    assert place.position == pytest.approx((0.0, 0.0, 0.8), abs=0.01)
    assert place.size[:2] == pytest.approx((0.16, 0.16), abs=0.03) and place.size[2] < 0.05


def test_something_small_in_front_is_not_the_target():
    depth = scene()
    depth[:, 62:70] = 0.4  # a gripper's finger across the box, left of its core
    assert place_of_box(depth, BOX, SIZE, CAMERA).position[2] == pytest.approx(0.8, abs=1e-4)


def test_a_thing_on_a_table_seen_from_above():
    rows = np.linspace(1.4, 0.7, 120, dtype=np.float32)[:, None]  # far at the top
    depth = np.repeat(rows, 160, axis=1)
    depth[40:80, 66:94] = 0.85
    place = place_of_box(depth, BOX, SIZE, CAMERA)
    assert place.position[2] == pytest.approx(0.85, abs=0.03) and abs(place.position[0]) < 0.02


def test_the_visible_surface_has_a_depth():
    depth = scene()
    depth[40:80, 60:100] = np.linspace(0.8, 0.9, 40, dtype=np.float32)[None, :]
    place = place_of_box(depth, BOX, SIZE, CAMERA)
    assert place.size == pytest.approx((0.17, 0.17, 0.09), abs=0.01) and place.position[2] == pytest.approx(
        0.85, abs=0.01
    )


@pytest.mark.parametrize("factor", [2, 0.5], ids=["larger image", "smaller image"])
def test_sizes_of_image_depth_and_calibration_may_differ(factor):
    box = Box(*(value * factor for value in BOX))
    place = place_of_box(scene(), box, (int(160 * factor), int(120 * factor)), CAMERA)
    assert place.position == pytest.approx((0.0, 0.0, 0.8), abs=0.01)
    assert place.size[:2] == pytest.approx((0.16, 0.16), abs=1e-3)


def test_too_little_to_say_anything():
    depth = np.full((120, 160), np.nan, np.float32)
    assert place_of_box(depth, BOX, SIZE, CAMERA) is None
    depth[60, 60:70] = 0.8
    assert place_of_box(depth, BOX, SIZE, CAMERA) is None, "10 of 1600 pixels are noise"
    assert place_of_box(scene(), Box(200, 200, 220, 220), SIZE, CAMERA) is None, "outside the image"


@pytest.mark.parametrize("box", [Box(80, 60, 80.4, 60.4), Box(0, 0, 1, 1), Box(0, 0, 160, 120)])
def test_tiny_and_huge_boxes(box):
    place = place_of_box(scene(), box, SIZE, CAMERA)
    assert place is not None and np.isfinite([*place.position, *place.size]).all() and min(place.size) >= 0


@pytest.mark.parametrize("nothing", [0.0, -1.0, np.nan, np.inf, 1e38, 1000.0, 1e-4])
def test_what_no_camera_measures_is_no_depth(nothing):
    message = array_to_image(np.full((4, 4), nothing, np.float32), "32FC1", Header())
    assert np.isnan(depth_to_metres(message)).all()


def test_millimetres_are_no_metres():
    """A wall that leans, at 0.7 to 1.5 m, as some drivers send it: 32FC1 in the sensor's own unit."""
    wall = np.linspace(700.0, 1500.0, 64, dtype=np.float32).reshape(8, 8)
    with pytest.raises(DepthMessageError, match="median of 1100, and its unit is metres"):
        depth_to_metres(array_to_image(wall, "32FC1", Header()))
    near = depth_to_metres(array_to_image(np.where(wall > 1400, wall, np.float32(0.8)), "32FC1", Header()))
    assert np.nanmax(near) == np.float32(0.8), "some wild values are none"
