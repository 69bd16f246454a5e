"""Another model in place of ours, in the same suites: by its answers in a file, or by a program that asks it.

    clue evaluate grounding /data/invig --predictions tio.jsonl
    clue evaluate interactive /data/invig --model-command python3 my_vlm.py

A file has a line for a sample (its `id`, as `clue data show` prints it), with any of

    {"id": "invig21k/test/17", "box": [20, 8, 40, 32], "ambiguous": true, "question": "which one?", "turns": 0}

turns: how many exchanges of the recorded dialogue the model had seen; without it, none for "ambiguous" and all of them
for "box". box: null where nothing fits; ambiguous: true, false or P(ambiguous). A program (evaluation/oracle_command.py
says how it is run) gets

    {"task": "ground", "id": …, "image": "/a.jpg", "size": [640, 480], "expression": "the mug", "turns": [],
     "may_ask": true}

and writes {"box": […]}, {"box": null}, or {"question": "…"} where it may ask. task "ambiguous" wants {"ambiguous": …};
"question" wants {"question": "…"}, and with "candidates" {"scores": […]} or {}.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Protocol, Sequence, Tuple

import numpy as np

from clue_ros.data.box_forms import check_form, to_pixels
from clue_ros.data.jsonl import written_answer
from clue_ros.data.line_program import LineProgram
from clue_ros.data.sample import Sample, box_of
from clue_ros.data.textfiles import json_object, read_lines
from clue_ros.evaluation.picture_paths import PicturePaths
from clue_ros.types import Ambiguity, Box, ClueError, Decision, Outcome, Turn
from clue_ros.vlm.passes import Likelihood

TIMEOUT_S = 600.0  # a program's first answer may have to load a model
TASKS = {"ground": "box", "ambiguous": "ambiguous", "question": "question"}  # and what each is about


class Seen(NamedTuple):
    """A sample whose picture the other model is to look at."""

    sample: Sample
    rgb: np.ndarray


class Replies(Protocol):
    """Where answers come from. name: in results and errors; `reply` is None where there is no answer."""

    name: str
    fingerprint: str

    def reply(self, task: str, seen: Seen, turns: Sequence[Turn], more: Mapping[str, Any]) -> Optional[Dict]: ...

    def knows(self, task: str, sample: Sample, turns: Sequence[Turn]) -> bool: ...

    def close(self) -> None: ...


class ReplyFile:
    """Raises ClueError naming the line that cannot be used."""

    def __init__(self, file: Path):
        self.name = str(file)
        self._of: Dict[Tuple[str, Optional[int], str], Any] = {}
        digest = hashlib.sha256()
        try:
            for number, line in read_lines(Path(file)):
                digest.update(line)
                try:
                    self._add(json_object(line))
                except ValueError as error:
                    raise ClueError(f"{file}:{number}: {error}") from error
        except OSError as error:
            raise ClueError(f"the predictions {file} cannot be read: {error.strerror}") from error
        if not self._of:
            raise ClueError(f"{file} holds no predictions: a line needs 'id', and 'box', 'ambiguous' or 'question'")
        self.fingerprint = digest.hexdigest()[:16]

    def _add(self, entry: Dict[str, Any]) -> None:
        name, turns = entry.get("id"), entry.get("turns")
        if not isinstance(name, (str, int)) or (turns is not None and (type(turns) is not int or turns < 0)):
            raise ValueError("a prediction needs 'id', and 'turns' must be a number of exchanges")
        for key in set(TASKS.values()) & set(entry):
            if (str(name), turns, key) in self._of:
                raise ValueError(f"a second '{key}' for '{name}'")
            self._of[str(name), turns, key] = entry[key]

    def reply(self, task: str, seen: Seen, turns: Sequence[Turn], more: Mapping[str, Any]) -> Optional[Dict]:
        place = self._place(task, seen.sample, turns)
        return None if place is None else {TASKS[task]: self._of[place]}

    def knows(self, task: str, sample: Sample, turns: Sequence[Turn]) -> bool:
        return self._place(task, sample, turns) is not None

    def _place(self, task: str, sample: Sample, turns: Sequence[Turn]) -> Optional[Tuple[str, Optional[int], str]]:
        default = len(sample.turns) if task == "ground" else 0
        wanted = [(sample.source_id, len(turns), TASKS[task])]
        wanted += [(sample.source_id, None, TASKS[task])] if len(turns) == default else []
        return next((place for place in wanted if place in self._of), None)

    def close(self) -> None:
        """Nothing is held."""


class ReplyProgram:
    fingerprint = ""

    def __init__(self, arguments: Sequence[str], timeout_s: float = TIMEOUT_S):
        """Raises ClueError if it cannot be started."""
        self.name, self._paths = " ".join(arguments), PicturePaths()
        self._program = LineProgram("model command", arguments, timeout_s)

    def reply(self, task: str, seen: Seen, turns: Sequence[Turn], more: Mapping[str, Any]) -> Dict:
        """Raises ClueError if the program ends or is silent, ValueError for a line that is no JSON object."""
        request = {
            "task": task,
            "id": seen.sample.source_id,
            "image": self._paths.of(seen.sample.image),
            "size": list(seen.sample.size),
            "expression": seen.sample.expression,
            "turns": [{"question": t.question, "answer": written_answer(t.answer)} for t in turns],
        }
        return self._program.ask({**request, **more})

    def knows(self, task: str, sample: Sample, turns: Sequence[Turn]) -> bool:
        return True

    def close(self) -> None:
        self._program.close()
        self._paths.close()


class OtherModel:
    """In place of a Subject, and its own grounder. Every method raises ClueError for an answer that is none."""

    can_answer, threshold = False, 0.5

    def __init__(self, replies: Replies, boxes: str = "xyxy"):
        """boxes: one of box_forms.FORMS."""
        self._replies, self._form = replies, check_form(boxes)

    @property
    def grounder(self) -> "OtherModel":
        return self

    def about(self) -> Dict[str, str]:
        """As Subject.about."""
        fingerprint = f"{self._replies.fingerprint} {self._form}".strip()
        return {"model": self._replies.name, "fingerprint": fingerprint, "quantization": "none", "dtype": "auto"}

    def close(self) -> None:
        self._replies.close()

    def look_at(self, sample: Sample, rgb: np.ndarray) -> Seen:
        return Seen(sample, rgb)

    def encode(self, seen: Seen) -> Seen:
        return seen

    def knows(self, task: str, sample: Sample, turns: Sequence[Turn] = ()) -> bool:
        """Whether there is an answer; without one it counts as wrong."""
        return self._replies.knows(task, sample, turns)

    def ground(
        self,
        image: Seen,
        expression: str,
        turns: Sequence[Turn] = (),
        *,
        may_ask: bool = True,
        threshold: Optional[float] = None,
    ) -> Decision:
        said = self._ask("ground", image, turns, may_ask=may_ask)
        if may_ask and isinstance(said.get("question"), str) and said["question"].strip():
            return Decision(Outcome.ASK, expression, question=said["question"])
        if said.get("box") is None:
            return Decision(Outcome.NOT_FOUND, expression)
        return Decision(Outcome.FOUND, expression, box=self._box(said["box"], image), confidence=1.0)

    def detect_ambiguity(self, image: Seen, expression: str, threshold: Optional[float] = None) -> Ambiguity:
        value = self._ask("ambiguous", image, ()).get("ambiguous", False)
        if type(value) not in (bool, int, float) or not 0 <= value <= 1:
            raise ClueError(f"{self._replies.name}: 'ambiguous' must be true, false or in 0 … 1, not {value!r}")
        limit = self.threshold if threshold is None else threshold
        return Ambiguity(float(value), limit, value >= limit, np.zeros((1, 1), np.float32))

    def question(self, image: Seen, expression: str, turns: Sequence[Turn]) -> str:
        said = self._ask("question", image, turns).get("question", "")
        if not isinstance(said, str):
            raise ClueError(f"{self._replies.name}: 'question' must be text, not {said!r}")
        return said

    def question_likelihoods(
        self, image: Seen, expression: str, turns: Sequence[Turn], candidates: Sequence[str]
    ) -> Optional[List[Likelihood]]:
        """None where nobody scores them."""
        scores = self._ask("question", image, turns, candidates=list(candidates)).get("scores")
        if scores is None:
            return None
        if not isinstance(scores, list) or len(scores) != len(candidates):
            raise ClueError(f"{self._replies.name}: 'scores' must be {len(candidates)} numbers")
        return [Likelihood(float(score), 0) for score in scores]

    def _ask(self, task: str, seen: Seen, turns: Sequence[Turn], **more: Any) -> Dict[str, Any]:
        try:
            return self._replies.reply(task, seen, turns, more) or {}
        except ValueError as error:
            raise ClueError(f"{self._replies.name} must write JSON objects: {error}") from error

    def _box(self, values: Any, seen: Seen) -> Box:
        place = f"{self._replies.name}, {seen.sample.source_id}"
        try:
            box = box_of(values)
        except ValueError as error:
            raise ClueError(f"{place}: {error}") from error
        if self._form == "xyxy" and max(box) <= 1:
            raise ClueError(f"{place}: a box within 0 … 1 looks like shares of the image; give --boxes xyxy01")
        return to_pixels(box, self._form, seen.sample.size)
