"""Training pictures of one kind, whatever they were: rendered scenes, annotated photographs, composites.

Every picture has one look for good, drawn from the seed and its number: mirrored or not, jittered or not. So features
of frozen eyes are computed once. Jitter is what cameras do: blur, exposure, white balance, noise, JPEG.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import List, Tuple

import cv2
import numpy as np

from clue_ros.images.files import ImageFile
from clue_ros.language.kinds import noun_called
from clue_ros.photographs.annotations import Photograph, read_annotations, source_weights
from clue_ros.photographs.patches import photo_patches
from clue_ros.processes import Sharing
from clue_ros.simulation.dataset import generate, object_from_dict, read_scenes
from clue_ros.simulation.scene import SceneObject
from clue_ros.simulation.scene_data import mirrored
from clue_ros.training.eye_settings import SetSettings

LARGEST = 1000  # pixels of a picture's longer side; larger ones are made smaller
OFTEN, HALF = 1.0, 0.5  # share of pictures that are jittered: rendered and composed ones, photographs
_STREAM = 5  # of the seed


@dataclass(frozen=True)
class Pictures:
    """name: of the set; photographs: as they lie on disk; jittered: share of them; rendered: nothing about them is
    unknown; spread: of SetSettings."""

    name: str
    photographs: Tuple[Photograph, ...]
    jittered: float
    rendered: bool = False
    spread: float = 0.4
    seed: int = 0

    def __len__(self) -> int:
        return len(self.photographs)

    def photo(self, index: int) -> Photograph:
        """With the objects as they lie in the picture that `read` gives: boxes in pixels of `photo.size`, of which the
        picture may be a smaller copy."""
        photo = self.photographs[index]
        return replace(photo, objects=mirrored(photo.objects, photo.size.width)) if self._flipped(index) else photo

    def read(self, index: int) -> np.ndarray:
        """uint8[H,W,3] RGB. Raises BrokenImageError."""
        rng = self._rng(index)
        rgb = _at_most(self.photographs[index].pixels(), LARGEST)
        if rng.random() < 0.5:
            rgb = rgb[:, ::-1]
        return np.ascontiguousarray(jitter(rgb, rng) if rng.random() < self.jittered else rgb)

    def owners(self, index: int, grid: int) -> np.ndarray:
        """int8[grid,grid]: who owns each patch (photographs/patches.py). Raises BrokenImageError."""
        owners = photo_patches(self.photographs[index], grid)
        return np.ascontiguousarray(owners[:, ::-1]) if self._flipped(index) else owners

    def shares(self) -> np.ndarray:
        """float64[N], sum 1: how often each is drawn."""
        return source_weights(self.photographs, self.spread)

    def mark(self) -> str:
        """A name for all that these pictures are made of."""
        rows = [
            (p.image.name, p.image.size, p.exhaustive, [(o.category, o.box) for o in p.objects])
            for p in self.photographs
        ]
        return fingerprint_of([rows, self.jittered, self.seed])

    def _rng(self, index: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, _STREAM, index])

    def _flipped(self, index: int) -> bool:
        return bool(self._rng(index).random() < 0.5)


def open_pictures(settings: SetSettings, data: Path, seed: int = 0) -> Pictures:
    """The pictures of a set of the recipe; what is to be rendered and lacks is rendered into data/NAME. Raises
    MissingDataError, BrokenDataError, FileNotFoundError, OwnObjectError, ClueError."""
    if settings.photos:
        folder = Path(settings.photos)
        photographs = read_annotations(folder, not settings.sharealike, settings.whole)
        composed = all(p.mask is not None for p in photographs)  # nobody outlines things in photographs
        jittered = OFTEN if composed else HALF
    else:
        folder = Path(settings.scenes) if settings.scenes else _rendered(settings, Path(data) / settings.name)
        photographs, jittered = rendered_pictures(folder), OFTEN
    chosen = photographs[: settings.limit or len(photographs)]
    return Pictures(settings.name, tuple(chosen), jittered, not settings.photos, settings.spread, seed)


def rendered_pictures(folder: Path) -> List[Photograph]:
    """The scenes of a folder that `clue scenes` wrote: all of them is known. Raises FileNotFoundError."""
    folder, found = Path(folder), []
    for line in read_scenes(folder):
        size = line["width"], line["height"]
        picture, mask = f"images/{line['id']}.webp", f"masks/{line['id']}.png"
        found.append(
            Photograph(
                ImageFile(folder / picture, picture, size),
                tuple(_called_as_said(object_from_dict(o)) for o in line["objects"]),
                exhaustive=True,
                source=folder.name,
                complete=True,
                mask=ImageFile(folder / mask, mask, size),
            )
        )
    return found


def _called_as_said(thing: SceneObject) -> SceneObject:
    """A mesh's category as the kind that it means, and its colour, as in annotated photographs."""
    color = "gray" if thing.color == "grey" else thing.color
    return replace(thing, category=noun_called(thing.category) or thing.category, color=color)


def _rendered(settings: SetSettings, folder: Path) -> Path:
    s = settings
    sizes = tuple((int(w), int(h)) for w, h in (text.split("x") for text in s.sizes))
    own = Path(s.objects) if s.objects else None
    generate(
        folder, s.count, s.seed, Sharing.of_cores(),
        objects=own, only_own=s.only_own, varied=s.varied, sizes=sizes, any_camera=s.any_camera,
        more_colors=s.more_colors,
    )  # fmt: skip
    return folder


def jitter(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """uint8[H,W,3] as another camera would have taken uint8[H,W,3]."""
    x = rgb.astype(np.float32)
    if rng.random() < 0.6:
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.3, 1.3))
    x = x * np.float32(rng.uniform(0.7, 1.2)) * rng.uniform(0.87, 1.13, 3).astype(np.float32) + rng.normal(0, 4)
    if rng.random() < 0.5:
        x = x + rng.standard_normal(x.shape, np.float32) * np.float32(rng.uniform(0, 8))
    x = np.clip(x, 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 90))]
        file = cv2.imencode(".jpg", x[..., ::-1], quality)[1]
        x = np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR))[..., ::-1]
    return x


def fingerprint_of(what: object) -> str:
    """Of something that JSON can hold."""
    return hashlib.sha256(json.dumps(what, default=float).encode()).hexdigest()[:16]


def _at_most(rgb: np.ndarray, longest: int) -> np.ndarray:
    height, width = rgb.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return rgb
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
