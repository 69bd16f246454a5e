"""A picture to the features that a decoder reads, with frozen eyes and the small trained parts behind them.

    picture -> first glance -> boxes of whatever is there -> second glances at the best of them -> neck -> features

No word is needed, so all of it can be paid before a person speaks. A model folder holds `eyes.json` (SightShape) and
`eyes.safetensors` (the trained parts); the frozen backbone ships once, beside all models.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, NamedTuple, Optional, Tuple

import cv2
import numpy as np
import torch
from torch import nn

from clue_ros.configuration import ConfigurationError, from_mapping
from clue_ros.eyes.crops import CELLS, SIDE, cells, cut
from clue_ros.eyes.frozen import SHIPPED, FrozenEyes, Glance
from clue_ros.eyes.layout import CELL, cell_pixels
from clue_ros.eyes.neck import Glances, Neck
from clue_ros.eyes.proposals import PatchBoxes, PatchHead, best_boxes
from clue_ros.eyes.second_glance import CropHead
from clue_ros.types import ModelLoadError

FILE, WEIGHTS = "eyes.json", "eyes.safetensors"
MOST_GLANCES = 64  # second ones of one picture: their crops lie in memory side by side


@dataclass(frozen=True)
class SightShape:
    """first: side of the first glance's picture, pixels; glances: how many second ones, 0 for none; grid, width: of the
    features that come out; vector: numbers that a second glance says; features, summary: channels of the backbone's
    patches and of its CLS token; patch: its patch, pixels."""

    first: int = 336
    glances: int = 8
    grid: int = 16
    width: int = 256
    vector: int = 256
    features: int = 1152
    summary: int = 384
    patch: int = 14

    @property
    def seen(self) -> int:
        """Patches a side of the first glance."""
        return self.first // self.patch


class Trained(nn.Module):
    """The trained parts."""

    def __init__(self, shape: SightShape = SightShape()):
        super().__init__()
        self.shape = shape
        self.patches = PatchHead(shape.features, shape.seen)
        self.crops = CropHead(shape.features, shape.summary, out=shape.vector)
        self.neck = Neck(shape.features, shape.seen, shape.vector, shape.grid, shape.width)


class FirstGlance(NamedTuple):
    """features: float[1,N,F]; pixels: float[1,N,48]; found: what each patch proposes; rough: float32[K,4], the best
    boxes, shares of the picture, the best first."""

    features: torch.Tensor
    pixels: torch.Tensor
    found: PatchBoxes
    rough: np.ndarray


class Things(NamedTuple):
    """What second glances see, K of them. vectors: float32[K,D], what each is; boxes: float32[K,4], shares of the
    picture in [0, 1]; sure: float32[K] in [0, 1], that it is one thing."""

    vectors: np.ndarray
    boxes: np.ndarray
    sure: np.ndarray


class Sight:
    """Frozen eyes and trained parts on one device; `glances`: how many second ones a picture gets; `folder`: of the
    model that they are of. Not thread-safe."""

    folder: Optional[Path] = None

    def __init__(self, eyes: FrozenEyes, trained: Trained, device: str = "cpu", glances: Optional[int] = None):
        """glances: in [0, MOST_GLANCES], None for the shape's. Raises ModelLoadError."""
        self.eyes, self.trained, self.device = eyes, trained.eval().to(device), torch.device(device)
        self.shape = trained.shape
        self.glances = self.shape.glances if glances is None else checked_glances(glances)
        self._last: Optional[Tuple[np.ndarray, Glances]] = None

    @classmethod
    def open(cls, folder: Path, device: str = "cpu", engine: str = "auto", glances: Optional[int] = None) -> "Sight":
        """Of a model folder. engine: of the frozen eyes (frozen.ENGINES); glances: as above. Raises ModelLoadError
        naming what is missing or does not fit."""
        folder = Path(folder)
        shape = read_sight_shape(folder / FILE)
        trained = Trained(shape)
        _load(trained, folder / WEIGHTS)
        sight = cls(FrozenEyes.open(SHIPPED, device, engine), trained, device, glances)
        sight.folder = folder
        return sight

    @torch.inference_mode()
    def see(self, rgb: np.ndarray, glances: Optional[int] = None) -> torch.Tensor:
        """float32[1,grid²,width]. rgb: uint8[H,W,3]; glances: how many second ones, None for `self.glances`."""
        first = self.first(rgb, self.glances if glances is None else glances)
        found = first.found
        second = self.second(rgb, first.rough)
        if glances is None:
            self._last = rgb.copy(), second
        return self.trained.neck(first.features, first.pixels, found.thing.sigmoid(), found.boxes, second)

    def things(self, rgb: np.ndarray) -> Things:
        """What the second glances saw in a picture: uint8[H,W,3]. Right after `see` of it this costs nothing."""
        if self._last is None or not np.array_equal(self._last[0], rgb):
            self.see(rgb)
        assert self._last is not None
        second = self._last[1]
        vectors, boxes, sure = (
            t[0].float().cpu().numpy() for t in (second.vectors, second.boxes.clamp(0, 1), second.things)
        )
        there = sure > 0
        return Things(vectors[there], boxes[there], sure[there])

    @torch.inference_mode()
    def vectors(self, crops: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """float32[K,D]: what crops show, in one batch. crops: uint8[K,SIDE,SIDE,3] as `cut` makes them; boxes:
        float32[K,4] of the thing in each, shares of the crop."""
        if not len(crops):
            return np.zeros((0, self.shape.vector), np.float32)
        whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]], device=self.device).repeat(len(crops), 1)
        rough = torch.from_numpy(boxes.astype(np.float32)).to(self.device)
        said = self.read(self.eyes.glance(crops), _small(crops), whole, rough)
        return said.vectors[0].float().cpu().numpy()

    @property
    def fingerprint(self) -> str:
        """Of everything that `vectors` depends on: the shape, and the weights behind the frozen eyes."""
        found = hashlib.blake2b(repr(self.shape).encode(), digest_size=16)
        for name, values in sorted(self.trained.crops.state_dict().items()):
            found.update(name.encode())
            found.update(values.detach().float().cpu().numpy().tobytes())
        return found.hexdigest()

    @torch.inference_mode()
    def first(self, rgb: np.ndarray, glances: int) -> FirstGlance:
        """The whole picture, and up to `glances` boxes of what may be a thing."""
        shape = self.shape
        look = self.eyes.glance(resized(rgb, shape.first)[None])
        pixels = self._pixels(resized(rgb, CELL * shape.seen)[None], shape.seen)
        found = self.trained.patches(look.patches, pixels)
        boxes = found.boxes[0].clamp(0, 1).cpu().numpy()
        best = best_boxes(boxes, found.scores()[0].cpu().numpy(), glances)
        return FirstGlance(look.patches, pixels, found, boxes[best])

    @torch.inference_mode()
    def second(self, rgb: np.ndarray, rough: np.ndarray) -> Glances:
        """Crops around boxes, in one batch. rough: float32[K,4], shares of the picture."""
        height, width = rgb.shape[:2]
        if not len(rough):
            return no_glances(self.shape, self.device)
        pictures, squares = zip(*(cut(rgb, box * (width, height, width, height)) for box in rough))
        look = self.eyes.glance(np.stack(pictures))
        window = np.array([(x, y, x + side, y + side) for x, y, side in squares], np.float32)
        window = torch.from_numpy(window / np.array((width, height, width, height), np.float32)).to(self.device)
        return self.read(look, _small(pictures), window, torch.from_numpy(rough).to(self.device))

    def read(self, look: Glance, small: np.ndarray, window: torch.Tensor, rough: torch.Tensor) -> Glances:
        """What the crops' features say. small: uint8[K,32,32,3]; window, rough: float32[K,4], the crops' squares and
        the proposals, shares of the picture."""
        corner, size = window[:, [0, 1, 0, 1]], (window[:, 2:] - window[:, :2]).repeat(1, 2)
        pixels = self._pixels(small, CELLS)
        seen = self.trained.crops(cells(look.patches), look.cls, pixels, (rough - corner) / size)
        return Glances(seen.vector[None], (seen.box * size + corner)[None], seen.thing.sigmoid()[None])

    def _pixels(self, pixels: np.ndarray, side: int) -> torch.Tensor:
        return cell_pixels(torch.from_numpy(pixels).to(self.device), side)


