"""What is true about the instructions of a bag: JSON on the topic `truth` (std_msgs/String), or lines of a file.

    {"expression": "hand me the mug", "truth": "ambiguous", "box": [310, 200, 362, 261], "kind": "ambiguous_color"}

`expression`: the instruction, or the correction, word for word; `truth`: clear, ambiguous, absent, or withdrawn (the
words take the last target back); `box`: of the object that the person means, [x0, y0, x1, y1] in pixels of the recorded
image, null if absent or withdrawn; `kind`: any word by which results are grouped
(default: the truth). Other keys are notes for people; `clue record` adds episode, seed, questions and answers.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from clue_ros.bags.errors import TruthError
from clue_ros.bags.events import WITHDRAWN
from clue_ros.evaluation.episode_runner import Score, score_episode
from clue_ros.types import Box

TRUTHS = ("clear", "ambiguous", "absent", WITHDRAWN)


@dataclass(frozen=True)
class Truth:
    """time: ns at which it was recorded; 0 for a line of a file. `box` in pixels of the recorded image."""

    expression: str
    truth: str
    box: Optional[Box]
    kind: str
    time: int = 0


def parse_truth(text: str, where: str, time: int = 0) -> Truth:
    """Raises TruthError naming `where` and the key."""
    try:
        row = json.loads(text)
    except ValueError as error:
        raise TruthError(f"{where} is not JSON ({error})") from error
    if not isinstance(row, dict):
        raise TruthError(f"{where} is a {type(row).__name__}, it must be an object with expression, truth and box")
    expression, truth, kind = row.get("expression"), row.get("truth"), row.get("kind")
    if not isinstance(expression, str) or not expression.strip():
        raise TruthError(f"{where}: expression is {expression!r}; give the instruction word for word")
    if truth not in TRUTHS:
        raise TruthError(f"{where}: truth is {truth!r}; give one of {', '.join(TRUTHS)}")
    if kind is not None and not isinstance(kind, str):
        raise TruthError(f"{where}: kind is {kind!r}; give a word, or leave it away")
    return Truth(expression.strip(), truth, _box(row, truth, where), kind or truth, time)


def read_truths(path: Path) -> List[Truth]:
    """A JSONL file, one instruction a line, in the order in which they were said. Raises TruthError."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TruthError(f"cannot read {path}: {error}") from error
    return [parse_truth(line, f"{path} line {n}") for n, line in enumerate(lines, 1) if line.strip()]


def assign(truths: Sequence[Truth], speech: Sequence[Tuple[int, str]]) -> Tuple[Dict[int, Truth], List[Truth]]:
    """Which speech message each truth is about, {index: truth}, and the truths whose words nobody says.

    In order: a truth belongs to the first message with its words that is behind the one before it and not earlier than
    the truth itself. `speech`: (time in ns, text) of every message.
    """
    found: Dict[int, Truth] = {}
    unsaid: List[Truth] = []
    start = 0
    for truth in truths:
        index = next(
            (
                i for i in range(start, len(speech))
                if speech[i][0] >= truth.time and speech[i][1].strip() == truth.expression
            ),
            None,
        )  # fmt: skip
        if index is None:
            unsaid.append(truth)
        else:
            found[index], start = truth, index + 1
    return found, unsaid


def score(truth: Truth, outcome: str, questions_asked: int, box: Optional[Box]) -> Score:
    """As evaluation's `score_episode`; withdrawn: the words took the target back, and looked for no other."""
    if truth.truth != WITHDRAWN:
        return score_episode(truth.truth, outcome, questions_asked, box, truth.box)
    success = outcome == WITHDRAWN
    return Score(success, None, "" if success else f"{outcome} instead of withdrawn")


def _box(row: Dict[str, Any], truth: str, where: str) -> Optional[Box]:
    value = row.get("box")
    if truth in ("absent", WITHDRAWN):
        if value is not None:
            raise TruthError(f"{where}: where the truth is {truth} there is no box; leave it away")
        return None
    if value is None or not _is_a_box(value):
        raise TruthError(f"{where}: box is {value!r}; give [x0, y0, x1, y1] in pixels with x0 < x1 and y0 < y1")
    x0, y0, x1, y1 = (float(v) for v in value)
    return Box(x0, y0, x1, y1)


def _is_a_box(value: Any) -> bool:
    numbers = (
        isinstance(value, list)
        and len(value) == 4
        and all(isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) for v in value)
    )
    return numbers and value[0] < value[2] and value[1] < value[3]
