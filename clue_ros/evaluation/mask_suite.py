"""`clue evaluate masks DATA`: pixels of targets and relevance of instructions on rendered scenes.

    clue evaluate masks data/validation --limit 100

Referring expression segmentation (RES): the mask of what a clear instruction means, against the scene's own instance
mask. mIoU is the mean over instructions (no box: 0), cIoU the sum of all intersections over the sum of all unions.
Relevance: of the pixels of the things that matter to an instruction (one, several, both phrases', none), the share that
the focused picture keeps; of the pixels of all other things, the share that it removes (masks/focus.py). Grounding: the
right box in the picture as it is, and in the one in which all that does not matter is covered.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Container, Dict, Iterator, List, Optional, Sequence, Tuple

import cv2
import numpy as np

from clue_ros.data.scenes import PATTERN
from clue_ros.data.source import fingerprint_of
from clue_ros.evaluation.rows import Row
from clue_ros.evaluation.subject import Subject
from clue_ros.evaluation.suite import Judged
from clue_ros.geometry import box_iou
from clue_ros.masks.focus import GROWTH, THRESHOLD, active_pixels, focused
from clue_ros.measures.bootstrap import mean, rate, ratio
from clue_ros.measures.results import Measure, Results, Table
from clue_ros.prompt import CLARIFY
from clue_ros.seams import Capability
from clue_ros.simulation.dataset import object_from_dict, read_scenes
from clue_ros.simulation.mask_queries import mask_queries
from clue_ros.simulation.scene import ImageSize
from clue_ros.types import ClueError

EXPLANATION = """RES: the pixels of what a clear instruction means; mIoU over instructions, cIoU over all pixels. \
Relevance: how much of what matters the focused picture keeps, and how much of all other things it removes."""
QUERIES = 6  # of a scene
KEPT_GOAL, REMOVED_GOAL = 0.98, 0.80
SEVERAL = ("two things", "relation")  # types of instructions to which more than one thing matters


class MaskSuite:
    name, title = "masks", "Masks and relevance"

    def __init__(self, subject: Subject, data: Path, limit: Optional[int] = None, seed: int = 0):
        """data: a folder made by `clue scenes`. Raises ClueError if it is none, or the model has no mask head."""
        if Capability.RELEVANCE not in subject.grounder.capabilities:
            raise ClueError(f"{subject.folder} has no mask head: train one with clue train mask")
        self._subject, self._folder, self._seed = subject, Path(data), seed
        try:
            self._lines = list(read_scenes(self._folder))[:limit]
        except FileNotFoundError as error:
            raise ClueError(str(error)) from error

    def about(self) -> Dict[str, Any]:
        return {
            "suite": self.name,
            **self._subject.about(),
            "data": str(self._folder),
            "annotations": fingerprint_of(self._folder.glob(PATTERN)),
            "scenes": len(self._lines),
            "data_seed": self._seed,
            "threshold": THRESHOLD,
            "growth": GROWTH,
        }

    def total(self) -> int:
        return len(self._lines)

    def judged(self, done: Container[str]) -> Iterator[Judged]:
        """One item a scene."""
        for number, line in enumerate(self._lines):
            if line["id"] not in done:
                yield self._judge(number, line)

    def _judge(self, number: int, line: Dict) -> Judged:
        name = line["id"]
        image = cv2.imread(str(self._folder / "images" / f"{name}.webp"))
        instances = cv2.imread(str(self._folder / "masks" / f"{name}.png"), cv2.IMREAD_GRAYSCALE)
        if image is None or instances is None:
            raise ClueError(f"{self._folder}: image or mask of scene {name} is missing or broken")
        rgb = np.ascontiguousarray(image[..., ::-1])
        objects = [object_from_dict(o) for o in line["objects"]]
        rng = np.random.default_rng([self._seed, number])
        queries = mask_queries(objects, ImageSize(line["width"], line["height"]), rng, QUERIES)
        seen, rows, picture = self._subject.look(rgb), [], None
        for query in queries:
            if query.kind == "dialogue" or query.relevant is None:
                continue
            text = query.prefix.removeprefix(f"{CLARIFY} ")
            active = active_pixels(self._subject.grounder.relevance(seen, text))
            row = {
                "image": name,
                "expression": text,
                "type": query.kind,
                "inside": None,
                "union": None,
                "iou": None,
                **_kept(active, instances, query.relevant),
            }
            if len(query.matches) == 1 and query.kind != "two things":
                decision = self._subject.grounder.ground(seen, text, may_ask=False, mask=True)
                row.update(_overlap(decision.mask, instances == query.matches[0] + 1))
                covered = self._subject.look(focused(rgb, active)) if active.any() else seen
                boxes = {
                    "as it is": decision.box,
                    "focused": self._subject.grounder.ground(covered, text, may_ask=False).box,
                }
                target = objects[query.matches[0]].visible_box
                row["right"] = {name: box is not None and box_iou(box, target) >= 0.5 for name, box in boxes.items()}
            rows.append(row)
            picture = picture or (rgb, active, row)
        good = None if picture is None or picture[2]["iou"] is None else picture[2]["iou"] >= 0.5
        return Judged(
            name,
            rows,
            picture[2]["expression"] if picture else "",
            good,
            (lambda: focused(picture[0], picture[1])) if picture else None,
        )

    def terms(self, rows: Sequence[Row]):
        def of(top: str, bottom: str):
            there = [r.get(bottom) is not None for r in rows]
            return (
                [float(r[top]) if t else 0.0 for r, t in zip(rows, there)],
                [float(r[bottom]) if t else 0.0 for r, t in zip(rows, there)],
            )

        scored = [r.get("iou") is not None for r in rows]
        return {
            "mIoU": ([float(r["iou"]) if s else 0.0 for r, s in zip(rows, scored)], [float(s) for s in scored]),
            "cIoU": of("inside", "union"),
            "kept": of("kept", "wanted"),
            "removed": of("removed", "others"),
        }

    def summarise(self, rows: Sequence[Row]) -> Results:
        images = [r["image"] for r in rows]
        terms = self.terms(rows)
        res = [r for r in rows if r["iou"] is not None]
        measures = [
            Measure("miou", "RES, mIoU", _mean(res, lambda r: r["iou"])),
            Measure("ciou", "RES, cIoU", ratio(*terms["cIoU"], images)),
            Measure("mask_at_50", "RES, IoU ≥ 0.5", _rate(res, lambda r: r["iou"] >= 0.5)),
            Measure(
                "grounded", "right box (IoU ≥ 0.5), picture as it is", _rate(res, lambda r: r["right"]["as it is"])
            ),
            Measure("grounded_focused", "right box, focused picture", _rate(res, lambda r: r["right"]["focused"])),
            Measure("kept", "pixels of what matters, kept", ratio(*terms["kept"], images), goal=KEPT_GOAL),
            Measure(
                "kept_one",
                "the same, instructions about one thing",
                ratio(*_kept_of(rows, lambda r: r["type"] not in SEVERAL), images),
                goal=KEPT_GOAL,
            ),
            Measure("removed", "pixels of other things, removed", ratio(*terms["removed"], images), goal=REMOVED_GOAL),
            Measure(
                "all_kept",
                "instructions with every relevant thing kept to 90 %",
                _rate([r for r in rows if r["wanted"]], lambda r: r["kept"] >= 0.9 * r["wanted"]),
            ),
        ]
        return Results(
            self.name,
            self.title,
            {},
            tuple(m for m in measures if m.estimate.count),
            (_by_type(rows),) if rows else (),
            (),
            explanation=EXPLANATION,
        )


def _kept(active: np.ndarray, instances: np.ndarray, relevant: Sequence[int]) -> Row:
    """Counts of pixels: wanted, kept of them, others (things that do not matter), removed of them."""
    wanted = np.isin(instances, [i + 1 for i in relevant])
    others = (instances > 0) & ~wanted
    return {
        "wanted": int(wanted.sum()),
        "kept": int((wanted & active).sum()),
        "others": int(others.sum()),
        "removed": int((others & ~active).sum()),
        "covered": round(1 - float(active.mean()), 4),
    }


def _kept_of(rows: Sequence[Row], counts: Callable[[Row], bool]) -> Tuple[List[float], List[float]]:
    return (
        [float(r["kept"]) if counts(r) else 0.0 for r in rows],
        [float(r["wanted"]) if counts(r) else 0.0 for r in rows],
    )


def _overlap(mask: Optional[np.ndarray], truth: np.ndarray) -> Row:
    said = np.zeros_like(truth) if mask is None else mask
    inside, union = int((said & truth).sum()), int((said | truth).sum())
    return {"inside": inside, "union": union, "iou": inside / union if union else 1.0}


def _by_type(rows: Sequence[Row]) -> Table:
    lines: List[tuple] = []
    for kind in sorted({r["type"] for r in rows}):
        own = [r for r in rows if r["type"] == kind]
        images = [r["image"] for r in own]
        lines.append(
            (
                kind,
                len(own),
                _mean(own, lambda r: r["iou"]),
                ratio([r["kept"] for r in own], [r["wanted"] for r in own], images),
                ratio([r["removed"] for r in own], [r["others"] for r in own], images),
            )
        )
    return Table("By type of instruction", ("type", "count", "mIoU", "kept", "removed"), tuple(lines))


def _mean(rows: Sequence[Row], value) -> Any:
    return mean([value(r) for r in rows], [r["image"] for r in rows])


def _rate(rows: Sequence[Row], value) -> Any:
    return rate([value(r) for r in rows], [r["image"] for r in rows])
