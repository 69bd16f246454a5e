"""The planes around a thing: the table that it stands on, a wall behind it.

A plane n·P = d is a linear function of the ray in inverse depth: 1/z = (n·(x/z, y/z, 1))/d. The noise of stereo cameras
is nearly the same everywhere in inverse depth, so a plane is fitted there, by RANSAC (Fischler and Bolles, 1981) with
least squares over the inliers.
"""

from __future__ import annotations

from typing import List, NamedTuple

import numpy as np

SAMPLES = 600  # pixels that a hypothesis is tried on
HYPOTHESES = 150
COARSE = 0.008  # of the distance: inliers of a hypothesis, about three times the noise of a depth camera
FINEST, COARSEST = 0.0025, 0.012  # of the distance: bounds of a plane's margin
DEVIATIONS = 3.0
MIN_SHARE = 0.15  # of the samples of the surroundings: a plane with less is some other thing's side
MOST = 3  # table, wall and one more
TOO_FEW = 30  # samples: no plane is sought in less


class Plane(NamedTuple):
    """inverse: float64[3]; 1/z = inverse · (x/z, y/z, 1), per metre. noise: standard deviation of the depths of its
    pixels, of the distance. margin: within it of the plane, of the distance, a depth may be the plane's."""

    inverse: np.ndarray
    noise: float

    @property
    def margin(self) -> float:
        return _margin(self.noise)

    def above(self, depth: np.ndarray, rays: np.ndarray) -> np.ndarray:
        """float[...]: by how much of its distance the plane lies behind each depth; NaN where depth is."""
        return 1.0 - depth * _inverse_depth(self.inverse, rays)


def planes_around(depth: np.ndarray, rays: np.ndarray) -> List[Plane]:
    """The largest planes of scattered samples, the largest first; the same for the same samples.

    depth: float[N] metres, all valid; rays: float[N, 2], (x/z, y/z).
    """
    rng = np.random.default_rng(0)
    if depth.size > SAMPLES:
        chosen = rng.choice(depth.size, SAMPLES, replace=False)
        depth, rays = depth[chosen], rays[chosen]
    found: List[Plane] = []
    least = max(TOO_FEW, MIN_SHARE * depth.size)
    while depth.size >= least and len(found) < MOST:
        plane = _largest(depth, rays, rng)
        if plane is None:
            break
        on = np.abs(plane.above(depth, rays)) <= plane.margin
        if on.sum() < least:
            break
        found.append(plane)
        depth, rays = depth[~on], rays[~on]
    return found


def _largest(depth: np.ndarray, rays: np.ndarray, rng: np.random.Generator):
    design = np.concatenate([rays, np.ones((len(rays), 1))], 1).astype(np.float64)
    inverse = 1.0 / depth.astype(np.float64)
    three = rng.integers(0, depth.size, (HYPOTHESES, 3))
    corners = design[three]
    usable = np.abs(np.linalg.det(corners)) > 1e-9  # three in a line make no plane
    if not usable.any():
        return None
    planes = np.linalg.solve(corners[usable], inverse[three][usable][..., None])[..., 0]
    ratio = (planes @ design.T) / inverse
    plane = planes[np.argmax((np.abs(1.0 - ratio) <= COARSE).sum(1))]
    within = COARSE
    for _ in range(4):
        off = 1.0 - (design @ plane) / inverse
        on = np.abs(off) <= within
        if on.sum() < TOO_FEW:
            return None
        plane = np.linalg.lstsq(design[on], inverse[on], rcond=None)[0]
        spread = 1.4826 * float(np.median(np.abs(1.0 - (design[on] @ plane) / inverse[on])))
        within = _margin(spread)
    return Plane(plane, spread)


def _margin(noise: float) -> float:
    return float(np.clip(DEVIATIONS * noise, FINEST, COARSEST))


def _inverse_depth(plane: np.ndarray, rays: np.ndarray) -> np.ndarray:
    return rays[..., 0] * plane[0] + rays[..., 1] * plane[1] + plane[2]
