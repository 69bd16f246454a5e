"""One calibrated camera: pixels to rays and points to pixels, in batches. Pure functions of a frozen dataclass.

Pixels count from the corner of the image's first pixel, as boxes do. The numbers of a calibration count from its
centre, as camera_info and OpenCV do: half a pixel apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Optional, Sequence, Tuple, Union

import cv2
import numpy as np

NEAREST = 1e-6  # metres in front of the lens; what is nearer, or behind it, is in no picture
STRAY = 1e-3  # of the focal length: a ray that comes back farther from its pixel is none
NEWTON_STEPS = 8
FIELD = 16  # places from a picture's middle to its rim at which its field of view is measured
STEP = 1e-6  # of the focal length, for derivatives
CONVERGED = 1e-7  # of the focal length: a ten-thousandth of a pixel


@dataclass(frozen=True)
class CameraModel:
    """A camera for pictures of `width` x `height` pixels.

    fx, fy, cx, cy: pixels. distortion: OpenCV's coefficients in OpenCV's order: 4, 5, 8, 12 or 14 of cv2.projectPoints,
    or 4 of cv2.fisheye with `fisheye`; empty: a pinhole. rotation: row-major 3x3, from the lens's axes to those of the
    optical frame (R of a raw stereo camera); None: the same. origin: (x, y) in metres of the optical frame where all
    rays begin: other than 0 for the second camera of a stereo pair, whose frame is that of the first. scaled: the
    calibration is for a picture of another size (of the same shape), and was scaled.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    distortion: Tuple[float, ...] = ()
    fisheye: bool = False
    rotation: Optional[Tuple[float, ...]] = None
    origin: Tuple[float, float] = (0.0, 0.0)
    scaled: bool = False

    def rays(self, pixels: np.ndarray, size: Optional[Tuple[int, int]] = None) -> np.ndarray:
        """float64[..., 2]: (dx/dz, dy/dz) in the optical frame of what is seen at `pixels`; NaN where the lens sees
        nothing.

        pixels: float[..., 2], (x, y). size: (width, height) of the image that they count in; None: the camera's own.
        What is z metres away along the axis is at `origin` + ray * z.
        """
        pixels = np.asarray(pixels, np.float64)
        if size is not None:
            pixels = pixels * np.divide((self.width, self.height), size)
        seen = (pixels.reshape(-1, 2) - 0.5 - (self.cx, self.cy)) / (self.fx, self.fy)
        if self.fisheye:
            seen = _fisheye_undistorted(seen, self.distortion)
        elif self.distortion:
            seen = _undistorted(seen, self.distortion)
        if self.rotation is not None:
            turned = np.column_stack((seen, np.ones(len(seen)))) @ self._turn.T
            with np.errstate(invalid="ignore", divide="ignore"):
                seen = np.where(turned[:, 2:] > NEAREST, turned[:, :2] / turned[:, 2:], np.nan)
        return seen.reshape(pixels.shape)

    def points(self, pixels: np.ndarray, z: "np.ndarray | float") -> np.ndarray:
        """float64[..., 3]: metres in the optical frame of what is seen at `pixels` [..., 2] and is z metres away along
        the axis."""
        z = np.asarray(z, np.float64)[..., None]
        flat = self.origin + self.rays(pixels) * z
        return np.concatenate((flat, np.broadcast_to(z, (*flat.shape[:-1], 1))), axis=-1)

    def project(self, points: np.ndarray) -> np.ndarray:
        """float64[..., 2]: where `points` [..., 3], metres in the optical frame, are in the picture or beside it. NaN
        behind the camera, and where the lens would have to bend light from outside its field."""
        points = np.asarray(points, np.float64)
        flat = points.reshape(-1, 3) - (*self.origin, 0.0)
        if self.rotation is not None:
            flat = flat @ self._turn
        with np.errstate(invalid="ignore", divide="ignore"):
            visible = (flat[:, 2:] > NEAREST) & np.isfinite(flat).all(axis=1, keepdims=True)
            ahead = np.where(visible, flat[:, :2] / flat[:, 2:], np.nan)
        if self.distortion and not self.fisheye:
            # Far outside its field a polynomial folds back into the picture: what is seen there is something else.
            with np.errstate(invalid="ignore"):
                ahead = np.where(np.hypot(*ahead.T)[:, None] <= _field(self), ahead, np.nan)
        seen = self._distort(ahead)
        return (seen * (self.fx, self.fy) + (self.cx, self.cy) + 0.5).reshape(*points.shape[:-1], 2)

    def resized(self, width: int, height: int) -> "CameraModel":
        """The same camera for the same picture scaled to `width` x `height`."""
        across, down = width / self.width, height / self.height
        return CameraModel(
            self.fx * across, self.fy * down, (self.cx + 0.5) * across - 0.5, (self.cy + 0.5) * down - 0.5,
            width, height, self.distortion, self.fisheye, self.rotation, self.origin, scaled=True,
        )  # fmt: skip

    @property
    def _turn(self) -> np.ndarray:
        return np.asarray(self.rotation, np.float64).reshape(3, 3)

    def _distort(self, ahead: np.ndarray) -> np.ndarray:
        if self.fisheye:
            return _fisheye_distorted(ahead, self.distortion)
        return _distorted(ahead, self.distortion) if self.distortion else ahead


