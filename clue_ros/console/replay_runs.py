"""Runs of `clue evaluate` and of the demo as recordings: their rows, beside the images that the rows were about.

A run keeps no images and no maps. Those of rendered scenes follow from the row (seed and number), so they are rendered
again, when somebody opens the episode; for photographs there are the words and figures alone.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

import numpy as np

from clue_ros.console.dialogue import PERSON, ROBOT, Found, Reading
from clue_ros.console.pictures import Frame, Pictures
from clue_ros.console.replay import Episode, Recorded, Steps, Told, tell
from clue_ros.dialogue import phrases
from clue_ros.dialogue.steps import End
from clue_ros.types import Box, ClueError

ROWS, SUMMARY = "rows.jsonl", "summary.json"
MAX_BYTES = 256 << 20
DEMO_SIZE = (640, 480)

Row = Mapping[str, Any]


def read_run(path: Path) -> Recorded:
    """The output folder of a suite (rows.jsonl) or of the demo (summary.json), or the JSON file of `clue evaluate
    demo`.

    Raises ClueError where it is none of these.
    """
    path = Path(path)
    scenes = _Scenes()
    if (path / ROWS).is_file():
        rows = [row for row in _suite_rows(path / ROWS) if isinstance(row.get("expression"), str)]
        episodes = [_episode(row, scenes.of_suite(row)) for row in rows]
    else:
        file = path / SUMMARY if path.is_dir() else path
        content = _json(file, _text(file))
        rows = content.get("episodes") if isinstance(content, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) and "expression" in row for row in rows):
            raise ClueError(f"{file} holds no episodes: give the output of clue evaluate, or of the demo")
        seed = content.get("seed")
        episodes = [
            _episode(row, scenes.of_demo(row.get("seed", seed), row.get("index", number)))
            for number, row in enumerate(rows)
        ]
    if not episodes:
        raise ClueError(f"{path} holds no dialogue: nothing to step through")
    return Recorded(path.name or str(path), episodes, scenes.close)


class _Scenes:
    """Renders scenes anew, in the one thread that asks; an OpenGL context belongs to its thread."""

    def __init__(self) -> None:
        self._renderers: Dict[Tuple[int, int], Any] = {}

    def of_demo(self, seed: Any, index: Any) -> Optional[Callable[[], np.ndarray]]:
        """The image of the demo's episode; None where the row does not say which it was."""
        if not _is_count(seed) or not _is_count(index):
            return None

        def render() -> np.ndarray:
            from clue_ros.evaluation.episode_runner import derive_episode

            return self._renderer(DEMO_SIZE).render(derive_episode(seed, index).scene, depth=False).rgb

        return render

    def of_suite(self, row: Row) -> Optional[Callable[[], np.ndarray]]:
        """The image of a row of the suite `tabletop`; None for another suite's."""
        from clue_ros.evaluation.tabletop_conditions import CONDITIONS

        name, _, number = str(row.get("image", "")).rpartition("/")
        condition = next((c for c in CONDITIONS["both"] if c.name == name), None)
        if condition is None or not number.isdecimal() or len(number) > 9:
            return None

        def render() -> np.ndarray:
            from clue_ros.simulation.dataset import ASPECTS

            size = ASPECTS[int(number) % len(ASPECTS)]
            return self._renderer(size).render(condition.scene(condition.seed, int(number)), depth=False).rgb

        return render

    def close(self) -> None:
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()

    def _renderer(self, size: Tuple[int, int]) -> Any:
        from clue_ros.simulation.renderer import TabletopRenderer

        if size not in self._renderers:
            self._renderers[size] = TabletopRenderer(*size)
        return self._renderers[size]


def _episode(row: Row, render: Optional[Callable[[], np.ndarray]]) -> Episode:
    outcome, truth = str(row.get("outcome", "")), str(row.get("truth") or "unknown")
    wrong = f"wrong: {row.get('reason') or 'not the right box'}"
    judged = "" if row.get("success") is None else "right" if row["success"] else wrong
    title = f"{row['expression']} ({', '.join(filter(None, (truth, outcome.replace('_', ' '), judged)))})"
    return Episode(title, partial(_build, row, outcome, render))


def _build(row: Row, outcome: str, render: Optional[Callable[[], np.ndarray]], pictures: Pictures) -> Steps:
    frame = None if render is None else pictures.freeze(Frame(0, render))
    expression = str(row["expression"])
    probability = row.get("probability")
    first = None
    if isinstance(probability, (int, float)):
        ambiguous = bool(row.get("said_ambiguous", row.get("questions")))
        first = Reading(expression, float(probability), float(row.get("threshold") or 0.5), ambiguous, (), frame)
    lines: List[Told] = [Told(PERSON, expression, 0.0)]
    questions, answers = list(row.get("questions") or ()), list(row.get("answers") or ())
    for n, question in enumerate(questions):
        lines.append(Told(ROBOT, str(question), 0.0, first if n == 0 else None))
        if n < len(answers):
            lines.append(Told(PERSON, str(answers[n]), 0.0))
    box, found = row.get("box"), None
    if outcome == "found" and isinstance(box, list) and len(box) == 4:
        found = Found(Box(*map(float, box)), float(row.get("confidence") or 0.0), expression)
    lines.append(
        Told(
            ROBOT,
            _closing(outcome, expression),
            0.0,
            None if questions else first,
            found,
            outcome or "error",
            str(row.get("reason") or ""),
        )
    )
    return tell(lines, frame)


def _closing(outcome: str, expression: str) -> str:
    """What the robot said last: a run keeps how it ended, not the words."""
    ends = {end.value: end for end in End}
    return (
        phrases.closing(ends[outcome], expression)
        if outcome in ends
        else f"({outcome.replace('_', ' ') or 'no result'})"
    )


def _suite_rows(file: Path) -> List[Row]:
    rows: List[Row] = []
    for number, line in enumerate(_text(file).splitlines(), 1):
        if number == 1 or not line.strip():
            continue
        entry = _json(file, line)
        if not isinstance(entry, dict) or not isinstance(entry.get("rows"), list):
            raise ClueError(f"{file}, line {number} is not a row of a suite")
        rows += [row for row in entry["rows"] if isinstance(row, dict)]
    return rows


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ClueError(f"{file} has more than {MAX_BYTES >> 20} MiB")
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ClueError(
            f"{file} cannot be read ({error}): give a bag, or the output of clue evaluate or of the demo"
        ) from error


def _json(file: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ClueError(f"{file} is not JSON ({error})") from error


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
