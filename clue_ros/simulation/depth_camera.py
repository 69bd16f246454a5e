"""What a depth camera makes of true depth: noise that grows with the distance, holes, pixels that fly, millimetres.

Axial noise after Nguyen, Izadi and Lovell, "Modeling Kinect Sensor Noise for Improved 3D Reconstruction and Tracking"
(3DIMPVT 2012), equation 3: sigma(z) = 1.2 mm + 1.9 mm (z - 0.4 m)^2 / m^2. It is smoothed as stereo matching smooths,
over about three pixels. Beside an edge in depth lies the strip that only one of the two eyes sees, `BASELINE` apart: a
hole.
"""

from __future__ import annotations

import cv2
import numpy as np

BASELINE = 0.05  # metres between the two eyes (RealSense D435)
CORRELATION = 0.7  # pixels: sigma of the smoothing of the noise
EDGE = 0.03  # metres between neighbours: an edge in depth
FLYING = 0.5  # of the pixels at an edge: lie anywhere between the two sides
LOST_AT_EDGE = 0.3  # of the pixels at an edge
LOST = 0.01  # of all pixels, in patches
GRAZING = 0.12  # cosine of the angle between a ray and the surface's normal, below which nothing comes back


def sigma(z: np.ndarray) -> np.ndarray:
    """Standard deviation of a depth in metres, metres."""
    return 0.0012 + 0.0019 * (np.asarray(z) - 0.4) ** 2


def seen(depth: np.ndarray, focal: float, rng: np.random.Generator) -> np.ndarray:
    """float32[H, W] in metres, whole millimetres, NaN where nothing was measured.

    depth: float32[H, W], true depth in metres along the optical axis; focal: in pixels.
    """
    z = depth.astype(np.float64)
    window = np.ones((3, 3), np.uint8)
    nearest, farthest = cv2.erode(z, window), cv2.dilate(z, window)
    edge = farthest - nearest > EDGE * np.maximum(1.0, z)
    noise = cv2.GaussianBlur(rng.standard_normal(z.shape), (0, 0), CORRELATION)
    measured = z + noise / noise.std() * sigma(z)
    flying = edge & (rng.random(z.shape) < FLYING)
    measured[flying] = (nearest + (farthest - nearest) * rng.random(z.shape))[flying]
    measured[edge & (rng.random(z.shape) < LOST_AT_EDGE)] = np.nan
    measured[_shadow(z, focal) | _grazing(z, focal, edge)] = np.nan
    patches = cv2.GaussianBlur(rng.standard_normal(z.shape), (0, 0), 3.0)
    measured[patches > np.quantile(patches, 1 - LOST)] = np.nan
    return (np.round(measured * 1000) / 1000).astype(np.float32)


def _shadow(z: np.ndarray, focal: float) -> np.ndarray:
    """bool[H, W]: what the second eye, to the right of the first, does not see, for something nearer covers it."""
    disparity = focal * BASELINE / z
    reach = np.arange(z.shape[1]) - disparity  # the column in which the second eye sees a pixel
    # What is to the right and nearer lands further to the left there: a pixel is hidden if any such one passes it.
    passing = np.minimum.accumulate(reach[:, ::-1], axis=1)[:, ::-1]
    return reach > passing + 1.0


def _grazing(z: np.ndarray, focal: float, edge: np.ndarray) -> np.ndarray:
    """bool[H, W]: surfaces seen almost along themselves."""
    down, across = np.gradient(z)
    steep = np.hypot(down, across) * focal / z
    return (1 / np.sqrt(1 + steep**2) < GRAZING) & ~edge
