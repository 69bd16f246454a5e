"""Stage 6, `clue train calibrate`: fit the gate, the thresholds and the box confidence of a model directory.

The figures are of a fit (logistic regression) on half of the held-out scenes, read on the other half: F1, and whether
P(ambiguous) means what it says (expected calibration error, reliability). What is shipped is then fitted on all of
them. It works for every kind of detector, because it asks the model the way the robot does: `Grounder.readings` and
`ground`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple, TypeVar, cast

import numpy as np
import torch

from clue_ros.ambiguity.gate import calibrated, logit, sigmoid
from clue_ros.ambiguity.kinds import kind_of
from clue_ros.data.sample import Label
from clue_ros.data.source import Source
from clue_ros.data.stream import SampleStream
from clue_ros.eyes.sight import has_sight
from clue_ros.geometry import box_iou
from clue_ros.grounder import Grounder
from clue_ros.measures.bootstrap import statistic
from clue_ros.measures.classification import Bin, calibration_error, figures_at, quiet_threshold, reliability
from clue_ros.measures.plots import save_plots
from clue_ros.measures.results import Curve, Series
from clue_ros.simulation.queries import scene_states, turns_of
from clue_ros.simulation.scene_data import SceneData
from clue_ros.training.features import unsqueezed
from clue_ros.training.least_confidence import fit_least_confidence, told_of
from clue_ros.types import Answer, Box, Readings, Turn
from clue_ros.vlm.settings import FILE, ClueSettings

_Row = TypeVar("_Row")


def _evenly(rows: List[_Row], more: List[_Row]) -> List[_Row]:
    return rows + more * max(1, round(len(rows) / max(1, len(more))))


@dataclass
class _Readings:
    """One row an expression: the two readings' log-odds, label, kind, picture; one row each of those for "nothing
    fits": its log-odds, whether nothing does; and one row a box that was given for a clear expression: raw confidence,
    whether it was right (IoU >= 0.5), picture."""

    rows: List[Tuple[float, float, bool, str, int]] = field(default_factory=list)
    absent: List[Tuple[float, bool]] = field(default_factory=list)
    boxes: List[Tuple[float, bool, int]] = field(default_factory=list)

    def add(self, reading: Readings, ambiguous: bool, absent: bool, kind: str, picture: int) -> None:
        self.rows.append((logit(reading.ambiguous), reading.question, ambiguous, kind, picture))
        self.absent.append((reading.nothing, absent))

    def joined(self, other: "_Readings") -> "_Readings":
        """Both, with the other's rows repeated until they count as much as these."""
        return _Readings(
            _evenly(self.rows, other.rows), _evenly(self.absent, other.absent), _evenly(self.boxes, other.boxes)
        )


