"""Procedural meshes: (vertices, triangles, texture coordinates), metres, base on z = 0; surfaces of revolution and
tubes.
"""

from __future__ import annotations

from typing import Callable, Dict, Tuple

import numpy as np

Mesh = Tuple[np.ndarray, np.ndarray, np.ndarray]  # float[V,3] metres, int[F,3], float[V,2] in [0, 1]

LATHE_SEGMENTS, TUBE_SEGMENTS, OCTAGON = 32, 12, 8


def lathe(profile, segments: int = LATHE_SEGMENTS) -> Mesh:
    """Surface of revolution about z of a profile [(radius, height), …], listed from the inside bottom outwards and
    up.
    """
    profile = np.asarray(profile, float)
    rows = len(profile)
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    vertices = np.stack(
        [
            np.outer(profile[:, 0], np.cos(angle)),
            np.outer(profile[:, 0], np.sin(angle)),
            np.repeat(profile[:, 1:2], segments + 1, 1),
        ],
        -1,
    ).reshape(-1, 3)
    length = np.r_[0, np.cumsum(np.hypot(*np.diff(profile, axis=0).T))]
    length /= length[-1]
    uv = np.stack(np.broadcast_arrays(np.linspace(0, 1, segments + 1)[None], (1 - length)[:, None]), -1).reshape(-1, 2)
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(segments), indexing="ij")
    corner = i * (segments + 1) + j
    faces = np.concatenate(
        [
            np.stack([corner, corner + 1, corner + segments + 2], -1),
            np.stack([corner, corner + segments + 2, corner + segments + 1], -1),
        ]
    ).reshape(-1, 3)
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
    vertices = (
        path[:, None]
        + r * (side[:, None] * np.cos(angle)[None, :, None] + normal[:, None] * np.sin(angle)[None, :, None])
    ).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(len(path) - 1), np.arange(segments), indexing="ij")
    corner = i * (segments + 1) + j
    faces = np.concatenate(
        [
            np.stack([corner, corner + segments + 2, corner + 1], -1),
            np.stack([corner, corner + segments + 1, corner + segments + 2], -1),
        ]
    ).reshape(-1, 3)
    return vertices, np.concatenate([faces, faces[:, ::-1]]), np.zeros((len(vertices), 2))


