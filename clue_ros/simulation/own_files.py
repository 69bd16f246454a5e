"""The files of users' objects: nothing outside their folder is opened, whatever a material or a model names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from clue_ros.images.files import ImageRoot, read_image
from clue_ros.problems import UnsafePathError
from clue_ros.types import ClueError

MAX_BYTES = 64 * 2**20  # of an .obj, .mtl or .xml
MAX_TRIANGLES = 200_000
TEXTURE_SIDE = 512  # pixels; larger textures are made smaller: rendered images have a few hundred


class OwnObjectError(ClueError):
    """A user's object cannot be used; the text names the file and what to do."""


def read_texture(path: Path) -> np.ndarray:
    """uint8[H,W,3], at most TEXTURE_SIDE a side. Raises BrokenImageError."""
    image = read_image(path)
    shrink = TEXTURE_SIDE / max(image.shape[:2])
    if shrink >= 1:
        return image
    return cv2.resize(
        image,
        (max(1, round(image.shape[1] * shrink)), max(1, round(image.shape[0] * shrink))),
        interpolation=cv2.INTER_AREA,
    )


def inside(path: Path, named_by: Path, root: ImageRoot) -> Path:
    try:
        return root.inside(path)
    except (UnsafePathError, ValueError) as error:  # ValueError: a null character
        raise OwnObjectError(
            f"{named_by}: names {os.fspath(path)!r}, which lies outside {root.folder}; put the file "
            "beside the mesh and name it without a path"
        ) from error


def read_text(path: Path, root: ImageRoot) -> str:
    inside(path, path, root)
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise OwnObjectError(f"{path}: is not a file of at most {MAX_BYTES // 2**20} MiB; take a decimated mesh")
    return path.read_text(encoding="utf-8", errors="replace")


def broken(path: Path, error: Exception) -> OwnObjectError:
    return OwnObjectError(
        f"{path}: MuJoCo cannot read it ({' '.join(str(error).split())}); export it again as OBJ "
        "with triangles, or correct the model"
    )


def mujoco_module() -> Any:  # its compiled part has no type stubs
    try:
        import mujoco
    except ImportError as error:
        raise OwnObjectError(f"own objects need the Python package mujoco ({error}): pip install mujoco") from error
    return mujoco
