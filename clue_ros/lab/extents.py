"""`clue extents`: the size and the position that come from a box and depth, beside those of what is seen of the thing.

Truth: the pixels of an object in the renderer's segmentation, back-projected with the renderer's exact depth. Its
visible extent is the largest minus the smallest x, y and z of those points (or between two percentiles), its place is
their mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from clue_ros.extent.place import place_of_box
from clue_ros.geometry import box_iou, clip_box
from clue_ros.lens.model import CameraModel
from clue_ros.seams import Grounder
from clue_ros.simulation import depth_camera
from clue_ros.simulation.renderer import TabletopRenderer, View
from clue_ros.simulation.scene import SceneObject
from clue_ros.simulation.scene_draw import SceneConfig, sample_scene
from clue_ros.types import Box, Decision

MIN_VISIBLE, MIN_PIXELS = 0.5, 150  # of the silhouette; of the image
JITTER = 0.06  # of a box's side: standard deviation of an edge, as of the embedded model's edges
FOUND_IOU = 0.5  # a model's box that overlaps less is of another thing: no matter of depth
AXES = ("x", "y", "z")
LEAST_MEDIAN, MOST_MEDIAN, MOST_P90 = 0.85, 1.2, 1.6  # of the size over the visible extent, on every axis
CAMERAS: Dict[str, SceneConfig] = {
    "usual": SceneConfig(held_out_share=0.2),  # 0.60 to 0.88 m away, 33 to 62 degrees from above
    "any": SceneConfig(held_out_share=0.2, camera_distance=(0.35, 1.5), camera_elevation=(0.25, 1.4)),
}
Row = Dict[str, Any]


@dataclass(frozen=True)
class Condition:
    """What `place_of_box` is given. cameras: of CAMERAS; depth: 'exact' or 'seen' (simulation/depth_camera.py); boxes:
    'true', 'off' (every edge by JITTER) or 'model'; mask: the true one, with a model's box the model's."""

    cameras: str
    depth: str
    boxes: str
    mask: bool

    @property
    def name(self) -> str:
        of_box = {"true": "true box", "off": "box a little off", "model": "model's box"}[self.boxes]
        of_mask = ("", ", model's mask" if self.boxes == "model" else ", true mask")[self.mask]
        return f"{self.cameras} cameras, {self.depth} depth, {of_box}{of_mask}"


def conditions(model: bool = False) -> Tuple[Condition, ...]:
    return tuple(
        Condition(cameras, depth, boxes, mask)
        for cameras in CAMERAS
        for depth in ("exact", "seen")
        for boxes in ("true", "off", *(["model"] if model else []))
        for mask in (False, True)
    )


class Thing(NamedTuple):
    """One visible object. mask: bool[H, W]; points: float[N, 3], what is seen of it, metres in the optical frame;
    found: what a model said, where it found it."""

    scene: int
    item: SceneObject
    off: Box
    mask: np.ndarray
    points: np.ndarray
    found: Optional[Decision] = None


def measured(
    chosen: Sequence[Condition], count: int, seed: int = 0, size: Tuple[int, int] = (640, 480),
    grounder: Optional[Grounder] = None, trim: float = 0.0,
) -> Iterator[Row]:  # fmt: skip
    """One row a condition and object, of `count` objects for each kind of camera.

    size: (width, height) of the images. grounder: of the conditions with a model's boxes; objects that it does not find
    have no row there. trim: the true extent is from this percentile of the points to 100 minus it.
    """
    with TabletopRenderer(*size) as renderer:
        for cameras in dict.fromkeys(condition.cameras for condition in chosen):
            mine = [condition for condition in chosen if condition.cameras == cameras]
            left, scene = count, 0
            while left > 0:
                rng = np.random.default_rng([seed, list(CAMERAS).index(cameras), scene])
                view = renderer.render(sample_scene(rng, CAMERAS[cameras]))
                depths = {"exact": view.depth, "seen": depth_camera.seen(view.depth, view.intrinsics[0], rng)}
                for thing in _things(view, scene, rng, grounder)[:left]:
                    left -= 1
                    for condition in mine:
                        if condition.boxes != "model" or thing.found is not None:
                            yield _row(condition, thing, depths[condition.depth], camera_of(view), trim)
                scene += 1


def summary(rows: Sequence[Row], chosen: Sequence[Condition]) -> List[Row]:
    """One line a condition: how the sizes and the positions are distributed, and whether the goal is reached."""
    lines = []
    for condition in chosen:
        mine = [row for row in rows if row["condition"] == condition.name]
        placed = [row for row in mine if "off_mm" in row]
        line: Row = {"condition": condition.name, "objects": len(mine), "placed": len(placed), "held": bool(placed)}
        for axis in AXES if placed else ():
            ratios = np.array([row[f"ratio_{axis}"] for row in placed])
            low, median, high = (round(float(v), 3) for v in np.percentile(ratios, (10, 50, 90)))
            line.update({f"{axis}_p10": low, f"{axis}_median": median, f"{axis}_p90": high})
            line[f"{axis}_worst"] = round(float(ratios.max()), 3)
            line["held"] &= LEAST_MEDIAN <= median <= MOST_MEDIAN and high <= MOST_P90
        if placed:
            off = np.array([row["off_mm"] for row in placed])
            for name, value in zip(("median", "p90", "worst"), np.percentile(off, (50, 90, 100))):
                line[f"off_{name}_mm"] = round(float(value), 1)
        lines.append(line)
    return lines


def camera_of(view: View) -> CameraModel:
    """Its numbers count from the centre of the first pixel, the renderer's from the image's corner."""
    fx, fy, cx, cy = view.intrinsics
    height, width = view.depth.shape
    return CameraModel(fx, fy, cx - 0.5, cy - 0.5, width, height)


def _things(view: View, scene: int, rng: np.random.Generator, grounder: Optional[Grounder]) -> List[Thing]:
    """The objects of a view that are seen well enough to be grounded."""
    height, width = view.depth.shape
    kinds = [(item.color, item.category) for item in view.objects]
    encoded = None if grounder is None else grounder.encode(view.rgb)
    found = []
    for index, item in enumerate(view.objects):
        if item.box is None or item.visibility < MIN_VISIBLE or item.pixels < MIN_PIXELS:
            continue
        mask = view.segmentation == index
        v, u = np.nonzero(mask)
        points = camera_of(view).points(np.stack([u, v], -1) + 0.5, view.depth[mask])
        sides = np.array([item.box.x1 - item.box.x0, item.box.y1 - item.box.y0] * 2)
        off = clip_box(Box(*(np.array(item.box) + rng.normal(0, JITTER, 4) * sides)), width, height)
        decision = None
        if grounder is not None and kinds.count(kinds[index]) == 1:
            decision = grounder.ground(encoded, f"the {item.color} {item.category}", may_ask=False, mask=True)
            if decision.box is None or box_iou(decision.box, item.box) < FOUND_IOU:
                decision = None
        found.append(Thing(scene, item, off, mask, points, decision))
    return found


def _row(condition: Condition, thing: Thing, depth: np.ndarray, camera: CameraModel, trim: float) -> Row:
    found = thing.found
    boxes = {"true": thing.item.box, "off": thing.off, "model": found and found.box}
    mask = None
    if condition.mask:
        mask = thing.mask if condition.boxes != "model" else found and found.mask
    place = place_of_box(depth, boxes[condition.boxes], (camera.width, camera.height), camera, mask)
    extent = np.subtract(*np.percentile(thing.points, (100 - trim, trim), axis=0))
    row: Row = {
        "condition": condition.name, "scene": thing.scene, "kind": thing.item.category, "shape": thing.item.shape,
        "pixels": len(thing.points),
    }  # fmt: skip
    row.update({f"true_{axis}": round(float(v), 4) for axis, v in zip(AXES, extent)})
    if place is not None:
        row.update({f"size_{axis}": round(float(v), 4) for axis, v in zip(AXES, place.size)})
        row.update({f"ratio_{axis}": round(float(v), 3) for axis, v in zip(AXES, np.divide(place.size, extent))})
        off = np.subtract(place.position, thing.points.mean(0)) * 1000
        row.update({f"off_{axis}_mm": round(float(v), 1) for axis, v in zip(AXES, off)})
        row["off_mm"] = round(float(np.linalg.norm(off)), 1)
    return row
