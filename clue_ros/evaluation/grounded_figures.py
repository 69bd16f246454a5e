"""Grounded recall, precision and F1, by the definitions of Grounding-Bench (LLaVA-Grounding, 2023, section 2 and Fig.
3).

    P = TP_pred / N_pred   share of the groundings (a phrase with a box) that are right
    R = TP_gt / N_gt       share of the annotated things that a right grounding names
    F1 = 2 P R / (P + R)

A grounding is right where its box overlaps an annotated one by IoU > 0.5 and its words mean that thing. The paper asks
GPT-4 whether they do; here the scene's truth decides, or the phrase's head noun (language/naming.py), or a program.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from clue_ros.data.line_program import LineProgram
from clue_ros.geometry import box_iou
from clue_ros.language.naming import Naming
from clue_ros.prompt import clean
from clue_ros.simulation.question_reading import reference_of
from clue_ros.types import Box, ClueError

OVERLAP = 0.5  # exceeded


@dataclass(frozen=True)
class Truth:
    """One annotated thing. names: what it may be called, the first one its category; color: of a scene's thing, None
    where nobody knows; wanted: False for what need not be named (hardly visible, or not asked for) though naming it is
    right."""

    box: Box
    names: Tuple[str, ...]
    color: Optional[str] = None
    wanted: bool = True


@dataclass(frozen=True)
class Counts:
    """Of one answer."""

    right: int  # TP_pred
    given: int  # N_pred
    found: int  # TP_gt
    wanted: int  # N_gt


Means = Callable[[str, Truth], bool]


class Matching(NamedTuple):
    """about: JSON that says by what rule; two runs of different rules are not compared."""

    about: Dict[str, Any]
    means: Means


def count(groundings: Sequence[Tuple[str, Box]], truths: Sequence[Truth], means: Means) -> Counts:
    """groundings: (words of the phrase, box). Two groundings of one thing are both right, and the thing is found once,
    as in the paper (its example has TP_pred 4 and TP_gt 3)."""
    hit, right = set(), 0
    for words, box in groundings:
        there = [i for i, t in enumerate(truths) if box_iou(Box(*box), t.box) > OVERLAP and means(words, t)]
        right += bool(there)
        hit.update(there)
    return Counts(right, len(groundings), sum(truths[i].wanted for i in hit), sum(t.wanted for t in truths))


def scene_means(words: str, truth: Truth) -> bool:
    """By the scene's truth: a kind or a colour that is said has to be the thing's own; "a thing" says neither."""
    said = reference_of(clean(words))
    return said.category in (None, truth.names[0]) and said.color in (None, truth.color)


def read_synonyms(file: Path) -> Dict[str, List[str]]:
    """{"cup": ["mug", "teacup"]}. Raises ClueError."""
    try:
        values = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ClueError(f"the synonyms {file} cannot be read: {error}") from error
    if not isinstance(values, dict) or not all(
        isinstance(v, list) and all(isinstance(w, str) for w in v) for v in values.values()
    ):
        raise ClueError(f'the synonyms {file} must be an object of lists of names, as {{"cup": ["mug"]}}')
    return values


def by_names(synonyms: Mapping[str, Sequence[str]] = {}) -> Matching:
    """The phrase's head noun means one of the thing's names. synonyms: name -> other names and kinds of it, beside what
    is known of COCO's names."""
    naming = Naming(synonyms)
    about = {"rule": "head noun", "synonyms": {name: list(words) for name, words in synonyms.items()}}
    return Matching(about, lambda words, truth: any(naming.means(words, name) for name in truth.names))


class Judge:
    """A program decides, as the paper lets GPT-4 do: a line {"phrase": "a man in red", "name": "person", "names": []}
    in, a line {"means": true} out; "names" has what else the thing is called. It is asked about each pair once."""

    def __init__(self, arguments: Sequence[str]):
        """Raises ClueError if the program cannot be started."""
        self._program = LineProgram("judge command", arguments)
        self._said: Dict[Tuple[str, Tuple[str, ...]], bool] = {}
        self.matching = Matching({"rule": "command", "command": list(arguments)}, self._means)

    def close(self) -> None:
        self._program.close()

    def _means(self, words: str, truth: Truth) -> bool:
        """Raises ClueError if the program ends, is silent, or answers anything else."""
        if (words, truth.names) not in self._said:
            request = {"phrase": words, "name": truth.names[0], "names": list(truth.names[1:])}
            try:
                means = self._program.ask(request).get("means")
            except ValueError as error:
                raise ClueError(f"the judge command must write JSON objects: {error}") from error
            if not isinstance(means, bool):
                raise ClueError(f'the judge command must say {{"means": true}} or false, not {means!r}')
            self._said[words, truth.names] = means
        return self._said[words, truth.names]
