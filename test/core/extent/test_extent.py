"""Size and position of the thing in a box: scenes of planes, balls and boxes by their own formulas, along the camera's
rays."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from clue_ros.cli.main import main
from clue_ros.extent.place import place_of_box, surroundings
from clue_ros.extent.plane import planes_around
from clue_ros.simulation import depth_camera
from clue_ros.types import Box

W, H, F = 320, 240, 300.0
SIZE = (W, H)
V, U = np.mgrid[0:H, 0:W] + 0.5
RAYS = np.stack([(U - W / 2) / F, (V - H / 2) / F, np.ones((H, W))], -1)


class Pinhole:
    """Pixels from the image's corner, whatever its size."""

    def rays(self, pixels, size):
        return (np.asarray(pixels) * (W / size[0], H / size[1]) - (W / 2, H / 2)) / F


CAMERA = Pinhole()


class Table:
    """A camera `height` above a table and tilted down by `tilt` degrees. Scenes are drawn in table coordinates: x
    right, y away from the camera, z up, the origin where the camera looks."""

    def __init__(self, height: float, tilt: float):
        t = np.deg2rad(tilt)
        self.turn = np.array([[1, 0, 0], [0, -np.sin(t), -np.cos(t)], [0, np.cos(t), -np.sin(t)]])  # table -> optical
        self.origin = np.array([0, -height / np.tan(t), height])
        self.rays = RAYS @ self.turn  # of each pixel, in table coordinates; the length along the optical axis is 1
        self.depth = np.full((H, W), np.inf)
        self.labels = np.full((H, W), -1)
        self.count = 0
        self.plane((0, 0, 1), 0.0)

    def _hit(self, distance: np.ndarray) -> int:
        nearer = (distance > 0) & (distance < self.depth)
        self.depth = np.where(nearer, distance, self.depth)
        self.labels[nearer] = self.count
        self.count += 1
        return self.count - 1

    def plane(self, normal, offset: float, reach: float = np.inf) -> int:
        """normal · p = offset; reach: no farther from the table's origin than that."""
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = (offset - self.origin @ normal) / (self.rays @ normal)
            at = self.origin + self.rays * distance[..., None]
            return self._hit(np.where(np.linalg.norm(at, axis=-1) <= reach, distance, np.inf))

    def ball(self, center, radius: float) -> int:
        oc = self.origin - center
        a, b, c = (self.rays**2).sum(-1), 2 * self.rays @ oc, oc @ oc - radius**2
        root = b**2 - 4 * a * c
        return self._hit(np.where(root >= 0, (-b - np.sqrt(np.maximum(root, 0))) / (2 * a), np.inf))

    def block(self, center, half, yaw: float = 0.0) -> int:
        """A box that stands with its middle over (x, y): half extents (x, y, z), turned by yaw degrees; slabs."""
        c, s = np.cos(np.deg2rad(yaw)), np.sin(np.deg2rad(yaw))
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        start, along = (self.origin - (center[0], center[1], half[2])) @ turn, self.rays @ turn
        with np.errstate(divide="ignore"):
            one, two = (-np.array(half) - start) / along, (np.array(half) - start) / along
        enter, leave = np.minimum(one, two).max(-1), np.maximum(one, two).min(-1)
        return self._hit(np.where(enter <= leave, enter, np.inf))

    def points(self, label: int) -> np.ndarray:
        return (RAYS * self.depth[..., None])[self.labels == label]

    def box(self, label: int, grown: float = 0.0) -> Box:
        rows, columns = np.nonzero(self.labels == label)
        w, h = np.ptp(columns) + 1, np.ptp(rows) + 1
        low, high = (columns.min() - grown * w, rows.min() - grown * h), (columns.max() + 1, rows.max() + 1)
        return Box(*low, high[0] + grown * w, high[1] + grown * h)

    def seen(self, noise: float = 0.0, holes: float = 0.0, seed: int = 0) -> np.ndarray:
        """float32[H, W]; noise: standard deviation at 1 m, growing with the square of the distance."""
        rng = np.random.default_rng(seed)
        depth = np.where(np.isfinite(self.depth), self.depth, np.nan)
        depth = depth + noise * depth**2 * rng.standard_normal(depth.shape)
        depth[rng.random(depth.shape) < holes] = np.nan
        return depth.astype(np.float32)


