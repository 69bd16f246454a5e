"""Reads MJCF models as `Surface`s: what MuJoCo's viewer would show of them in their initial pose."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import List, Optional, Tuple
from xml.etree import ElementTree

import numpy as np

from clue_ros.geometry import triple
from clue_ros.images.files import ImageRoot
from clue_ros.problems import BrokenImageError
from clue_ros.simulation.meshes import lathe
from clue_ros.simulation.own_files import (
    MAX_TRIANGLES,
    OwnObjectError,
    broken,
    inside,
    mujoco_module,
    read_text,
    read_texture,
)
from clue_ros.simulation.own_objects import CLEAREST, Surface

VISUAL_GROUPS = (0, 1, 2)  # geom groups that MuJoCo's viewer shows; collision geoms are in others by custom
_GEOM_DEFAULT = (0.5, 0.5, 0.5, 1.0)
_FORBIDDEN = ("include", "extension", "plugin", "flexcomp", "composite")  # elements that read files or make many bodies
_FILES = ("file", "fileright", "fileleft", "fileup", "filedown", "filefront", "fileback")


def read_mjcf(path: Path, root: ImageRoot) -> Tuple[List[Surface], List[str]]:
    """The surfaces of an MJCF model's visible geoms in its initial pose, and notes. Raises OwnObjectError."""
    text = read_text(path, root)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise OwnObjectError(f"{path}: declares XML entities, which are not read; write the values out")
    try:
        tree = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise OwnObjectError(f"{path}: is not XML ({error}); correct it") from error
    if tree.tag != "mujoco":
        raise OwnObjectError(f"{path}: its root is <{tree.tag}>, an MJCF model begins with <mujoco>")
    directories = _check_names(tree, path, root)
    mj = mujoco_module()
    try:
        spec = mj.MjSpec.from_file(str(path))
    except (ValueError, mj.FatalError) as error:
        raise broken(path, error) from error
    notes = []
    for texture in spec.textures:
        if texture.file:
            file = next((f for f in (d / texture.file for d in directories) if f.is_file()), path.parent / texture.file)
            try:
                image = read_texture(file)
            except BrokenImageError as error:
                notes.append(f"{path}: {error}; what it covers is drawn grey")
                image = np.full((4, 4, 3), 153, np.uint8)
            texture.file, texture.type = "", mj.mjtTexture.mjTEXTURE_2D
            texture.height, texture.width, texture.nchannel = image.shape
            texture.data = image.tobytes()
    surfaces, more = compiled_surfaces(spec, path)
    if not surfaces:
        raise OwnObjectError(
            f"{path}: has no geom that can be drawn in the groups {VISUAL_GROUPS}; drawn are meshes, "
            "boxes, spheres, ellipsoids, cylinders and capsules"
        )
    return surfaces, notes + more


def _check_names(tree: ElementTree.Element, path: Path, root: ImageRoot) -> List[Path]:
    """The folders that the model's files may lie in; raises OwnObjectError if any file or folder lies outside."""
    directories = [path.parent]
    for compiler in tree.iter("compiler"):
        for key in ("assetdir", "meshdir", "texturedir"):
            if folder := compiler.get(key):
                directories.append(inside(path.parent / folder, path, root))
    for element in tree.iter():
        if element.tag in _FORBIDDEN:
            raise OwnObjectError(f"{path}: <{element.tag}> is not read; write what it stands for into the file")
        for key in _FILES:
            if file := element.get(key):
                for folder in directories:
                    inside(folder / file, path, root)
    return directories


def compiled_surfaces(spec, path: Path) -> Tuple[List[Surface], List[str]]:
    """What MuJoCo makes of a specification, in the world's frame of its initial pose."""
    mj = mujoco_module()
    for mesh in spec.meshes:
        mesh.inertia = mj.mjtMeshInertia.mjMESH_INERTIA_SHELL  # open and thin meshes have no volume
    for geom in spec.geoms:
        geom.contype = geom.conaffinity = 0  # no convex hull is made
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # missing texture coordinates: noted by the caller
            model = spec.compile()
    except (ValueError, mj.FatalError) as error:
        raise broken(path, error) from error
    data = mj.MjData(model)
    mj.mj_forward(model, data)
    surfaces, notes = [], []
    for geom in range(model.ngeom):
        if model.geom_group[geom] not in VISUAL_GROUPS or _rgba(model, geom)[3] == 0:
            continue
        surface = _surface(mj, model, geom)
        if surface is None:
            notes.append(f"{path}: geoms of the type {mj.mjtGeom(model.geom_type[geom]).name[7:].lower()} are left out")
            continue
        world = surface.vertices @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom]
        surfaces.append(replace(surface, vertices=world.astype(np.float32)))
    count = sum(len(s.faces) for s in surfaces)
    if count > MAX_TRIANGLES:
        raise OwnObjectError(
            f"{path}: has {count} triangles, the limit is {MAX_TRIANGLES}: take a decimated mesh "
            "(YCB's google_16k has 16,384)"
        )
    return surfaces, list(dict.fromkeys(notes))


