"""How far positions are off, over the ways in which drivers describe their cameras. The truth is not ours.

A card stands before a wall, both square to the camera. Where it is in the picture OpenCV says (projectPoints,
fisheye.projectPoints); depth is the distance of the two planes. From there on everything is what the node does: the
calibration as a driver publishes it, the registration, the place of a box.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from clue_ros.extent.place import place_of_box, surroundings
from clue_ros.lens.calibration import Calibration, Region, camera_model
from clue_ros.lens.model import CameraModel
from clue_ros.lens.registration import agree, registered
from clue_ros.types import Box

Lens = Tuple[float, float, float, float]  # fx, fy, cx, cy; pixels from the middle of the first one
STILL = np.zeros(3)
PLAIN, USB_K, USB_P = (600.0, 600.0, 320.0, 240.0), (568.0, 566.0, 322.0, 241.0), (443.0, 479.0, 331.0, 233.0)
USB_D = (-0.35, 0.11, 0.0012, -0.0009, 0.0)  # a webcam's, by camera_calibration
RATIONAL = (0.61, -2.63, 0.0009, -0.0003, 1.51, 0.49, -2.45, 1.44)  # as time-of-flight cameras have
WIDE_K, FISHEYE = (290.0, 291.0, 319.0, 243.0), (0.02, -0.011, 0.004, -0.0011)
LARGE_K, LARGE_FISHEYE = (1136.0, 1132.0, 644.0, 482.0), (580.0, 582.0, 638.0, 486.0)
SIDE_TURN, SIDE_MOVE = cv2.Rodrigues(np.array((0.004, -0.01, 0.006)))[0], np.array((0.059, 0.001, -0.002))
COLUMNS: Tuple[str, ...] = (
    "case",
    "cards",
    "placed",
    "median_mm",
    "p95_mm",
    "worst_mm",
    "size_mm",
    "point_px",
    "k_alone_mm",
)


class DepthCamera(NamedTuple):
    """A pinhole camera whose depth image is not the picture's; beside: it stands beside it, else in the same place."""

    lens: Lens
    size: Tuple[int, int]
    beside: bool = False


