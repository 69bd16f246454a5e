"""The bench's results on disk after every row: JSON with everything, CSV with one line a row."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any, Dict, List, Tuple

from clue_ros.lab.bench.targets import judge
from clue_ros.types import ClueError

Row = Dict[str, Any]
COLUMNS: Tuple[str, ...] = (
    "model",
    "device",
    "id",
    "title",
    "ours_p50_ms",
    "ours_p95_ms",
    "plain_p50_ms",
    "plain_p95_ms",
    "ratio",
    "floor_ms",
    "times_floor",
    "gflop",
    "read_mb",
    "tokens",
    "rounds",
    "peak_mb",
    "plain_peak_mb",
    "times_weights",
    "targets",
    "note",
)


class Results:
    """Rows, subjects and skips of one run; both files are replaced as a whole, so they can always be read."""

    def __init__(self, path: Path, about: Dict[str, Any]):
        """path: of the JSON; the CSV lies beside it. Raises ClueError if the folder cannot be written."""
        self.json_path, self.csv_path = Path(path), Path(path).with_suffix(".csv")
        self._about = about
        self.rows: List[Row] = []
        self.subjects: List[Dict[str, Any]] = []
        self.skipped: List[Dict[str, Any]] = []
        try:
            self.json_path.parent.mkdir(parents=True, exist_ok=True)
            self.save(complete=False)
        except OSError as error:
            raise ClueError(
                f"cannot write results to {self.json_path}: {error.strerror}; choose another --json"
            ) from error

    def add(self, row: Row) -> None:
        """Judge and keep a row. Rows that compare with one that came later are judged again."""
        self.rows.append(row)
        for each in self.rows:
            each["targets"] = judge(each, self.rows)
        self.save(complete=False)

    def save(self, complete: bool) -> None:
        content = {
            **self._about,
            "complete": complete,
            "subjects": self.subjects,
            "skipped": self.skipped,
            "rows": self.rows,
        }
        _replace(self.json_path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        partial = self.csv_path.with_name(self.csv_path.name + ".part")
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(_flat(row) for row in self.rows)
        os.replace(partial, self.csv_path)


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".part")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def _flat(row: Row) -> Dict[str, Any]:
    ours, plain = row.get("ours") or {}, row.get("plain") or {}
    scaled = lambda value, factor: None if value is None else round(value * factor, 4)  # noqa: E731
    verdicts = {True: "holds", False: "missed", None: "open"}
    return {
        **{key: row.get(key) for key in ("model", "device", "id", "title", "tokens", "note")},
        "ours_p50_ms": scaled(ours.get("p50"), 1e3),
        "ours_p95_ms": scaled(ours.get("p95"), 1e3),
        "plain_p50_ms": scaled(plain.get("p50"), 1e3),
        "plain_p95_ms": scaled(plain.get("p95"), 1e3),
        "ratio": scaled(row.get("ratio"), 1),
        "floor_ms": scaled(row.get("floor_s"), 1e3),
        "times_floor": scaled(row.get("times_floor"), 1),
        "gflop": scaled(row.get("flops"), 1e-9),
        "read_mb": scaled(row.get("bytes"), 1e-6),
        "rounds": len(ours.get("seconds", [])),
        "peak_mb": scaled(row.get("peak_bytes"), 1e-6),
        "plain_peak_mb": scaled(row.get("plain_peak_bytes"), 1e-6),
        "times_weights": scaled(row.get("times_weights"), 1),
        "targets": "; ".join(f"{t['target']}: {verdicts[t['holds']]}" for t in row.get("targets", [])),
    }
