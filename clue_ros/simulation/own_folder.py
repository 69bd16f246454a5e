"""A folder of objects that a user brings: what lies in it, what objects.yaml says of it, and whether it can be used.

DIR/025_mug/google_16k/textured.obj    the YCB layout, with its .mtl and texture
DIR/bracket/model.xml, DIR/cup.xml     MJCF models
DIR/objects.yaml                       optional: {025_mug: {category: [mug, cup], color: red, size: large}}
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import yaml

from clue_ros.geometry import triple
from clue_ros.images.files import ImageRoot
from clue_ros.problems import DataError
from clue_ros.simulation.color_names import dominant_color
from clue_ros.simulation.own_files import OwnObjectError, read_text
from clue_ros.simulation.own_mjcf import read_mjcf
from clue_ros.simulation.own_obj import read_obj
from clue_ros.simulation.own_objects import UP_AXES, OwnObject, Surface, sample_colors, stand
from clue_ros.simulation.shapes import SIZES
from clue_ros.simulation.words import COLOR_WORDS

SETTINGS = "objects.yaml"
OBJ = "google_16k/textured.obj"
LARGEST, SMALLEST = 0.6, 0.005  # metres, of the longest side
UNITS = {"millimetres": 0.001, "centimetres": 0.01, "inches": 0.0254}
LAYOUT = f"a folder holds <id>/{OBJ} (the YCB layout), <id>/*.xml or <id>.xml (MJCF)"
_NOUN = re.compile(r"[a-z]+(?:[ '-][a-z]+){0,4}")


@dataclass(frozen=True)
class ObjectSettings:
    """What objects.yaml may say of an object. category: a noun, or several that mean the same, the robot's word first;
    color: a word of words.COLOR_WORDS, or 'none'; size: its class beside others of its category; scale: of the mesh
    to metres; up: the mesh's axis that points up; yaw: degrees about it; weight: how often it is drawn beside others of
    its category."""

    category: Tuple[str, ...] = ()
    color: str = ""
    size: str = "medium"
    scale: float = 1.0
    up: str = "z"
    yaw: float = 0.0
    weight: float = 1.0


def load_objects(folder: Path) -> Tuple[OwnObject, ...]:
    """Everything in a folder, sorted by id. Raises OwnObjectError, which names all that is wrong with it."""
    folder = Path(folder)
    try:
        root = ImageRoot(folder)
    except DataError as error:
        raise OwnObjectError(f"{folder}: there is no such folder; {LAYOUT}") from error
    wrong: List[str] = []
    files = _find(folder, wrong)
    if not files and not wrong:
        raise OwnObjectError(f"{folder}: holds no objects; {LAYOUT}")
    settings = read_settings(folder / SETTINGS, root, tuple(files), wrong)
    objects = []
    for name, path in files.items():
        try:
            objects.append(_load(name, path, settings.get(name, ObjectSettings()), root))
        except OwnObjectError as error:
            wrong.append(str(error))
    if wrong:
        more = f"; and {len(wrong) - 8} more" if len(wrong) > 8 else ""
        raise OwnObjectError("; ".join(wrong[:8]) + more)
    return tuple(objects)


def category_of(name: str) -> str:
    """'cracker box' of the id '003_cracker_box', 'mug' of 'mug_2', 'cups' of '065-a_cups'."""
    words = re.sub(r"^\d+(-[a-z])?[_-]", "", name.lower())
    return re.sub(r"[\s_-]+", " ", re.sub(r"[_-]?\d+$", "", words)).strip()


def read_settings(path: Path, root: ImageRoot, names: Tuple[str, ...], wrong: List[str]) -> Dict[str, ObjectSettings]:
    """The settings of objects.yaml by id; what is wrong with it is added to `wrong`."""
    if not path.exists():
        return {}
    try:
        content = yaml.safe_load(read_text(path, root))
    except yaml.YAMLError as error:
        wrong.append(f"{path}: is not YAML ({' '.join(str(error).split())})")
        return {}
    if content is None:
        return {}
    if not isinstance(content, dict):
        wrong.append(f"{path}: must map ids to settings, such as 025_mug: {{category: mug}}")
        return {}
    found = {}
    for name, given in content.items():
        if name not in names:
            wrong.append(f"{path}: there is no object '{name}' in the folder{_nearest(str(name), names)}")
            continue
        settings = _settings(given, f"{path}: {name}", wrong)
        if settings is not None:
            found[name] = settings
    return found


def _settings(given: Any, where: str, wrong: List[str]) -> Optional[ObjectSettings]:
    if not isinstance(given, dict):
        wrong.append(f"{where}: must be settings, such as {{category: mug, color: red}}")
        return None
    before = len(wrong)
    known = tuple(ObjectSettings.__dataclass_fields__)
    for key in given:
        if key not in known:
            wrong.append(f"{where}: '{key}' is not known{_nearest(str(key), known)}; there are: {', '.join(known)}")
    nouns = given.get("category", [])
    nouns = [nouns] if isinstance(nouns, str) else nouns
    if not isinstance(nouns, list) or not all(isinstance(n, str) and _NOUN.fullmatch(n.lower()) for n in nouns):
        wrong.append(f"{where}: category must be a noun or a list of nouns of at most five words, letters only")
    color = str(given.get("color", ""))
    if color not in (*COLOR_WORDS, "", "none"):
        wrong.append(f"{where}: color '{color}' is not one of {', '.join(COLOR_WORDS)}; write none if no word fits")
    for key, allowed in (("size", tuple(SIZES)), ("up", tuple(UP_AXES))):
        if given.get(key, getattr(ObjectSettings, key)) not in allowed:
            wrong.append(f"{where}: {key} must be one of {', '.join(allowed)}")
    for key in ("scale", "yaw", "weight"):
        value = given.get(key, 1.0)
        if type(value) not in (int, float) or not np.isfinite(value) or (key != "yaw" and not 0 < value < 1e6):
            wrong.append(f"{where}: {key} must be a number{' of degrees' if key == 'yaw' else ' above 0'}")
    if len(wrong) > before:
        return None
    return ObjectSettings(**{**given, "category": tuple(n.lower() for n in nouns), "color": color})


def _find(folder: Path, wrong: List[str]) -> Dict[str, Path]:
    """The file of each id."""
    found: Dict[str, Path] = {}
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith((".", "__")):
            continue
        path = None
        if entry.is_dir():
            models = sorted(entry.glob("*.xml"))
            if (entry / OBJ).is_file():
                path = entry / OBJ
            elif len(models) > 1:
                named = [m for m in models if m.stem in (entry.name, "model", "object")]
                if len(named) != 1:
                    wrong.append(f"{entry}: holds {len(models)} .xml files; name the right one {entry.name}.xml")
                path = named[0] if len(named) == 1 else None
            elif models:
                path = models[0]
        elif entry.suffix == ".xml":
            path = entry
        if path is None:
            continue
        name = entry.stem if entry.is_file() else entry.name
        if name in found:
            wrong.append(f"{path}: there is already an object '{name}', {found[name]}; rename one")
        found[name] = path
    return found


def _load(name: str, path: Path, settings: ObjectSettings, root: ImageRoot) -> OwnObject:
    nouns = tuple(dict.fromkeys(settings.category)) or (category_of(name),)
    if not _NOUN.fullmatch(nouns[0]):
        raise OwnObjectError(f"{path}: its id '{name}' makes no noun; add to {SETTINGS}: {name}: {{category: mug}}")
    surfaces, notes = (read_obj if path.suffix == ".obj" else read_mjcf)(path, root)
    surfaces = stand(surfaces, settings.scale, settings.up, settings.yaw)
    triangles = np.concatenate([s.triangles for s in surfaces])
    _check_size(name, path, triangles, settings.scale)
    if _volume(triangles) < -0.02 * float(np.prod(np.ptp(triangles.reshape(-1, 3), axis=0))):
        notes.append(f"{path}: its faces look inwards; they are turned round")
        surfaces = tuple(_inside_out(s) for s in surfaces)
        triangles = triangles[:, ::-1]
    colors = sample_colors(surfaces)
    color = settings.color or dominant_color(colors)
    return OwnObject(
        name,
        nouns,
        "" if color == "none" else color,
        settings.size,
        tuple(surfaces),
        triangles,
        triple(colors.mean(0)),
        path,
        tuple(notes),
        float(settings.weight),
    )


def _check_size(name: str, path: Path, triangles: np.ndarray, scale: float) -> None:
    longest = float(np.ptp(triangles.reshape(-1, 3), axis=0).max())
    if not np.isfinite(longest) or longest == 0:
        raise OwnObjectError(f"{path}: has no size, or an endless one; export the mesh again")
    if SMALLEST <= longest <= LARGEST:
        return
    for unit, factor in UNITS.items():
        if longest > LARGEST and 0.03 <= longest * factor <= LARGEST:
            raise OwnObjectError(
                f"{path}: is {longest:.4g} m long, and at most {LARGEST} m fit on the table; its unit "
                f"is probably {unit}: add to {SETTINGS}: {name}: {{scale: {scale * factor:g}}}"
            )
    what = f"less than {SMALLEST * 1000:g} mm cannot be seen"
    if longest > LARGEST:
        what = f"at most {LARGEST} m fit on the table"
    raise OwnObjectError(
        f"{path}: is {longest:.4g} m long, and {what}; set its scale (now {scale:g}) in {SETTINGS}: "
        f"{name}: {{scale: {scale * 0.15 / longest:.2g}}} makes it 15 cm long"
    )


def _volume(triangles: np.ndarray) -> float:
    """Signed volume, cubic metres: negative where the faces look inwards."""
    a, b, c = (triangles.astype(float) - triangles.reshape(-1, 3).mean(0)).transpose(1, 0, 2)
    return float((a * np.cross(b, c)).sum() / 6)


def _inside_out(surface: Surface) -> Surface:
    uv = None if surface.uv_faces is None else np.ascontiguousarray(surface.uv_faces[:, ::-1])
    return replace(surface, faces=np.ascontiguousarray(surface.faces[:, ::-1]), uv_faces=uv)


def _nearest(word: str, known: Tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, known, 1)
    return f"; do you mean '{close[0]}'?" if close else ""
