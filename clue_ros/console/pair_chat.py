"""Dialogues of two people about a picture, as InViG was collected: the oracle knows which thing is meant and says so
badly on purpose, the questioner asks until it can click on the thing. No server here.

A dialogue whose click hits the thing becomes a line of our own format in OUTPUT.jsonl; one that misses goes to
OUTPUT-missed.jsonl, which is no training data.
"""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Set, Tuple

import numpy as np

from clue_ros.console.requests import Instruct, Live, NeverMind, Point, Request, RequestError
from clue_ros.data.instances import Picture
from clue_ros.data.textfiles import json_object, read_lines
from clue_ros.prompt import check_expression
from clue_ros.types import Box, ClueError

QUESTIONER, ORACLE = "questioner", "oracle"
ROLES = (QUESTIONER, ORACLE)
MAX_TURNS, MAX_PAIRS = 10, 64
INSTRUCTION, QUESTION, ANSWER, DONE, EMPTY = "instruction", "question", "answer", "done", "empty"  # whose move it is


@dataclass(frozen=True)
class Task:
    """number: counts from 1 in a session; target: index of the picture's thing that is meant."""

    number: int
    picture: Picture
    target: int

    @property
    def box(self) -> Box:
        return self.picture.instances[self.target].box


@dataclass
class Pair:
    """Two people and their dialogue. revision: changes with everything that a page shows."""

    task: Optional[Task]
    phase: str
    expression: str = ""
    question: str = ""
    turns: List[Tuple[str, str]] = field(default_factory=list)
    guess: Optional[Box] = None
    right: Optional[bool] = None
    revision: int = 0


class PairChat:
    """All pairs of a session; each works on pictures of its own. For any thread."""

    def __init__(self, pictures: Iterable[Picture], output: Path, seed: int = 0):
        """output: a .jsonl file, gone on with if it exists. Raises ClueError for another name."""
        if output.suffix != ".jsonl":
            raise ClueError(f"{output}: the dialogues go to a .jsonl file")
        self._right, self._missed = output, output.with_name(f"{output.stem}-missed.jsonl")
        self._known = _ids(self._right) | _ids(self._missed)
        self.done = sum(1 for _ in read_lines(output)) if output.exists() else 0
        self._tasks, self._lock = self._drawn(pictures, seed), threading.RLock()
        self._pairs: Dict[str, Pair] = {}

    def view(self, name: str, role: str) -> Dict[str, Any]:
        """What the page of a role shows. The target is in it for the oracle, and for both when all is over."""
        with self._lock:
            pair = self._pair(name)
            shown: Dict[str, Any] = {
                "revision": pair.revision, "role": role, "phase": pair.phase, "expression": pair.expression,
                "question": pair.question, "turns": [{"question": q, "answer": a} for q, a in pair.turns],
                "may_ask": len(pair.turns) < MAX_TURNS, "right": pair.right, "collected": self.done,
            }  # fmt: skip
            if pair.task is not None:
                shown.update(task=pair.task.number, size=list(pair.task.picture.image.size))
                if role == ORACLE or pair.phase == DONE:
                    shown["target"] = _numbers(pair.task.box)
                if pair.phase == DONE and pair.guess is not None:
                    shown["guess"] = _numbers(pair.guess)
            return shown

    def revision(self, name: str) -> int:
        with self._lock:
            return self._pair(name).revision

    def pixels(self, name: str, task: int) -> np.ndarray:
        """uint8[H,W,3] RGB of a pair's picture. Raises RequestError if it has moved on, BrokenImageError."""
        with self._lock:
            now = self._pair(name).task
        if now is None or now.number != task:
            raise RequestError("this picture is over")
        return now.picture.image.read()

    def do(self, name: str, role: str, request: Request) -> None:
        """What a person wants. Raises RequestError where it is not their move."""
        with self._lock:
            pair = self._pair(name)
            if isinstance(request, Instruct):
                self._say(pair, role, request.text)
            elif isinstance(request, Point) and role == QUESTIONER and pair.phase == QUESTION:
                self._guess(pair, request.click)
            elif isinstance(request, NeverMind) and role == ORACLE and pair.phase not in (DONE, EMPTY):
                self._next(pair)
            elif isinstance(request, Live) and pair.phase == DONE:
                self._next(pair)
            else:
                raise RequestError("not now: wait for the other person")
            pair.revision += 1

    def _say(self, pair: Pair, role: str, text: str) -> None:
        try:
            text = check_expression(text)
        except ClueError as error:
            raise RequestError(str(error)) from error
        if role == ORACLE and pair.phase == INSTRUCTION:
            pair.expression, pair.phase = text, QUESTION
        elif role == QUESTIONER and pair.phase == QUESTION and len(pair.turns) < MAX_TURNS:
            pair.question, pair.phase = text, ANSWER
        elif role == ORACLE and pair.phase == ANSWER:
            pair.turns.append((pair.question, text))
            pair.question, pair.phase = "", QUESTION
        else:
            raise RequestError("not now: wait for the other person")

    def _guess(self, pair: Pair, click: Tuple[float, float]) -> None:
        """The smallest thing under the click."""
        assert pair.task is not None
        boxes = [i.box for i in pair.task.picture.instances]
        hit = [b for b in boxes if b.x0 <= click[0] < b.x1 and b.y0 <= click[1] < b.y1]
        if not hit:
            raise RequestError("nothing that is known lies there: click on a thing")
        pair.guess = min(hit, key=lambda b: (b.x1 - b.x0) * (b.y1 - b.y0))
        pair.right, pair.phase = pair.guess == pair.task.box, DONE
        line = {
            "id": pair.task.picture.key,
            "image": pair.task.picture.image.name,
            "size": list(pair.task.picture.image.size),
            "expression": pair.expression,
            "turns": [{"question": q, "answer": a} for q, a in pair.turns],
            "boxes": [_numbers(pair.task.box)],
            "label": "ambiguous" if pair.turns else "clear",
            "objects": [_numbers(b) for b in boxes],
        }
        with open(self._right if pair.right else self._missed, "a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.done += pair.right

    def _pair(self, name: str) -> Pair:
        if name not in self._pairs:
            if len(self._pairs) >= MAX_PAIRS:
                raise RequestError(f"{MAX_PAIRS} pairs are here already")
            self._pairs[name] = Pair(None, EMPTY)
            self._next(self._pairs[name])
        return self._pairs[name]

    def _next(self, pair: Pair) -> None:
        task = next(self._tasks, None)
        fresh = Pair(task, INSTRUCTION if task is not None else EMPTY, revision=pair.revision)
        pair.__dict__.update(fresh.__dict__)

    def _drawn(self, pictures: Iterable[Picture], seed: int) -> Iterator[Task]:
        """One thing of each picture, of those with a name that stands there twice if there are any."""
        number = 0
        for n, picture in enumerate(pictures):
            if not picture.instances or picture.key in self._known:
                continue
            names = Counter(i.name for i in picture.instances)
            twice = [k for k, i in enumerate(picture.instances) if names[i.name] > 1]
            number += 1
            choices = twice or range(len(picture.instances))
            yield Task(number, picture, int(np.random.default_rng([seed, n]).choice(choices)))


def _numbers(box: Box) -> List[float]:
    return [round(float(v), 2) for v in box]


def _ids(file: Path) -> Set[str]:
    """Of the pictures in a file of former dialogues. Raises ClueError for a file of another kind."""
    try:
        return {str(json_object(line)["id"]) for _, line in read_lines(file)} if file.exists() else set()
    except (ValueError, KeyError) as error:
        raise ClueError(f"{file} holds something other than dialogues collected here ({error})") from error
