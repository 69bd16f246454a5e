"""Who answers the robot's questions in an evaluation: the scene, the model itself, or what people once answered.

scene     rendered scenes: the simulated person (simulation/person.py), who knows the scene's truth
model     real data: a model that was trained to answer (`clue finetune answer`), as InViG's Oracle (section IV-A)
command   a program of yours, which gets the image and the target (oracle_command.py)
recorded  real data with dialogues: the n-th answer that was recorded, whatever was asked
click     data with boxes: a click into the middle of the target's box; box: that box, drawn

A class of your own is one too, from Python: `kind`, and `person` as below.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Protocol, Sequence, Tuple, Union, runtime_checkable

import numpy as np

from clue_ros.data.sample import Sample
from clue_ros.data.textfiles import read_lines
from clue_ros.evaluation.other_model import OtherModel
from clue_ros.evaluation.subject import ORACLES, CannotAnswerError, Subject
from clue_ros.evaluation.two_models import TwoModels
from clue_ros.geometry import box_iou
from clue_ros.simulation.dataset import object_from_dict
from clue_ros.simulation.person import SimulatedPerson
from clue_ros.simulation.scene import ImageSize, SceneObject
from clue_ros.simulation.words import learn_nouns
from clue_ros.types import Answer, Box, ClueError, Turn
from clue_ros.vlm.passes import Likelihood

KINDS = ("auto", "scene", "model", "recorded", "click", "box")
UNSURE = "i do not know"
NOTHING = "none of them"  # where the target is not in the picture, there is nothing to click on


class Person(Protocol):
    """One partner in one dialogue, who answers in words or by a gesture."""

    def answer(self, question: str) -> Union[str, Answer]: ...


@runtime_checkable
class Ranking(Protocol):
    """What a Person may have besides."""

    def likelihoods(self, question: str, candidates: Sequence[str]) -> Optional[Sequence[Likelihood]]:
        """Of each candidate as the answer to a question; None where nobody can say."""
        ...


class Oracle(Protocol):
    """kind: one of KINDS, 'command', or a name of your own."""

    kind: str

    def person(self, sample: Sample, rgb: np.ndarray, turns: Sequence[Turn] = ()) -> Person:
        """The partner for one dialogue.

        sample: `sample.boxes[0]` is the target in pixels, where there is one
        rgb: the sample's image, uint8[H,W,3]
        turns: what was said before the first question that will be put
        """
        ...


def choose_oracle(
    kind: str,
    subject: Union[Subject, OtherModel, TwoModels],
    path: Path,
    form: str,
    seed: int = 0,
    other: Optional[Subject] = None,
) -> Oracle:
    """The oracle of a kind; 'auto' is the scene for scenes, else the model, or a click where nobody trained the model
    to answer. other: a model to answer in place of the subject. Raises CannotAnswerError, ClueError for scenes that
    are none."""
    if kind not in KINDS:
        raise ClueError(f"there is no oracle '{kind}'; there are: {', '.join(KINDS)}")
    if kind == "scene" or (kind == "auto" and form == "scenes" and other is None):
        if form != "scenes":
            raise ClueError(f"--oracle scene needs rendered scenes, and {path} is of the format {form}")
        return SceneOracle(path, seed)
    if kind == "recorded":
        return RecordedOracle()
    speaker = other or subject
    if kind in ("click", "box") or (kind == "auto" and other is None and not subject.can_answer):
        return GestureOracle("click" if kind == "auto" else kind)
    if not isinstance(speaker, Subject):
        raise CannotAnswerError(f"another model cannot play the person: {ORACLES}")
    speaker.check_can_answer()
    return ModelOracle(speaker)


class ModelOracle:
    kind = "model"

    def __init__(self, subject: Subject):
        """subject: whose `can_answer` is true."""
        self._subject = subject

    def person(self, sample: Sample, rgb: np.ndarray, turns: Sequence[Turn] = ()) -> "_ModelPerson":
        return _ModelPerson(self._subject, lambda: self._subject.look_at(sample, rgb), sample, turns)


class _ModelPerson:
    def __init__(self, subject: Subject, look: Callable[[], Any], sample: Sample, turns: Sequence[Turn]):
        self._subject, self._look, self._expression = subject, look, sample.expression
        self._target = sample.boxes[0] if sample.boxes else None
        self._turns = list(turns)

    def answer(self, question: str) -> str:
        said = self._subject.answer(self._look(), self._expression, self._turns, question, self._target) or UNSURE
        self._turns.append(Turn(question, Answer(said)))
        return said

    def likelihoods(self, question: str, candidates: Sequence[str]) -> Sequence[Likelihood]:
        asked = self._look(), self._expression, self._turns, question, self._target
        return self._subject.answer_likelihoods(*asked, candidates)


class RecordedOracle:
    kind = "recorded"

    def person(self, sample: Sample, rgb: np.ndarray, turns: Sequence[Turn] = ()) -> Person:
        return _RecordedPerson([turn.answer.text for turn in sample.turns])


class _RecordedPerson:
    def __init__(self, answers: Sequence[str]):
        self._answers = list(answers)

    def answer(self, question: str) -> str:
        return (self._answers.pop(0) if self._answers else "") or UNSURE


class GestureOracle:
    """Clicks into the middle of the target's box, or draws the box: nobody's words are needed, only the truth."""

    def __init__(self, kind: str = "click"):
        self.kind = kind

    def person(self, sample: Sample, rgb: np.ndarray, turns: Sequence[Turn] = ()) -> Person:
        return _GesturePerson(sample.boxes[0] if sample.boxes else None, self.kind)


class _GesturePerson:
    def __init__(self, target: Optional[Box], kind: str):
        self._target, self._kind = target, kind

    def answer(self, question: str) -> Union[str, Answer]:
        if self._target is None:
            return NOTHING
        box = Box(*self._target)
        return Answer(point=box.center) if self._kind == "click" else Answer(box=box)


class SceneOracle:
    """Knows the objects of every scene of a folder made by `clue scenes` (or of folders in it)."""

    kind = "scene"

    def __init__(self, path: Path, seed: int = 0):
        self._seed = seed
        self._lines: Dict[str, bytes] = {}
        inside = sorted({f.parent for f in path.glob("*/scenes-*.jsonl")})
        for folder in [path] if any(path.glob("scenes-*.jsonl")) else inside:
            for file in sorted(folder.glob("scenes-*.jsonl")):
                for _, line in read_lines(file):
                    self._lines[f"{folder.name}/{json.loads(line)['id']}"] = line
        if not self._lines:
            raise ClueError(f"{path} holds no scenes-*.jsonl: the scene cannot answer for these images")

    def person(self, sample: Sample, rgb: np.ndarray, turns: Sequence[Turn] = ()) -> Person:
        """Raises ClueError where the sample's scene or target is not there."""
        objects, size = self._scene(sample)
        target = _nearest(objects, sample.boxes[0]) if sample.boxes else None
        rng = np.random.default_rng([self._seed, *sample.source_id.encode()])
        return SimulatedPerson(objects, target, rng, size)

    def _scene(self, sample: Sample) -> Tuple[Tuple[SceneObject, ...], ImageSize]:
        key = sample.source_id.rsplit("/", 1)[0]
        if key not in self._lines:
            raise ClueError(f"there is no scene '{key}' to answer for the sample {sample.source_id}")
        scene = json.loads(self._lines[key])
        return tuple(_object(item) for item in scene["objects"]), ImageSize(scene["width"], scene["height"])


def _nearest(objects: Sequence[SceneObject], box: Box) -> int:
    boxes = [item.box for item in objects]
    overlaps = [-1.0 if own is None else box_iou(own, box) for own in boxes]
    return max(range(len(objects)), key=lambda i: overlaps[i])


def _object(item: Dict[str, Any]) -> SceneObject:
    if "nouns" in item:
        learn_nouns(item["category"], item["nouns"])
    return object_from_dict(item)
