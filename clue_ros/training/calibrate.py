"""Stage 6, `clue train calibrate`: fit the gate and the threshold of a model directory on held-out scenes.

Half of the scenes fit the weights (logistic regression) and the threshold, the other half gives the figures.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np
import torch

from clue_ros.ambiguity.gate import logit, sigmoid
from clue_ros.grounder import Grounder
from clue_ros.training.export import best_threshold, detector_report
from clue_ros.training.queries import scene_states
from clue_ros.training.scene_data import SceneData
from clue_ros.types import Answer, Turn
from clue_ros.vlm.settings import ClueSettings


def calibrate(model_folder: Path, data: SceneData, scenes: int, seed: int = 3) -> Dict:
    """Fit and write `clue.json`; returns (and writes beside the model) a report on the second half of the scenes."""
    from tqdm import tqdm

    grounder = Grounder.from_pretrained(model_folder)
    rows: List[Tuple[float, float, bool, str, int]] = []
    for index in tqdm(range(min(scenes, len(data))), desc="calibrate", unit="scene", mininterval=5):
        objects, image = data.objects[index], data.sizes[index]
        rng = np.random.default_rng([seed, index])
        encoded = grounder.encode(np.asarray(data.images[index]))
        for state in scene_states(objects, image, rng, 8):
            turns = [Turn(q, Answer(a)) for q, a in state.step.exchanges]
            if state.step.click is not None:
                box = objects[state.step.click].box
                side = data.images.shape[1]
                point = (box.center[0] / image.width * side, box.center[1] / image.height * side)
                turns[-1] = Turn(turns[-1].question, Answer(turns[-1].answer.text, point=point))
            by_map, by_speech = grounder.readings(encoded, state.step.instruction, turns)
            rows.append((logit(by_map), by_speech, len(state.step.remaining) > 1, state.kind, index))
    x = np.array([r[:2] for r in rows])
    label = np.array([r[2] for r in rows])
    fit = np.array([r[4] % 2 == 0 for r in rows])
    weights = logistic(x[fit], label[fit])
    combined = np.array([sigmoid(float(v)) for v in x @ weights[:2] + weights[2]])
    threshold = best_threshold(combined[fit], label[fit])
    settings = ClueSettings.load(model_folder, 10**6)
    replace(settings, gate=tuple(round(float(w), 4) for w in weights), threshold=round(threshold, 3)).save(model_folder)
    kinds = [r[3] for r, f in zip(rows, fit) if not f]
    map_only = np.array([sigmoid(float(v)) for v in x[:, 0]])
    report = {"gate": detector_report(combined[~fit], label[~fit], kinds, threshold),
              "map alone": detector_report(map_only[~fit], label[~fit], kinds,
                                           best_threshold(map_only[fit], label[fit])),
              "first token alone": detector_report(np.array([sigmoid(float(v)) for v in x[~fit, 1]]), label[~fit], kinds,
                                                   .5),
              "weights": asdict(replace(settings, gate=tuple(map(float, weights))))["gate"]}
    (Path(model_folder) / "calibration.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


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