def _surface(mj, model, geom: int) -> Optional[Surface]:
    surface = _opaque(mj, model, geom)
    return None if surface is None else replace(surface, alpha=max(CLEAREST, float(_rgba(model, geom)[3])))


def _opaque(mj, model, geom: int) -> Optional[Surface]:
    kind, size, image = model.geom_type[geom], model.geom_size[geom], _image_of(mj, model, geom)
    rgb = triple(_rgba(model, geom)[:3])
    if image is not None:
        image = (image * np.array(rgb)).astype(np.uint8)
        rgb = triple(image.reshape(-1, 3).mean(0) / 255)
    if kind == mj.mjtGeom.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        start, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
        first, faces = model.mesh_faceadr[mesh], model.mesh_facenum[mesh]
        surface = Surface(
            model.mesh_vert[start : start + count].copy(), model.mesh_face[first : first + faces].copy(), rgb
        )
        where = model.mesh_texcoordadr[mesh]
        if where < 0:
            return surface
        uv = model.mesh_texcoord[where : where + model.mesh_texcoordnum[mesh]].copy()
        return replace(surface, uv=uv, uv_faces=model.mesh_facetexcoord[first : first + faces].copy(), image=image)
    arc = np.linspace(-np.pi / 2, np.pi / 2, 17)
    if kind == mj.mjtGeom.mjGEOM_BOX:
        corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * size
        quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
        # Each side has corners of its own: shared ones would be shaded round.
        vertices = np.concatenate([corners[list(q)] for q in quads])
        faces = np.concatenate([[[4 * i, 4 * i + 1, 4 * i + 2], [4 * i, 4 * i + 2, 4 * i + 3]] for i in range(6)])
        return Surface(vertices.astype(np.float32), faces.astype(np.int32), rgb)
    if kind == mj.mjtGeom.mjGEOM_SPHERE:
        profile, stretch = np.c_[np.cos(arc), np.sin(arc)] * size[0], 1.0
    elif kind == mj.mjtGeom.mjGEOM_ELLIPSOID:
        profile, stretch = np.c_[np.cos(arc), np.sin(arc)], size
    elif kind == mj.mjtGeom.mjGEOM_CAPSULE:
        cap = np.c_[np.cos(arc), np.sin(arc)] * size[0]
        profile, stretch = np.concatenate([cap[:9] - [0, size[1]], cap[8:] + [0, size[1]]]), 1.0
    elif kind == mj.mjtGeom.mjGEOM_CYLINDER:
        r, h = size[:2]
        profile, stretch = np.array([(0, -h), (r, -h), (r, h), (0, h)]), 1.0
    else:
        return None
    vertices, faces, _ = lathe(profile)
    return Surface((vertices * stretch).astype(np.float32), faces.astype(np.int32), rgb)


def _rgba(model, geom: int) -> np.ndarray:
    rgba, material = model.geom_rgba[geom], model.geom_matid[geom]
    return model.mat_rgba[material] if material >= 0 and np.allclose(rgba, _GEOM_DEFAULT) else rgba


def _image_of(mj, model, geom: int) -> Optional[np.ndarray]:
    """uint8[H,W,3] of a geom's colour texture, or None."""
    material = model.geom_matid[geom]
    texture = model.mat_texid[material][int(mj.mjtTextureRole.mjTEXROLE_RGB)] if material >= 0 else -1
    if texture < 0:
        return None
    height, width, channels = model.tex_height[texture], model.tex_width[texture], model.tex_nchannel[texture]
    start = model.tex_adr[texture]
    image = model.tex_data[start : start + height * width * channels].reshape(height, width, channels)
    return np.repeat(image[..., :1], 3, 2) if channels < 3 else image[..., :3].copy()
