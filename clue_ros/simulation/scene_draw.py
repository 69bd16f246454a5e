"""How a tabletop scene is drawn at random."""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass, replace
from typing import Optional, Sequence, Tuple

import numpy as np

from clue_ros.geometry import triple
from clue_ros.simulation.own_objects import OwnObject
from clue_ros.simulation.scene import Camera, Light, Scene, SceneObject
from clue_ros.simulation.shapes import (
    CATEGORIES,
    COLORS,
    HELD_OUT_PAIRS,
    HELD_OUT_SHAPES,
    MORE_COLORS,
    NATURAL_COLORS,
    SHAPES,
    SIZES,
)
from clue_ros.simulation.textures import SURFACES
from clue_ros.simulation.variety import PLAIN

CAMERAS = {"camera_distance": (0.3, 1.5), "camera_elevation": (0.22, 1.5), "camera_azimuth": (0.0, 0.7)}
WHOLE_VIEW = 0.75  # metres: from here on a camera sees the whole workspace
MAX_OF_A_KIND = 4  # objects of one category in a random scene
PATIENCE = 200  # draws without a place for everything, after which one object fewer is tried


@dataclass(frozen=True)
class SceneConfig:
    """Limits of the random draw; the defaults are what the embedded model is trained on. Lengths in metres, angles in
    radians, powers as MuJoCo's diffuse intensity.

    held_out_pairs, held_out_shapes: (colour, category) and (category, shape), never drawn unless `held_out_share` says
    that this share of the objects is drawn from one of the two.
    category_weights: how often each of `categories` is drawn, beside the others; empty: all alike.
    own: objects that users brought, drawn for their categories: always where a category is theirs alone, else for
    `own_share` of its objects.
    variety: of the built-in shapes (simulation/variety.py); any_camera: from CAMERAS' distances and heights instead of
    the three `camera_` ranges, with fewer things on less of the table the nearer it is.
    """

    categories: Tuple[str, ...] = CATEGORIES
    category_weights: Tuple[float, ...] = ()
    colors: Tuple[str, ...] = tuple(COLORS)
    min_objects: int = 3
    max_objects: int = 7
    workspace: Tuple[float, float] = (0.19, 0.25)  # half extents in x and y
    camera_distance: Tuple[float, float] = (0.60, 0.88)
    camera_elevation: Tuple[float, float] = (0.58, 1.08)
    camera_azimuth: Tuple[float, float] = (0.0, 0.38)  # to either side
    light_height: Tuple[float, float] = (1.0, 2.2)
    light_power: Tuple[float, float] = (0.45, 0.82)
    light_tint: float = 0.2  # how much of a colour channel a light may lack
    surfaces: Tuple[str, ...] = SURFACES
    held_out_pairs: Tuple[Tuple[str, str], ...] = HELD_OUT_PAIRS
    held_out_shapes: Tuple[Tuple[str, str], ...] = HELD_OUT_SHAPES
    held_out_share: float = 0.0
    duplicate_probability: float = 0.8  # of a second (and perhaps third and fourth) object of one category
    own: Tuple[OwnObject, ...] = ()
    own_share: float = 0.5
    variety: int = PLAIN
    any_camera: bool = False


def _jitter(rng: np.random.Generator, color: str) -> Tuple[float, float, float]:
    h, s, v = colorsys.rgb_to_hsv(*(COLORS[color] if color in COLORS else MORE_COLORS[color]))
    return colorsys.hsv_to_rgb(
        (h + rng.normal(0, 0.006)) % 1,
        float(np.clip(s * rng.uniform(0.9, 1.05), 0, 1)),
        float(np.clip(v * rng.uniform(0.88, 1.08), 0, 0.95)),
    )


def _drawn(rng: np.random.Generator, weights: Sequence[float]) -> int:
    """An index, by weight; equal weights draw as `rng.integers` does, so that data sets without any stay as they
    were.
    """
    if len(set(weights)) <= 1:
        return int(rng.integers(len(weights)))
    return int(rng.choice(len(weights), p=np.array(weights) / sum(weights)))


def _draw_category(rng: np.random.Generator, config: SceneConfig) -> str:
    return config.categories[_drawn(rng, config.category_weights or [1.0] * len(config.categories))]


def draw_object(
    rng: np.random.Generator,
    category: str,
    config: SceneConfig,
    *,
    color: Optional[str] = None,
    size: Optional[str] = None,
    position=(0.0, 0.0, 0.0),
) -> SceneObject:
    """One object of a category with everything not given drawn at random; an own object has the colour and the size
    that it has."""
    own = [o for o in config.own if o.category == category]
    if own and (category not in SHAPES or rng.random() < config.own_share):
        item = own[_drawn(rng, [o.weight for o in own])]
        return SceneObject(
            category,
            item.color,
            item.size,
            tuple(position),
            float(rng.uniform(0, 2 * math.pi)),
            item.rgb,
            shape=item.name,
            own=item,
        )
    pairs = [c for c, of in config.held_out_pairs if of == category]
    unseen = [s for of, s in config.held_out_shapes if of == category]
    shapes = [s for s in SHAPES[category] if s not in unseen]
    colors = [c for c in NATURAL_COLORS.get(category, config.colors) if c in config.colors and c not in pairs]
    if rng.random() < config.held_out_share:
        if color is None and pairs and rng.random() < 0.5:
            colors = pairs
        else:
            shapes = unseen or shapes
    color = color or str(rng.choice(colors))
    size = size or str(rng.choice(list(SIZES), p=[0.25, 0.5, 0.25]))
    # A mug's handle is what tells it from a can: keep it out of the blind angle behind the body.
    yaw = rng.uniform(math.pi * 0.35, math.pi * 1.65) if category == "mug" else rng.uniform(0, 2 * math.pi)
    return SceneObject(
        category,
        color,
        size,
        tuple(position),
        float(yaw),
        _jitter(rng, color),
        int(rng.integers(2**31)),
        str(rng.choice(shapes)),
        config.variety,
    )


