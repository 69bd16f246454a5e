"""`clue evaluate detectors`: model directories side by side on held-out scenes, each run as the robot runs it.

    clue evaluate detectors --models clue_ros/models/tabletop runs/joint/model --scenes 100

Ambiguous or not: scenes of even number fit the threshold, those of odd number give the figures. Box: Acc@0.5, the
share of clear expressions whose box has an IoU of at least 0.5. Time: median of the steps up to the decision, from the
last word with the image seen before (`decision_s`), from a cold image (`cold_s`), and the whole turn (`turn_s`).
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import cv2
import numpy as np

from clue_ros import seams
from clue_ros.ambiguity.kinds import KINDS
from clue_ros.geometry import box_iou
from clue_ros.grounder import Grounder
from clue_ros.measures.classification import figures_at, fitted_threshold
from clue_ros.measures.metrics import mean, median, wilson_interval
from clue_ros.simulation.dataset import object_from_dict, read_scenes
from clue_ros.simulation.queries import State, scene_states, turns_of
from clue_ros.simulation.scene import ImageSize, SceneObject
from clue_ros.types import ClueError, Decision
from clue_ros.vlm.settings import ClueSettings

QUESTIONS = 8  # dialogue states a scene
DECISION = ("prefill", "detect")
COLUMNS: Tuple[str, ...] = (
    "model",
    "detector",
    "f1",
    "accuracy",
    "precision",
    "recall",
    "auc",
    "threshold",
    "own_f1",
    "own_accuracy",
    "count",
    "acc_at_50",
    "clear",
    "decision_s",
    "cold_s",
    "turn_s",
)


@dataclass(frozen=True)
class HeldOutScene:
    """One rendered scene: file of its image, objects with boxes in its pixels, its size in pixels."""

    file: Path
    objects: Tuple[SceneObject, ...]
    size: ImageSize

    def image(self) -> np.ndarray:
        """uint8[H,W,3] RGB. Raises ClueError naming a file that cannot be read."""
        picture = cv2.imread(str(self.file))
        if picture is None:
            raise ClueError(f"{self.file} is missing or broken: delete the scenes' folder and run the command again")
        return np.ascontiguousarray(picture[..., ::-1])


@dataclass
class Answers:
    """What one model said to every question of the suite, in order."""

    probability: List[float] = field(default_factory=list)
    ambiguous: List[bool] = field(default_factory=list)
    kind: List[str] = field(default_factory=list)
    scene: List[int] = field(default_factory=list)
    iou: List[float] = field(default_factory=list)  # of clear expressions; 0 where no box came
    warm: List[Dict[str, float]] = field(default_factory=list)
    cold: List[Dict[str, float]] = field(default_factory=list)


def held_out_scenes(folder: Path, count: int) -> List[HeldOutScene]:
    """The first scenes of a data set made by `clue scenes`."""
    scenes = []
    for line in read_scenes(folder):
        if len(scenes) == count:
            break
        scenes.append(
            HeldOutScene(
                Path(folder) / "images" / f"{line['id']}.webp",
                tuple(object_from_dict(o) for o in line["objects"]),
                ImageSize(line["width"], line["height"]),
            )
        )
    return scenes


def ask_all(
    grounder: seams.Grounder, scenes: Sequence[HeldOutScene], seed: int = 3, on_scene: Callable[[], Any] = lambda: None
) -> Answers:
    """Put the same questions about the same scenes to a model; a scene's first question comes with a cold image."""
    answers = Answers()
    grounder.warm_up()
    for index, scene in enumerate(scenes):
        image = scene.image()
        seen: Any = image
        states = scene_states(scene.objects, scene.size, np.random.default_rng([seed, index]), QUESTIONS)
        for number, state in enumerate(states):
            decision = grounder.ground(seen, state.step.instruction, turns_of(state, scene.objects), may_ask=False)
            if decision.ambiguity is None:
                unknown = ", ".join(decision.unknown_words)
                raise ClueError(f"the model does not know {unknown} of '{state.step.instruction}'")
            (answers.warm if number else answers.cold).append(dict(decision.latency_s))
            seen = grounder.look(image) if number == 0 else seen
            answers.probability.append(decision.ambiguity.probability)
            _note(answers, state, decision, scene, index)
        on_scene()
    return answers


def _note(answers: Answers, state: State, decision: Decision, scene: HeldOutScene, index: int) -> None:
    remaining = state.step.remaining
    answers.ambiguous.append(len(remaining) > 1)
    answers.kind.append(state.kind)
    answers.scene.append(index)
    if len(remaining) == 1:
        truth = scene.objects[remaining[0]].visible_box
        answers.iou.append(box_iou(decision.box, truth) if decision.box else 0.0)


def score(answers: Answers, own_threshold: float) -> Dict[str, Any]:
    """The figures of one model (COLUMNS, and accuracy by kind of expression)."""
    probability, label = np.array(answers.probability), np.array(answers.ambiguous)
    odd = np.array(answers.scene) % 2 == 1
    kinds = [k for k, o in zip(answers.kind, odd) if o]
    fitted = figures_at(probability[odd], label[odd], kinds, fitted_threshold(probability[~odd], label[~odd]))
    own = figures_at(probability[odd], label[odd], kinds, own_threshold)
    hits = sum(value >= 0.5 for value in answers.iou)
    return {
        **fitted,
        "own_threshold": own_threshold,
        "own_f1": own["f1"],
        "own_accuracy": own["accuracy"],
        "clear": len(answers.iou),
        "acc_at_50": round(hits / len(answers.iou), 4) if answers.iou else None,
        "acc_at_50_interval": wilson_interval(hits, len(answers.iou)),
        "mean_iou": mean(answers.iou),
        "decision_s": _time(answers.warm, DECISION),
        "cold_s": _time(answers.cold, ("image", *DECISION)),
        "turn_s": _time(answers.warm, None),
    }


def _time(rows: Sequence[Dict[str, float]], stages: Optional[Sequence[str]]) -> Optional[float]:
    value = median([sum(v for k, v in row.items() if stages is None or k in stages) for row in rows])
    return None if value is None else round(value, 5)


def evaluate(
    models: Sequence[Path],
    scenes: Sequence[HeldOutScene],
    device: str = "cpu",
    seed: int = 3,
    on_model: Callable[[str], Callable[[], Any]] = lambda name: lambda: None,
) -> List[Dict[str, Any]]:
    """One row a model directory, in the order given; `on_model(name)` returns what is called after each scene."""
    rows = []
    for path in models:
        grounder = Grounder.from_pretrained(path, device=device)
        try:
            answers = ask_all(grounder, scenes, seed, on_model(str(path)))
            rows.append({"model": str(path), "detector": kind_of(path), **score(answers, grounder.threshold)})
        finally:
            grounder.close()
    return rows


def kind_of(path: Path) -> str:
    """The detector that a model directory's clue.json names, with prefix, depth and tap."""
    file = Path(path) / "clue.json"
    clue = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return KINDS[clue.get("detector", ClueSettings.detector)].described(clue)


def save(rows: Sequence[Dict[str, Any]], file: Path, about: Dict[str, Any]) -> Tuple[Path, Path]:
    """Write the rows as JSON, and their columns as CSV beside it; returns both paths."""
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**about, "models": list(rows)}, indent=2) + "\n", encoding="utf-8")
    table = file.with_suffix(".csv")
    with open(table, "w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return file, table
