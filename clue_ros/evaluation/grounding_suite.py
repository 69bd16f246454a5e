"""`clue evaluate grounding`: boxes for instructions, with a whole dialogue, without its last turns, or without any.

    clue evaluate grounding /data/invig --model runs/invig/model   # M-VG: full history, without the last 1, 2, 3
    clue evaluate grounding refcoco_val.jsonl --images /data/coco  # REC

Nothing may be asked here. Acc is the share of boxes with IoU >= t (RefCOCO) or > t (InViG's evaluator), t = 0.1 … 0.9.
Where a data set lists the objects of the image, the guesser's setting is reported too: the listed box nearest to the
given one.
"""

from __future__ import annotations

from typing import Any, Container, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np

from clue_ros.data.sample import Label, Sample
from clue_ros.evaluation.other_model import OtherModel
from clue_ros.evaluation.rows import Row
from clue_ros.evaluation.sample_loop import judged_samples
from clue_ros.evaluation.samples import Selection
from clue_ros.evaluation.subject import Subject
from clue_ros.evaluation.suite import Judged
from clue_ros.measures.bootstrap import Values, mean, rate
from clue_ros.measures.overlap import THRESHOLDS, accuracy_curve, best_iou
from clue_ros.measures.results import Curve, Measure, Results, Table, series_of
from clue_ros.perception.selection import nearest_candidate
from clue_ros.types import Box, Decision, Outcome, Turn

EXPLANATION = """The robot gives a box for an instruction and the recorded dialogue, and may not ask. Acc@t: the \
share of boxes whose overlap with the annotated one (IoU) reaches t. Guesser: the listed object nearest to the given \
box is taken instead, as in GuessWhat and InViG. Histories: the same without the last turns of the dialogue."""
FULL = "full history"
DROPPED = (1, 2, 3)  # InViG's Turn-m: without the last m turns


