"""From the words of a `detect` answer to candidates, and from candidates to P(ambiguous). Pure functions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import List, Sequence, Tuple

import numpy as np

from clue_ros.geometry import box_iou, clip_box
from clue_ros.location import BINS, bins_to_box
from clue_ros.perception.selection import choose_candidate
from clue_ros.types import Box

MAX_OVERLAP = 0.5  # IoU from which two boxes are the same thing
RIVAL = 0.9  # P(ambiguous) of two boxes that are equally sure
_PIECE = re.compile(r"<loc(\d{4})>")
_NOTHING = re.compile(
    r"(?:there (?:is|are) |there's |i (?:can )?see |i (?:can ?not|can't|do not|don't) (?:see|find) )?"
    r"(?:no|none|nothing|zero|0|any|not (?:any|found|there|here|visible|present|in))\b"
)


@dataclass(frozen=True)
class Candidate:
    """box: pixels of the original image; confidence: in [0, 1]."""

    box: Box
    confidence: float


def parse_detections(
    bins: Sequence[int], certainty: Sequence[float], ends: Sequence[float], width: float, height: float
) -> List[Candidate]:
    """Boxes of a decoded answer `<loc ymin><loc xmin><loc ymax><loc xmax> mug ; <loc…`, in the order they were said.

    Confidence = geometric mean of the four coordinates' certainties, times the probability that the model did not end
    between the box before (for the first: at once, "nothing there") and this one. Runs of fewer than four locations and
    boxes without area are left out.

    Args:
        bins: one entry a token, 0 to 1023 for a location and -1 for any other token.
        certainty: in [0, 1], one a token.
        ends: P(<eos>) in [0, 1] where each token was said.
        width, height: of the original image in pixels.
    """
    found: List[Candidate] = []
    run: List[int] = []
    went_on = 1.0
    for n, index in enumerate(bins):
        went_on *= 1 - max(0.0, min(1.0, ends[n]))
        if not 0 <= index < BINS:
            run = []
            continue
        run.append(n)
        if len(run) == 4:
            box = clip_box(bins_to_box([bins[k] for k in run], width, height), width, height)
            sure = float(np.prod([max(0.0, min(1.0, certainty[k])) for k in run])) ** 0.25 * went_on
            if box.area > 0:
                found.append(Candidate(box, max(0.0, min(1.0, sure))))
            run, went_on = [], 1.0
    return found


def says_something_else(text: str) -> bool:
    """Whether an answer without boxes holds other words than that there is nothing: neither "no spoon" nor an end at
    once."""
    return not _PIECE.search(text) and any(c.isalpha() for c in text) and not _NOTHING.match(text.strip().lower())


def suppress(candidates: Sequence[Candidate], overlap: float = MAX_OVERLAP) -> Tuple[Candidate, ...]:
    """Greedy non-maximum suppression: surest first, each that overlaps a kept one by IoU >= overlap is dropped."""
    kept: List[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: -c.confidence):
        if all(box_iou(candidate.box, other.box) < overlap for other in kept):
            kept.append(candidate)
    return tuple(kept)


def probability_ambiguous(confidences: Sequence[float]) -> float:
    """P(ambiguous) in [0, 1]: 1 − Π over i >= 2 of (1 − 0.9 · c_i / c_1), with c_1 the largest confidence.

    0 for fewer than two boxes, 0.9 for two that are equally sure, 0.45 for one strong and one half as sure. Only ratios
    count: a checkpoint that is unsure of every coordinate is not thereby more or less ambiguous. The form is a choice;
    of 122 true second boxes that the embedded base said (210 scenes), 90 % had a ratio above 0.68; 7 false ones had a
    median of 0.64.
    """
    ranked = sorted((max(0.0, float(c)) for c in confidences), reverse=True)
    if len(ranked) < 2:
        return 0.0
    if ranked[0] <= 0:
        return RIVAL
    clear = 1.0
    for value in ranked[1:]:
        clear *= 1 - RIVAL * value / ranked[0]
    return 1 - clear


def matching(candidates: Sequence[Candidate], boxes: Sequence[Box], overlap: float = MAX_OVERLAP) -> Tuple[int, ...]:
    """Indices of the candidates that any of the boxes overlaps by IoU >= overlap."""
    return tuple(i for i, c in enumerate(candidates) if any(box_iou(c.box, b) >= overlap for b in boxes))


def nearest(box: Box, boxes: Sequence[Box]) -> int:
    """Index of the box that overlaps `box` most; without any overlap the one whose centre is nearest."""

    def key(i: int) -> Tuple[float, float]:
        (ax, ay), (bx, by) = box.center, boxes[i].center
        return box_iou(box, boxes[i]), -((ax - bx) ** 2 + (ay - by) ** 2)

    return max(range(len(boxes)), key=key)


def snapped(candidates: Sequence[Candidate], boxes: Sequence[Box]) -> Tuple[Candidate, ...]:
    """Candidates moved onto the boxes of another system that they mean (choose_candidate); of two on one box the surer
    stays, and what overlaps none is left out."""
    best = {}
    for candidate in candidates:
        i = choose_candidate(candidate.box, boxes)
        if i is not None:
            best[i] = max(best.get(i, 0.0), candidate.confidence)
    return tuple(Candidate(Box(*boxes[i]), c) for i, c in sorted(best.items(), key=lambda item: -item[1]))


def pointed_at(point: Tuple[float, float], boxes: Sequence[Box]) -> int:
    """Index of the box that a click (x, y) means: the smallest that contains it, else the one with the nearest
    centre."""
    x, y = point
    inside = [i for i, b in enumerate(boxes) if b.x0 <= x < b.x1 and b.y0 <= y < b.y1]
    if inside:
        return min(inside, key=lambda i: boxes[i].area)
    return min(range(len(boxes)), key=lambda i: (boxes[i].center[0] - x) ** 2 + (boxes[i].center[1] - y) ** 2)