def check(scene: Table, label: int, low=0.75, high=1.2, off=0.012, box=None, mask=None, **seen):
    place = place_of_box(scene.seen(**seen), box or scene.box(label), SIZE, CAMERA, mask)
    points = scene.points(label)
    ratio = np.array(place.size) / np.ptp(points, axis=0)
    assert (ratio >= low).all() and (ratio <= high).all(), ratio
    assert np.linalg.norm(place.position - points.mean(0)) <= off, place.position - points.mean(0)


CAMERAS = [(0.35, 75), (0.5, 35), (0.6, 50), (0.8, 60), (1.0, 62), (0.4, 20), (0.7, 40)]


@pytest.mark.parametrize("noise", [0.0, 0.002])
@pytest.mark.parametrize("grown", [0.0, 0.12, -0.08])
@pytest.mark.parametrize("camera", CAMERAS, ids=str)
def test_the_table_is_no_part_of_what_stands_on_it(camera, grown, noise):
    scene = Table(*camera)
    ball, block = scene.ball((-0.06, 0, 0.035), 0.035), scene.block((0.08, 0, 0), (0.03, 0.02, 0.05), 30)
    for label in (ball, block):
        check(scene, label, low=0.65, noise=noise, box=scene.box(label, grown))


@pytest.mark.parametrize("holes", [0.1, 0.4])
def test_noise_and_holes(holes):
    scene = Table(0.6, 45)
    block = scene.block((0, 0, 0), (0.05, 0.03, 0.06), 20)
    check(scene, block, noise=0.002, holes=holes)


def test_pixels_that_fly_are_left_out():
    scene = Table(0.6, 40)
    scene.plane((0, -1, 0), -0.6)  # a wall behind
    ball = scene.ball((0, 0, 0.05), 0.05)
    depth = scene.seen(noise=0.001)
    rng = np.random.default_rng(1)
    rim = (scene.labels == ball) & ~np.roll(scene.labels == ball, (2, 0), (0, 1))
    depth[rim] += (rng.random(rim.sum()) * 0.5).astype(np.float32)
    place = place_of_box(depth, scene.box(ball, 0.1), SIZE, CAMERA)
    assert 0.7 <= place.size[2] / np.ptp(scene.points(ball)[:, 2]) <= 1.2


def test_neighbours_in_the_box():
    scene = Table(0.5, 35)
    can = scene.block((0, 0, 0), (0.03, 0.03, 0.06))
    scene.ball((0.075, 0.02, 0.03), 0.03)  # beside it
    scene.block((-0.07, 0.14, 0), (0.04, 0.03, 0.07), 10)  # behind it
    check(scene, can, box=scene.box(can, 0.15), noise=0.001)


def test_a_finger_in_front_and_a_table_edge_behind():
    scene = Table(0.5, 40)
    scene.depth[...], scene.labels[...] = np.inf, -1
    scene.plane((0, 0, 1), -0.75)  # the floor
    table = scene.plane((0, 0, 1), 0.0, reach=0.09)
    bottle = scene.block((0, 0.02, 0), (0.03, 0.03, 0.08))
    finger = scene.block((-0.02, -0.1, 0), (0.004, 0.01, 0.25))
    assert (scene.labels == table).any() and (scene.labels == finger).any()
    check(scene, bottle, noise=0.001, low=0.7)


@pytest.mark.parametrize("camera", [(0.4, 35), (0.6, 55), (0.8, 80)], ids=str)
@pytest.mark.parametrize("half", [(0.045, 0.03, 0.0004), (0.09, 0.09, 0.004), (0.012, 0.08, 0.001)],
                         ids=["card", "plate", "spoon"])  # fmt: skip
def test_what_is_flat_is_all_of_the_box_in_the_tables_plane(camera, half):
    scene = Table(*camera)
    thing = scene.block((0.02, 0.01, 0), half)
    check(scene, thing, noise=0.0015, low=0.75, high=1.35, off=0.01)


def test_a_flat_thing_with_a_mask_is_its_mask():
    scene = Table(0.6, 50)
    spoon = scene.block((0, 0, 0), (0.008, 0.08, 0.001), 40)
    check(scene, spoon, noise=0.001, mask=scene.labels == spoon, box=scene.box(spoon, 0.15))


