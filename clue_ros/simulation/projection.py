"""Where a scene's objects appear in the image, by geometry alone: no OpenGL, used to plan episodes and visibility."""

from __future__ import annotations

from typing import Dict, List, Tuple

import cv2
import numpy as np

from clue_ros.simulation import meshes, shapes
from clue_ros.simulation.scene import Camera, Scene, SceneObject, with_boxes
from clue_ros.types import Box

Intrinsics = Tuple[float, float, float, float]  # fx, fy, cx, cy in pixels

PRIMITIVES = ("box", "sphere")

_rings: Dict[Tuple[str, str], List[np.ndarray]] = {}


def intrinsics_of(camera: Camera, width: int, height: int) -> Intrinsics:
    f = 0.5 * height / np.tan(np.deg2rad(camera.fovy) / 2)
    return float(f), float(f), width / 2, height / 2


def camera_pose(camera: Camera) -> Tuple[np.ndarray, np.ndarray]:
    """(rotation float[3,3], origin float[3]) of the optical frame (x right, y down, z forward) in the table frame:
    a table point p is (p - origin) @ rotation in the optical frame."""
    origin, target = np.array(camera.position), np.array(camera.target)
    forward = (target - origin) / np.linalg.norm(target - origin)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward], 1), origin


def optical_points(scene: Scene) -> np.ndarray:
    """float32[N,3]: each object's base centre in the optical frame, metres."""
    rotation, origin = camera_pose(scene.camera)
    return ((np.array([o.position for o in scene.objects]) - origin) @ rotation).astype(np.float32)


def paint_silhouette(
    canvas: np.ndarray, value: int, item: SceneObject, camera: Camera, width: int, height: int
) -> None:
    """Fill an object's silhouette with a value. canvas: uint8[2H,2W], the image in its middle, so that what the
    border cuts off still counts."""
    fx, fy, cx, cy = intrinsics_of(camera, width, height)
    rotation, origin = camera_pose(camera)
    c, s = np.cos(item.yaw), np.sin(item.yaw)
    turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    if item.own is not None:
        points = (item.own.triangles.astype(float) @ turn + np.array(item.position) - origin) @ rotation
        uv = points[..., :2] / np.maximum(points[..., 2:], 0.05) * [fx, fy] + [cx + width / 2, cy + height / 2]
        _fill_triangles(canvas, value, uv.clip(-1e4, 1e4).astype(np.int32))
        return
    scale = shapes.SIZES[item.size]
    for part, rings in zip(
        shapes.shape_of(item.category, item.shape).parts, _silhouette_rings(item.category, item.shape)
    ):
        # Boxes and balls are primitives of the renderer: stretched, but neither tapered nor bellied.
        bent = rings * item.deformation.scale if part.mesh in PRIMITIVES else item.deformation.bent(rings)
        points = ((bent * scale) @ turn + np.array(item.position) - origin) @ rotation
        uv = points[..., :2] / np.maximum(points[..., 2:], 0.05) * [fx, fy] + [cx + width / 2, cy + height / 2]
        # Two neighbouring rings span a convex frustum, so the union of their hulls is the exact silhouette.
        for a, b in zip(uv[:-1], uv[1:]):
            cv2.fillConvexPoly(
                canvas, cv2.convexHull(np.concatenate([a, b]).astype(np.float32)).astype(np.int32), value
            )


def _fill_triangles(canvas: np.ndarray, value: int, corners: np.ndarray) -> None:
    """Fill every triangle of int32[F,3,2] pixels (x, y). Most triangles of a scanned mesh are as small as a pixel:
    those are their corners."""
    inside = corners.reshape(-1, 2)
    inside = inside[((inside >= 0) & (inside < [canvas.shape[1], canvas.shape[0]])).all(1)]
    canvas[inside[:, 1], inside[:, 0]] = value
    for triangle in np.unique(corners[(np.ptp(corners, axis=1) > 1).any(1)], axis=0):
        cv2.fillConvexPoly(canvas, triangle, value)


def silhouette_area(item: SceneObject, camera: Camera, width: int, height: int) -> int:
    """Pixels that the object would cover with nothing in front of it, the part outside the image included."""
    canvas = np.zeros((2 * height, 2 * width), np.uint8)
    paint_silhouette(canvas, 1, item, camera, width, height)
    return int(canvas.sum())


def measure(scene: Scene, segmentation: np.ndarray) -> Tuple[SceneObject, ...]:
    """The scene's objects with box, visibility and pixels from an instance segmentation int[H,W] (index or -1)."""
    height, width = segmentation.shape
    boxes, visibility, pixels = [], [], []
    for index, item in enumerate(scene.objects):
        mask = segmentation == index
        count = int(mask.sum())
        box = None
        if count:
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            box = Box(float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
        boxes.append(box)
        pixels.append(count)
        visibility.append(min(1.0, count / max(1, silhouette_area(item, scene.camera, width, height))))
    return with_boxes(scene.objects, boxes, visibility, pixels)


def foresee(scene: Scene, width: int = 320, height: int = 240) -> Tuple[SceneObject, ...]:
    """The objects as the camera will see them: silhouettes painted from the farthest to the nearest."""
    canvas = np.full((2 * height, 2 * width), 255, np.uint8)
    for index in np.argsort(-optical_points(scene)[:, 2]):
        paint_silhouette(canvas, int(index), scene.objects[index], scene.camera, width, height)
    window = canvas[height // 2 : height // 2 + height, width // 2 : width // 2 + width].astype(np.int16)
    return measure(scene, np.where(window == 255, -1, window))


def _silhouette_rings(category: str, shape: str) -> List[np.ndarray]:
    """float[rows, ring, 3] of each part, in the object's frame at scale 1."""
    if (category, shape) not in _rings:
        parts = []
        for part in shapes.shape_of(category, shape).parts:
            if part.mesh == "box":
                x, y, z = part.size
                ring = np.array([[-x, -y], [x, -y], [x, y], [-x, y]])
                parts.append(np.stack([np.c_[ring, np.full(4, h)] for h in (0, 2 * z)]))
            elif part.mesh == "sphere":
                r = part.size[0]
                angle = np.linspace(-np.pi / 2, np.pi / 2, 13)
                vertices, _, _ = meshes.lathe(np.c_[r * np.cos(angle), r + r * np.sin(angle)], 16)
                parts.append(vertices.reshape(13, -1, 3))
            else:
                vertices, _, _ = meshes.MESHES[part.mesh]()
                parts.append(vertices.reshape(-1, meshes.ring_size(part.mesh), 3))
        _rings[category, shape] = parts
    return _rings[category, shape]
