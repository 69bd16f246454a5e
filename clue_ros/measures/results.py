"""What a suite found, in one form for every suite: headline figures, tables, curves, pictures; JSON, CSV and text."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from clue_ros.measures.bootstrap import Estimate
from clue_ros.types import ClueError

FILE = "results.json"
SUMMARY = "summary.csv"
ROWS_TABLE = "rows.csv"
FORMAT = 1  # of results.json

Cell = Union[None, str, int, float, Estimate]


class ResultsError(ClueError):
    """A folder holds no results, or results that cannot be read."""


@dataclass(frozen=True)
class Measure:
    """One headline figure. form: 'rate' (shown in per cent), 'share' (0.000) or 'number'; goal: what it should reach,
    at least, or at most where `at_most`; column: the condition that it belongs to, such as 'in distribution'."""

    name: str
    label: str
    estimate: Estimate
    form: str = "share"
    goal: Optional[float] = None
    at_most: bool = False
    column: str = ""

    @property
    def reached(self) -> Optional[bool]:
        """Whether the goal is reached by the figure itself; None without a goal or a figure."""
        if self.goal is None or self.estimate.value is None:
            return None
        return self.estimate.value <= self.goal if self.at_most else self.estimate.value >= self.goal


@dataclass(frozen=True)
class Table:
    """rows: text, numbers or Estimates; the first column is text. form: how the Estimates are shown (see Measure)."""

    title: str
    columns: Tuple[str, ...]
    rows: Tuple[Tuple[Cell, ...], ...]
    form: str = "share"


@dataclass(frozen=True)
class Series:
    """One line: x and y of equal length, and a band from `low` to `high` where there is one. color: number in the
    palette, so that what belongs together looks alike; None: the line's own."""

    label: str
    x: Tuple[float, ...]
    y: Tuple[Optional[float], ...]
    low: Tuple[Optional[float], ...] = ()
    high: Tuple[Optional[float], ...] = ()
    color: Optional[int] = None


def series_of(label: str, x: Tuple[float, ...], estimates: Sequence[Estimate]) -> Series:
    """A line of estimates with the band of their intervals."""
    return Series(
        label, x, tuple(e.value for e in estimates), tuple(e.low for e in estimates), tuple(e.high for e in estimates)
    )


@dataclass(frozen=True)
class Curve:
    """One diagram; both axes go from 0 to 1. diagonal: draw y = x for orientation; name: of its file."""

    name: str
    title: str
    x_label: str
    y_label: str
    series: Tuple[Series, ...]
    diagonal: bool = False
    markers: bool = False


@dataclass(frozen=True)
class Picture:
    """One episode's picture; file: relative to the results' folder."""

    file: str
    title: str
    success: bool


@dataclass(frozen=True)
class Results:
    """All that one run of a suite found. about: what was run on what, JSON values; notes: what a reader must know;
    explanation: what was done and what counts, for who reads the figures first."""

    suite: str
    title: str
    about: Dict[str, Any]
    measures: Tuple[Measure, ...] = ()
    tables: Tuple[Table, ...] = ()
    curves: Tuple[Curve, ...] = ()
    notes: Tuple[str, ...] = ()
    pictures: Tuple[Picture, ...] = ()
    complete: bool = True
    explanation: str = ""

    def with_(self, **changes: Any) -> "Results":
        return replace(self, **changes)


def together(curves: Sequence[Tuple[str, Curve]]) -> Curve:
    """The same diagram of several conditions (name, diagram) in one, one colour each."""
    series = [
        replace(s, label=f"{name}: {s.label}", color=number)
        for number, (name, curve) in enumerate(curves)
        for s in curve.series
    ]
    return replace(curves[0][1], series=tuple(series))


def by_condition(measures: Sequence[Measure]) -> Tuple[Tuple[str, ...], List[Tuple[str, List[Optional[Measure]]]]]:
    """(conditions, lines): a line has a label and that measure under each condition, None where there is none."""
    columns = tuple(dict.fromkeys(m.column for m in measures))
    lines: Dict[str, List[Optional[Measure]]] = {}
    for m in measures:
        lines.setdefault(m.label, [None] * len(columns))[columns.index(m.column)] = m
    return columns, list(lines.items())


def to_dict(results: Results) -> Dict[str, Any]:
    """JSON values; `from_dict` is the inverse."""
    return {"format": FORMAT, **_plain(results)}


