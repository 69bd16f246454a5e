"""A program of yours as the oracle: one line of JSON in, one line out, never through a shell.

    clue evaluate interactive /data/invig --model DIR --oracle-command python3 my_oracle.py

{"image": "/data/invig/0001.jpg", "target": [20, 8, 40, 32], "expression": "the mug", "turns":
 [{"question": "which?", "answer": "the red one"}], "question": "left or right?"}   -> {"answer": "the left one"}
the same with "candidates": ["the left one", "yes"], where they are ranked (M-VQA)  -> {"scores": [-1.5, -7.0]}, or {}

target: x0 y0 x1 y1 in pixels, null where nothing is meant. An answer is text, or an object with "text", and "point" or
"box" in pixels. Scores: the higher the likelier; {} leaves the ranking out.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from clue_ros.data.jsonl import answer_of, written_answer
from clue_ros.data.line_program import LineProgram
from clue_ros.data.sample import Sample
from clue_ros.evaluation.picture_paths import PicturePaths
from clue_ros.types import Answer, ClueError, Turn
from clue_ros.vlm.passes import Likelihood

NAME = "oracle command"
TIMEOUT_S = 600.0  # its first answer may have to load a model


class CommandOracle:
    kind = "command"

    def __init__(self, arguments: Sequence[str], timeout_s: float = TIMEOUT_S):
        """arguments: the program and its arguments. Raises ClueError if it cannot be started."""
        self._program, self._paths = LineProgram(NAME, arguments, timeout_s), PicturePaths()

    def person(self, sample: Sample, rgb: np.ndarray, turns: Sequence[Turn] = ()) -> "_CommandPerson":
        return _CommandPerson(self._program, self._paths.of(sample.image), sample, turns)

    def close(self) -> None:
        self._program.close()
        self._paths.close()


class _CommandPerson:
    def __init__(self, program: LineProgram, image: str, sample: Sample, turns: Sequence[Turn]):
        self._program, self._image, self._sample, self._turns = program, image, sample, list(turns)

    def answer(self, question: str) -> Answer:
        """Raises ClueError if the program ends, is silent, or writes anything else than an answer."""
        try:
            said = answer_of(self._ask(question)["answer"])
        except (ValueError, KeyError) as error:
            raise ClueError(f'the {NAME} must write {{"answer": "…"}}, got none: {error}') from error
        self._turns.append(Turn(question, said))
        return said

    def likelihoods(self, question: str, candidates: Sequence[str]) -> Optional[List[Likelihood]]:
        """None where the program ranks nothing. Raises ClueError as `answer` does."""
        try:
            scores = self._ask(question, candidates=list(candidates)).get("scores")
        except ValueError as error:
            raise ClueError(f"the {NAME} must write JSON objects: {error}") from error
        if scores is None:
            return None
        if not isinstance(scores, list) or len(scores) != len(candidates) or not all(map(_is_number, scores)):
            raise ClueError(f"the {NAME} must give a score, a number, for each of {len(candidates)} candidates")
        return [Likelihood(float(score), 0) for score in scores]

    def _ask(self, question: str, **more: Any) -> Dict[str, Any]:
        box = self._sample.boxes[0] if self._sample.boxes else None
        request = {
            "image": self._image,
            "target": None if box is None else [round(float(v), 2) for v in box],
            "expression": self._sample.expression,
            "turns": [{"question": t.question, "answer": written_answer(t.answer)} for t in self._turns],
            "question": question,
        }
        return self._program.ask({**request, **more})


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e300
