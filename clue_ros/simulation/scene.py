"""What a tabletop scene is (scene_draw.py draws one).

Table frame: x away from the camera, y to the left, z up, metres, origin at the table's centre on its surface.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Optional, Sequence, Tuple

from clue_ros.simulation.own_objects import OwnObject
from clue_ros.simulation.shapes import SIZES, STANDARD, shape_of
from clue_ros.simulation.textures import SURFACES
from clue_ros.simulation.variety import PLAIN, Deformation, deformation
from clue_ros.types import Box


@dataclass(frozen=True)
class ImageSize:
    """Of a picture, in pixels."""

    width: int
    height: int


@dataclass(frozen=True)
class SceneObject:
    """One object. `box`, `visibility` and `pixels` are set by the renderer, from the segmentation.

    box: pixels of the render, None if no pixel is visible; visibility: visible share of the unoccluded silhouette,
    in [0, 1]; position: base centre in the table frame, metres; yaw: radians about z; own: the mesh that a user
    brought, None for the built-in shapes. An own object may have no colour word: its color is ''. variety: how the
    built-in shape is bent (simulation/variety.py).
    """

    category: str
    color: str
    size: str
    position: Tuple[float, float, float]
    yaw: float
    rgb: Tuple[float, float, float]
    texture_seed: int = 0
    shape: str = STANDARD
    variety: int = PLAIN
    box: Optional[Box] = None
    visibility: float = 0.0
    pixels: int = 0
    own: Optional[OwnObject] = field(default=None, compare=False, repr=False)

    @property
    def visible_box(self) -> Box:
        """The box of an object that is seen. Raises ValueError for one that is not."""
        if self.box is None:
            raise ValueError(f"nothing of this {self.category} is seen, it has no box")
        return self.box

    @property
    def radius(self) -> float:
        if self.own is not None:
            return self.own.radius
        return shape_of(self.category, self.shape).radius * SIZES[self.size] * self.deformation.widest

    @property
    def deformation(self) -> Deformation:
        """Of a built-in shape, before the factor of its size."""
        height = shape_of(self.category, self.shape).height
        return deformation(self.variety, self.category, self.shape, self.size, height)


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
    surfaces: Tuple[str, ...] = SURFACES

    def to_dict(self) -> dict:
        """A plain JSON-serialisable dictionary."""
        plain = asdict(replace(self, objects=tuple(replace(o, own=None) for o in self.objects)))
        for item in plain["objects"]:
            del item["own"]
            if item["variety"] == PLAIN:
                del item["variety"]
        return plain


def with_boxes(objects: Sequence[SceneObject], boxes, visibility, pixels) -> Tuple[SceneObject, ...]:
    """Copies of the objects with what the renderer measured."""
    return tuple(
        replace(o, box=b, visibility=float(v), pixels=int(p)) for o, b, v, p in zip(objects, boxes, visibility, pixels)
    )