def from_dict(content: Mapping[str, Any]) -> Results:
    """Raises ResultsError for anything that `to_dict` did not make."""
    try:
        if content["format"] != FORMAT:
            raise ResultsError(f"format {content['format']} of results is not known: run the suite again")
        measures = tuple(Measure(**{**m, "estimate": Estimate(**m["estimate"])}) for m in content["measures"])
        tables = tuple(
            Table(t["title"], tuple(t["columns"]), tuple(tuple(_cell(c) for c in row) for row in t["rows"]), t["form"])
            for t in content["tables"]
        )
        curves = tuple(Curve(**{**c, "series": tuple(_series(s) for s in c["series"])}) for c in content["curves"])
        return Results(
            str(content["suite"]),
            str(content["title"]),
            dict(content["about"]),
            measures,
            tables,
            curves,
            tuple(map(str, content["notes"])),
            tuple(Picture(**p) for p in content["pictures"]),
            bool(content["complete"]),
            str(content.get("explanation", "")),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ResultsError(f"this is not a suite's {FILE} ({type(error).__name__}: {error})") from error


def load(path: Path) -> Tuple[Results, Path]:
    """(results, their folder) of a folder or of its results.json. Raises ResultsError."""
    file = Path(path) / FILE if Path(path).is_dir() else Path(path)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ResultsError(f"{file} is missing: give the output folder of clue evaluate") from error
    except (OSError, ValueError) as error:
        raise ResultsError(f"{file} cannot be read: {error}") from error
    if not isinstance(content, dict) or "format" not in content:
        raise ResultsError(f"{file} is not a suite's {FILE}: give the output folder of clue evaluate")
    return from_dict(content), file.parent


def save(results: Results, rows: Sequence[Mapping[str, Any]], folder: Path) -> List[Path]:
    """Write results.json, summary.csv and rows.csv into a folder; returns the paths."""
    folder = Path(folder)
    json_file, summary, table = folder / FILE, folder / SUMMARY, folder / ROWS_TABLE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = json_file.with_suffix(".part")
        partial.write_text(
            json.dumps(to_dict(results), indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
        )
        os.replace(partial, json_file)
        with open(summary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["measure", "condition", "value", "low", "high", "count", "goal", "reached"])
            for m in results.measures:
                e, goal = m.estimate, "" if m.goal is None else f"{'<=' if m.at_most else '>='} {m.goal}"
                writer.writerow([m.name, m.column, e.value, e.low, e.high, e.count, goal, m.reached])
        columns = list(dict.fromkeys(key for row in rows for key in row))
        with open(table, "w", newline="", encoding="utf-8") as file:
            flat = csv.writer(file)
            flat.writerow(columns)
            flat.writerows([_flat(row.get(key)) for key in columns] for row in rows)
    except OSError as error:
        raise ClueError(f"cannot write results to {folder}: {error.strerror}; choose another --output") from error
    return [json_file, summary, table]


def shown(cell: Cell, form: str = "share") -> str:
    """A cell as people read it: '0.921 (0.898–0.941)', '92.1 % (89.8–94.1)', '-' for nothing."""
    if cell is None:
        return "-"
    if isinstance(cell, Estimate):
        if cell.value is None:
            return "-"
        text = _number(cell.value, form)
        if cell.low is None or cell.high is None:
            return text
        return f"{text} ({_number(cell.low, form).removesuffix(' %')}–{_number(cell.high, form).removesuffix(' %')})"
    if isinstance(cell, float):
        return _number(cell, form)
    return str(cell)


def goal_text(measure: Measure) -> str:
    """'≥ 0.95', '≤ 3 %' or ''."""
    if measure.goal is None:
        return ""
    value = f"{measure.goal * 100:g} %" if measure.form == "rate" else f"{measure.goal:g}"
    return f"{'≤' if measure.at_most else '≥'} {value}"


def _number(value: float, form: str) -> str:
    if form == "rate":
        return f"{value * 100:.1f} %"
    return f"{value:.2f}" if form == "number" else f"{value:.3f}"


def _flat(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value


def _series(value: Mapping[str, Any]) -> Series:
    fields: Dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
    return Series(**fields)


def _cell(value: Any) -> Cell:
    return Estimate(**value) if isinstance(value, dict) else value


def _plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return {k: _plain(v) for k, v in value.items()} if isinstance(value, dict) else value
