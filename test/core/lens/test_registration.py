"""Depth of another camera: a scene of planes, whose true depth for every pixel of either camera is computed by ray and
plane."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from clue_ros.lens.model import CameraModel
from clue_ros.lens.registration import agree, registered
from clue_ros.types import Box

COLOUR = CameraModel(615.0, 616.0, 322.0, 239.0, 640, 480)
DEPTH = CameraModel(386.0, 386.0, 320.0, 241.0, 640, 480)
TURN = cv2.Rodrigues(np.array([0.004, -0.01, 0.006]))[0]  # depth frame -> colour frame
MOVE = np.array([0.059, 0.001, -0.002])
CARD = (-0.1, 0.05, -0.06, 0.06, 0.8)  # x0, x1, y0, y1, z in the colour frame, in front of a wall at 1.6 m
WALL = 1.6


def truth(camera, turn, move):
    """float32[H, W]: the depth in the camera's own frame; turn and move take its points to the colour frame. By
    intersecting rays with planes z = constant of the colour frame."""
    v, u = np.mgrid[0 : camera.height, 0 : camera.width]
    direction = np.stack(((u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(u.shape)), axis=-1) @ turn.T
    wall = (WALL - move[2]) / direction[..., 2]
    card = (CARD[4] - move[2]) / direction[..., 2]
    x, y = (move[i] + card * direction[..., i] for i in (0, 1))
    hit = (x >= CARD[0]) & (x <= CARD[1]) & (y >= CARD[2]) & (y <= CARD[3])
    return np.where(hit, card, wall).astype(
        np.float32
    )  # a direction has z 1 in the own frame: lengths along it are depths


@pytest.mark.parametrize(
    "depth_camera",
    [
        DEPTH,
        CameraModel(386.0 / 2, 386.0 / 2, 159.75, 120.25, 320, 240),
        CameraModel(770.0, 772.0, 642.0, 361.0, 1280, 720),
    ],
    ids=["vga", "quarter", "720p"],
)
@pytest.mark.parametrize("turn, move", [(TURN, MOVE), (np.eye(3), MOVE), (np.eye(3), np.zeros(3))])
def test_a_card_before_a_wall(depth_camera, turn, move):
    got = registered(truth(depth_camera, turn, move), depth_camera, turn, move, COLOUR)
    height, width = got.shape
    assert abs(width / height - 4 / 3) < 0.01
    expected = cv2.resize(truth(COLOUR, np.eye(3), np.zeros(3)), (width, height), interpolation=cv2.INTER_NEAREST)
    inner = cv2.erode((expected < 1).astype(np.uint8), np.ones((5, 5))) > 0
    assert inner.sum() > 200
    assert np.nanmax(np.abs(got[inner] - expected[inner])) < 0.002, "no wall shows through the card"
    assert np.isfinite(got[inner]).mean() > 0.99, "and it has no holes"
    outside = cv2.dilate((expected < 1).astype(np.uint8), np.ones((5, 5))) == 0
    known = outside & np.isfinite(got)
    assert known.sum() > 0.6 * outside.sum() and np.abs(got[known] - WALL).max() < 0.003


def test_what_the_depth_camera_cannot_see_stays_unknown():
    """Behind the card's edge lies wall that only the colour camera sees: its shadow, and no card."""
    got = registered(truth(DEPTH, np.eye(3), MOVE), DEPTH, np.eye(3), MOVE, COLOUR)
    expected = cv2.resize(truth(COLOUR, np.eye(3), np.zeros(3)), got.shape[::-1], interpolation=cv2.INTER_NEAREST)
    rows, columns = np.nonzero(expected < 1)
    middle = got[(rows.min() + rows.max()) // 2]
    beside = np.r_[middle[columns.min() - 12 : columns.min() - 2], middle[columns.max() + 3 : columns.max() + 13]]
    assert np.isnan(beside).sum() >= 5 and not (np.abs(beside - CARD[4]) < 0.1).any()


def test_a_bent_picture_and_straight_depth_of_one_frame():
    """Depth that was registered to the rectified picture, and the raw one: the same eye, other pixels."""
    raw = CameraModel(568.0, 566.0, 322.0, 241.0, 640, 480, (-0.35, 0.11, 0.0012, -0.0009, 0.0))
    straight = CameraModel(443.0, 479.0, 331.0, 233.0, 640, 480)
    assert not agree(straight, raw) and not agree(COLOUR, straight)
    got = registered(truth(straight, np.eye(3), np.zeros(3)), straight, np.eye(3), np.zeros(3), raw)
    corners = np.array([(x, y, CARD[4]) for x in CARD[:2] for y in CARD[2:4]])
    pixels = cv2.projectPoints(
        corners, np.zeros(3), np.zeros(3), np.array([[568.0, 0, 322], [0, 566.0, 241], [0, 0, 1]]),
        np.array(raw.distortion))[0].reshape(-1, 2)  # fmt: skip
    scale = got.shape[1] / 640
    rows, columns = np.nonzero(got < 1)
    assert columns.min() / scale == pytest.approx(pixels[:, 0].min(), abs=3)
    assert (columns.max() + 1) / scale == pytest.approx(pixels[:, 0].max(), abs=3)
    assert rows.min() / scale == pytest.approx(pixels[:, 1].min(), abs=3)


def test_cameras_that_agree():
    assert agree(COLOUR, COLOUR) and agree(COLOUR.resized(320, 240), COLOUR) and agree(COLOUR, COLOUR.resized(160, 120))
    assert not agree(DEPTH, COLOUR)
    shifted = CameraModel(615.0, 616.0, 326.0, 239.0, 640, 480)
    assert not agree(shifted, COLOUR)
    right = CameraModel(615.0, 616.0, 322.0, 239.0, 640, 480, origin=(0.05, 0.0))
    assert not agree(right, COLOUR)


def test_nothing_to_see():
    empty = registered(np.full((480, 640), np.nan, np.float32), DEPTH, TURN, MOVE, COLOUR)
    assert np.isnan(empty).all() and empty.size
    behind = registered(np.full((480, 640), 1.0, np.float32), DEPTH, np.diag([-1.0, 1.0, -1.0]), np.zeros(3), COLOUR)
    assert np.isnan(behind).all()


@pytest.mark.parametrize("turn, move", [(TURN, MOVE), (np.eye(3), np.array([0.3, 0.0, 0.1])), (cv2.Rodrigues(
    np.array([0.0, 0.4, 0.0]))[0], np.array([-0.5, 0.0, 0.1]))])  # fmt: skip
def test_a_window_is_as_the_whole_has_it(turn, move):
    depth = truth(DEPTH, turn, move)
    box = Box(260, 180, 360, 290)
    whole = registered(depth, DEPTH, turn, move, COLOUR)
    part = registered(depth, DEPTH, turn, move, COLOUR, box)
    scale = whole.shape[1] / COLOUR.width
    inside = tuple(slice(int(a * scale), int(b * scale)) for a, b in ((box.y0, box.y1), (box.x0, box.x1)))
    assert np.array_equal(whole[inside], part[inside], equal_nan=True) and np.isfinite(part[inside]).mean() > 0.5
    assert np.isnan(part).sum() > np.isnan(whole).sum(), "the rest was left out"