def test_a_mask_parts_what_touches():
    scene = Table(0.6, 50)
    left, right = (scene.block((x, 0, 0), (0.03, 0.02, 0.03)) for x in (-0.03, 0.03))
    for label in (left, right):
        check(scene, label, mask=scene.labels == label, box=scene.box(label, 0.2), noise=0.001)


def test_a_mask_alone_serves_where_there_is_no_plane():
    scene = Table(0.6, 50)
    ball = scene.ball((0, 0, 0.3), 0.05)
    scene.depth[scene.labels != ball] = np.inf  # held before something that no camera measures
    check(scene, ball, mask=scene.labels == ball, box=scene.box(ball, 0.1))


def test_a_box_before_its_own_twin_and_a_wall():
    """The faces of two cartons side by side are one plane, which carries neither; the wall and the table do."""
    scene = Table(0.3, 15)
    scene.plane((0, -1, 0), -0.4)
    one = scene.block((-0.05, 0, 0), (0.045, 0.02, 0.08))
    scene.block((0.05, 0, 0), (0.045, 0.02, 0.08))
    check(scene, one, noise=0.001)


def test_a_lower_neighbours_top_cuts_nothing_off():
    scene = Table(0.6, 45)
    bottle = scene.block((0, 0, 0), (0.025, 0.025, 0.09))
    for x in (-0.13, 0.13):
        scene.block((x, 0.02, 0), (0.09, 0.09, 0.04))
    check(scene, bottle, noise=0.001)


def test_a_thing_on_a_thing():
    scene = Table(0.6, 50)
    scene.block((0, 0, 0), (0.15, 0.12, 0.02))  # a book
    ball = scene.ball((0, 0, 0.07), 0.03)
    check(scene, ball, noise=0.001)


def test_no_plane_gives_the_nearest_layer():
    """A ball on a string before a ball far behind: nothing that is flat."""
    scene = Table(0.6, 50)
    scene.depth[...], scene.labels[...] = np.inf, -1
    scene.ball((0, 2.0, -1.0), 1.5)
    ball = scene.ball((0, 0, 0.1), 0.05)
    place = place_of_box(scene.seen(), scene.box(ball), SIZE, CAMERA)
    assert np.linalg.norm(place.position - scene.points(ball).mean(0)) < 0.02
    assert place.size[2] < 0.06


def test_nothing_seen_and_outside():
    scene = Table(0.6, 50)
    empty = np.full((H, W), np.nan, np.float32)
    assert place_of_box(empty, Box(100, 100, 150, 150), SIZE, CAMERA) is None
    assert place_of_box(empty, Box(100, 100, 150, 150), SIZE, CAMERA, np.ones((H, W), bool)) is None
    assert place_of_box(scene.seen(), Box(400, 300, 420, 320), SIZE, CAMERA) is None
    for tiny in (Box(0, 0, 1, 1), Box(160, 120, 160.2, 120.2), Box(319, 239, 320, 240)):
        place = place_of_box(scene.seen(), tiny, SIZE, CAMERA)
        assert np.isfinite([*place.position, *place.size]).all()


@pytest.mark.parametrize("scale", [0.5, 2.0], ids=["smaller image", "larger image"])
def test_depth_and_image_of_other_sizes(scale):
    scene = Table(0.6, 45)
    block = scene.block((0.05, 0, 0), (0.04, 0.03, 0.05), 20)
    size = int(W * scale), int(H * scale)
    mask = np.kron(scene.labels == block, np.ones((2, 2), bool)) if scale > 1 else (scene.labels == block)[::2, ::2]
    box = Box(*(value * scale for value in scene.box(block)))
    points = scene.points(block)
    for given in (None, mask):
        place = place_of_box(scene.seen(), box, size, CAMERA, given)
        ratio = np.array(place.size) / np.ptp(points, axis=0)
        assert (ratio > 0.75).all() and (ratio < 1.2).all(), ratio
        assert np.linalg.norm(place.position - points.mean(0)) < 0.006


