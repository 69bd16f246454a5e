"""Boxes, crops and the neck of the eyes, beside formulas and functions that are not ours."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from clue_ros.eyes.crops import CELLS, GROW, SIDE, cells, cut
from clue_ros.eyes.layout import CODE, box_code, cell_pixels, centres, overlap
from clue_ros.eyes.neck import Glances, Neck
from clue_ros.eyes.proposals import SAME, PatchHead, best_boxes
from clue_ros.eyes.second_glance import CropHead

FEATURES = 12


def random_boxes(rng, count):
    corner, size = rng.random((count, 2)) * 0.7, 0.05 + rng.random((count, 2)) * 0.25
    return np.concatenate([corner, corner + size], 1).astype(np.float32)


def test_the_best_boxes_are_those_of_opencv():
    rng = np.random.default_rng(0)
    boxes, scores = random_boxes(rng, 200), rng.random(200).astype(np.float32)
    wanted = cv2.dnn.NMSBoxes(
        [[float(x0), float(y0), float(x1 - x0), float(y1 - y0)] for x0, y0, x1, y1 in boxes],
        scores.tolist(), 0.0, SAME,
    )  # fmt: skip
    assert best_boxes(boxes, scores, 200).tolist() == np.ravel(wanted).tolist()
    assert best_boxes(boxes, scores, 3).tolist() == np.ravel(wanted)[:3].tolist()
    assert best_boxes(boxes, scores, 0).tolist() == []


def test_overlap_counts_pixels():
    a, b = (2, 3, 12, 9), (7, 1, 20, 6)
    field = np.zeros((2, 30, 30), bool)
    for k, (x0, y0, x1, y1) in enumerate((a, b)):
        field[k, y0:y1, x0:x1] = True
    shared, union = (field[0] & field[1]).sum(), (field[0] | field[1]).sum()
    found, area = overlap(torch.tensor(a, dtype=torch.float32), torch.tensor(b, dtype=torch.float32))
    assert float(found) == pytest.approx(shared / union) and float(area) == union


def test_pixels_stand_beside_the_patch_that_they_are_of():
    pixels = torch.zeros(1, 4 * 6, 4 * 6, 3, dtype=torch.uint8)
    pixels[0, 4 * 2 + 1, 4 * 5 + 3, 2] = 255  # of the patch in row 2, column 5: its row 1, column 3, blue
    found = cell_pixels(pixels, 6)
    assert found.shape == (1, 36, 48)
    assert (found == 1).nonzero().tolist() == [[0, 2 * 6 + 5, (1 * 4 + 3) * 3 + 2]]


def test_centres_and_codes_tell_places_apart():
    assert centres(2).tolist() == [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]
    codes = box_code(torch.rand(50, 4, generator=torch.Generator().manual_seed(0)))
    assert codes.shape == (50, CODE)
    assert torch.cdist(codes, codes).fill_diagonal_(9).min() > 0.1


@pytest.mark.parametrize("box", [(200, 120, 260, 200), (0, 0, 30, 20), (590, 430, 640, 480), (100, 100, 104, 103)])
def test_a_crop_shows_the_box_where_its_square_says(box):
    rgb = np.zeros((480, 640, 3), np.uint8)
    x0, y0, x1, y1 = box
    rgb[y0:y1, x0:x1] = 255
    crop, (left, top, side) = cut(rgb, box)
    assert crop.shape == (SIDE, SIDE, 3)
    assert side == pytest.approx(max(x1 - x0, y1 - y0, 24) * GROW, abs=1)
    scale = SIDE / side
    middle = int(((x0 + x1) / 2 - left) * scale), int(((y0 + y1) / 2 - top) * scale)
    assert crop[middle[1], middle[0], 0] > 200
    if x0 > 20 and x1 < 620:  # what lies beyond the picture repeats its edge
        share = (crop[..., 0] > 127).mean()
        assert share == pytest.approx((x1 - x0) * (y1 - y0) / side**2, rel=0.15)


def test_a_box_outside_the_picture_has_a_crop_all_the_same():
    assert cut(np.full((48, 64, 3), 9, np.uint8), (-80, -90, -70, -60))[0].mean() == 9


def test_cells_average_two_by_two():
    patches = torch.arange(256.0).reshape(1, 256, 1)
    assert cells(patches)[0, CELLS + 1, 0] == np.mean([2 * 16 + 2, 2 * 16 + 3, 3 * 16 + 2, 3 * 16 + 3])


def test_a_patch_box_holds_its_own_centre():
    head = PatchHead(FEATURES, 6)
    found = head(torch.randn(2, 36, FEATURES), torch.zeros(2, 36, 48))
    inside = (found.boxes[..., :2] < centres(6)) & (centres(6) < found.boxes[..., 2:])
    assert found.boxes.shape == (2, 36, 4) and bool(inside.all())
    assert 0 <= float(found.scores().min()) and float(found.scores().max()) <= 1


def test_an_untrained_second_glance_leaves_the_box():
    rough = torch.tensor([[0.2, 0.1, 0.8, 0.9]])
    seen = CropHead(FEATURES, 5).eval()(torch.randn(1, 64, FEATURES), torch.randn(1, 5), torch.zeros(1, 64, 48), rough)
    assert seen.vector.shape == (1, 256) and torch.equal(seen.box, rough)


@pytest.fixture(scope="module")
def neck():
    torch.manual_seed(0)
    return Neck(FEATURES, seen=6, vector=8, grid=4, width=16, layers=1, mlp=16, heads=2).eval()


def seen(neck, glances):
    torch.manual_seed(1)
    boxes = torch.tensor([0.0, 0.0, 0.5, 0.5]).expand(1, 36, 4)
    with torch.inference_mode():
        return neck(torch.randn(1, 36, FEATURES), torch.zeros(1, 36, 48), torch.ones(1, 36), boxes, glances)


def glance(thing=1.0, box=(0.0, 0.0, 0.5, 0.5), vector=1.0):
    return Glances(torch.full((1, 1, 8), vector), torch.tensor([[box]]), torch.tensor([[thing]]))


def test_a_glance_that_counts_for_nothing_is_not_heard(neck):
    assert torch.equal(seen(neck, glance(0.0)), seen(neck, glance(0.0, vector=7.0)))
    assert not torch.allclose(seen(neck, glance()), seen(neck, glance(vector=7.0)))


def test_of_two_glances_the_one_that_fits_the_patch_is_heard():
    torch.manual_seed(0)
    alone = Neck(FEATURES, seen=6, vector=8, grid=4, width=16, layers=0).eval()  # no patch hears of another
    wide = (0.0, 0.0, 1.0, 1.0)
    found = [
        seen(alone, Glances(*(torch.cat(pair, 1) for pair in zip(glance(), glance(box=wide, vector=v)))))[0]
        for v in (2.0, 5.0)
    ]
    assert torch.equal(found[0][0], found[1][0])  # lies in the narrow box, which is the patch's own
    assert not torch.allclose(found[0][15], found[1][15])  # only the wide one covers it