def place(
    rng: np.random.Generator, objects: Sequence[SceneObject], config: SceneConfig, clearance: float = 0.95
) -> Optional[Tuple[SceneObject, ...]]:
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
    azimuth = rng.choice([-1, 1]) * rng.uniform(*config.camera_azimuth)
    elevation = rng.uniform(*config.camera_elevation)
    distance = rng.uniform(*config.camera_distance)
    target = np.array([rng.uniform(-0.02, 0.03), rng.uniform(-0.03, 0.03), 0.04])
    position = target + distance * np.array(
        [-math.cos(elevation) * math.cos(azimuth), math.cos(elevation) * math.sin(azimuth), math.sin(elevation)]
    )
    return Camera(triple(position), triple(target), float(rng.uniform(44, 53)))


def _any_camera(rng: np.random.Generator, config: SceneConfig) -> Tuple[Camera, SceneConfig]:
    """A camera of CAMERAS, distances as often as their logarithm, and the scene that fits before it."""
    low, high = CAMERAS["camera_distance"]
    distance = float(low * (high / low) ** rng.random())
    camera = draw_camera(rng, replace(config, **{**CAMERAS, "camera_distance": (distance, distance)}))
    share = min(1.0, distance / WHOLE_VIEW)
    least, most = (max(1, round(count * share)) for count in (config.min_objects, config.max_objects))
    x, y = config.workspace
    near = replace(config, min_objects=least, max_objects=most, workspace=(x * share, y * share))
    return camera, near


def draw_lights(rng: np.random.Generator, config: SceneConfig = SceneConfig()) -> Tuple[Light, ...]:
    """One or two lights: the first casts the shadows, the second is weaker."""
    lights = []
    for i in range(int(rng.integers(1, 3))):
        position = rng.uniform([-1.2, -1.2, config.light_height[0]], [0.6, 1.2, config.light_height[1]])
        power = rng.uniform(*config.light_power) * (1 if i == 0 else 0.45)
        tint = 1 - config.light_tint * rng.dirichlet([0.6, 0.6, 0.6])
        lights.append(Light(triple(position), triple(power * tint)))
    return tuple(lights)


def surroundings(rng: np.random.Generator, config: SceneConfig) -> dict:
    """Camera, lights and surfaces as keyword arguments of `Scene`."""
    return dict(
        camera=draw_camera(rng, config),
        lights=draw_lights(rng, config),
        table_seed=int(rng.integers(2**31)),
        wall_seed=int(rng.integers(2**31)),
        surfaces=config.surfaces,
    )


def sample_scene(rng: np.random.Generator, config: SceneConfig = SceneConfig()) -> Scene:
    """A random scene; most hold two to four objects of one category, so that both labels occur in one image."""
    attempt = 0
    camera: Optional[Camera] = None
    if config.any_camera:
        camera, config = _any_camera(rng, config)
    while True:
        # Of things as large as half the table only a few find a place, perhaps one.
        most = max(1, config.max_objects - attempt // PATIENCE)
        count = int(rng.integers(min(config.min_objects, most), most + 1))
        count = min(count, MAX_OF_A_KIND * len(config.categories))
        categories: list = []
        if rng.random() < config.duplicate_probability and most > 1:
            alike = int(rng.choice([2, 3, 4], p=[0.58, 0.32, 0.10]))
            categories += [_draw_category(rng, config)] * min(alike, max(2, count - 1))
        while len(categories) < count:
            drawn = _draw_category(rng, config)
            if categories.count(drawn) < MAX_OF_A_KIND:
                categories.append(drawn)
        objects = [draw_object(rng, c, config) for c in categories]
        # Two of a kind in one colour: only a position or a size can tell them apart.
        if (
            len(objects) > 1
            and objects[0].category == objects[1].category
            and rng.random() < 0.4
            and (objects[1].own is None and objects[0].color)
        ):
            objects[1] = replace(objects[1], color=objects[0].color, rgb=_jitter(rng, objects[0].color))
        placed = place(rng, objects, config)
        if placed:
            scene = Scene(tuple(placed[i] for i in rng.permutation(count)), **surroundings(rng, config))
            return scene if camera is None else replace(scene, camera=camera)
        attempt += 1


def recolored(scene: Scene, rng: np.random.Generator, config: SceneConfig = SceneConfig()) -> Scene:
    """The counterfactual of a scene: one object takes another colour, so that a phrase with category and colour changes
    its label; everything else stays. Of two things of a kind and a colour one becomes different, of two of different
    colours one becomes alike; without two of a kind any object changes."""
    pairs = [
        (i, j)
        for i, a in enumerate(scene.objects)
        for j, b in enumerate(scene.objects)
        if i != j and a.category == b.category and a.own is None and b.color
    ]
    free = [i for i, o in enumerate(scene.objects) if o.own is None]
    if not free:
        raise ValueError("own objects cannot be recoloured, and the scene holds no other")
    index, twin = pairs[int(rng.integers(len(pairs)))] if pairs else (free[int(rng.integers(len(free)))], None)
    item = scene.objects[index]
    color = item.color if twin is None else scene.objects[twin].color
    for _ in range(50):  # a configuration may allow one colour only
        if color != item.color:
            break
        color = draw_object(rng, item.category, replace(config, own=())).color
    objects = list(scene.objects)
    objects[index] = replace(item, color=color, rgb=_jitter(rng, color))
    return replace(scene, objects=tuple(objects))
