"""Acc at IoU thresholds, in both conventions: RefCOCO counts IoU >= t, InViG's own evaluator IoU > t."""

from __future__ import annotations

from typing import Hashable, List, Optional, Sequence, Tuple

import numpy as np

from clue_ros.geometry import box_iou
from clue_ros.measures.bootstrap import Estimate, rate
from clue_ros.types import Box

THRESHOLDS: Tuple[float, ...] = tuple(n / 10 for n in range(1, 10))


def best_iou(box: Optional[Box], truths: Sequence[Box]) -> float:
    """The highest IoU with any of the boxes (several people's boxes of one thing, as InViG counts); 0 without a box."""
    return max((box_iou(box, truth) for truth in truths), default=0.0) if box is not None else 0.0


def accuracy_curve(ious: Sequence[float], groups: Sequence[Hashable], strict: bool = False) -> List[Estimate]:
    """Acc at 0.1, 0.2, … 0.9 with intervals."""
    values = np.asarray(ious, float)
    return [rate(list(values > t if strict else values >= t), groups) for t in THRESHOLDS]
