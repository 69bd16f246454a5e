"""Pixels of what RefCOCO's references mean (RES): COCO's segmentations, polygons or run lengths.

Polygons are filled at whole pixels, as OpenCV does; pycocotools works at fifths of a pixel, so an outline may differ by
one pixel.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Set, Tuple

import cv2
import numpy as np

from clue_ros.data.refcoco import INSTANCES, RefCocoSource
from clue_ros.data.sample import Sample
from clue_ros.data.textfiles import read_json_arrays
from clue_ros.problems import Problems

Target = Tuple[Path, Tuple[Any, ...]]  # the file of the segmentations, ids in it


class ReferenceMasks:
    """Segmentations of a source's references; those that are named there are kept in memory."""

    def __init__(self, source: RefCocoSource, split: Optional[str] = None):
        """Raises BrokenDataError where a file breaks off."""
        self._targets: Dict[str, Target] = {}
        for record in source.records(split):
            file, entry = record.content
            if isinstance(entry, dict) and "ann_id" in entry and not entry.get("no_target"):
                ids = entry["ann_id"] if isinstance(entry["ann_id"], list) else [entry["ann_id"]]
                for sample in source.parse(record, Problems()):
                    self._targets[sample.source_id] = file.parent / INSTANCES, tuple(ids)
        self._segments = _read(self._targets.values())

    def of(self, sample: Sample) -> Optional[np.ndarray]:
        """bool[H,W] in pixels of the image; None where none is known. Raises ValueError for a broken segmentation."""
        file, ids = self._targets.get(sample.source_id, (Path(), ()))
        found = [self._segments.get((file, number)) for number in ids]
        if not found or any(s is None for s in found):
            return None
        return np.logical_or.reduce([pixels_of(segment, sample.size) for segment in found])


def pixels_of(segmentation: Any, size: Tuple[int, int]) -> np.ndarray:
    """bool[H,W] of a list of polygons [x0, y0, x1, …], or of run lengths {"size": [H, W], "counts": list or text}.

    size: (width, height). Raises ValueError.
    """
    width, height = size
    if isinstance(segmentation, dict):
        counts, shape = segmentation.get("counts"), segmentation.get("size")
        if shape != [height, width]:
            raise ValueError(f"run lengths of {shape} in an image of {[height, width]}")
        runs = _decoded(counts) if isinstance(counts, str) else counts
        if (
            not isinstance(runs, list)
            or not all(type(n) is int and n >= 0 for n in runs)
            or sum(runs) != width * height
        ):
            raise ValueError("run lengths must be whole numbers that add up to the image")
        values = np.arange(len(runs)) % 2 == 1
        return np.repeat(values, runs).reshape(width, height).T
    if not isinstance(segmentation, list):
        raise ValueError(f"a segmentation must be polygons or run lengths, got {type(segmentation).__name__}")
    mask = np.zeros((height, width), np.uint8)
    for polygon in segmentation:
        corners = np.asarray(polygon, np.float64)
        if corners.ndim != 1 or len(corners) < 6 or len(corners) % 2 or not np.isfinite(corners).all():
            raise ValueError("a polygon must be six or more finite numbers, x and y in turn")
        points = np.clip(corners.reshape(-1, 2), -1, [width, height])
        cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1)
    return mask.astype(bool)


def _decoded(text: str) -> List[int]:
    """COCO's compressed run lengths: six bits a character, differences to the run before the last."""
    runs: List[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > 60:
            raise ValueError("compressed run lengths hold a character that is none of theirs")
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            if code & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs


def _read(targets: Iterable[Target]) -> Dict[Tuple[Path, Any], Any]:
    wanted: Dict[Path, Set[Any]] = {}
    for file, ids in targets:
        wanted.setdefault(file, set()).update(ids)
    found: Dict[Tuple[Path, Any], Any] = {}
    for file, ids in wanted.items():
        for key, _, element in read_json_arrays(file):
            if key == "annotations" and isinstance(element, dict) and element.get("id") in ids:
                found[file, element["id"]] = element.get("segmentation")
    return found
