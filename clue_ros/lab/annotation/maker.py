"""Dialogues for the pictures of a data set, one after the other, each on disk before the next; a stopped run goes on.

OUT/dialogues.jsonl holds what was kept, in the format of docs/data.md, so that `clue finetune` takes it as it is;
OUT/tried.jsonl one line for every target: what came of it, and where dialogues.jsonl ended then.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Protocol, Set

import numpy as np

from clue_ros.data.instances import Picture
from clue_ros.data.jsonl import to_line
from clue_ros.data.sample import Label, Sample
from clue_ros.lab.annotation.paraphrase import Paraphraser
from clue_ros.lab.annotation.roles import Captioner, chosen, draw_targets
from clue_ros.problems import BrokenImageError, DataError
from clue_ros.seams import Grounder
from clue_ros.types import Answer, Box, ClueError, Outcome, Turn

KEPT, MISSED, NO_WORDS, UNKNOWN, BROKEN = "kept", "guesser missed", "no words for it", "unknown words", "image broken"


class Talker(Protocol):
    def answer(self, question: str) -> str: ...


@dataclass
class Maker:
    """person: the oracle for (picture, target, pixels uint8[H,W,3], what was seen); paraphraser: None for none. A
    paraphrase stays only if the guesser finds the target with it too. asked_only: drop what needed no question."""

    grounder: Grounder
    captioner: Captioner
    person: Callable[[Picture, Box, np.ndarray, Any], Talker]
    paraphraser: Optional[Paraphraser] = None
    max_questions: int = 3
    per_image: int = 1
    seed: int = 0
    asked_only: bool = False

    def dialogues(self, picture: Picture) -> List[tuple]:
        """(key, what came of it, Sample or None, whether it was paraphrased) of each target that was drawn."""
        rng = np.random.default_rng([self.seed, *picture.key.encode()])
        drawn = draw_targets(picture.instances, self.per_image, rng)
        try:
            rgb = picture.image.read()
        except BrokenImageError:
            return [(f"{picture.key}/0", BROKEN, None, False)]
        seen = self.grounder.look(rgb) if len(drawn) else None
        return [(f"{picture.key}/{n}", *self._one(picture, index, rgb, seen, rng)) for n, index in enumerate(drawn)]

    def _one(self, picture: Picture, index: int, rgb: np.ndarray, seen: Any, rng: np.random.Generator) -> tuple:
        target = picture.instances[index]
        expression = self.captioner(rgb, seen, target, rng)
        if not expression:
            return NO_WORDS, None, False
        person, turns = self.person(picture, target.box, rgb, seen), []
        while True:
            decision = self.grounder.ground(seen, expression, turns, may_ask=len(turns) < self.max_questions)
            if decision.outcome is not Outcome.ASK:
                break
            turns.append(Turn(decision.question, Answer(person.answer(decision.question))))
        if decision.outcome is Outcome.UNKNOWN_WORDS:
            return UNKNOWN, None, False
        if not chosen(target.box, decision.box):
            return MISSED, None, False
        if self.asked_only and not turns:
            return "nothing was asked", None, False
        said, rephrased = (expression, turns), self._rephrased(seen, expression, turns, target.box, rng)
        expression, turns = rephrased or said
        return (
            KEPT,
            Sample(
                "",
                picture.image,
                expression,
                tuple(turns),
                (target.box,),
                label=Label.AMBIGUOUS if turns else Label.CLEAR,
                split=picture.split or "train",
                objects=tuple(i.box for i in picture.instances),
            ),
            rephrased is not None,
        )

    def _rephrased(self, seen: Any, expression: str, turns: List[Turn], target: Box, rng: np.random.Generator):
        if self.paraphraser is None:
            return None
        words = self.paraphraser((expression, tuple((t.question, t.answer.text) for t in turns)), rng)
        if words is None:
            return None
        other = [Turn(question, Answer(answer)) for question, answer in words[1]]
        found = self.grounder.ground(seen, words[0], other, may_ask=False)
        return (words[0], other) if chosen(target, found.box) else None


@dataclass
class Output:
    """The two files of a run. about: JSON values that fix the result."""

    folder: Path
    about: Mapping[str, Any]
    images: Path
    fresh: bool = False
    counts: Counter = field(default_factory=Counter)
    done: Set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Raises DataError where the folder holds another run's files."""
        self.dialogues, self.tried = Path(self.folder) / "dialogues.jsonl", Path(self.folder) / "tried.jsonl"
        self._about = json.loads(json.dumps({"clue_dialogues": 1, **self.about}))
        try:
            self.dialogues.parent.mkdir(parents=True, exist_ok=True)
            if self.tried.exists() and not self.fresh:
                self._resume()
            else:
                self.dialogues.write_bytes(b"")
                self.tried.write_text(json.dumps(self._about) + "\n", encoding="utf-8")
        except OSError as error:
            raise ClueError(f"cannot write to {self.folder}: {error.strerror}; choose another --output") from error

    def add(self, key: str, outcome: str, sample: Optional[Sample], paraphrased: bool) -> None:
        if sample is not None:
            name = Path(os.path.relpath(os.path.abspath(sample.file.path), os.path.abspath(self.images))).as_posix()
            entry = {**json.loads(to_line(sample, name)), "id": f"machine/{key}"}
            with open(self.dialogues, "a", encoding="utf-8") as file:
                file.write(json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n")
        line = {
            "key": key,
            "outcome": outcome,
            "turns": len(sample.turns) if sample else 0,
            "paraphrased": paraphrased,
            "end": self.dialogues.stat().st_size,
        }
        with open(self.tried, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._count(line)

    def _count(self, line: Dict[str, Any]) -> None:
        self.done.add(line["key"].rsplit("/", 1)[0])
        self.counts[line["outcome"]] += 1
        self.counts["paraphrased"] += bool(line["paraphrased"])
        if line["outcome"] == KEPT:
            self.counts[f"{line['turns']} questions"] += 1

    def _resume(self) -> None:
        data = self.tried.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]  # a process that was killed may leave half a line
        self.tried.write_bytes(whole)
        end = 0
        for number, line in enumerate(whole.decode("utf-8").splitlines()):
            try:
                entry = json.loads(line)
                if number:
                    self._count(entry)
                    end = int(entry["end"])
                    continue
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(
                    f"{self.tried}, line {number + 1} is none of a run of dialogues: delete the file"
                ) from error
            if entry != self._about:
                changed = [k for k in {**entry, **self._about} if entry.get(k) != self._about.get(k)]
                raise DataError(
                    f"{self.folder} holds another run's dialogues (other {', '.join(changed)}): choose another "
                    "--output, or --fresh to throw them away"
                )
        with open(self.dialogues, "r+b") as file:
            file.truncate(end)


Tried = List[tuple]  # what Maker.dialogues returns


def make(
    pictures: Iterable[Picture],
    dialogues: Callable[[Iterator[Picture]], Iterable[Tried]],
    output: Output,
    wanted: Optional[int] = None,
    progress: Callable[[int], Any] = lambda kept: None,
) -> Counter:
    """Until `wanted` dialogues are kept or the pictures end; returns the counts of what came of every target. A picture
    is done whole before anything of it is written. dialogues: Maker.dialogues of every picture, in order; progress:
    called with dialogues just kept."""

    def enough() -> bool:
        return wanted is not None and output.counts[KEPT] >= wanted

    progress(output.counts[KEPT])
    todo = (picture for picture in pictures if picture.key not in output.done and picture.instances)
    for tried in () if enough() else dialogues(todo):
        for key, outcome, sample, paraphrased in tried:
            output.add(key, outcome, sample, paraphrased)
            progress(int(outcome == KEPT))
        if enough():
            break
    return output.counts
