"""`clue evaluate ambiguity`: is the instruction ambiguous in this image? For data with yes/no labels.

    clue evaluate ambiguity dataset1.csv --split test --model DIR

Every figure is given at three operating points: the checkpoint's own threshold, 0.5 (a classifier's usual one; the CLUE
paper names none), and the best on these very rows, which is an upper bound.
"""

from __future__ import annotations

from typing import Any, Container, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np

from clue_ros.data.sample import Label, Sample
from clue_ros.evaluation.grounding_suite import notes_of
from clue_ros.evaluation.other_model import OtherModel
from clue_ros.evaluation.rows import Row
from clue_ros.evaluation.sample_loop import judged_samples
from clue_ros.evaluation.samples import Selection
from clue_ros.evaluation.subject import Subject
from clue_ros.evaluation.suite import Judged
from clue_ros.measures import classification
from clue_ros.measures.bootstrap import Values, rate, statistic
from clue_ros.measures.results import Curve, Measure, Results, Series, Table
from clue_ros.types import Ambiguity

PAPER_THRESHOLD = 0.5
EXPLANATION = """Is the instruction ambiguous in this image? The model's P(ambiguous) beside people's yes or no. \
Precision: of what it called ambiguous, the share that is; recall: of what is ambiguous, the share that it found; F1: \
their harmonic mean; area under the ROC curve: the chance that an ambiguous instruction gets the higher probability \
of two."""


class AmbiguitySuite:
    name, title = "ambiguity", "Ambiguity"

    def __init__(self, subject: Union[Subject, OtherModel], selection: Selection, threshold: Optional[float] = None):
        self._subject, self._selection = subject, selection
        self._threshold = subject.grounder.threshold if threshold is None else threshold

    def about(self) -> Dict[str, Any]:
        return {"suite": self.name, **self._subject.about(), **self._selection.about(), "threshold": self._threshold}

    def total(self) -> Optional[int]:
        return self._selection.limit

    def judged(self, done: Container[str]) -> Iterator[Judged]:
        return judged_samples(self._subject, self._selection, done, _unusable, self._judge, "ambiguous")

    def _judge(self, sample: Sample, base: Row, rgb: np.ndarray, image: Any) -> Judged:
        reading = self._subject.grounder.detect_ambiguity(image, sample.expression, threshold=self._threshold)
        return _judged(sample, base, rgb, reading)

    def terms(self, rows: Sequence[Row]) -> Dict[str, Tuple[Values, Values]]:
        return terms(rows)

    def summarise(self, rows: Sequence[Row]) -> Results:
        kept = [r for r in rows if "skipped" not in r]
        notes = notes_of(rows, self._selection)
        if not kept:
            return Results(self.name, "Ambiguous or not", {}, notes=notes)
        measures, tables, curves = detector_report(kept, self._threshold)
        return Results(
            self.name,
            "Ambiguous or not",
            {},
            tuple(measures),
            tuple(tables),
            tuple(curves),
            notes,
            explanation=EXPLANATION,
        )


def terms(rows: Sequence[Row]) -> Dict[str, Tuple[Values, Values]]:
    """Accuracy and F1 as ratios, of what each row's run said at its own threshold (rows without a reading count
    nothing)."""
    there = np.array([r.get("probability") is not None for r in rows], bool)
    said = np.array([bool(r.get("said_ambiguous")) for r in rows], bool) & there
    true = np.array([bool(r.get("ambiguous")) for r in rows], bool) & there
    return {"accuracy": ((said == true) & there, there), "F1": classification.f1_terms(said, true)}