def test_where_the_lens_sees_nothing_there_is_no_depth():
    scene = Table(0.6, 45)
    block = scene.block((0, 0, 0), (0.04, 0.03, 0.05))

    class Narrow(Pinhole):
        def rays(self, pixels, size):
            rays = super().rays(pixels, size)
            return np.where(rays[..., :1] < 0.02, rays, np.nan)

    place = place_of_box(scene.seen(), scene.box(block), SIZE, Narrow())
    points = scene.points(block)
    points = points[points[:, 0] / points[:, 2] < 0.02]
    assert np.linalg.norm(place.position - points.mean(0)) < 0.02
    assert np.array(place.size) / np.ptp(points, axis=0) == pytest.approx(1.0, abs=0.45), "the hole counts"


def test_the_same_every_time_and_only_the_surroundings_count():
    scene = Table(0.7, 45)
    block = scene.block((0, 0, 0), (0.04, 0.03, 0.05), 15)
    depth, box = scene.seen(noise=0.002), scene.box(block)
    place = place_of_box(depth, box, SIZE, CAMERA)
    around = np.array(surroundings(box, SIZE)).round().astype(int)
    only = np.full_like(depth, np.nan)
    window = slice(around[1] - 1, around[3] + 1), slice(around[0] - 1, around[2] + 1)
    only[window] = depth[window]
    assert place == place_of_box(depth, box, SIZE, CAMERA) == place_of_box(only, box, SIZE, CAMERA)


def test_planes_by_their_formula():
    """A table 0.5 m below the camera and a wall 1.2 m before it: 1/z is (n · ray) / d."""
    rng = np.random.default_rng(0)
    rays = rng.uniform(-0.4, 0.4, (900, 2))
    table = rays[:, 1] > 0.45 / 1.2
    rays[:300, 1] = rng.uniform(0.43, 0.8, 300)
    table[:300] = True
    depth = np.where(table, 0.5 / rays[:, 1], 1.2) + rng.normal(0, 0.001, 900)
    depth[:40] = rng.uniform(0.3, 2.0, 40)
    found = {tuple(np.round(plane.inverse, 1) + 0.0) for plane in planes_around(depth, rays)}
    assert {(0.0, 2.0, 0.0), (0.0, 0.0, 0.8)} <= found
    assert planes_around(depth[:20], rays[:20]) == []


def test_the_depth_camera_of_the_benchmark():
    """A wall at 1 m and one 0.5 m behind it: noise by its formula, millimetres, and the strip that one eye does not
    see."""
    depth = np.full((200, 300), 1.5, np.float32)
    depth[:, 150:] = 1.0
    seen = depth_camera.seen(depth, 500.0, np.random.default_rng(0))
    near, far = seen[:, 155:][np.isfinite(seen[:, 155:])], seen[:, :100][np.isfinite(seen[:, :100])]
    assert near.std() == pytest.approx(0.0012 + 0.0019 * 0.6**2, rel=0.1)
    assert near.mean() == pytest.approx(1.0, abs=2e-4)
    assert far.std() == pytest.approx(0.0012 + 0.0019 * 1.1**2, rel=0.1)
    assert np.allclose(near * 1000, np.round(near * 1000), atol=1e-3)
    strip = np.isnan(seen[:, 100:150]).mean(0) > 0.9
    assert strip.sum() == pytest.approx(500 * 0.05 * (1 / 1.0 - 1 / 1.5), abs=2)


def test_clue_extents(tmp_path, capsys):
    out = tmp_path / "extents.json"
    code = main(["extents", "--objects", "12", "--size", "320", "240", "--json", str(out), "--markdown"])
    report, rows = json.loads(out.read_text()), list(csv.DictReader(out.with_suffix(".csv").open()))
    assert len(report["rows"]) == 16 and len(rows) == 16 * 12
    for line in report["rows"]:
        mine = [row for row in rows if row["condition"] == line["condition"]]
        ratios = [float(row["size_z"]) / float(row["true_z"]) for row in mine if row["size_z"]]
        assert line["z_median"] == pytest.approx(np.median(ratios), abs=0.02)
        right = all(0.85 <= line[f"{axis}_median"] <= 1.2 and line[f"{axis}_p90"] <= 1.6 for axis in "xyz")
        assert line["held"] is right and line["off_median_mm"] < 8
    held = sum(line["held"] for line in report["rows"])
    assert held >= 12 and code == (0 if held == 16 else 1) and f"{held} of 16 rows held" in capsys.readouterr().out
    assert main(["extents", "--objects", "0"]) == 2
