"""`clue evaluate segmentation DATA`: the pixels of what an expression means (RES), on RefCOCO, RefCOCO+ and RefCOCOg;
of what matters to an instruction, on IVM-Mix-1M.

    clue evaluate segmentation refcoco --images /data/coco/train2014 --split testA --model DIR

mIoU is the mean over expressions, cIoU (oIoU) the sum of all intersections over the sum of all unions, P@t the share of
expressions whose mask reaches IoU t. An expression without a mask counts as an empty one. The model needs a mask head
(`clue train mask`) or PaliGemma's own mask decoder (`clue mask decoder`), for IVM-Mix-1M a mask head. There the truth
is where the heat map reaches HOT, the model's answer where its own does.
"""

from __future__ import annotations

from typing import Any, Callable, Container, Dict, Iterator, Optional, Sequence

import numpy as np

from clue_ros.data.coco_masks import ReferenceMasks
from clue_ros.data.ivm import IvmSource
from clue_ros.data.refcoco import RefCocoSource
from clue_ros.data.sample import Sample
from clue_ros.evaluation.grounding_suite import notes_of
from clue_ros.evaluation.rows import Row
from clue_ros.evaluation.sample_loop import judged_samples
from clue_ros.evaluation.samples import Selection
from clue_ros.evaluation.subject import Subject
from clue_ros.evaluation.suite import Judged
from clue_ros.masks.focus import focused
from clue_ros.measures.bootstrap import mean, rate, ratio
from clue_ros.measures.results import Measure, Results
from clue_ros.problems import BrokenImageError
from clue_ros.seams import Capability
from clue_ros.types import ClueError

EXPLANATION = """The pixels of what an expression means, against COCO's own segmentation; on IVM-Mix-1M \
of what matters to an instruction. mIoU: the mean over \
expressions; cIoU: all intersections over all unions; P@t: the share of masks with IoU of at least t."""
THRESHOLDS = (0.5, 0.7, 0.9)
HOT = 0.5  # of a heat map


class SegmentationSuite:
    name, title = "segmentation", "Referring segmentation"

    def __init__(self, subject: Subject, selection: Selection):
        """Raises ClueError if the model has no masks, or the data none of RefCOCO's."""
        heat = isinstance(selection.source, IvmSource)
        if (Capability.RELEVANCE if heat else Capability.MASKS) not in subject.grounder.capabilities:
            raise ClueError(
                f"{subject.folder} gives no masks: clue train mask, or clue mask decoder for PaliGemma's own"
            )
        source = selection.source
        if isinstance(source, IvmSource):
            self._truth: Callable[[Sample], Optional[np.ndarray]] = lambda sample: source.heat(sample) >= HOT
        elif isinstance(source, RefCocoSource):
            self._truth = ReferenceMasks(source, selection.split).of
        else:
            raise ClueError(f"{selection.path} is {selection.source.name}: pixels are read of RefCOCO and IVM-Mix-1M")
        self._subject, self._selection, self._heat = subject, selection, heat

    def about(self) -> Dict[str, Any]:
        return {"suite": self.name, **self._subject.about(), **self._selection.about()}

    def total(self) -> Optional[int]:
        return self._selection.limit

    def judged(self, done: Container[str]) -> Iterator[Judged]:
        return judged_samples(self._subject, self._selection, done, self._unusable, self._judge)

    def _unusable(self, sample: Sample) -> str:
        try:
            return "no segmentation is annotated" if self._truth(sample) is None else ""
        except (ValueError, BrokenImageError) as error:
            return str(error)

    def _judge(self, sample: Sample, base: Row, rgb: np.ndarray, image: Any) -> Judged:
        truth = self._truth(sample)
        assert truth is not None
        if self._heat:
            said: Optional[np.ndarray] = self._subject.grounder.relevance(image, sample.expression) >= HOT
        else:
            said = self._subject.grounder.ground(image, sample.expression, may_ask=False, mask=True).mask
        said = np.zeros_like(truth) if said is None else said
        inside, union = int((said & truth).sum()), int((said | truth).sum())
        row = {**base, "inside": inside, "union": union, "iou": inside / union if union else 1.0}
        title = f"{sample.source_id}: {sample.expression}: IoU {row['iou']:.2f}"
        return Judged(sample.source_id, [row], title, row["iou"] >= 0.5, lambda: focused(rgb, said))

    def terms(self, rows: Sequence[Row]):
        there = [float("iou" in r) for r in rows]
        return {
            "mIoU": ([float(r.get("iou", 0.0)) for r in rows], there),
            "cIoU": ([float(r.get("inside", 0)) for r in rows], [float(r.get("union", 0)) for r in rows]),
        }

    def summarise(self, rows: Sequence[Row]) -> Results:
        kept = [r for r in rows if "iou" in r]
        images = [r["image"] for r in kept]
        measures = [
            Measure("miou", "mIoU", mean([r["iou"] for r in kept], images)),
            Measure("ciou", "cIoU", ratio([r["inside"] for r in kept], [r["union"] for r in kept], images)),
        ]
        for t in THRESHOLDS:
            measures.append(Measure(f"p_at_{t * 100:.0f}", f"P@{t}", rate([r["iou"] >= t for r in kept], images)))
        notes = notes_of(rows, self._selection)
        found = tuple(measures) if kept else ()
        return Results(self.name, self.title, {}, found, (), (), notes, explanation=EXPLANATION)