class GroundingSuite:
    name, title = "grounding", "Grounding"

    def __init__(self, subject: Union[Subject, OtherModel], selection: Selection):
        self._subject, self._selection = subject, selection

    def about(self) -> Dict[str, Any]:
        return {"suite": self.name, **self._subject.about(), **self._selection.about()}

    def total(self) -> Optional[int]:
        return self._selection.limit

    def judged(self, done: Container[str]) -> Iterator[Judged]:
        return judged_samples(self._subject, self._selection, done, _unusable, self._judge)

    def _judge(self, sample: Sample, base: Row, rgb: np.ndarray, image: Any) -> Judged:
        base = {**base, "label": sample.label.value, "turns": len(sample.turns)}
        rows, decisions = [], {}
        for history, turns in histories(sample.turns):
            n = len(turns)
            if history != FULL and not self._subject.knows("ground", sample, turns):
                continue
            if n not in decisions:
                decisions[n] = self._subject.grounder.ground(image, sample.expression, turns, may_ask=False)
            rows.append({**base, "history": history, **_scored(sample, decisions[n])})
        full = decisions[len(sample.turns)]
        success = rows[0]["absent_recognised"] if rows[0]["absent_recognised"] is not None else rows[0]["right"]
        truth = sample.boxes[0] if sample.boxes else None
        return Judged(
            sample.source_id,
            rows,
            f"{sample.source_id}: {sample.expression}",
            bool(success),
            lambda: _picture(rgb, sample, full, truth),
        )

    def terms(self, rows: Sequence[Row]) -> Dict[str, Tuple[Values, Values]]:
        def of(key: str, wanted) -> Tuple[List[float], List[float]]:
            there = [wanted(r) and r.get(key) is not None for r in rows]
            return [float(r[key]) if t else 0.0 for r, t in zip(rows, there)], [float(t) for t in there]

        def boxed(threshold: float):
            return (
                [float((r.get("iou") or 0.0) >= threshold and r.get("history") == FULL) for r in rows],
                [float(r.get("iou") is not None and r.get("history") == FULL) for r in rows],
            )

        full = lambda r: r.get("history") == FULL  # noqa: E731
        return {
            "Acc@0.5": boxed(0.5),
            "Acc@0.75": boxed(0.75),
            "mean IoU": of("iou", full),
            "point on target": of("point_hit", full),
            "absent recognised": of("absent_recognised", full),
        }

    def summarise(self, rows: Sequence[Row]) -> Results:
        kept = [r for r in rows if "skipped" not in r]
        full = [r for r in kept if r["history"] == FULL]
        boxed = [r for r in full if r["iou"] is not None]
        measures = [
            Measure("acc_at_50", "Acc@0.5 (IoU ≥ 0.5)", _rate(boxed, lambda r: r["iou"] >= 0.5)),
            Measure("mean_iou", "mean IoU", _mean(boxed, lambda r: r["iou"])),
            Measure(
                "guesser_acc_at_50",
                "guesser among listed objects, Acc@0.5",
                _rate(boxed, lambda r: None if r["guesser_iou"] is None else r["guesser_iou"] >= 0.5),
            ),
            # Flickr30K's two protocols: any of a phrase's boxes (Acc@0.5 above), and the one around all of them.
            Measure("merged_at_50", "box around all of several targets, Acc@0.5", _rate(full, _merged)),
            Measure("point_on_target", "annotated point inside the box", _rate(full, lambda r: r["point_hit"])),
            Measure("absent_recognised", "absent target recognised", _rate(full, lambda r: r["absent_recognised"])),
        ]
        tables = [_iou_table(boxed)]
        names = list(dict.fromkeys(r["history"] for r in kept))
        if len(names) > 1:
            told = [r for r in kept if r["turns"] > 0 and r["iou"] is not None]
            tables.append(_by("Histories, samples with a dialogue", "history", told))
            guessed = [{**r, "iou": r["guesser_iou"]} for r in told if r["guesser_iou"] is not None]
            tables.append(_by("Histories, the guesser among listed objects", "history", guessed))
        tables += [
            _by("By type of expression", "type", boxed),
            _by("By turns of the dialogue", "turns", boxed),
            _by("By label of the instruction", "label", boxed),
        ]
        curves = [_curve(kept, names)] if boxed else []
        return Results(
            self.name,
            "Boxes for instructions",
            {},
            tuple(m for m in measures if m.estimate.count),
            tuple(t for t in tables if t.rows),
            tuple(curves),
            notes_of(rows, self._selection),
            explanation=EXPLANATION,
        )


def histories(turns: Sequence[Turn]) -> List[Tuple[str, Tuple[Turn, ...]]]:
    """The full dialogue, then without its last 1, 2, 3 turns, as far as there are any."""
    found = [(FULL, tuple(turns))]
    if turns:
        found += [(f"without last {m}", tuple(turns[: max(0, len(turns) - m)])) for m in DROPPED]
    return found


def notes_of(rows: Sequence[Row], selection: Selection) -> Tuple[str, ...]:
    """What was left out, and why."""
    notes = []
    skipped: Dict[str, int] = {}
    for row in rows:
        if "skipped" in row:
            skipped[row["skipped"][:100]] = skipped.get(row["skipped"][:100], 0) + 1
    for reason, count in sorted(skipped.items(), key=lambda pair: -pair[1])[:5]:
        notes.append(f"{count} samples not used: {reason}")
    silent = len({r.get("item", r.get("image")) for r in rows if r.get("unanswered")})
    if silent:
        notes.append(f"{silent} samples have no prediction and count as unanswered")
    if selection.problems.total:
        notes.append(f"{selection.problems.total} records could not be read: see clue data check")
    unknown = sum(r.get("outcome") == Outcome.UNKNOWN_WORDS.value for r in rows)
    if unknown:
        notes.append(f"{unknown} times the model did not know a word; that counts as no box")
    return tuple(notes)


def _unusable(sample: Sample) -> str:
    if sample.boxes is None and sample.point is None:
        return "no target is annotated"
    if sample.label is Label.AMBIGUOUS and not sample.turns:
        return "ambiguous and without a dialogue: no one box is right"
    return ""


