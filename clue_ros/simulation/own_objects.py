"""Objects that users bring: triangles with a look, centred and stood on the table. simulation/own_folder.py finds and
checks them, simulation/own_files.py reads their files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional, Sequence, Tuple

import numpy as np

from clue_ros.language.kinds import noun_of

UP_AXES = {"x": (0, 1), "-x": (0, -1), "y": (1, 1), "-y": (1, -1), "z": (2, 1), "-z": (2, -1)}
CLEAREST = 0.1  # what is wholly transparent cannot be seen, and nobody can ask for it
SAMPLES = 4096  # points on an object from which its colour is named


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangles of one look. vertices: float32[V,3], metres; faces: int32[F,3]; uv: float32[T,2], (0, 0) is the image's
    top-left corner, and uv_faces: int32[F,3], both None without a texture; image: uint8[H,W,3] RGB or None;
    rgb: sRGB in [0, 1], the look where there is no image; alpha: 1 opaque, near 0 clear as glass."""

    vertices: np.ndarray
    faces: np.ndarray
    rgb: Tuple[float, float, float]
    uv: Optional[np.ndarray] = None
    uv_faces: Optional[np.ndarray] = None
    image: Optional[np.ndarray] = None
    alpha: float = 1.0

    @property
    def triangles(self) -> np.ndarray:
        """float32[F,3,3]: the corners of each triangle, metres."""
        return self.vertices[self.faces]


@dataclass(frozen=True, eq=False)
class OwnObject:
    """name: its id in the user's folder; nouns: what people call it, the robot's word first; color: one of the eight
    colour words or ''; size: 'small', 'medium' or 'large' beside others of its category; weight: how often
    it is drawn beside others of its category, 1 as usual; triangles: float32[F,3,3] of
    all surfaces, metres, base centre at the origin, z up; rgb: mean colour, sRGB in [0, 1]; notes: what was odd about
    its files."""

    name: str
    nouns: Tuple[str, ...]
    color: str
    size: str
    surfaces: Tuple[Surface, ...]
    triangles: np.ndarray
    rgb: Tuple[float, float, float]
    source: Path
    notes: Tuple[str, ...] = ()
    weight: float = 1.0

    @property
    def category(self) -> str:
        """The kind of language/kinds.py that the first noun means, else that noun."""
        return noun_of(self.nouns[0]) or self.nouns[0]

    @property
    def radius(self) -> float:
        """Of the footprint about the base centre, metres."""
        return float(np.hypot(*self.triangles[..., :2].reshape(-1, 2).T).max())

    @property
    def extent(self) -> np.ndarray:
        """float32[3]: the sides of the bounding box, metres."""
        return np.ptp(self.triangles.reshape(-1, 3), axis=0)


def stand(surfaces: Sequence[Surface], scale: float = 1.0, up: str = "z", yaw: float = 0.0) -> Tuple[Surface, ...]:
    """The surfaces scaled, with the axis `up` (a key of UP_AXES) turned upright, then turned by `yaw` degrees about it,
    the middle of the bounding box over the origin and the lowest point at z = 0."""
    axis, sign = UP_AXES[up]
    upright = np.zeros((3, 3))
    upright[2, axis] = sign
    if axis == 2:
        upright[0, 0], upright[1, 1] = 1, sign
    else:  # a proper rotation: the two other axes in the order that keeps the handedness
        first, second = (axis + 1) % 3, (axis + 2) % 3
        upright[0, first], upright[1, second] = 1, sign
    c, s = np.cos(np.deg2rad(yaw)), np.sin(np.deg2rad(yaw))
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ upright * scale
    turned = [surface.vertices.astype(float) @ turn.T for surface in surfaces]
    used = np.concatenate([v[s.faces].reshape(-1, 3) for v, s in zip(turned, surfaces)])
    low, high = used.min(0), used.max(0)
    base = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    return tuple(replace(s, vertices=(v - base).astype(np.float32)) for v, s in zip(turned, surfaces))


def sample_colors(surfaces: Sequence[Surface], count: int = SAMPLES) -> np.ndarray:
    """float32[count,3] sRGB in [0, 1] at points spread evenly over the area of the surfaces, the same every time."""
    rng = np.random.default_rng(0)
    areas = [_areas(surface.triangles) for surface in surfaces]
    total = sum(float(a.sum()) for a in areas)
    found = []
    for surface, area in zip(surfaces, areas):
        share = int(round(count * float(area.sum()) / total)) if total > 0 else 0
        if surface.image is None or surface.uv is None or surface.uv_faces is None or share == 0:
            found.append(np.tile(np.array(surface.rgb, np.float32), (share, 1)))
            continue
        chosen = rng.choice(len(area), share, p=area / area.sum())
        weight = rng.dirichlet([1, 1, 1], share)
        u, v = (weight[..., None] * surface.uv[surface.uv_faces[chosen]]).sum(1).T % 1
        height, width = surface.image.shape[:2]
        rows, columns = (v * height).astype(int).clip(0, height - 1), (u * width).astype(int).clip(0, width - 1)
        found.append(surface.image[rows, columns].astype(np.float32) / 255)
    return np.concatenate(found)


def _areas(triangles: np.ndarray) -> np.ndarray:
    a, b, c = triangles.astype(float).transpose(1, 0, 2)
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
