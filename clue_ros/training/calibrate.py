"""Stage 6, `clue train calibrate`: fit the gate, the threshold and the box confidence of a model directory.

Half of the held-out scenes fit the weights (logistic regression) and the threshold, the other half gives the figures. It
works for every kind of detector, because it asks the model the way the robot does: `Grounder.readings` and `ground`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np
import torch

from clue_ros.ambiguity.gate import calibrated, logit, sigmoid
from clue_ros.evaluation.metrics import box_iou
from clue_ros.grounder import Grounder
from clue_ros.training.export import best_threshold, detector_report
from clue_ros.training.queries import scene_states, turns_of
from clue_ros.training.scene_data import SceneData
from clue_ros.types import Answer, Box, Turn
from clue_ros.vlm.settings import ClueSettings

BINS = 10  # of the reliability figure


@dataclass
class _Readings:
    """One row an expression: the two readings' log-odds, label, kind, scene; and one row a box that was given for a clear
    expression: raw confidence, whether it was right (IoU >= 0.5), scene."""

    rows: List[Tuple[float, float, bool, str, int]] = field(default_factory=list)
    boxes: List[Tuple[float, bool, int]] = field(default_factory=list)


def calibrate(model_folder: Path, data: SceneData, scenes: int, seed: int = 3) -> Dict:
    """Fit and write `clue.json`; returns (and writes beside the model) a report on the second half of the scenes."""
    model_folder = Path(model_folder)
    settings = replace(ClueSettings.load(model_folder, 10**6), confidence=())
    settings.save(model_folder)  # the confidence must be read raw
    found = _read(Grounder.from_pretrained(model_folder), data, scenes, seed)
    x = np.array([r[:2] for r in found.rows])
    label = np.array([r[2] for r in found.rows])
    fit = np.array([r[4] % 2 == 0 for r in found.rows])
    kinds = [r[3] for r, f in zip(found.rows, fit) if not f]

    def report_of(log_odds: np.ndarray) -> Dict:
        p = np.array([sigmoid(float(v)) for v in log_odds])
        return detector_report(p[~fit], label[~fit], kinds, best_threshold(p[fit], label[fit]))

    weights = logistic(x[fit], label[fit])
    alone = "answer alone" if settings.detector == "autoregressive" else "map alone"
    gate = report_of(x @ weights[:2] + weights[2])
    confidence = _fit_confidence(found.boxes)
    replace(settings, gate=tuple(round(float(w), 4) for w in weights), threshold=gate["threshold"],
            confidence=tuple(confidence["fit"])).save(model_folder)
    report = {"detector": settings.detector, "gate": gate, alone: report_of(x[:, 0]),
              "first token alone": report_of(x[:, 1]), "weights": weights.tolist(), "confidence": confidence}
    (model_folder / "calibration.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


def _read(grounder: Grounder, data: SceneData, scenes: int, seed: int) -> _Readings:
    from tqdm import tqdm

    found, side = _Readings(), data.images.shape[1]
    for index in tqdm(range(min(scenes, len(data))), desc="calibrate", unit="scene", mininterval=5):
        objects, image = data.objects[index], data.sizes[index]
        rng = np.random.default_rng([seed, index])
        seen = grounder.look(np.asarray(data.images[index]))
        # The data set's cache holds square pictures: what is in pixels of the render is scaled to them.
        x, y = side / image.width, side / image.height
        for state in scene_states(objects, image, rng, 8):
            turns = [_scaled(turn, x, y) for turn in turns_of(state, objects)]
            instruction, remaining = state.step.instruction, state.step.remaining
            detector, speech = grounder.readings(seen, instruction, turns)
            found.rows.append((logit(detector), speech, len(remaining) > 1, state.kind, index))
            if len(remaining) != 1:
                continue
            decision = grounder.ground(seen, instruction, turns, may_ask=False)
            if decision.box is not None:
                x0, y0, x1, y1 = objects[remaining[0]].box
                right = box_iou(decision.box, Box(x0 * x, y0 * y, x1 * x, y1 * y)) >= .5
                found.boxes.append((decision.confidence, right, index))
    return found


def _scaled(turn: Turn, x: float, y: float) -> Turn:
    point = turn.answer.point
    return turn if point is None else Turn(turn.question, Answer(turn.answer.text, point=(point[0] * x, point[1] * y)))


def _fit_confidence(boxes: List[Tuple[float, bool, int]]) -> Dict:
    """Platt scaling of the box confidence on scenes of even number, its reliability on the others; no fit without both
    right and wrong boxes."""
    even = [b for b in boxes if b[2] % 2 == 0]
    held = [b for b in boxes if b[2] % 2 == 1]
    if not held or len({right for _, right, _ in even}) < 2:
        return {"fit": [], "count": len(held)}
    scale, bias = logistic(np.array([[logit(c)] for c, _, _ in even]), np.array([r for _, r, _ in even]))
    weights = (round(float(scale), 4), round(float(bias), 4))
    right = np.array([r for _, r, _ in held])
    before = np.array([c for c, _, _ in held])
    after = np.array([calibrated(float(c), weights) for c in before])
    return {"fit": list(weights), "count": len(held), "right": round(float(right.mean()), 4),
            "error_before": round(calibration_error(before, right), 4),
            "error_after": round(calibration_error(after, right), 4), "reliability": reliability(after, right)}


def reliability(confidence: np.ndarray, right: np.ndarray) -> List[Dict]:
    """One row a tenth of [0, 1] that holds any: how many, their mean confidence, the share that was right."""
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [{"from": n / BINS, "count": int(here.sum()), "confidence": round(float(confidence[here].mean()), 4),
             "right": round(float(right[here].mean()), 4)}
            for n in range(BINS) if (here := place == n).any()]


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error in [0, 1]: mean gap between confidence and share of right ones, weighted by count."""
    return sum(r["count"] * abs(r["confidence"] - r["right"]) for r in reliability(confidence, right)) / len(right)


def logistic(x: np.ndarray, label: np.ndarray, decay: float = 1e-3) -> np.ndarray:
    """float64[K+1]: weights and bias of a logistic regression of bool[N] labels on float64[N,K] readings."""
    inputs = torch.tensor(np.c_[x, np.ones(len(x))])
    target = torch.tensor(label.astype(np.float64))
    weights = torch.zeros(inputs.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(inputs @ weights, target)
        loss = loss + decay * (weights ** 2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weights.detach().numpy()
