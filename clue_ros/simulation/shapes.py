"""Procedural meshes of everyday objects: (vertices, triangles, texture coordinates), metres, base on z = 0.

Each category is a list of parts; a part is a mesh or a primitive with a colour role:
'body' takes the object's colour, 'label' a printed texture in that colour, anything else is a fixed RGBA.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, Tuple, Union

import numpy as np

Mesh = Tuple[np.ndarray, np.ndarray, np.ndarray]  # float[V,3] metres, int[F,3], float[V,2] in [0, 1]
RGBA = Tuple[float, float, float, float]

METAL: RGBA = (0.72, 0.73, 0.75, 1.0)


LATHE_SEGMENTS, TUBE_SEGMENTS = 32, 12


def lathe(profile, segments: int = LATHE_SEGMENTS) -> Mesh:
    """Surface of revolution about z of a profile [(radius, height), …], listed from the inside bottom outwards and up."""
    profile = np.asarray(profile, float)
    rows = len(profile)
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    vertices = np.stack([
        np.outer(profile[:, 0], np.cos(angle)),
        np.outer(profile[:, 0], np.sin(angle)),
        np.repeat(profile[:, 1:2], segments + 1, 1),
    ], -1).reshape(-1, 3)
    length = np.r_[0, np.cumsum(np.hypot(*np.diff(profile, axis=0).T))]
    length /= length[-1]
    uv = np.stack(np.broadcast_arrays(np.linspace(0, 1, segments + 1)[None], (1 - length)[:, None]), -1).reshape(-1, 2)
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(segments), indexing="ij")
    corner = i * (segments + 1) + j
    faces = np.concatenate([
        np.stack([corner, corner + 1, corner + segments + 2], -1),
        np.stack([corner, corner + segments + 2, corner + segments + 1], -1),
    ]).reshape(-1, 3)
    return vertices, faces, uv


def tube(path, radius, segments: int = TUBE_SEGMENTS) -> Mesh:
    """Tube along a path [P,3]; radius is a number or float[P]. Double-sided, so that open ends do not vanish."""
    path = np.asarray(path, float)
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    up = np.array([0, 0, 1.0]) if abs(tangent[:, 2]).max() < 0.9 else np.array([0, 1.0, 0])
    side = np.cross(tangent, up)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    normal = np.cross(tangent, side)
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    r = np.broadcast_to(radius, len(path))[:, None, None]
    vertices = (path[:, None] + r * (side[:, None] * np.cos(angle)[None, :, None]
                                     + normal[:, None] * np.sin(angle)[None, :, None])).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(len(path) - 1), np.arange(segments), indexing="ij")
    corner = i * (segments + 1) + j
    faces = np.concatenate([
        np.stack([corner, corner + segments + 2, corner + 1], -1),
        np.stack([corner, corner + segments + 1, corner + segments + 2], -1),
    ]).reshape(-1, 3)
    return vertices, np.concatenate([faces, faces[:, ::-1]]), np.zeros((len(vertices), 2))


def bezier(*control, points: int = 10) -> np.ndarray:
    """Quadratic Bezier curve through three control points [(x, y)] -> float[points, 2]."""
    t = np.linspace(0, 1, points)[:, None]
    a, b, c = np.asarray(control, float)
    return (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t * t * c


def _mug_body() -> Mesh:
    return lathe([(0, 0), (.036, 0), (.039, .003), (.040, .01), (.040, .092), (.0395, .095), (.037, .095),
                  (.036, .09), (.036, .006), (0, .006)])


def _mug_handle() -> Mesh:
    a = np.linspace(-1.45, 1.45, 14)
    return tube(np.stack([.038 + .027 * np.cos(a), 0 * a, .048 + .029 * np.sin(a)], -1), .0058)


def _bowl() -> Mesh:
    wall = bezier((.03, .004), (.07, .01), (.08, .055))
    return lathe([(0, 0), (.032, 0), (.032, .004), *wall[1:], (.078, .057), *(wall[::-1] - [.004, -.001]), (0, .008)])


def _plate() -> Mesh:
    return lathe([(0, 0), (.06, 0), (.065, .003), (.10, .015), (.1005, .018), (.097, .0175), (.066, .007), (.06, .005),
                  (0, .005)])


def _bottle() -> Mesh:
    shoulder = bezier((.033, .125), (.033, .155), (.013, .17))
    return lathe([(0, 0), (.030, 0), (.033, .004), (.033, .12), *shoulder, (.013, .195)])


def _bottle_cap() -> Mesh:
    return lathe([(0, .212), (.0145, .212), (.0150, .210), (.0150, .192), (0, .192)][::-1])


def _can_top() -> Mesh:
    return lathe([(.033, .110), (.029, .120), (.028, .122), (.0265, .121), (.026, .117), (0, .117)])


def _banana() -> Mesh:
    bend = np.linspace(-.75, .75, 22)
    w = np.linspace(-1, 1, 22)
    radius = .0195 * np.clip(1 - np.abs(w) ** 4, 0, 1) ** .6 + .0035
    radius[[0, -1]] = .0005
    return tube(np.stack([.105 * np.sin(bend), .105 * np.cos(bend) - .09, 0 * bend + .021], -1), radius)


MESHES: Dict[str, Callable[[], Mesh]] = {
    "mug_body": _mug_body, "mug_handle": _mug_handle, "bowl": _bowl, "plate": _plate, "bottle": _bottle,
    "bottle_cap": _bottle_cap, "can_side": lambda: lathe([(.031, .004), (.033, .010), (.033, .110)]),
    "can_base": lambda: lathe([(0, .004), (.026, .004), (.027, 0), (.031, .004)]), "can_top": _can_top,
    "banana": _banana,
}


def ring_size(mesh: str) -> int:
    """Vertices in one ring of a mesh of MESHES: its vertices reshape to [rings, ring_size, 3]."""
    return (TUBE_SEGMENTS if mesh in ("mug_handle", "banana") else LATHE_SEGMENTS) + 1


@dataclass(frozen=True)
class Part:
    """`mesh` names an entry of MESHES, or 'box' / 'sphere' with `size` (half extents or radius, metres)."""

    mesh: str
    role: Union[str, RGBA] = "body"
    size: Tuple[float, ...] = ()


@dataclass(frozen=True)
class Shape:
    """Footprint radius and height in metres at scale 1, and the parts."""

    radius: float
    height: float
    parts: Tuple[Part, ...]


CATEGORIES: Dict[str, Shape] = {
    "mug": Shape(.055, .095, (Part("mug_body"), Part("mug_handle"))),
    "bowl": Shape(.080, .057, (Part("bowl"),)),
    "plate": Shape(.101, .018, (Part("plate"),)),
    "bottle": Shape(.036, .212, (Part("bottle"), Part("bottle_cap", (.85, .85, .83, 1.)))),
    "can": Shape(.036, .122, (Part("can_side", "label"), Part("can_base", METAL), Part("can_top", METAL))),
    "box": Shape(.060, .130, (Part("box", "label", (.045, .026, .065)),)),
    "ball": Shape(.038, .076, (Part("sphere", "body", (.038,)),)),
    "banana": Shape(.090, .042, (Part("banana"),)),
}

# sRGB in [0, 1]; jittered per object when a scene is sampled.
COLORS: Dict[str, Tuple[float, float, float]] = {
    "red": (.80, .06, .06), "green": (.08, .50, .14), "blue": (.06, .18, .72), "yellow": (.92, .78, .05),
    "orange": (.95, .42, .03), "purple": (.42, .12, .55), "white": (.90, .90, .88), "black": (.06, .06, .07),
}

# Colours that a category can have; all of COLORS where it is not listed.
NATURAL_COLORS: Dict[str, Tuple[str, ...]] = {"banana": ("yellow", "green")}

# Scale factor of each size class.
SIZES: Dict[str, float] = {"small": .84, "medium": 1.0, "large": 1.18}