@dataclass(frozen=True)
class Case:
    """One way of publishing a picture. k, p, d, fisheye: what camera_info says. The picture is raw, seen through K and
    D, or `rectified`, seen through P; then it is cut to `roi`, and of each `binning` pixels one stays, or it is scaled
    to `scaled`."""

    name: str
    k: Lens
    p: Optional[Lens] = None
    d: Tuple[float, ...] = ()
    fisheye: bool = False
    rectified: bool = False
    whole: Tuple[int, int] = (640, 480)
    roi: Region = Region()
    binning: int = 1
    scaled: Optional[Tuple[int, int]] = None
    baseline: float = 0.0  # metres from a first camera, whose frame it is
    depth: Optional[DepthCamera] = None

    @property
    def calibration(self) -> Calibration:
        model = "equidistant" if self.fisheye else "rational_polynomial" if len(self.d) > 5 else "plumb_bob"
        return _calibration(
            self.k, self.p or self.k, self.whole, self.baseline, d=self.d, distortion_model=model, roi=self.roi,
            binning=(self.binning, self.binning),
        )  # fmt: skip

    @property
    def size(self) -> Tuple[int, int]:
        width, height = (self.roi.width, self.roi.height) if self.roi.width else self.whole
        return self.scaled or (width // self.binning, height // self.binning)

    def seen(self, points: np.ndarray) -> np.ndarray:
        """float64[N, 2]: where OpenCV sees points [N, 3] in the picture, from the corner of its first pixel."""
        there, bent = points - (self.baseline, 0.0, 0.0), np.array(self.d or (0.0,) * 4)
        if self.rectified:
            pixels = cv2.projectPoints(there, STILL, STILL, _matrix(self.p or self.k), np.zeros(4))[0]
        elif self.fisheye:
            pixels = cv2.fisheye.projectPoints(there[:, None], STILL, STILL, _matrix(self.k), bent)[0]
        else:
            pixels = cv2.projectPoints(there, STILL, STILL, _matrix(self.k), bent)[0]
        pixels = (pixels.reshape(-1, 2) - (self.roi.x, self.roi.y)) / self.binning + 0.5
        return pixels * np.divide(self.scaled, self.whole) if self.scaled else pixels


CASES = (
    Case("raw, no distortion", PLAIN),
    Case("raw, plumb_bob", USB_K, USB_P, USB_D),
    Case("raw, rational_polynomial", USB_K, USB_P, RATIONAL),
    Case("raw, fisheye (equidistant)", WIDE_K, d=FISHEYE, fisheye=True),
    Case("rectified: P, beside it K and D of the raw one", USB_K, USB_P, USB_D, rectified=True),
    Case("rectified, right camera of a stereo pair", PLAIN, rectified=True, baseline=0.12),
    Case("region of interest, raw, plumb_bob", LARGE_K, d=USB_D, whole=(1280, 960), roi=Region(320, 240, 640, 480)),
    Case("binning 2x2, raw, plumb_bob", LARGE_K, d=USB_D, whole=(1280, 960), binning=2),
    Case("region and binning, raw, fisheye", LARGE_FISHEYE, d=FISHEYE, fisheye=True, whole=(1280, 960), binning=2,
         roi=Region(160, 120, 960, 720)),
    Case("region and binning, rectified", LARGE_K, PLAIN[:2] + (644.0, 482.0), USB_D, rectified=True, whole=(1280, 960),
         binning=2, roi=Region(160, 120, 960, 720)),
    Case("scaled by the driver to half, raw, plumb_bob", USB_K, USB_P, USB_D, scaled=(320, 240)),
    Case("unregistered depth beside, raw, plumb_bob", USB_K, USB_P, USB_D,
         depth=DepthCamera((386.0, 386.0, 320.0, 241.0), (640, 480), True)),
    Case("unregistered depth beside, 320x240, rectified", USB_K, USB_P, USB_D, rectified=True,
         depth=DepthCamera((193.0, 193.0, 159.75, 120.25), (320, 240), True)),
    Case("depth of the rectified picture, image raw", USB_K, USB_P, USB_D, depth=DepthCamera(USB_P, (640, 480))),
)  # fmt: skip


class Card(NamedTuple):
    """Metres in the optical frame: the middle, width and height, and how far away the wall is."""

    middle: Tuple[float, float, float]
    width: float
    height: float
    wall: float

    @property
    def outline(self) -> np.ndarray:
        """float64[N, 3], closed, dense enough for a lens that bends it."""
        along = np.linspace(-0.5, 0.5, 33)
        ones = np.full_like(along, 0.5)
        sides = ((along, -ones), (ones, along), (-along, ones), (-ones, -along))
        flat = np.concatenate([np.column_stack(side) for side in sides]) * (self.width, self.height)
        return np.column_stack((flat, np.zeros(len(flat)))) + self.middle


def measure(case: Case, cards: int = 100, seed: int = 0) -> Dict[str, Any]:
    """The row of one case, its keys COLUMNS. Errors are millimetres of `cards` random cards that are wholly in the
    picture.

    placed: of how many there was a position. size_mm: median error of width and height. point_px: the farthest that a
    point is pointed at beside its pixel. k_alone_mm: median error with K as it stands, without D, region, binning and
    registration.
    """
    rng = np.random.default_rng(seed)
    camera = camera_model(case.calibration, case.size, case.rectified)
    off, sizes, plain, pointed = [], [], [], []
    for card in _cards(case, cards, rng):
        outline = case.seen(card.outline)
        box = Box(*outline.min(axis=0).tolist(), *outline.max(axis=0).tolist())
        depth = _depth(case, card)
        place = _place(case, depth, box, camera)
        middle = np.array(card.middle)
        pointed.append(float(np.abs(camera.project(middle) - case.seen(middle[None])[0]).max()))
        plain.append(_k_alone(case, depth, box, middle))
        if place is None:
            continue
        position, size = place
        off.append(float(np.linalg.norm(position - middle)) * 1e3)
        sizes.append(float(np.abs(np.subtract(size[:2], (card.width, card.height))).mean()) * 1e3)
    figures = (np.median(off), np.percentile(off, 95), max(off), np.median(sizes), max(pointed), np.nanmedian(plain))
    return dict(zip(COLUMNS, (case.name, cards, len(off), *(round(float(figure), 2) for figure in figures))))


def _place(
    case: Case, depth: np.ndarray, box: Box, camera: CameraModel
) -> Optional[Tuple[np.ndarray, Tuple[float, ...]]]:
    """As the node does it (ros/seeing/whereabouts.py)."""
    if case.depth is not None:
        theirs = camera_model(_calibration(case.depth.lens, case.depth.lens, case.depth.size), case.depth.size, True)
        turn, move = (SIDE_TURN, SIDE_MOVE) if case.depth.beside else (np.eye(3), np.zeros(3))
        if case.depth.beside or not agree(theirs, camera):
            depth = registered(depth, theirs, turn, move, camera, surroundings(box, case.size))
    place = place_of_box(depth, box, case.size, camera)
    return None if place is None else (np.add(place.position, (*camera.origin, 0.0)), place.size)


def _k_alone(case: Case, depth: np.ndarray, box: Box, middle: np.ndarray) -> float:
    """Millimetres off with the calibration's K for whatever picture comes, which is what many programs do."""
    width, height = case.size
    scale = width / case.whole[0], height / case.whole[1]
    fx, fy, cx, cy = (value * scale[i % 2] for i, value in enumerate(case.k))
    place = place_of_box(depth, box, case.size, CameraModel(fx, fy, cx, cy, width, height))
    return float("nan") if place is None else float(np.linalg.norm(np.subtract(place.position, middle))) * 1e3


def _cards(case: Case, count: int, rng: np.random.Generator) -> List[Card]:
    found: List[Card] = []
    while len(found) < count:
        z = float(rng.uniform(0.4, 1.5))
        x, y = rng.uniform(-0.9, 0.9, 2) * z
        width, height = rng.uniform(0.04, 0.15, 2).tolist()
        card = Card((float(x), float(y), z), width, height, z + float(rng.uniform(0.2, 1.0)))
        outline = case.seen(card.outline)
        if (outline > 2).all() and (outline < np.subtract(case.size, 2)).all():
            found.append(card)
    return found


def _depth(case: Case, card: Card) -> np.ndarray:
    """float32[H, W] in metres, of the picture or of the case's depth camera."""
    if case.depth is not None:
        return _depth_of(case.depth, card)
    canvas = np.full(case.size[::-1], card.wall, np.float32)
    cv2.fillPoly(canvas, [np.round((case.seen(card.outline) - 0.5) * 16).astype(np.int32)], card.middle[2], shift=4)
    return canvas


def _depth_of(camera: DepthCamera, card: Card) -> np.ndarray:
    """By where each pixel's ray meets the planes of card and wall."""
    fx, fy, cx, cy = camera.lens
    turn, move = (SIDE_TURN, SIDE_MOVE) if camera.beside else (np.eye(3), np.zeros(3))
    v, u = np.mgrid[0 : camera.size[1], 0 : camera.size[0]]
    along = np.stack(((u - cx) / fx, (v - cy) / fy, np.ones(u.shape)), axis=-1) @ turn.T
    wall, front = ((z - move[2]) / along[..., 2] for z in (card.wall, card.middle[2]))
    x, y = (move[i] + front * along[..., i] - card.middle[i] for i in (0, 1))
    return np.where((np.abs(x) <= card.width / 2) & (np.abs(y) <= card.height / 2), front, wall).astype(np.float32)


def _calibration(k: Lens, p: Lens, size: Tuple[int, int], baseline: float = 0.0, **fields: Any) -> Calibration:
    fx, fy, cx, cy = p
    matrix = (fx, 0.0, cx, -fx * baseline, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0)
    return Calibration(tuple(_matrix(k).ravel().tolist()), matrix, width=size[0], height=size[1], **fields)


def _matrix(lens: Lens) -> np.ndarray:
    fx, fy, cx, cy = lens
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
