"""Which pixels around a box show its thing: not the planes around it, not its neighbours, not pixels that fly."""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Tuple, Union

import cv2
import numpy as np

from clue_ros.extent.plane import Plane

STEEPEST = 8.0  # tangent of the angle at which a surface is still seen as one: a steeper step is an edge in depth
LEAST_STEP = 0.008  # of the distance: smaller steps are noise
STANDS = 0.2  # of the heart's pixels: so many stand out of a plane that carries the thing
UNDER = 0.15  # of the heart's pixels: a thing does not reach below what carries it
LIES, TOUCHES = 0.5, 0.2  # of the heart's pixels: so many are in the plane that something flat lies on, all or part
OWN = 0.7  # of a patch: with so much of it where the thing should be, all of it is the thing
OVERLAPS = 0.3  # of a patch: with less of it where the thing should be, it is a neighbour
JOINS = 0.85  # of a further patch, which an edge in depth parts from the thing
GAP = 0.5  # of the thing's width: the most between its parts, from one's farthest to the other's nearest
SPECK = 0.01  # of the region's pixels: a smaller patch is noise
FLAT = 0.02  # metres: what stands no higher may be the rim, or the raised end, of something flat
COVERS = 0.75  # of the region's width and height, where all of the thing stands out
CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
SQUARE = np.ones((3, 3), np.uint8)


class Window(NamedTuple):
    """The surroundings of a box.

    depth: float32[h, w] metres, NaN invalid; rays: float[h, w, 2], (x/z, y/z); box, core, near: bool[h, w], the
    box, its middle, and so far around it as the thing may reach; region: bool[h, w], where the thing should be: its
    mask, else its box; masked: whether that is a mask; bounds: float[2, 2], the box's corners (x, y) in pixels of the
    window.
    """

    depth: np.ndarray
    rays: np.ndarray
    box: np.ndarray
    core: np.ndarray
    near: np.ndarray
    region: np.ndarray
    masked: bool
    bounds: np.ndarray

    @property
    def pixel(self) -> Tuple[float, float]:
        """Width and height of a pixel at 1 m, metres."""
        across, down = np.diff(self.rays[..., 0], axis=1), np.diff(self.rays[..., 1], axis=0)
        return _middle_step(across), _middle_step(down)


def _middle_step(steps: np.ndarray) -> float:
    """The mean size of the steps that are known; 0 where none is."""
    return float(np.nanmean(np.abs(steps))) if np.isfinite(steps).any() else 0.0


def surface(window: Window, planes: List[Plane]) -> Optional[np.ndarray]:
    """bool[h, w]: the pixels that show the thing; None where neither a plane nor a mask tells.

    A plane carries the thing, or lies behind it, if the thing stands out of it and does not reach below it. All that
    such planes explain is left out. Of the rest the thing is the patch without an edge in depth that most of the box's
    middle shows, and the patches that are as surely in the box and near in depth. What does not stand out, and lies in
    a plane, is flat: then it is all of the box, or of its mask, in that plane.
    """
    depth = _small_holes_filled(window.depth)
    valid = np.isfinite(depth)
    heart = (window.region if window.masked else window.core) & valid
    heart = heart if heart.any() else window.region & valid
    if not heart.any():
        return None
    standing, carriers, ground, most = valid.copy(), [], None, TOUCHES
    for plane in planes:
        above = plane.above(depth, window.rays)
        out, under = np.mean(above[heart] > plane.margin), np.mean(above[heart] < -plane.margin)
        if under > UNDER:
            continue
        if out >= STANDS:
            standing &= above > plane.margin
            carriers.append((plane, above))
        if 1 - out - under >= most:
            ground, most = (plane, above), 1 - out - under
    thing = None
    if carriers or window.masked:
        thing = _patches(window, depth, standing, heart)
    if ground is not None and (
        most >= LIES if thing is None else _is_part_of_something_flat(thing, window.region, *ground)
    ):
        plane, above = ground
        flat = window.region & (above >= -plane.margin) & (_height(plane, above) <= FLAT)
        for other, height in carriers:
            if other is not plane:
                flat &= height > other.margin
        thing = flat if thing is None else thing | flat
    return None if thing is None else thing & np.isfinite(window.depth)