def _scored(sample: Sample, decision: Decision) -> Row:
    box = decision.box
    row: Row = {
        "outcome": decision.outcome.value,
        "box": [round(float(v), 2) for v in box] if box else None,
        "confidence": round(float(decision.confidence), 4),
        "iou": None,
        "guesser_iou": None,
        "merged_iou": None,
        "right": None,
        "point_hit": None,
        "absent_recognised": None,
    }
    if sample.boxes == ():
        row["absent_recognised"] = decision.outcome is Outcome.NOT_FOUND
    elif sample.boxes:
        row["iou"] = best_iou(box, sample.boxes)
        row["right"] = row["iou"] >= 0.5
        if len(sample.boxes) > 1:
            x0, y0, x1, y1 = zip(*sample.boxes)
            around = Box(min(x0), min(y0), max(x1), max(y1))
            row["merged_iou"] = best_iou(box, [around])
        if sample.objects:
            candidates = [*sample.objects, *(b for b in sample.boxes[:1] if b not in sample.objects)]
            row["guesser_iou"] = best_iou(nearest_candidate(box, candidates) if box else None, sample.boxes)
    if sample.point is not None:
        x, y = sample.point
        row["point_hit"] = row["right"] = box is not None and box.x0 <= x <= box.x1 and box.y0 <= y <= box.y1
    return row


def _merged(row: Row) -> Optional[bool]:
    return None if row.get("merged_iou") is None else row["merged_iou"] >= 0.5


def _iou_table(rows: Sequence[Row]) -> Table:
    images = [r["image"] for r in rows]
    lines = [accuracy_curve([r["iou"] for r in rows], images, strict) for strict in (False, True)]
    guessed = [r for r in rows if r["guesser_iou"] is not None]
    if guessed:
        ious, places = [r["guesser_iou"] for r in guessed], [r["image"] for r in guessed]
        lines += [accuracy_curve(ious, places, strict) for strict in (False, True)]
    columns = ("t", "IoU ≥ t", "IoU > t", "guesser, IoU ≥ t", "guesser, IoU > t")[: 1 + len(lines)]
    body = [(f"{t:.1f}", *(values[n] for values in lines)) for n, t in enumerate(THRESHOLDS)]
    return Table("Acc at IoU thresholds, full history", columns, tuple(body) if rows else ())


def _by(title: str, key: str, rows: Sequence[Row]) -> Table:
    lines = []
    for value in dict.fromkeys(r[key] for r in rows):
        own = [r for r in rows if r[key] == value]
        lines.append(
            (
                str(value),
                len(own),
                _rate(own, lambda r: r["iou"] >= 0.5),
                _rate(own, lambda r: r["iou"] > 0.5),
                _mean(own, lambda r: r["iou"]),
            )
        )
    return Table(title, (key, "count", "IoU ≥ 0.5", "IoU > 0.5", "mean IoU"), tuple(lines))


def _curve(rows: Sequence[Row], names: Sequence[str]) -> Curve:
    series = []
    for name in names:
        own = [r for r in rows if r["history"] == name and r["iou"] is not None]
        values = accuracy_curve([r["iou"] for r in own], [r["image"] for r in own])
        series.append(series_of(name, THRESHOLDS, values))
    return Curve(
        "accuracy-over-iou",
        "Acc over IoU threshold (≥)",
        "IoU threshold",
        "share of boxes",
        tuple(series),
        markers=True,
    )


def _mean(rows: Sequence[Row], value) -> Any:
    return mean([value(r) for r in rows], [r["image"] for r in rows])


def _rate(rows: Sequence[Row], value) -> Any:
    return rate([value(r) for r in rows], [r["image"] for r in rows])


def _picture(rgb, sample: Sample, decision: Decision, truth):
    from clue_ros.visualization.episode_picture import episode_picture

    transcript = [("person", sample.expression)]
    for turn in sample.turns:
        transcript += [("robot", turn.question), ("person", turn.answer.text or "(points)")]
    return episode_picture(rgb, [None] * len(sample.turns) + [decision], transcript, truth, sample.source_id)
