"""A box and a depth image -> where the target is and how large what is seen of it is. Pure functions, no ROS.

Start reading at `place_of_box`. plane.py finds the table, surface.py the thing's pixels, layers.py does without a
table.
"""

from __future__ import annotations

from typing import NamedTuple, Optional, Protocol, Tuple

import cv2
import numpy as np

from clue_ros.extent.layers import CORE, nearest_layer
from clue_ros.extent.plane import planes_around
from clue_ros.extent.surface import SQUARE, Window, surface
from clue_ros.geometry import triple
from clue_ros.types import Box

SURROUNDINGS = 0.5  # of the box's sides, to every side of it: where the table is sought
LEAST_SURROUNDINGS = 0.02  # of the image's width
MOST_PIXELS = 40_000  # of a window: of a larger one every second or third row and column is looked at
MIN_SEEN = 0.1  # of the pixels where the thing should be; below it every statistic would be noise
NEAR = 0.15  # of the box's sides, to every side: so far the thing may reach out of its box
OUTERMOST = 1.0  # per cent of the points to either side: a few fly
NOISE_RANGE = 4.65  # standard deviations between those percentiles of what has no thickness


class Camera(Protocol):
    """What is seen where; a calibrated camera of whatever kind."""

    def rays(self, pixels: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
        """float[..., 2]: (x/z, y/z) in the optical frame of what is seen at `pixels`.

        pixels: float[..., 2], (x, y) of an image of `size` (width, height), from the corner of its first pixel, as
        boxes.
        """
        ...


class Place(NamedTuple):
    """Metres in the optical frame (x right, y down, z forward). position: the middle of the visible surface, the mean
    of its points; size: from its least to its largest x, y and z, but for OUTERMOST per cent of them at either end."""

    position: Tuple[float, float, float]
    size: Tuple[float, float, float]


def place_of_box(
    depth: np.ndarray, box: Box, image_size: Tuple[int, int], camera: Camera, mask: Optional[np.ndarray] = None
) -> Optional[Place]:
    """Where the thing in a box is, and how large what is seen of it.

    Args:
        depth: float32[h, w] in metres, NaN invalid, registered to the image; its size may differ from the image's.
        box: pixels of the image.
        image_size: (width, height) of the image that `box` refers to.
        camera: its rays, in pixels of that image.
        mask: bool[height, width], the thing's pixels in the image, where they are known.

    Returns None where too few pixels are valid. The planes around the box that the thing stands out of, such as the
    table and a wall, are left out, and so are neighbours and pixels that fly (surface.py). Something flat on a table
    is all of the box, or of its mask, in the table's plane. Where no plane is found and no mask given, the thing is
    the box's nearest layer of depth (layers.py). Holes shift nothing: those within the thing, and those that reach
    from it to the box's edge, count as its pixels.
    """
    window = _window(depth, box, image_size, camera, mask)
    if window is not None:
        if window.masked and np.isfinite(window.depth[window.region]).mean() < MIN_SEEN:
            return None
        planes = planes_around(*_surroundings(window))
        thing = surface(window, planes)
        if thing is not None and thing.sum() >= max(1.0, MIN_SEEN * window.region.sum()):
            return _place_of(window, thing, planes[0].noise if planes else 0.0)
    layer = nearest_layer(depth, box, image_size)
    if layer is None:
        return None
    x, y = camera.rays(np.array(layer.box.center), image_size) * layer.z
    corners = camera.rays(np.array([layer.box[:2], layer.box[2:]]), image_size) * layer.z
    across, down = np.abs(corners[1] - corners[0])
    return Place((float(x), float(y), layer.z), (float(across), float(down), layer.thickness))


def surroundings(box: Box, image_size: Tuple[int, int]) -> Box:
    """The part of an image of `image_size` (width, height) whose depth says where the thing in a box is, in its
    pixels."""
    least = LEAST_SURROUNDINGS * image_size[0]
    across, down = (max(SURROUNDINGS * side, least) for side in (box.x1 - box.x0, box.y1 - box.y0))
    return Box(box.x0 - across, box.y0 - down, box.x1 + across, box.y1 + down)


def _place_of(window: Window, thing: np.ndarray, noise: float) -> Place:
    """noise: standard deviation of the depth, of the distance."""
    z = window.depth[thing].astype(np.float64)
    holes = _holes(window, thing)
    rays = np.concatenate([window.rays[thing], window.rays[holes]])
    z = np.concatenate([z, np.full(holes.sum(), np.median(z))])
    points = np.concatenate([rays * z[:, None], z[:, None]], 1)
    low, high = np.percentile(points, (OUTERMOST, 100 - OUTERMOST), axis=0)
    width, height = np.multiply(window.pixel, np.median(z))  # points lie in the middle of pixels
    across, down, thickness = high - low + (width, height, 0.0)
    thickness = np.sqrt(max(0.0, thickness**2 - (NOISE_RANGE * noise * np.median(z)) ** 2))
    position = points.mean(0)
    position[:2] += _within_pixels(window, thing | holes) * window.pixel * np.median(z)
    return Place(triple(position), triple((across, down, thickness)))


def _within_pixels(window: Window, thing: np.ndarray) -> np.ndarray:
    """float[2]: by how many pixels (x, y) the middle of the thing's pixels is beside that of its box, where both begin
    and end at the same pixels: the box knows parts of them."""
    shift = np.zeros(2)
    for axis in (0, 1):
        at = np.flatnonzero(thing.any(axis))
        off = window.bounds[:, axis] - (at[0], at[-1] + 1)
        if (np.abs(off) <= 1).all():
            shift[axis] = off.mean()
    return shift


def _holes(window: Window, thing: np.ndarray) -> np.ndarray:
    """bool[h, w]: pixels without depth that are the thing's: between two of it, or between it and the box's edge where
    the whole row or column is a hole; with a mask, the mask's."""
    hole = window.region & ~np.isfinite(window.depth) & np.isfinite(window.rays).all(-1)
    if window.masked or not hole.any():
        return hole
    within = thing
    for axis in (0, 1, 0):
        reached = np.logical_or.accumulate(within, axis)
        between = reached & np.flip(np.logical_or.accumulate(np.flip(within, axis), axis), axis)
        within = thing | (hole & between)
    rows, columns = np.asarray(thing.any(1)), np.asarray(thing.any(0))
    filled = window.region & ~hole
    empty_rows, empty_columns = (np.asarray(window.region.any(a) & ~filled.any(a)) for a in (1, 0))
    rim = np.outer(_grown(rows, empty_rows), _grown(columns, empty_columns))
    return hole & (within | (rim & ~np.outer(_span(rows), _span(columns))))


def _span(line: np.ndarray) -> np.ndarray:
    """bool[n]: from the first to the last that is set."""
    at = np.flatnonzero(line)
    return (np.arange(line.size) >= at[0]) & (np.arange(line.size) <= at[-1])


def _grown(line: np.ndarray, empty: np.ndarray) -> np.ndarray:
    """bool[n]: the span of a line and what is empty next to it."""
    span = _span(line)
    first, last = np.flatnonzero(span)[[0, -1]]
    while first > 0 and empty[first - 1]:
        first -= 1
    while last + 1 < line.size and empty[last + 1]:
        last += 1
    span[first : last + 1] = True
    return span


def _surroundings(window: Window) -> Tuple[np.ndarray, np.ndarray]:
    """Depths and rays of the pixels where a plane around the thing shows."""
    around = ~window.box
    if window.masked:
        around = ~cv2.dilate(window.region.astype(np.uint8), SQUARE, iterations=2).astype(bool)
    around &= np.isfinite(window.depth)
    return window.depth[around], window.rays[around]


def _window(
    depth: np.ndarray, box: Box, image_size: Tuple[int, int], camera: Camera, mask: Optional[np.ndarray]
) -> Optional[Window]:
    """The box and its surroundings; None outside of the image."""
    extent = np.array(depth.shape[::-1])
    scale = extent / image_size
    around = surroundings(box, image_size)
    low = np.clip(np.floor(around[:2] * scale), 0, extent).astype(int)
    high = np.clip(np.ceil(around[2:] * scale), 0, extent).astype(int)
    if (high <= low).any():
        return None
    step = max(1, int(np.ceil(np.sqrt(np.prod(high - low) / MOST_PIXELS))))
    columns, rows = (np.arange(a, b, step) for a, b in zip(low, high))
    pixels = np.stack(np.meshgrid((columns + 0.5) / scale[0], (rows + 0.5) / scale[1]), -1)
    center, half = np.array(box.center), np.subtract(box[2:], box[:2]) / 2
    off = np.abs(pixels - center)
    inside, core, near = (np.asarray((off < share * half).all(-1)) for share in (1, CORE, 1 + 2 * NEAR))
    region, masked = inside, False
    if mask is not None:
        at = np.clip(pixels.astype(int), 0, np.subtract(mask.shape[::-1], 1))
        of_mask = mask[at[..., 1], at[..., 0]] & near
        if of_mask.any():
            region, masked = of_mask, True
    rays = camera.rays(pixels, image_size)
    seen = np.where(np.isfinite(rays).all(-1), depth[np.ix_(rows, columns)], np.float32(np.nan))
    bounds = (np.reshape(box, (2, 2)) * scale - low) / step
    return Window(seen, rays, inside, core, near, region, masked, bounds)