def detector_report(rows: Sequence[Row], own_threshold: float) -> Tuple[List[Measure], List[Table], List[Curve]]:
    """Figures, tables and curves of rows with image, type, probability and ambiguous."""
    probability = np.array([r["probability"] for r in rows], float)
    label = np.array([r["ambiguous"] for r in rows], bool)
    groups = [r["image"] for r in rows]
    best = classification.best_threshold(probability, label)
    points = [
        (f"its own, {own_threshold:.2f}", own_threshold),
        ("0.5, the paper's", PAPER_THRESHOLD),
        (f"best on these rows, {best:.2f}", best),
    ]
    lines = [(name, *(e for _, e in classification.estimates(probability, label, t, groups))) for name, t in points]
    error = statistic(lambda i: classification.calibration_error(probability[i], label[i]), groups)
    measures = [
        Measure(name, name if name != "f1" else "F1", estimate)
        for name, estimate in classification.estimates(probability, label, own_threshold, groups)
    ]
    measures += [
        Measure("auc", "area under the ROC curve", classification.area_estimate(probability, label, groups)),
        Measure("ece", "expected calibration error", error),
    ]
    tables = [
        Table("Operating points", ("threshold", "accuracy", "precision", "recall", "F1"), tuple(lines)),
        by_type(rows, own_threshold),
        _reliability_table(probability, label),
    ]
    return measures, tables, _curves(probability, label, own_threshold)


def by_type(rows: Sequence[Row], threshold: float) -> Table:
    """Accuracy, share called ambiguous and F1 for each type of expression, at one threshold."""
    lines = []
    for kind in sorted({r["type"] for r in rows}):
        own = [r for r in rows if r["type"] == kind]
        guess = np.array([r["probability"] >= threshold for r in own])
        label, groups = np.array([bool(r["ambiguous"]) for r in own]), [r["image"] for r in own]
        f1 = classification.f1_estimate(guess, label, groups) if label.any() else None  # nothing to find: no F1
        lines.append((words_of(kind), len(own), int(label.sum()), rate(list(guess == label), groups), f1))
    return Table(
        "By type of expression, at its own threshold", ("type", "count", "ambiguous", "accuracy", "F1"), tuple(lines)
    )


def _unusable(sample: Sample) -> str:
    return "no label says whether it is ambiguous" if sample.label is Label.UNKNOWN else ""


def words_of(kind: str) -> str:
    """'color_category' as people read it."""
    return kind.replace("_", " ")


def _judged(sample: Sample, base: Row, rgb, reading: Ambiguity) -> Judged:
    ambiguous = sample.label is Label.AMBIGUOUS
    row = {
        **base,
        "ambiguous": ambiguous,
        "probability": float(reading.probability),
        "said_ambiguous": reading.is_ambiguous,
    }
    said = "ambiguous" if reading.is_ambiguous else "clear"

    def picture():
        from clue_ros.visualization.debug_image import draw_debug

        return draw_debug(
            rgb,
            ambiguity=reading,
            caption=f"{sample.expression}  |  P(ambiguous) "
            f"{reading.probability:.2f}, said {said}, is {sample.label.value}",
        )

    title = f"{sample.source_id}: {sample.expression}: said {said}, is {sample.label.value}"
    return Judged(sample.source_id, [row], title, reading.is_ambiguous == ambiguous, picture)


def _reliability_table(probability: np.ndarray, label: np.ndarray) -> Table:
    bins = classification.reliability(probability, label)
    return Table(
        "Reliability",
        ("P(ambiguous) said", "count", "mean said", "truly ambiguous"),
        tuple((f"{b.low:.1f}–{b.low + 1 / classification.BINS:.1f}", b.count, b.said, b.true) for b in bins),
    )


def _curves(probability: np.ndarray, label: np.ndarray, threshold: float) -> List[Curve]:
    alarms, recall, _ = classification.roc_curve(probability, label)
    bins = classification.reliability(probability, label)
    curves = [
        Curve(
            "detector-reliability",
            "Reliability of P(ambiguous)",
            "said",
            "truly ambiguous",
            (Series("this model", tuple(b.said for b in bins), tuple(b.true for b in bins)),),
            True,
            True,
        )
    ]
    if len(alarms):
        area = classification.area_under_curve(probability, label)
        here = classification.rates_at(probability, label, threshold)
        axes = "clear ones called ambiguous", "ambiguous ones found"
        curves.insert(
            0,
            Curve(
                "detector-roc",
                "ROC: ambiguous or not",
                *axes,
                (
                    Series(f"area {area:.3f}", tuple(map(float, alarms)), tuple(map(float, recall))),
                    Series(f"its threshold {threshold:.2f}", (here.false_alarms or 0.0,), (here.recall or 0.0,)),
                ),
                True,
            ),
        )
    return curves
