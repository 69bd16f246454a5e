"""The demo's episodes over many seeds: how often does each kind succeed? Results are on disk after every episode."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from clue_ros.evaluation.episode_runner import EpisodeResult, derive_episode, failed_result, person_rng, run_episode
from clue_ros.measures.metrics import mean, median, wilson_interval
from clue_ros.seams import Grounder
from clue_ros.types import ClueError

COLUMNS = (
    "seed",
    "index",
    "kind",
    "expression",
    "truth",
    "outcome",
    "success",
    "reason",
    "probability",
    "questions_asked",
    "box",
    "iou",
    "latency_s",
)

Row = Dict[str, Any]


def play(
    grounder: Grounder,
    seeds: Sequence[int],
    *,
    size: Tuple[int, int] = (640, 480),
    max_questions: int = 3,
    threshold: Optional[float] = None,
    on_result: Optional[Callable[[int, int, np.ndarray, EpisodeResult], None]] = None,
) -> Iterator[Row]:
    """Play one episode of each kind for every seed and yield its row.

    An episode in which the model raises a ClueError counts as failed with outcome 'error'. `on_result(seed, index,
    rgb, result)` gets what `picture_of` needs.
    """
    from clue_ros.simulation.episodes import EpisodeKind
    from clue_ros.simulation.renderer import TabletopRenderer

    with TabletopRenderer(*size) as renderer:
        for seed in seeds:
            for index in range(len(EpisodeKind)):
                episode = derive_episode(seed, index)
                view = renderer.render(episode.scene)
                try:
                    result = run_episode(
                        grounder,
                        view,
                        episode,
                        rng=person_rng(seed, index),
                        max_questions=max_questions,
                        threshold=threshold,
                    )
                except ClueError as error:
                    result = failed_result(episode, str(error))
                if on_result is not None:
                    on_result(seed, index, view.rgb, result)
                yield {"seed": seed, "index": index, **result.to_dict()}


def summarise(rows: Sequence[Row]) -> List[Dict[str, Any]]:
    """One summary a kind, in the order of appearance, then 'all'. Rates come with 95 % Wilson intervals."""
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    return [_summary(kind, [row for row in rows if row["kind"] == kind]) for kind in kinds] + [_summary("all", rows)]


def _summary(kind: str, rows: Sequence[Row]) -> Dict[str, Any]:
    successes = sum(bool(row["success"]) for row in rows)
    asked = sum(bool(row["questions"]) for row in rows)
    return {
        "kind": kind,
        "episodes": len(rows),
        "successes": successes,
        "success_rate": successes / len(rows) if rows else None,
        "success_interval": list(wilson_interval(successes, len(rows))),
        "asked_rate": asked / len(rows) if rows else None,
        "asked_interval": list(wilson_interval(asked, len(rows))),
        "mean_questions": mean([len(row["questions"]) for row in rows]),
        "mean_iou": mean([row["iou"] for row in rows if row["iou"] is not None]),
        "p50_latency_s": median([row["latency_s"] for row in rows if row["outcome"] != "error"]),
    }


class ResultFiles:
    """Writes rows as they come: a CSV line each, and the whole JSON replaced at once; both are always readable."""

    def __init__(self, output: Path, about: Dict[str, Any]):
        """`output`: the JSON file; the CSV lies beside it. Raises ClueError if the folder cannot be written."""
        self.json_path = Path(output)
        self.csv_path = self.json_path.with_suffix(".csv")
        self._about = about
        self._rows: List[Row] = []
        try:
            self.json_path.parent.mkdir(parents=True, exist_ok=True)
            with self.csv_path.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerow(COLUMNS)
        except OSError as error:
            raise ClueError(
                f"cannot write results to {self.csv_path}: {error.strerror}; choose another --output"
            ) from error

    def add(self, row: Row) -> None:
        self._rows.append(row)
        flat = {**row, "questions_asked": len(row["questions"])}
        with self.csv_path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow([flat.get(column) for column in COLUMNS])
        self.save(complete=False)

    def save(self, complete: bool) -> None:
        """Replace the JSON file by the present state."""
        content = {**self._about, "complete": complete, "summary": summarise(self._rows), "episodes": self._rows}
        partial = self.json_path.with_name(self.json_path.name + ".part")
        partial.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(partial, self.json_path)
