"""What a tabletop scene is, and how one is drawn at random.

Table frame: x away from the camera, y to the left, z up, metres, origin at the table's centre on its surface.
"""

from __future__ import annotations

import colorsys
import math
from dataclasses import asdict, dataclass, replace
from typing import Optional, Sequence, Tuple

import numpy as np

from clue_ros.simulation.shapes import CATEGORIES, COLORS, NATURAL_COLORS, SIZES
from clue_ros.types import Box


MAX_OF_A_KIND = 4  # objects of one category in a random scene


@dataclass(frozen=True)
class SceneObject:
    """One object. `box`, `visibility` and `pixels` are set by the renderer, from the segmentation.

    box: pixels of the render, None if no pixel is visible; visibility: visible share of the unoccluded silhouette,
    in [0, 1]; position: base centre in the table frame, metres; yaw: radians about z.
    """

    category: str
    color: str
    size: str
    position: Tuple[float, float, float]
    yaw: float
    rgb: Tuple[float, float, float]
    texture_seed: int = 0
    box: Optional[Box] = None
    visibility: float = 0.0
    pixels: int = 0

    @property
    def radius(self) -> float:
        return CATEGORIES[self.category].radius * SIZES[self.size]


@dataclass(frozen=True)
class Camera:
    """Looks from `position` at `target` (table frame, metres); `fovy` is the vertical field of view in degrees."""

    position: Tuple[float, float, float]
    target: Tuple[float, float, float]
    fovy: float


@dataclass(frozen=True)
class Light:
    position: Tuple[float, float, float]
    diffuse: Tuple[float, float, float]


@dataclass(frozen=True)
class Scene:
    objects: Tuple[SceneObject, ...]
    camera: Camera
    lights: Tuple[Light, ...]
    table_seed: int
    wall_seed: int

    def to_dict(self) -> dict:
        """A plain JSON-serialisable dictionary."""
        return asdict(self)


@dataclass(frozen=True)
class SceneConfig:
    """Limits of the random draw. Lengths in metres, angles in radians."""

    categories: Tuple[str, ...] = tuple(CATEGORIES)
    colors: Tuple[str, ...] = tuple(COLORS)
    min_objects: int = 3
    max_objects: int = 6
    workspace: Tuple[float, float] = (.19, .25)  # half extents in x and y
    camera_distance: Tuple[float, float] = (.62, .86)
    camera_elevation: Tuple[float, float] = (.60, 1.05)
    camera_azimuth: float = .35
    held_out_pairs: Tuple[Tuple[str, str], ...] = ()  # (colour, category) that are never drawn
    duplicate_probability: float = .75  # of a second (and perhaps third) object of one category


def _jitter(rng: np.random.Generator, color: str) -> Tuple[float, float, float]:
    h, s, v = colorsys.rgb_to_hsv(*COLORS[color])
    return colorsys.hsv_to_rgb((h + rng.normal(0, .006)) % 1, float(np.clip(s * rng.uniform(.9, 1.05), 0, 1)),
                               float(np.clip(v * rng.uniform(.88, 1.08), 0, .95)))


def draw_object(rng: np.random.Generator, category: str, config: SceneConfig, *, color: Optional[str] = None,
                size: Optional[str] = None, position=(0.0, 0.0, 0.0)) -> SceneObject:
    """One object of a category with everything not given drawn at random."""
    if color is None:
        allowed = [c for c in NATURAL_COLORS.get(category, config.colors)
                   if c in config.colors and (c, category) not in config.held_out_pairs]
        color = str(rng.choice(allowed))
    size = size or str(rng.choice(list(SIZES), p=[.2, .6, .2]))
    # A mug's handle is what tells it from a can: keep it out of the blind angle behind the body.
    yaw = rng.uniform(math.pi * .35, math.pi * 1.65) if category == "mug" else rng.uniform(0, 2 * math.pi)
    return SceneObject(category, color, size, tuple(position), float(yaw), _jitter(rng, color),
                       int(rng.integers(2**31)))


def place(rng: np.random.Generator, objects: Sequence[SceneObject], config: SceneConfig,
          clearance: float = .95) -> Optional[Tuple[SceneObject, ...]]:
    """Give every object a free position, or None if the table is too full. `clearance` scales the footprints."""
    done: list = []
    for item in objects:
        for _ in range(80):
            xy = rng.uniform(-np.array(config.workspace), config.workspace)
            if all(math.dist(xy, o.position[:2]) > clearance * (item.radius + o.radius) for o in done):
                done.append(replace(item, position=(float(xy[0]), float(xy[1]), 0.0)))
                break
        else:
            return None
    return tuple(done)


def draw_camera(rng: np.random.Generator, config: SceneConfig) -> Camera:
    azimuth = rng.uniform(-config.camera_azimuth, config.camera_azimuth)
    elevation = rng.uniform(*config.camera_elevation)
    distance = rng.uniform(*config.camera_distance)
    target = np.array([rng.uniform(-.02, .03), rng.uniform(-.03, .03), .04])
    position = target + distance * np.array([-math.cos(elevation) * math.cos(azimuth),
                                             math.cos(elevation) * math.sin(azimuth), math.sin(elevation)])
    return Camera(tuple(map(float, position)), tuple(map(float, target)), float(rng.uniform(46, 52)))


def draw_lights(rng: np.random.Generator) -> Tuple[Light, ...]:
    lights = []
    for i in range(int(rng.integers(1, 3))):
        position = rng.uniform([-1.2, -1.2, 1.0], [.6, 1.2, 2.2])
        power = rng.uniform(.5, .8) if i == 0 else rng.uniform(.2, .4)
        tint = np.array([1, rng.uniform(.9, 1), rng.uniform(.8, 1)])
        lights.append(Light(tuple(map(float, position)), tuple(map(float, power * tint))))
    return tuple(lights)


def surroundings(rng: np.random.Generator, config: SceneConfig) -> dict:
    """Camera, lights and surfaces as keyword arguments of `Scene`."""
    return dict(camera=draw_camera(rng, config), lights=draw_lights(rng), table_seed=int(rng.integers(2**31)),
                wall_seed=int(rng.integers(2**31)))


def sample_scene(rng: np.random.Generator, config: SceneConfig = SceneConfig()) -> Scene:
    """A random scene; most hold two or three objects of one category, so that both labels occur in one image."""
    while True:
        count = int(rng.integers(config.min_objects, config.max_objects + 1))
        count = min(count, MAX_OF_A_KIND * len(config.categories))
        categories: list = []
        if rng.random() < config.duplicate_probability:
            categories += [str(rng.choice(config.categories))] * (3 if count > 3 and rng.random() < .35 else 2)
        while len(categories) < count:
            drawn = str(rng.choice(config.categories))
            if categories.count(drawn) < MAX_OF_A_KIND:
                categories.append(drawn)
        objects = [draw_object(rng, c, config) for c in categories]
        # Two of a kind in one colour: only a position can tell them apart.
        if len(objects) > 1 and objects[0].category == objects[1].category and rng.random() < .4:
            objects[1] = replace(objects[1], color=objects[0].color, rgb=_jitter(rng, objects[0].color))
        placed = place(rng, objects, config)
        if placed:
            return Scene(tuple(placed[i] for i in rng.permutation(count)), **surroundings(rng, config))


def with_boxes(objects: Sequence[SceneObject], boxes, visibility, pixels) -> Tuple[SceneObject, ...]:
    """Copies of the objects with what the renderer measured."""
    return tuple(replace(o, box=b, visibility=float(v), pixels=int(p))
                 for o, b, v, p in zip(objects, boxes, visibility, pixels))