def calibrate(
    model_folder: Path, data: SceneData, scenes: int, seed: int = 3, photographs: Sequence[Source] = ()
) -> Dict:
    """Fit on all scenes and write `clue.json`; returns a report on what a fit on the scenes of even number is worth on
    the others, and writes it beside the model: calibration.json, reliability.png.

    photographs: data sets of labelled instructions about them, which then count as much as all scenes together.
    """
    model_folder = Path(model_folder)
    settings = replace(ClueSettings.load(model_folder, 10**6), confidence=(), absence=0.0)
    settings.save(model_folder)  # the confidence must be read raw, and every box be given
    grounder = cast(Grounder, Grounder.from_pretrained(model_folder))
    found = _read(grounder, data, scenes, seed, has_sight(model_folder))
    real = _read_photographs(grounder, photographs)
    if photographs:
        found = found.joined(real)
    x, label = np.array([r[:2] for r in found.rows]), np.array([r[2] for r in found.rows])
    scene = np.array([r[4] for r in found.rows])
    fit, kinds = scene % 2 == 0, np.array([r[3] for r in found.rows])

    def report_of(log_odds: np.ndarray) -> Dict:
        p, held = _probability(log_odds), ~fit
        figures = figures_at(p[held], label[held], list(kinds[held]), quiet_threshold(p[fit], label[fit]))
        error = statistic(lambda i: calibration_error(p[held][i], label[held][i]), scene[held].tolist())
        return {
            **figures,
            "calibration_error": _rounded(error.value),
            "calibration_error_interval": [_rounded(error.low), _rounded(error.high)],
            "reliability": _rows(reliability(p[held], label[held]), "said", "ambiguous"),
        }

    half, weights = logistic(x[fit], label[fit]), logistic(x, label)
    threshold = round(quiet_threshold(_probability(x @ weights[:2] + weights[2]), label), 3)
    confidence, absence = _fit_confidence(found.boxes), fit_absence(found.absent)
    sure = fit_least_confidence(real.boxes, tuple(confidence["fit"]))
    replace(
        settings,
        gate=tuple(round(float(w), 4) for w in weights),
        threshold=threshold,
        confidence=tuple(confidence["fit"]),
        absence=absence["fit"],
        min_confidence=settings.min_confidence if sure["fit"] is None else sure["fit"],
    ).save(model_folder)
    alone = "map alone" if kind_of(settings, model_folder / FILE).reads_map else "answer alone"
    report = {
        "detector": settings.detector,
        "gate": report_of(x @ half[:2] + half[2]),
        alone: report_of(x[:, 0]),
        "first token alone": report_of(x[:, 1]),
        "weights": weights.tolist(),
        "threshold": threshold,
        "confidence": confidence,
        "absence": absence,
        "min_confidence": sure,
    }
    (model_folder / "calibration.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    save_plots([_diagram({name: report[name] for name in ("gate", alone)})], model_folder)
    return report


def told(report: Dict) -> List[str]:
    """What `clue train calibrate` prints."""
    lines = []
    for name in ("map alone", "answer alone", "first token alone", "gate"):
        if name in report:
            row = report[name]
            low, high = row["calibration_error_interval"]
            spread = "" if low is None else f" ({low:.3f}–{high:.3f})"
            lines.append(
                f"ambiguous or not, {name}: F1 {row['f1']:.3f}, accuracy {row['accuracy']:.3f}, calibration "
                f"error of P(ambiguous) {row['calibration_error']:.3f}{spread} "
                f"({row['count']} held-out expressions)"
            )
    lines += [
        f"  gate said {r['said']:.2f} on {r['count']} expressions, {r['ambiguous']:.2f} of them were ambiguous"
        for r in report["gate"]["reliability"]
    ]
    if report["confidence"]["fit"]:
        row = report["confidence"]
        lines.append(
            f"box confidence: calibration error {row['error_before']:.3f} before, {row['error_after']:.3f} "
            f"after ({row['count']} boxes)"
        )
    if "there_kept" in report["absence"]:
        row = report["absence"]
        lines.append(
            f'"nothing fits" loses {row["fit"]:.1f} of its log-odds: {row["there_kept"]:.1%} of the things that are '
            f"there are not denied, {row['absent_recognised']:.1%} of the absent ones are"
        )
    return lines + told_of(report["min_confidence"])


def _read(grounder: Grounder, data: SceneData, scenes: int, seed: int, in_proportion: bool) -> _Readings:
    """in_proportion: the model's eyes get each picture back as it was taken, not squeezed into a square."""
    from tqdm import tqdm

    found = _Readings()
    for index in tqdm(range(min(scenes, len(data))), desc="calibrate", unit="scene", mininterval=5):
        objects, image = data.objects[index], data.sizes[index]
        rng = np.random.default_rng([seed, index])
        square = np.asarray(data.images[index])
        picture = unsqueezed(square, image) if in_proportion else square
        seen = grounder.look(picture)
        # The data set's cache holds square pictures: what is in pixels of the render is scaled to them.
        x, y = picture.shape[1] / image.width, picture.shape[0] / image.height
        for state in scene_states(objects, image, rng, 8):
            turns = [_scaled(turn, x, y) for turn in turns_of(state, objects)]
            instruction, remaining = state.step.instruction, state.step.remaining
            reading = grounder.readings(seen, instruction, turns)
            found.add(reading, len(remaining) > 1, not remaining, state.kind, index)
            if len(remaining) != 1:
                continue
            decision = grounder.ground(seen, instruction, turns, may_ask=False)
            box = objects[remaining[0]].box
            if decision.box is not None and box is not None:
                x0, y0, x1, y1 = box
                right = box_iou(decision.box, Box(x0 * x, y0 * y, x1 * x, y1 * y)) >= 0.5
                found.boxes.append((decision.confidence, right, index))
    return found


def _read_photographs(grounder: Grounder, photographs: Sequence[Source]) -> _Readings:
    found = _Readings()
    numbers: Dict[str, int] = {}
    for sample in chain.from_iterable(SampleStream(source, None) for source in photographs):
        if sample.label is Label.UNKNOWN or sample.boxes is None:
            continue
        index = numbers.setdefault(sample.image.name, len(numbers))
        seen, boxes = grounder.look(sample.pixels()), sample.boxes
        ambiguous = sample.label is Label.AMBIGUOUS and not sample.turns
        reading = grounder.readings(seen, sample.expression, sample.turns)
        found.add(reading, ambiguous, not boxes, "photograph", index)
        if len(boxes) == 1 and not ambiguous:
            decision = grounder.ground(seen, sample.expression, sample.turns, may_ask=False)
            if decision.box is not None:
                found.boxes.append((decision.confidence, box_iou(decision.box, boxes[0]) >= 0.5, index))
    return found


def _scaled(turn: Turn, x: float, y: float) -> Turn:
    point = turn.answer.point
    return turn if point is None else Turn(turn.question, Answer(turn.answer.text, point=(point[0] * x, point[1] * y)))


def fit_absence(rows: Sequence[Tuple[float, bool]]) -> Dict:
    """What "nothing fits" loses before it is compared: the value, of tenths from -1 to 3 and nearest to 0 among equals,
    at which the mean of two shares is best: of things that are there and not denied, and of absent ones that are.

    rows: log-odds of "nothing fits" against the likeliest other, whether nothing does. 0 without both kinds.
    """
    odds, absent = np.array([r[0] for r in rows]), np.array([r[1] for r in rows], bool)
    if absent.all() or not absent.any():
        return {"fit": 0.0, "count": len(rows)}
    shares = lambda at: (float((odds[~absent] <= at).mean()), float((odds[absent] > at).mean()))  # noqa: E731
    best = max((round(0.1 * k, 1) for k in range(-10, 31)), key=lambda at: (round(sum(shares(at)), 6), -abs(at)))
    there, denied = shares(best)
    return {"fit": best, "count": len(rows), "there_kept": round(there, 4), "absent_recognised": round(denied, 4)}


def _fit_confidence(boxes: List[Tuple[float, bool, int]]) -> Dict:
    """Platt scaling of the box confidence on all scenes; its figures are of a fit on scenes of even number, read on the
    others. No fit without both right and wrong boxes."""
    even, held = ([b for b in boxes if b[2] % 2 == part] for part in (0, 1))
    if not held or len({right for _, right, _ in even}) < 2:
        return {"fit": [], "count": len(held)}
    right, before = np.array([r for _, r, _ in held]), np.array([c for c, _, _ in held])
    after = np.array([calibrated(float(c), _platt(even)) for c in before])
    return {
        "fit": list(_platt(boxes)),
        "count": len(held),
        "right": round(float(right.mean()), 4),
        "error_before": _rounded(calibration_error(before, right)),
        "error_after": _rounded(calibration_error(after, right)),
        "reliability": _rows(reliability(after, right), "confidence", "right"),
    }


def _platt(boxes: List[Tuple[float, bool, int]]) -> Tuple[float, float]:
    scale, bias = logistic(np.array([[logit(c)] for c, _, _ in boxes]), np.array([r for _, r, _ in boxes]))
    return round(float(scale), 4), round(float(bias), 4)


def _probability(log_odds: np.ndarray) -> np.ndarray:
    return np.array([sigmoid(float(v)) for v in log_odds])


def _rows(bins: List[Bin], said: str, true: str) -> List[Dict]:
    return [{"from": round(b.low, 1), "count": b.count, said: round(b.said, 4), true: round(b.true, 4)} for b in bins]


def _diagram(readings: Dict[str, Dict]) -> Curve:
    series = tuple(
        Series(
            f"{name}, error {row['calibration_error']:.3f}",
            tuple(r["said"] for r in row["reliability"]),
            tuple(r["ambiguous"] for r in row["reliability"]),
        )
        for name, row in readings.items()
    )
    return Curve(
        "reliability",
        "Reliability of P(ambiguous), held-out expressions",
        "P(ambiguous) said",
        "truly ambiguous",
        series,
        diagonal=True,
        markers=True,
    )


def _rounded(value: Optional[float]) -> Optional[float]:
    return None if value is None else round(value, 4)


def logistic(x: np.ndarray, label: np.ndarray, decay: float = 1e-3) -> np.ndarray:
    """float64[K+1]: weights and bias of a logistic regression of bool[N] labels on float64[N,K] readings."""
    inputs = torch.tensor(np.c_[x, np.ones(len(x))])
    target = torch.tensor(label.astype(np.float64))
    weights = torch.zeros(inputs.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(inputs @ weights, target)
        loss = loss + decay * (weights**2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weights.detach().numpy()
