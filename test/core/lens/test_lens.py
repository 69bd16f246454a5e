"""Cameras against independent truth: image_geometry's published formulas, written out here, and OpenCV's own
projections."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from clue_ros.lens.calibration import Calibration, CalibrationError, Region, camera_model
from clue_ros.lens.model import CameraModel

# A usb_cam calibration as people have it: P is for the picture that image_proc makes.
USB_K = (568.0, 0.0, 322.0, 0.0, 566.0, 241.0, 0.0, 0.0, 1.0)
USB_P = (443.0, 0.0, 331.0, 0.0, 0.0, 479.0, 233.0, 0.0, 0.0, 0.0, 1.0, 0.0)
USB_D = (-0.35, 0.11, 0.0012, -0.0009, 0.0)
RATIONAL = (0.61, -2.63, 0.0009, -0.0003, 1.51, 0.49, -2.45, 1.44)
FISHEYE = (0.02, -0.011, 0.004, -0.0011)
USB = Calibration(USB_K, USB_P, USB_D, distortion_model="plumb_bob", width=640, height=480)
NONE3, NONE4 = (0.0,) * 9, (0.0,) * 12


def k_of(fx, fy, cx, cy):
    return (fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0)


def p_of(fx, fy, cx, cy, tx=0.0, ty=0.0):
    return (fx, 0.0, cx, tx, 0.0, fy, cy, ty, 0.0, 0.0, 1.0, 0.0)


def ray_of_image_geometry(calibration, u, v, z):
    """PinholeCameraModel: fromCameraInfo and projectPixelTo3dRay; (u, v) counts from the middle of the first pixel."""
    bx, by = (max(1, b) for b in calibration.binning)
    fx, fy = calibration.p[0] / bx, calibration.p[5] / by
    cx, cy = (calibration.p[2] - calibration.roi.x) / bx, (calibration.p[6] - calibration.roi.y) / by
    return (u - cx) / fx * z, (v - cy) / fy * z, z


def scattered(spread=0.55, n=400):
    rng = np.random.default_rng(3)
    points = rng.uniform((-spread, -spread * 0.75, 0.4), (spread, spread * 0.75, 3.0), (n, 3))
    points[:, :2] *= points[:, 2:]
    return points


def seen_by_opencv(points, k, d, fisheye=False):
    """Pixels as boxes count them: half a pixel from OpenCV's."""
    matrix, still = np.array(k).reshape(3, 3), np.zeros(3)
    if fisheye:
        return cv2.fisheye.projectPoints(points[:, None], still, still, matrix, np.array(d))[0].reshape(-1, 2) + 0.5
    return cv2.projectPoints(points, still, still, matrix, np.array(d))[0].reshape(-1, 2) + 0.5


def both_ways(model, points, pixels, tolerance=1e-3):
    assert np.abs(model.project(points) - pixels).max() < tolerance
    assert np.abs(model.points(pixels, points[:, 2]) - points).max() < 1e-5


def test_a_rectified_picture_goes_by_p_and_a_raw_one_by_k_and_d():
    points = scattered()
    both_ways(camera_model(USB, (640, 480), True), points, seen_by_opencv(points, k_of(443, 479, 331, 233), [0.0] * 5))
    both_ways(camera_model(USB, (640, 480), False), points, seen_by_opencv(points, USB_K, USB_D))
    assert camera_model(USB, (640, 480), None) == camera_model(USB, (640, 480), False)
    assert camera_model(replace(USB, d=(0.0,) * 5), (640, 480), None).fx == 443.0


@pytest.mark.parametrize("name, d", [
    ("plumb_bob", USB_D), ("plumb_bob", USB_D[:4]), ("rational_polynomial", RATIONAL), ("", USB_D),
    ("rational_polynomial", (*RATIONAL, 1e-3, -1e-3, 5e-4, 2e-4)), ("plumb_bob", (-0.28, 0.07, 0, 0, 0)),
])  # fmt: skip
def test_lenses_as_opencv_bends_them(name, d):
    points = scattered()
    model = camera_model(replace(USB, distortion_model=name, d=d), (640, 480), False)
    both_ways(model, points, seen_by_opencv(points, USB_K, d))