@lru_cache(maxsize=16)
def _field(camera: CameraModel) -> float:
    """The tangent of the largest angle from the lens's axis that is in the picture, and a little more."""
    places = np.stack(np.meshgrid(*(np.linspace(0.0, 1.0, 2 * FIELD + 1),) * 2), axis=-1).reshape(-1, 2)
    seen = (places * (camera.width, camera.height) - 0.5 - (camera.cx, camera.cy)) / (camera.fx, camera.fy)
    return float(np.nanmax(np.hypot(*_undistorted(seen, camera.distortion).T), initial=0.0)) * 1.02


def _distorted(ahead: np.ndarray, coefficients: Union[Sequence[float], np.ndarray]) -> np.ndarray:
    """float64[N, 2] of a pinhole -> of the lens, focal length 1; NaN stays NaN."""
    if not len(ahead):
        return ahead
    solid = np.column_stack((ahead, np.ones(len(ahead))))
    seen, _ = cv2.projectPoints(solid, np.zeros(3), np.zeros(3), np.eye(3), np.asarray(coefficients, np.float64))
    return seen.reshape(-1, 2)


def _undistorted(seen: np.ndarray, coefficients: Union[Sequence[float], np.ndarray]) -> np.ndarray:
    """The inverse by OpenCV, whose fixed-point steps are followed by Newton's; NaN where none comes back to its
    pixel."""
    if not len(seen):
        return seen
    known = np.asarray(coefficients, np.float64)
    with np.errstate(all="ignore"):
        ahead = cv2.undistortPoints(np.ascontiguousarray(seen[:, None]), np.eye(3), known).reshape(-1, 2)
        ahead = np.where(np.isfinite(ahead), ahead, seen)
        apart = np.arange(len(seen))
        for _ in range(NEWTON_STEPS):
            missing = seen[apart] - _distorted(ahead[apart], known)
            far = np.abs(missing).max(axis=1) > CONVERGED
            apart, missing = apart[far], missing[far]
            if not len(apart):
                break
            ahead[apart] += np.clip(_newton(ahead[apart], missing, known), -0.5, 0.5)
        comes_back = np.abs(seen - _distorted(ahead, known)).max(axis=1) <= STRAY
        # Where distances shrink outwards the polynomial has turned, as no lens does: that was not calibrated.
        outward = _distorted(ahead * (1 + STEP), known) - _distorted(ahead, known)
        opens = (outward * seen).sum(axis=1) >= 0.0
    return np.where((comes_back & opens)[:, None], ahead, np.nan)


def _newton(ahead: np.ndarray, missing: np.ndarray, known: np.ndarray) -> np.ndarray:
    """float64[N, 2]: the step that makes up for what is missing; 0 where the lens's map is singular."""
    right, down = (
        (_distorted(ahead + step, known) - _distorted(ahead - step, known)) / (2 * STEP)
        for step in ((STEP, 0.0), (0.0, STEP))
    )
    area = right[:, 0] * down[:, 1] - right[:, 1] * down[:, 0]
    across = (missing[:, 0] * down[:, 1] - missing[:, 1] * down[:, 0]) / area
    below = (right[:, 0] * missing[:, 1] - right[:, 1] * missing[:, 0]) / area
    move = np.column_stack((across, below))
    return np.where(np.isfinite(move), move, 0.0)


def _fisheye_distorted(ahead: np.ndarray, coefficients: Union[Sequence[float], np.ndarray]) -> np.ndarray:
    if not len(ahead):
        return ahead
    solid = np.column_stack((ahead, np.ones(len(ahead))))[:, None]
    known = np.asarray(coefficients, np.float64)
    seen, _ = cv2.fisheye.projectPoints(solid, np.zeros(3), np.zeros(3), np.eye(3), known)
    return seen.reshape(-1, 2)


def _fisheye_undistorted(seen: np.ndarray, coefficients: Union[Sequence[float], np.ndarray]) -> np.ndarray:
    """NaN from 90 degrees off the axis on: such a ray has no z."""
    if not len(seen):
        return seen
    known = np.asarray(coefficients, np.float64)
    with np.errstate(all="ignore"):
        ahead = cv2.fisheye.undistortPoints(np.ascontiguousarray(seen[:, None]), np.eye(3), known).reshape(-1, 2)
        off = np.abs(seen - _fisheye_distorted(ahead, known)).max(axis=1)
    return np.where((off <= STRAY)[:, None], ahead, np.nan)
