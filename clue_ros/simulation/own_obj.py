"""Reads Wavefront OBJ files with their materials as `Surface`s. MuJoCo's own decoder reads the geometry."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import numpy as np

from clue_ros.geometry import triple
from clue_ros.images.files import ImageRoot
from clue_ros.problems import BrokenImageError
from clue_ros.simulation.own_files import OwnObjectError, inside, mujoco_module, read_text, read_texture
from clue_ros.simulation.own_mjcf import compiled_surfaces
from clue_ros.simulation.own_objects import CLEAREST, Surface

MAX_LOOKS = 64  # of one object; each is a mesh of its own in every copy
GREY = (0.6, 0.6, 0.6)


@dataclass(frozen=True)
class Material:
    rgb: Tuple[float, float, float] = GREY
    image: Optional[np.ndarray] = None
    alpha: float = 1.0

    @property
    def look(self) -> Tuple:
        """Equal for materials that look alike."""
        return self.rgb, self.alpha, None if self.image is None else (self.image.shape, self.image.tobytes())

    @property
    def mean(self) -> np.ndarray:
        """float[4]: mean sRGB and alpha, each in [0, 1]."""
        rgb = self.rgb if self.image is None else self.image.reshape(-1, 3).mean(0) / 255
        return np.array([*rgb, self.alpha])


def read_obj(path: Path, root: ImageRoot) -> Tuple[List[Surface], List[str]]:
    """The surfaces of an OBJ file, one for each material, and notes on what was odd. Raises OwnObjectError."""
    geometry, faces, libraries = [], {}, []
    current = ""
    for line in read_text(path, root).replace("\\\n", " ").splitlines():
        key, _, rest = line.strip().partition(" ")
        if key in ("v", "vt", "vn"):
            geometry.append(line)
        elif key == "f":
            faces.setdefault(current, []).append(line)
        elif key == "usemtl":
            current = rest.strip()
        elif key == "mtllib":
            libraries.append(rest.strip())
    if not faces:
        raise OwnObjectError(f"{path}: holds no faces ('f' lines); is it an OBJ file? Export the mesh again")
    materials, notes = _materials(path, libraries, root)
    notes += [
        f"{path}: material '{name}' is defined nowhere; it is drawn grey"
        for name in faces
        if name and libraries and name not in materials and not notes
    ]
    looks, note = _looks({name: (materials.get(name, Material()), lines) for name, lines in faces.items()}, path)
    notes += note
    surfaces = []
    for material, lines in looks:
        surface, note = _decode(path, "\n".join([*geometry, *lines, ""]), material)
        surfaces.append(surface)
        notes += note
    return surfaces, notes


def _looks(
    used: Dict[str, Tuple[Material, List[str]]], path: Path
) -> Tuple[List[Tuple[Material, List[str]]], List[str]]:
    """The faces of each look. Materials that look alike are one; of more than MAX_LOOKS those with the fewest faces are
    drawn in the plain colour of the most alike one."""
    looks: Dict[Tuple, Tuple[Material, List[str]]] = {}
    for material, lines in used.values():
        looks.setdefault(material.look, (material, []))[1].extend(lines)
    order = sorted(looks.values(), key=lambda item: -len(item[1]))
    kept, rest = order[:MAX_LOOKS], order[MAX_LOOKS:]
    if not rest:
        return kept, []
    kept, rest = kept[: MAX_LOOKS // 2], [*kept[MAX_LOOKS // 2 :], *rest]
    plain: Dict[Tuple, Tuple[Material, List[str]]] = {}
    means = np.array([material.mean for material, _ in rest])
    centres = means[np.linspace(0, len(rest) - 1, MAX_LOOKS - len(kept)).round().astype(int)]
    for (_, lines), mean in zip(rest, means):
        near = centres[np.abs(centres - mean).sum(1).argmin()]
        material = Material(triple(near[:3]), None, float(near[3]))
        plain.setdefault(material.look, (material, []))[1].extend(lines)
    return [*kept, *plain.values()], [
        f"{path}: has {len(order)} looks; the {len(rest)} with the fewest faces are drawn in {len(plain)} plain colours"
    ]


def _decode(path: Path, text: str, material: Material) -> Tuple[Surface, List[str]]:
    mj = mujoco_module()
    spec = mj.MjSpec()
    spec.add_mesh(name="mesh", file="mesh.obj")
    spec.worldbody.add_geom(type=mj.mjtGeom.mjGEOM_MESH, meshname="mesh", rgba=[*material.rgb, 1])
    spec.assets = {"mesh.obj": text.encode()}
    surfaces, notes = compiled_surfaces(spec, path)
    if not surfaces:
        raise OwnObjectError(f"{path}: nothing of it can be drawn; export the mesh again")
    surface = surfaces[0]
    surface = replace(surface, alpha=material.alpha)
    if material.image is None:
        return replace(surface, rgb=material.rgb, uv=None, uv_faces=None), notes
    if surface.uv is None:
        rgb = tuple(float(v) for v in material.image.reshape(-1, 3).mean(0) / 255)
        return replace(surface, rgb=rgb), [
            *notes,
            f"{path}: some faces have no texture coordinates ('vt'); it is drawn in the texture's mean colour",
        ]
    return replace(surface, image=material.image), notes


def _materials(path: Path, libraries: List[str], root: ImageRoot) -> Tuple[Dict[str, Material], List[str]]:
    found: Dict[str, Material] = {}
    notes: List[str] = []
    for name in libraries:
        library = inside(path.parent / name.replace("\\", "/"), path, root)
        if not library.is_file():
            notes.append(f"{path}: its material file {name} is missing; it is drawn grey")
            continue
        current = None
        for line in read_text(library, root).splitlines():
            key, _, rest = line.strip().partition(" ")
            rest = rest.strip()
            if key == "newmtl":
                current = rest
                found[current] = Material()
            elif current is not None and key == "Kd":
                found[current] = replace(found[current], rgb=_color(rest, library))
            elif current is not None and key in ("d", "Tr"):
                found[current] = replace(found[current], alpha=_alpha(key, rest, library))
            elif current is not None and key == "map_Kd":
                texture = inside(library.parent / _texture_name(rest).replace("\\", "/"), library, root)
                try:
                    found[current] = replace(found[current], image=read_texture(texture))
                except BrokenImageError as error:
                    notes.append(f"{library}: {error}; material '{current}' is drawn in its plain colour (Kd)")
    return found, notes


def _texture_name(rest: str) -> str:
    """The file of a map_Kd line, which may begin with options such as `-s 1 1 1`; a name may hold spaces."""
    return re.sub(r"^(-[a-z]+(\s+(on|off|[-+]?[\d.]+|[rgbmlz]))*\s+)+", "", rest)


def _alpha(key: str, rest: str, path: Path) -> float:
    """`d 0.3` dissolves to 0.3, and `Tr 0.7` is the same; `d -halo 0.3` too."""
    try:
        value = float(rest.split()[-1])
    except (ValueError, IndexError):
        value = -1.0
    if not 0 <= value <= 1:
        raise OwnObjectError(f"{path}: '{key} {rest[:40]}' is no transparency; it takes a number from 0 to 1")
    return max(CLEAREST, value if key == "d" else 1 - value)


def _color(rest: str, path: Path) -> Tuple[float, float, float]:
    try:
        values = [float(v) for v in rest.split()[:3]]
    except ValueError:
        values = []
    if len(values) != 3 or not all(0 <= v <= 1 for v in values):
        raise OwnObjectError(f"{path}: 'Kd {rest[:40]}' is no colour; it takes three numbers from 0 to 1")
    return values[0], values[1], values[2]
