"""The numbers of a camera_info -> the camera of one picture, or the reason why there is none. No ROS.

After image_geometry's PinholeCameraModel (ros-perception/vision_opencv): P is for the rectified image, K with D for the
raw one; the region of interest shifts both and binning scales both. Beyond it, for drivers as they are: only K or only
P may be filled, a picture may be a scaled one of the same shape, and numbers that cannot be true are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import NamedTuple, Optional, Sequence, Tuple

import numpy as np

from clue_ros.lens.model import CameraModel
from clue_ros.types import ClueError

NARROWEST = 0.04  # of the picture's width: a focal length below it would be a field of view above 171 degrees
LONGEST = 200.0  # of the picture's width: a field of view of 0.3 degrees
FARTHEST_CENTRE = 4.0  # sides of the picture, from its first pixel; a cropped picture has it outside
UNEVENEST = 4.0  # between the focal lengths; a camera that leaves every other line out has 2
FISHEYES = ("equidistant", "fisheye", "kannala_brandt", "kannala_brandt4")
# Names of lenses that bend also where all their coefficients are zero or left out.
BENDS = re.compile(r"fish|equi|kannala|brandt|omni|mei|spher|fov|theta|ucm|pano|cylind|atan|stereographic|scaramuzza")
POLYNOMIALS = ("plumb_bob", "rational_polynomial", "")  # an empty name: told by the number of coefficients
COEFFICIENTS = (4, 5, 8, 12, 14)  # of OpenCV's lens


class CalibrationError(ClueError):
    """The calibration cannot be used for this picture; the text says why and what to do."""


class Region(NamedTuple):
    """A part of the full picture in its pixels; all 0: the whole."""

    x: int = 0
    y: int = 0
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class Calibration:
    """A camera_info: `width` x `height` of the full picture (0: not said), k and r row-major 3x3, p row-major 3x4, all
    for the full picture; d in OpenCV's order; binning and roi say which picture of it is published. Zeros: not
    filled."""

    k: Tuple[float, ...]
    p: Tuple[float, ...]
    d: Tuple[float, ...] = ()
    r: Tuple[float, ...] = (0.0,) * 9
    distortion_model: str = ""
    width: int = 0
    height: int = 0
    binning: Tuple[int, int] = (1, 1)
    roi: Region = Region()

    @property
    def distorts(self) -> bool:
        """Whether raw and rectified picture differ: an ideal fisheye has zeros and bends all the same."""
        if any(value != 0.0 for value in self.d):  # NaN counts
            return True
        return BENDS.search(self.distortion_model.lower()) is not None


def camera_model(calibration: Calibration, size: Optional[Tuple[int, int]], rectified: Optional[bool]) -> CameraModel:
    """The camera of a picture.

    Args:
        calibration: what the driver says.
        size: (width, height) of the picture in pixels; None: what the calibration says.
        rectified: whether lines are straight in it: P is taken (K without distortion where only K is filled). False: it
            is raw, K and D are taken. None: not known: raw where the lens distorts, else P.

    Raises:
        CalibrationError: not calibrated; numbers that are not finite, negative or impossible; a lens model that is not
            known; a picture that is neither the region of interest nor, without one, of the full picture's shape.
    """
    calibration = replace(calibration, k=_unscaled(calibration.k, 8), p=_unscaled(calibration.p, 10))
    k = _pinhole("K", calibration.k[0], calibration.k[4], calibration.k[2], calibration.k[5])
    p = _pinhole("P", calibration.p[0], calibration.p[5], calibration.p[2], calibration.p[6])
    raw = calibration.distorts if rectified is None else not rectified
    if raw and k is None and calibration.distorts:
        raise CalibrationError("camera_info has D but no K: take a rectified image, or have the driver fill K")
    chosen = (k or p) if raw else (p or k)
    if chosen is None:
        raise CalibrationError("camera_info has no focal length, K and P are zero: calibrate the camera")
    full = CameraModel(*chosen, calibration.width, calibration.height, origin=_origin(calibration, p))
    if raw and calibration.distorts:
        coefficients, fisheye = _lens(calibration)
        full = replace(full, distortion=coefficients, fisheye=fisheye)
    if raw and k is not None:
        full = replace(full, rotation=_rotation(calibration.r))
    model = _windowed(full, calibration, size)
    lengths = (model.fx / model.width, model.fy / model.height)
    if min(lengths) < NARROWEST or max(lengths) > LONGEST:
        raise CalibrationError(
            f"camera_info has a focal length of {chosen[0]:g} pixels for an image {model.width} wide: calibrate the"
            " camera"
        )
    centre = max(abs(model.cx) / model.width, abs(model.cy) / model.height)
    if max(chosen[:2]) > UNEVENEST * min(chosen[:2]) or centre > FARTHEST_CENTRE:
        raise CalibrationError(
            "camera_info has focal lengths {:g}, {:g} and centre {:g}, {:g}".format(*chosen)
            + f" for an image of {model.width}x{model.height}: calibrate the camera"
        )
    return model


def _unscaled(matrix: Tuple[float, ...], at: int) -> Tuple[float, ...]:
    """A projection is known up to a factor; the number at `at` tells it (1, or 0 where it was not filled)."""
    scale = matrix[at]
    return matrix if scale in (0.0, 1.0) or not np.isfinite(scale) else tuple(value / scale for value in matrix)


def _pinhole(name: str, fx: float, fy: float, cx: float, cy: float) -> Optional[Tuple[float, float, float, float]]:
    """None where the driver left the matrix unfilled."""
    if fx == fy == 0.0:
        return None
    if not (np.isfinite([fx, fy, cx, cy]).all() and fx > 0 and fy > 0):
        raise CalibrationError(
            f"camera_info's {name} has focal lengths {fx:g}, {fy:g} and centre {cx:g}, {cy:g}: calibrate the camera"
        )
    if cx == cy == 0.0:
        raise CalibrationError(f"camera_info's {name} has no principal point, cx and cy are 0: calibrate the camera")
    return float(fx), float(fy), float(cx), float(cy)


def _origin(calibration: Calibration, p: Optional[Tuple[float, ...]]) -> Tuple[float, float]:
    """P's fourth column, -fx * baseline, belongs to a second camera whose points are given in the first one's frame."""
    if p is None:
        return (0.0, 0.0)
    across, down = calibration.p[3], calibration.p[7]
    if not np.isfinite([across, down]).all():
        raise CalibrationError("camera_info's P has a fourth column that is not finite: calibrate the camera")
    return (-across / p[0] + 0.0, -down / p[1] + 0.0)


def _rotation(r: Sequence[float]) -> Optional[Tuple[float, ...]]:
    turn = np.asarray(r, np.float64).reshape(3, 3)
    if not turn.any() or np.allclose(turn, np.eye(3), atol=1e-9):
        return None
    if not np.isfinite(turn).all() or not np.allclose(turn @ turn.T, np.eye(3), atol=1e-3) or np.linalg.det(turn) < 0:
        raise CalibrationError("camera_info's R is no rotation: calibrate the camera, or leave it the identity")
    return tuple(float(value) for value in turn.ravel())


def _lens(calibration: Calibration) -> Tuple[Tuple[float, ...], bool]:
    """(coefficients, fisheye) for OpenCV."""
    d, name = tuple(float(value) for value in calibration.d), calibration.distortion_model.lower()
    if not np.isfinite(d).all():
        raise CalibrationError("camera_info's D is not finite: calibrate the camera")
    if name in FISHEYES:
        if len(d) < 4 or any(d[4:]):
            raise CalibrationError(
                f"camera_info's D has {len(d)} coefficients: {name} takes 4; for a rectified image set the parameter"
                " `rectified`"
            )
        return d[:4], True
    known = name in POLYNOMIALS and len(d) in COEFFICIENTS
    if not known or (not name and len(d) == 4):  # 4 without a name may be a fisheye's
        raise CalibrationError(
            f"camera_info has the lens model {calibration.distortion_model[:40]!r} with {len(d)} coefficients, which is"
            " not known: rectify the image and take the rectified topic"
        )
    return d, False


def _windowed(full: CameraModel, calibration: Calibration, size: Optional[Tuple[int, int]]) -> CameraModel:
    """The camera of the published picture: shifted by the region of interest, then divided by the binning, as in
    image_geometry; scaled where it is a whole picture of another size and of the same shape."""
    roi, whole = calibration.roi, (calibration.width, calibration.height)
    bins = tuple(max(1, value) for value in calibration.binning)
    cut = roi != Region()
    for axis, (begins, extent) in enumerate(((roi.x, roi.width), (roi.y, roi.height))):
        length = extent or (size[axis] * bins[axis] if size is not None else 0)
        # A last bin that is only half filled may reach out.
        if cut and whole[axis] and begins + length > whole[axis] + bins[axis] - 1:
            raise CalibrationError(
                f"camera_info's region of interest {roi.width}x{roi.height} at ({roi.x}, {roi.y}) reaches out of its"
                f" full picture of {whole[0]}x{whole[1]}: correct the driver"
            )
    # A side of 0 is not known: the picture's own.
    sides = tuple(region or full for region, full in zip((roi.width, roi.height), (0, 0) if cut else whole))
    told = (sides[0] / bins[0], sides[1] / bins[1])
    size = size or (int(told[0]), int(told[1]))
    if min(size) <= 0:
        raise CalibrationError("camera_info has no width and height, and there is no image yet")
    model = replace(
        full, fx=full.fx / bins[0], fy=full.fy / bins[1], cx=(full.cx - roi.x) / bins[0],
        cy=(full.cy - roi.y) / bins[1], width=size[0], height=size[1],
    )  # fmt: skip
    if all(not side or abs(side - pixels) < 1 for side, pixels in zip(told, size)):
        return model
    told = (told[0] or size[0], told[1] or size[1])
    across, down = size[0] / told[0], size[1] / told[1]
    same_shape = abs(size[0] - told[0] * down) <= 1 or abs(size[1] - told[1] * across) <= 1
    if cut or not same_shape:
        raise CalibrationError(
            f"the image is {size[0]}x{size[1]}, camera_info is for {told[0]:g}x{told[1]:g}"
            + (" (its region of interest)" if cut else " (another shape)")
            + ": publish the camera_info that belongs to the image"
        )
    return replace(model, width=told[0], height=told[1]).resized(*size)