def _patches(window: Window, depth: np.ndarray, standing: np.ndarray, heart: np.ndarray) -> Optional[np.ndarray]:
    """Of what stands out, the patch without an edge in depth that the thing is, and what else belongs to it."""
    live = standing & ~_behind_an_edge(depth, window.pixel[0])
    count, labels = cv2.connectedComponents(live.astype(np.uint8), connectivity=4)
    total, own, middle = (
        np.bincount(chosen, minlength=count) for chosen in (labels.ravel(), labels[window.region], labels[heart])
    )
    total[0] = own[0] = middle[0] = 0
    kept = (own > 0) & (own >= np.maximum(OVERLAPS * total, SPECK * window.region.sum()))
    if not kept.any():
        return None
    share = own / np.maximum(total, 1)  # what goes on beyond the box, before it or behind it, is rather something else
    main = int(np.argmax(np.where(kept, (middle + own / (own.sum() + 1.0)) * share**2, -1.0)))

    def part(label: Union[int, np.intp]) -> np.ndarray:
        patch = (labels == label) & window.near
        return patch if own[label] >= OWN * total[label] else patch & window.region

    thing = part(main)
    width = float(np.ptp(window.rays[..., 0][thing] * depth[thing]))
    near, far = np.percentile(depth[thing], (2, 98))
    for label in np.flatnonzero(kept & (own >= JOINS * total)):
        if label != main:
            first, last = np.percentile(depth[labels == label], (2, 98))
            if max(first - far, near - last) <= GAP * width or _surrounds(labels == label, labels == main):
                thing |= part(label)
    return thing


def _surrounds(patch: np.ndarray, other: np.ndarray) -> bool:
    """Whether a patch goes out beyond another one to all four sides, as a mug's wall does around its bottom."""
    return all(
        outer[0] <= inner[0] and outer[-1] >= inner[-1]
        for outer, inner in ((np.flatnonzero(patch.any(axis)), np.flatnonzero(other.any(axis))) for axis in (0, 1))
    )


def _is_part_of_something_flat(thing: np.ndarray, region: np.ndarray, plane: Plane, above: np.ndarray) -> bool:
    """Whether what stands out of a plane is low and far from all of what should be there: a spoon's end, a plate's
    rim."""
    return bool(np.percentile(_height(plane, above[thing]), 95) <= FLAT) and any(
        np.ptp(np.flatnonzero(thing.any(axis))) < COVERS * np.ptp(np.flatnonzero(region.any(axis))) for axis in (0, 1)
    )


def _height(plane: Plane, above: np.ndarray) -> np.ndarray:
    """Metres over a plane; above: `Plane.above`."""
    return above / np.linalg.norm(plane.inverse)


def _behind_an_edge(depth: np.ndarray, pixel: float) -> np.ndarray:
    """bool[h, w]: a neighbour is nearer by a jump. So are pixels that fly: they lie behind the edge that they came
    from. pixel: its width at 1 m."""
    nearest = _nearest_around(depth, CROSS)
    return depth - nearest > max(LEAST_STEP, STEEPEST * pixel) * depth


def _small_holes_filled(depth: np.ndarray) -> np.ndarray:
    """float32[h, w]: an invalid pixel takes the nearest depth that touches it."""
    nearest = _nearest_around(depth, SQUARE)
    return np.where(np.isfinite(depth) | ~np.isfinite(nearest), depth, nearest)


def _nearest_around(depth: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """float32[h, w]: the least valid depth of the pixels about each and itself; infinite where there is none."""
    bounded = np.where(np.isfinite(depth), depth, np.float32(np.inf)).astype(np.float32)
    return cv2.erode(bounded, pixels, borderType=cv2.BORDER_REPLICATE)