def bezier(*control, points: int = 10) -> np.ndarray:
    """Quadratic Bezier curve through three control points [(x, y)] -> float[points, 2]."""
    t = np.linspace(0, 1, points)[:, None]
    a, b, c = np.asarray(control, float)
    return (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t * t * c


def _mug(radius: float, height: float, foot: float = 1.0) -> Mesh:
    """A mug's body; foot: radius of the base as a share of the rim's."""
    r, b = radius, radius * foot
    return lathe(
        [
            (0, 0),
            (b - 0.004, 0),
            (b - 0.001, 0.003),
            (b, 0.01),
            (r, height - 0.003),
            (r - 0.0005, height),
            (r - 0.003, height),
            (r - 0.004, height - 0.005),
            (b - 0.004, 0.006),
            (0, 0.006),
        ]
    )


def _mug_round() -> Mesh:
    wall = bezier((0.030, 0.004), (0.056, 0.045), (0.038, 0.088))
    return lathe([(0, 0), (0.028, 0), *wall, (0.036, 0.090), *(wall[::-1] - [0.004, 0])[:-1], (0, 0.008)])


def _handle(radius: float, middle: float, width: float = 0.027, half: float = 0.029) -> Mesh:
    a = np.linspace(-1.45, 1.45, 14)
    return tube(np.stack([radius + width * np.cos(a), 0 * a, middle + half * np.sin(a)], -1), 0.0058)


def _bowl(rim: float, height: float, belly: Tuple[float, float]) -> Mesh:
    """A bowl; belly: the (radius, height) that its wall bends towards."""
    wall = bezier((0.03, 0.004), belly, (rim, height - 0.002))
    return lathe(
        [
            (0, 0),
            (0.032, 0),
            (0.032, 0.004),
            *wall[1:],
            (rim - 0.002, height),
            *(wall[::-1] - [0.004, -0.001]),
            (0, 0.008),
        ]
    )


def _plate(radius: float, height: float, segments: int = LATHE_SEGMENTS) -> Mesh:
    r, h = radius, height
    return lathe(
        [
            (0, 0),
            (0.6 * r, 0),
            (0.65 * r, 0.003),
            (r, h - 0.003),
            (r + 0.0005, h),
            (r - 0.003, h - 0.0005),
            (0.66 * r, 0.007),
            (0.6 * r, 0.005),
            (0, 0.005),
        ],
        segments,
    )


def _bottle(radius: float, shoulder: float, top: float, neck: float = 0.013) -> Mesh:
    """A bottle's glass up to the cap; shoulder: height where it begins to narrow, top: where the cap sits."""
    bend = bezier((radius, shoulder), (radius, shoulder + 0.6 * (top - shoulder) * 0.6), (neck, top - 0.018))
    return lathe([(0, 0), (radius - 0.003, 0), (radius, 0.004), (radius, shoulder - 0.005), *bend, (neck, top)])


def _cap(top: float, radius: float = 0.0150) -> Mesh:
    return lathe([(0, top - 0.020), (radius, top - 0.020), (radius, top - 0.002), (radius - 0.0005, top), (0, top)])


def _can_side(radius: float, height: float) -> Mesh:
    return lathe([(radius - 0.002, 0.004), (radius, 0.010), (radius, height - 0.012)])


def _can_base(radius: float) -> Mesh:
    r = radius
    return lathe([(0, 0.004), (r - 0.007, 0.004), (r - 0.006, 0), (r - 0.002, 0.004)])


def _can_top(radius: float, height: float) -> Mesh:
    r, h = radius, height
    return lathe(
        [
            (r, h - 0.012),
            (r - 0.004, h - 0.002),
            (r - 0.005, h),
            (r - 0.0065, h - 0.001),
            (r - 0.007, h - 0.005),
            (0, h - 0.005),
        ]
    )


def _banana(bend: float, curve: float, thickness: float) -> Mesh:
    """bend: half the arc in radians; curve: the arc's radius, thickness: the fruit's, metres."""
    angle = np.linspace(-bend, bend, 22)
    w = np.linspace(-1, 1, 22)
    radius = thickness * np.clip(1 - np.abs(w) ** 4, 0, 1) ** 0.6 + 0.0035
    radius[[0, -1]] = 0.0005
    centre = curve * (1 + np.cos(bend)) / 2
    return tube(
        np.stack([curve * np.sin(angle), curve * np.cos(angle) - centre, 0 * angle + thickness + 0.0015], -1), radius
    )


def _ball_oval() -> Mesh:
    w = np.linspace(-1, 1, 20)
    radius = 0.033 * np.sqrt(np.clip(1 - w**2, 0, 1))
    radius[[0, -1]] = 0.0005
    return tube(np.stack([0.052 * w, 0 * w, 0 * w + 0.033], -1), radius)


MESHES: Dict[str, Callable[[], Mesh]] = {
    "mug_body": lambda: _mug(0.040, 0.095),
    "mug_handle": lambda: _handle(0.038, 0.048),
    "mug_tall": lambda: _mug(0.037, 0.120),
    "mug_handle_tall": lambda: _handle(0.035, 0.060, 0.028, 0.036),
    "mug_tapered": lambda: _mug(0.044, 0.088, 0.72),
    "mug_round": _mug_round,
    "mug_handle_round": lambda: _handle(0.043, 0.046, 0.026, 0.025),
    "bowl": lambda: _bowl(0.080, 0.057, (0.07, 0.01)),
    "bowl_deep": lambda: _bowl(0.070, 0.072, (0.072, 0.008)),
    "bowl_conical": lambda: _bowl(0.082, 0.050, (0.056, 0.026)),
    "plate": lambda: _plate(0.100, 0.018),
    "plate_deep": lambda: _plate(0.094, 0.028),
    "plate_octagonal": lambda: _plate(0.098, 0.016, OCTAGON),
    "bottle": lambda: _bottle(0.033, 0.125, 0.195),
    "bottle_cap": lambda: _cap(0.212),
    "bottle_wine": lambda: _bottle(0.036, 0.140, 0.232, 0.012),
    "bottle_cap_wine": lambda: _cap(0.250, 0.0140),
    "bottle_squat": lambda: _bottle(0.043, 0.095, 0.143, 0.017),
    "bottle_cap_squat": lambda: _cap(0.160, 0.0200),
    "bottle_flask": lambda: _bottle(0.041, 0.070, 0.172, 0.016),
    "bottle_cap_flask": lambda: _cap(0.190, 0.0180),
    "can_side": lambda: _can_side(0.033, 0.122),
    "can_base": lambda: _can_base(0.033),
    "can_top": lambda: _can_top(0.033, 0.122),
    "can_side_short": lambda: _can_side(0.042, 0.062),
    "can_base_short": lambda: _can_base(0.042),
    "can_top_short": lambda: _can_top(0.042, 0.062),
    "can_side_slim": lambda: _can_side(0.027, 0.145),
    "can_base_slim": lambda: _can_base(0.027),
    "can_top_slim": lambda: _can_top(0.027, 0.145),
    "ball_oval": _ball_oval,
    "banana": lambda: _banana(0.75, 0.105, 0.0195),
    "banana_slender": lambda: _banana(0.58, 0.140, 0.0165),
    "banana_stout": lambda: _banana(0.95, 0.080, 0.0240),
}
_RINGS = {"ball_oval": TUBE_SEGMENTS, "plate_octagonal": OCTAGON}


def ring_size(mesh: str) -> int:
    """Vertices in one ring of a mesh of MESHES: its vertices reshape to [rings, ring_size, 3]."""
    tubular = mesh.startswith(("mug_handle", "banana"))
    return (TUBE_SEGMENTS if tubular else _RINGS.get(mesh, LATHE_SEGMENTS)) + 1
