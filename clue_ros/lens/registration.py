"""A depth image as another camera would see it, as depth_image_proc's register node does it: every depth pixel becomes
a point, the point is taken to the other camera and projected, and the nearest one in a pixel counts (z-buffer). No ROS.
"""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np

from clue_ros.lens.model import CameraModel
from clue_ros.types import Box

DENSITY = 0.75  # grid cells for each depth pixel, along a side: no holes where a surface is seen a little larger
SAMPLES = 9  # along a side, to compare two cameras
AGREES = 1.0  # pixels, of the coarser of the two
DISTANCES = 8  # along each ray of a window, at which it is looked for in the depth image
FLATTEST = 0.1  # of a ray's direction along the depth camera's axis: flatter ones cross the whole depth image
MARGIN = 8  # depth pixels around what was found there


def registered(
    depth: np.ndarray, depth_camera: CameraModel, rotation: np.ndarray, translation: np.ndarray, camera: CameraModel,
    window: Optional[Box] = None,
) -> np.ndarray:  # fmt: skip
    """The depth that `camera` would see.

    Args:
        depth: float32[h, w] in metres along the depth camera's axis, NaN invalid; `depth_camera` is for its size.
        rotation, translation: float[3, 3] and float[3] in metres: take points of the depth camera's optical frame to
            the other's.
        camera: of the picture that the depth shall fit to.
        window: pixels of that picture; only what is seen in it is wanted, the rest may be NaN. Saves most of the time.

    Returns float32[h', w'] in metres along the camera's axis, NaN where nothing is seen. It covers the camera's
    picture, and is coarser than it where the depth image is: no finer grid than the depth image could fill is made, for
    it would be full of holes through which the background shows.
    """
    density = min(1.0, DENSITY * min(depth_camera.fx / camera.fx, depth_camera.fy / camera.fy))
    width, height = (max(1, round(side * density)) for side in (camera.width, camera.height))
    result = np.full(width * height, np.inf, np.float32)
    rotation, translation = np.asarray(rotation, np.float64), np.asarray(translation, np.float64)
    part = slice(None), slice(None)
    if window is not None:
        part = _part(depth, depth_camera, rotation, translation, camera, window)
    rows, columns = np.nonzero(np.isfinite(depth[part]))
    if len(rows):
        rows, columns = rows + (part[0].start or 0), columns + (part[1].start or 0)
        seen = depth_camera.points(np.column_stack((columns, rows)) + 0.5, depth[rows, columns])
        points = seen @ rotation.T + translation
        pixels = camera.project(points) * (width / camera.width, height / camera.height)
        with np.errstate(invalid="ignore"):
            inside = ((pixels >= 0) & (pixels < (width, height))).all(axis=1)  # NaN is not
        columns, rows = pixels[inside].astype(np.int64).T
        np.minimum.at(result, rows * width + columns, points[inside, 2].astype(np.float32))
    return np.where(np.isinf(result), np.float32(np.nan), result).reshape(height, width)


def _part(
    depth: np.ndarray, depth_camera: CameraModel, rotation: np.ndarray, translation: np.ndarray, camera: CameraModel,
    window: Box,
) -> Tuple[slice, slice]:  # fmt: skip
    """(rows, columns) of the depth image that hold whatever may be seen in the window, at any distance that occurs; all
    of it where that cannot be told."""
    everything = slice(None), slice(None)
    occurring = depth[(depth > 0) & np.isfinite(depth)]
    if not occurring.size:
        return everything
    across, down = np.meshgrid(np.linspace(window.x0, window.x1, 5), np.linspace(window.y0, window.y1, 5))
    rays = camera.rays(np.stack((across, down), axis=-1).reshape(-1, 2))
    # A ray of the window in the depth camera's frame begins at `start` and gains `along` with each metre of z.
    along = np.column_stack((rays, np.ones(len(rays)))) @ rotation
    start = ((*camera.origin, 0.0) - translation) @ rotation
    if not (along[:, 2] > FLATTEST).all():  # NaN is not
        return everything
    depths = np.geomspace(float(occurring.min()), float(occurring.max()), DISTANCES)
    lengths = np.maximum((depths - start[2]) / along[:, 2:], 0.0)  # what lies behind the camera is not seen
    there = depth_camera.project(start + lengths[..., None] * along[:, None])
    if np.isnan(there).any():
        return everything
    low = np.floor(there.min(axis=(0, 1)) - MARGIN).clip(0, depth.shape[::-1]).astype(int)
    high = np.ceil(there.max(axis=(0, 1)) + MARGIN).clip(0, depth.shape[::-1]).astype(int)
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def agree(depth_camera: CameraModel, camera: CameraModel) -> bool:
    """Whether a depth image of the one camera fits to the picture of the other as it is, both in one frame: the same
    rays at the same places, whatever their sizes."""
    across, down = np.meshgrid(*(np.linspace(0.05, 0.95, SAMPLES) for _ in range(2)))
    places = np.stack((across, down), axis=-1).reshape(-1, 2)
    there = camera.project(depth_camera.points(places * (depth_camera.width, depth_camera.height), 1.0))
    off = np.abs(there / (camera.width, camera.height) - places)
    coarser = min(depth_camera.width, camera.width), min(depth_camera.height, camera.height)
    return bool((off * coarser <= AGREES).all())  # NaN, seen by one of them only, is not