@pytest.mark.parametrize("d", [FISHEYE, (0.0,) * 4, (*FISHEYE, 0.0)])
@pytest.mark.parametrize("name", ["equidistant", "fisheye"])
def test_a_fisheye(name, d):
    k, points = k_of(290.0, 291.0, 319.0, 243.0), scattered(2.5)
    model = camera_model(Calibration(k, NONE4, d, distortion_model=name, width=640, height=480), (640, 480), None)
    both_ways(model, points, seen_by_opencv(points, k, d[:4], fisheye=True))
    x, y, z = points.T
    angle, across = np.arctan2(np.hypot(x, y), z), np.hypot(x, y)
    k1, k2, k3, k4 = d[:4]  # Kannala and Brandt's polynomial, as OpenCV documents it
    bent = angle * (1 + k1 * angle**2 + k2 * angle**4 + k3 * angle**6 + k4 * angle**8)
    written = np.column_stack((290.0 * bent * x / across + 319.0, 291.0 * bent * y / across + 243.0)) + 0.5
    assert np.abs(model.project(points) - written).max() < 1e-6


CASES = {  # the pixel (99.5, 99.5) at 1 m
    "plain": (dict(width=640, height=480), (600.0, 600.0, 320.0, 240.0), (-0.3675, -0.234167, 1.0)),
    "rectified": (dict(width=640, height=480), (480.0, 480.0, 335.0, 228.0), (-0.490625, -0.267708, 1.0)),
    "binning": (
        dict(width=1280, height=960, binning=(2, 2)), (1200.0, 1200.0, 640.0, 480.0), (-0.3675, -0.234167, 1.0),
    ),
    "region": (
        dict(width=1280, height=960, roi=Region(320, 240, 640, 480)), (1200.0, 1200.0, 640.0, 480.0),
        (-0.18375, -0.117083, 1.0),
    ),
    "region and binning": (
        dict(width=2560, height=1920, binning=(2, 2), roi=Region(640, 480, 1280, 960)), (2400.0, 2400.0, 1280.0, 960.0),
        (-0.18375, -0.117083, 1.0),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_region_and_binning_as_in_image_geometry(name):
    fields, matrix, expected = CASES[name]
    calibration = Calibration(k_of(600.0, 600.0, 320.0, 240.0), p_of(*matrix), **fields)
    got = camera_model(calibration, (640, 480), True).points(np.array((100.0, 100.0)), 1.0)
    assert got == pytest.approx(expected, abs=1e-5)
    assert got == pytest.approx(ray_of_image_geometry(calibration, 99.5, 99.5, 1.0), abs=1e-9)


@pytest.mark.parametrize("d, fisheye", [(USB_D, False), (FISHEYE, True), ((0.0,) * 5, False)])
def test_region_and_binning_of_a_raw_picture(d, fisheye):
    """The lens bends the full picture; a region of it is the same pixels under other numbers."""
    k, points = k_of(1136.0, 1132.0, 644.0, 482.0), scattered(0.2)
    calibration = Calibration(
        k, NONE4, d, distortion_model="equidistant" if fisheye else "plumb_bob", width=1280, height=960,
        binning=(2, 4), roi=Region(320, 240, 640, 480),
    )  # fmt: skip
    model = camera_model(calibration, (320, 120), False)
    u, v = (seen_by_opencv(points, k, d, fisheye) - 0.5).T
    both_ways(model, points, np.column_stack(((u - 320) / 2, (v - 240) / 4)) + 0.5)


def test_only_k_or_only_p():
    k_only, p_only = replace(USB, p=NONE4), replace(USB, k=NONE3, d=())
    for rectified in (True, False, None):
        assert camera_model(k_only, (640, 480), rectified).fx == 568.0
        assert camera_model(p_only, (640, 480), rectified).fx == 443.0
    assert camera_model(k_only, (640, 480), True).distortion == () and camera_model(k_only, (640, 480), None).distortion
    with pytest.raises(CalibrationError, match="D but no K"):
        camera_model(replace(USB, k=NONE3), (640, 480), False)


def test_the_size_may_be_left_out():
    assert camera_model(replace(USB, width=0, height=0), (640, 480), True).cx == 331.0
    assert camera_model(USB, None, True).width == 640
    offset = replace(USB, width=0, height=0, roi=Region(32, 24))
    assert camera_model(offset, (320, 240), True).cx == 331.0 - 32
    with pytest.raises(CalibrationError, match="no width"):
        camera_model(replace(USB, width=0, height=0), None, True)


@pytest.mark.parametrize("size", [(320, 240), (1280, 960), (480, 360), (427, 320)])
def test_a_scaled_picture_of_the_same_shape(size):
    """Scaling keeps areas: a pixel's corner stays a corner."""
    points = scattered(0.3)
    for rectified, k, d in ((True, k_of(443, 479, 331, 233), [0.0] * 5), (False, USB_K, USB_D)):
        model = camera_model(USB, size, rectified)
        both_ways(model, points, seen_by_opencv(points, k, d) * np.array(size) / (640, 480))
        assert model.scaled and not camera_model(USB, (640, 480), rectified).scaled


@pytest.mark.parametrize("calibration, size, why", [
    (USB, (640, 360), "640x360, camera_info is for 640x480.*another shape"),
    (USB, (480, 640), "another shape"),
    (replace(USB, binning=(2, 2)), (320, 180), "camera_info is for 320x240"),
    (replace(USB, width=1280, height=960, roi=Region(320, 240, 640, 480)), (1280, 960), "region of interest"),
    (replace(USB, width=1280, height=960, roi=Region(320, 240, 640, 480)), (320, 240), "region of interest"),
    (replace(USB, roi=Region(320, 240, 640, 480)), (640, 480), "reaches out of its full picture of 640x480"),
    (replace(USB, roi=Region(320, 240)), (640, 480), "reaches out"),
    (replace(USB, k=NONE3, p=NONE4, d=()), (640, 480), "K and P are zero"),
    (replace(USB, p=p_of(float("nan"), 1.0, 1.0, 1.0)), (640, 480), "P has focal lengths nan"),
    (replace(USB, p=p_of(-443.0, 479.0, 331.0, 233.0)), (640, 480), "focal lengths -443"),
    (replace(USB, p=p_of(443.0, 0.0, 331.0, 233.0)), (640, 480), "focal lengths 443, 0"),
    (replace(USB, p=p_of(443.0, 479.0, float("inf"), 233.0)), (640, 480), "centre inf"),
    (replace(USB, p=p_of(443.0, 479.0, 0.0, 0.0)), (640, 480), "no principal point"),
    (replace(USB, p=p_of(1.0, 1.0, 0.5, 0.5)), (640, 480), "focal length of 1 pixels"),
    (replace(USB, p=p_of(1e9, 1e9, 331.0, 233.0)), (640, 480), "focal length of 1e.09 pixels"),
    (replace(USB, p=p_of(443.0, 44.0, 331.0, 233.0)), (640, 480), "focal lengths 443, 44"),
    (replace(USB, p=p_of(443.0, 479.0, 5000.0, 233.0)), (640, 480), "centre 5000, 233"),
    (replace(USB, p=p_of(443.0, 479.0, 331.0, 233.0, float("nan"))), (640, 480), "fourth column"),
])  # fmt: skip
def test_what_cannot_be_true_is_refused(calibration, size, why):
    with pytest.raises(CalibrationError, match=why):
        camera_model(calibration, size, True)


@pytest.mark.parametrize("fields, why", [
    (dict(d=(float("nan"),) * 5), "D is not finite"),
    (dict(distortion_model="omni"), "lens model 'omni'"),
    (dict(d=USB_D[:3]), "3 coefficients"),
    (dict(distortion_model="", d=FISHEYE), "lens model ''"),
    (dict(distortion_model="equidistant", d=(*FISHEYE, 0.1)), "equidistant takes 4"),
    (dict(distortion_model="equidistant", d=FISHEYE[:2]), "equidistant takes 4"),
    (dict(distortion_model="equidistant", d=()), "equidistant takes 4"),
    *((dict(distortion_model=name, d=d), "lens model") for name in ("double_sphere", "omnidirectional", "MEI", "ftheta")
      for d in ((), (0.0,) * 5)),
    (dict(k=k_of(float("nan"), 1, 1, 1)), "K has focal lengths"),
    (dict(r=(1.0, 1.0, 0.0) * 3), "R is no rotation"), (dict(r=(float("nan"),) * 9), "R is no rotation"),
])  # fmt: skip
def test_a_raw_picture_needs_a_lens_that_is_known(fields, why):
    with pytest.raises(CalibrationError, match=why):
        camera_model(replace(USB, **fields), (640, 480), False)
    if "k" not in fields:
        assert camera_model(replace(USB, **fields), (640, 480), True).fx == 443.0, "of no matter for the rectified one"


def test_names_of_one_fisheye():
    for name in ("equidistant", "fisheye", "kannala_brandt", "kannala_brandt4", "Kannala_Brandt"):
        model = camera_model(replace(USB, distortion_model=name, d=FISHEYE), (640, 480), False)
        assert model.fisheye and model.distortion == FISHEYE


def test_matrices_known_up_to_their_scale():
    """A projection matrix times any number is the same projection."""
    doubled = replace(USB, k=tuple(2 * v for v in USB.k), p=tuple(2 * v for v in USB.p))
    for rectified in (True, False):
        assert camera_model(doubled, (640, 480), rectified) == camera_model(USB, (640, 480), rectified)
    unfilled = replace(USB, k=(*USB.k[:8], 0.0), p=(*USB.p[:10], 0.0, 0.0))
    assert camera_model(unfilled, (640, 480), True) == camera_model(USB, (640, 480), True)


def test_an_unknown_lens_that_bends_nothing():
    plain = replace(USB, distortion_model="whatever", d=(0.0,) * 5)
    assert camera_model(plain, (640, 480), False).distortion == ()


def test_the_right_camera_of_a_stereo_pair():
    """P's fourth column: u = (fx X + Tx) / Z + cx, points and answers in the left camera's frame
    (sensor_msgs/CameraInfo)."""
    right = replace(USB, p=p_of(443.0, 479.0, 331.0, 233.0, -443.0 * 0.12))
    points = scattered(0.3)
    x, y, z = points.T
    pixels = np.column_stack(((443.0 * x - 443.0 * 0.12) / z + 331.0, 479.0 * y / z + 233.0)) + 0.5
    both_ways(camera_model(right, (640, 480), True), points, pixels)


def test_a_raw_stereo_camera_is_turned_by_r():
    """OpenCV: undistortPoints with R and P gives pixels of the rectified picture."""
    turn = cv2.Rodrigues(np.array([0.01, -0.03, 0.02]))[0]
    calibration = replace(USB, r=tuple(turn.ravel()))
    pixels = np.array([[100.0, 80.0], [320.0, 240.0], [600.0, 400.0]])
    matrix, new = np.array(USB_K).reshape(3, 3), np.array(USB_P).reshape(3, 4)
    flat = cv2.undistortPoints((pixels - 0.5)[:, None], matrix, np.array(USB_D), None, turn, new).reshape(-1, 2)
    expected = np.column_stack(((flat[:, 0] - 331.0) / 443.0, (flat[:, 1] - 233.0) / 479.0))
    model = camera_model(calibration, (640, 480), False)
    assert np.abs(model.rays(pixels) - expected).max() < 2e-3  # OpenCV stops after five steps
    assert np.abs(model.project(model.points(pixels, 2.0)) - pixels).max() < 1e-3
    assert camera_model(calibration, (640, 480), True).rotation is None


def test_what_no_lens_sees_is_nan():
    raw, fisheye = (
        camera_model(USB, (640, 480), False),
        CameraModel(290.0, 290.0, 319.5, 239.5, 640, 480, FISHEYE, True),
    )
    for model in (raw, fisheye, camera_model(USB, (640, 480), True)):
        away = model.project(np.array([[0.0, 0.0, -1.0], [0.1, 0.1, 0.0], [np.nan, 0.0, 1.0]]))
        assert np.isnan(away).all()
    # r (1 - 0.3 r^2) turns at 1.05: what is farther aside comes back into the picture of the formula, not of the lens.
    barrel = camera_model(replace(USB, d=(-0.3, 0.0, 0.0, 0.0, 0.0)), (640, 480), False)
    for x in (1.2, 1.7, 2.2):
        assert np.isnan(barrel.project(np.array([x, 0.1, 1.0]))).all()
    assert 320 < seen_by_opencv(np.array([[1.7, 0.1, 1.0]]), USB_K, [-0.3, 0, 0, 0, 0])[0][0] < 640
    assert np.isfinite(barrel.project(np.array([0.9, 0.1, 1.0]))).all()
    assert np.isnan(fisheye.rays(np.array([319.5 + 290 * 1.9, 240.0]))).all(), "beyond 90 degrees there is no z"
    assert raw.rays(np.empty((0, 2))).shape == (0, 2) and raw.project(np.empty((0, 3))).shape == (0, 2)


def test_pixels_of_another_size_of_the_same_picture():
    model = camera_model(USB, (640, 480), False)
    pixels = np.array([[100.0, 60.0], [640.0, 480.0]])
    assert np.allclose(model.rays(pixels / 2, (320, 240)), model.rays(pixels))
    assert np.allclose(model.resized(320, 240).rays(pixels / 2), model.rays(pixels))