def _small(crops: Iterable[np.ndarray]) -> np.ndarray:
    return np.stack([cv2.resize(crop, (CELL * CELLS,) * 2, interpolation=cv2.INTER_AREA) for crop in crops])


def resized(rgb: np.ndarray, side: int) -> np.ndarray:
    """uint8[side,side,3]: the whole picture squeezed into a square."""
    how = cv2.INTER_AREA if min(rgb.shape[:2]) >= side else cv2.INTER_LINEAR
    return cv2.resize(rgb, (side, side), interpolation=how)


def no_glances(shape: SightShape, device: torch.device) -> Glances:
    """One that saw nothing, for a budget of 0 or a picture of nothing."""
    return Glances(
        torch.zeros(1, 1, shape.vector, device=device),
        torch.zeros(1, 1, 4, device=device),
        torch.zeros(1, 1, device=device),
    )


def checked_glances(glances: int) -> int:
    """The same. Raises ModelLoadError for a budget that no picture can have."""
    if isinstance(glances, bool) or not isinstance(glances, int) or not 0 <= glances <= MOST_GLANCES:
        raise ModelLoadError(f"glances is {glances!r}, must be a whole number from 0 to {MOST_GLANCES}")
    return glances


def has_sight(folder: Path) -> bool:
    """Whether a model folder sees with these eyes, and not with a vision tower of its own."""
    return (Path(folder) / FILE).is_file()


def read_sight_shape(file: Path) -> SightShape:
    """Raises ModelLoadError."""
    try:
        values: Dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        shape = from_mapping(SightShape, values)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ModelLoadError(f"{file} cannot be read: {error}") from error
    except ConfigurationError as error:
        raise ModelLoadError(f"{file}: {error}") from error
    small = [n for n, value in asdict(shape).items() if value < (0 if n == "glances" else 1)]
    if small:
        raise ModelLoadError(f"{file}: {', '.join(small)} must be 1 or more, 'glances' 0 or more")
    if shape.first % shape.patch or SIDE % shape.patch:
        raise ModelLoadError(f"{file}: a first glance of {shape.first} pixels has no whole patches of {shape.patch}")
    return shape


def save_sight(trained: Trained, folder: Path) -> None:
    """Write both files, weights in float16."""
    from safetensors.torch import save_file

    folder = Path(folder)
    (folder / FILE).write_text(json.dumps(asdict(trained.shape), indent=2) + "\n", encoding="utf-8")
    save_file({k: v.detach().half().contiguous() for k, v in trained.state_dict().items()}, folder / WEIGHTS)


def _load(trained: Trained, file: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(file)
    except (SafetensorError, OSError) as error:
        raise ModelLoadError(f"{file} is missing, corrupt or truncated: {error}") from error
    try:
        trained.load_state_dict({k: v.float() for k, v in weights.items()})
    except RuntimeError as error:
        raise ModelLoadError(f"{file} does not fit {FILE}: {str(error).splitlines()[-1].strip()}") from error
