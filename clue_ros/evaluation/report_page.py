"""Results of suites as one HTML page that needs nothing else: tables, curves, and pictures with attention maps."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from clue_ros.evaluation.report_template import TABLE, TEMPLATE
from clue_ros.measures import results as form
from clue_ros.measures.plots import svg
from clue_ros.measures.results import Cell, Picture, Results, Table
from clue_ros.types import ClueError
from clue_ros.version import VERSION

TYPES = {".webp": "image/webp", ".png": "image/png", ".jpg": "image/jpeg"}
MAX_PICTURE = 8 << 20  # bytes


def page(runs: Sequence[Tuple[Results, Path]], title: str = "Evaluation") -> str:
    """The HTML of (results, their folder) pairs. All text is escaped; pictures are taken from inside the folders only.

    Raises ClueError without the Python package jinja2.
    """
    try:
        from jinja2 import Environment
        from markupsafe import Markup
    except ImportError as error:
        raise ClueError(f"the page needs the Python package jinja2 ({error}): pip install jinja2") from error
    environment = Environment(autoescape=True, trim_blocks=True)
    cells = environment.from_string(TABLE)
    return environment.from_string(TEMPLATE).render(
        title=title,
        version=VERSION,
        runs=[_run(results, folder) for results, folder in runs],
        overviews=overviews(runs),
        shown=form.shown,
        goal=form.goal_text,
        percent=_percent,
        table=lambda t: Markup(cells.render(t=t, shown=form.shown)),
    )


def overviews(runs: Sequence[Tuple[Results, Path]]) -> List[Table]:
    """For each suite that was run more than once: its headline figures side by side."""
    found = []
    for suite in dict.fromkeys(r.suite for r, _ in runs):
        names = [_name(r, folder) for r, folder in runs if r.suite == suite]
        own = [r for r, _ in runs if r.suite == suite]
        if len(own) < 2:
            continue
        labels = {(m.label, m.column): m.form for r in own for m in r.measures}
        rows: List[Tuple[Cell, ...]] = []
        for (label, column), kind in labels.items():
            text = f"{label}, {column}" if column else label
            rows.append((text, *(_figure(r, label, column, kind) for r in own)))
        found.append(Table(f"{own[0].title}: side by side", ("figure", *names), tuple(rows)))
    return found


def _figure(results: Results, label: str, column: str, kind: str) -> Cell:
    own = [m for m in results.measures if (m.label, m.column) == (label, column)]
    return form.shown(own[0].estimate, kind) if own else None


def _run(results: Results, folder: Path) -> Dict[str, Any]:
    pictures = [(p, _picture_uri(folder, p)) for p in results.pictures]
    shown = [{"title": p.title, "uri": uri, "success": p.success} for p, uri in pictures if uri is not None]
    conditions, lines = form.by_condition(results.measures)
    return {
        "results": results,
        "name": _name(results, folder),
        "conditions": conditions,
        "lines": lines,
        "curves": [{"title": c.title, "uri": _uri("image/svg+xml", svg(c).encode())} for c in results.curves],
        "galleries": [
            ("Failures", [p for p in shown if not p["success"]]),
            ("Successes", [p for p in shown if p["success"]]),
        ],
    }


def _name(results: Results, folder: Path) -> str:
    """'out/evaluate/tabletop' of the embedded model: 'tabletop: embedded'. Whole paths are below, in "What was run"."""
    parts = [Path(str(results.about[key])).name for key in ("model", "data") if results.about.get(key)]
    return f"{Path(folder).resolve().name}: {' on '.join(parts) or results.suite}"


def _picture_uri(folder: Path, picture: Picture) -> Optional[str]:
    """None for what is no picture inside the folder: a results file from elsewhere must not bring other files in."""
    root, path = Path(folder).resolve(), (Path(folder) / picture.file).resolve()
    if root not in path.parents or path.suffix not in TYPES or not path.is_file() or path.stat().st_size > MAX_PICTURE:
        return None
    return _uri(TYPES[path.suffix], path.read_bytes())


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _percent(value: float) -> str:
    return f"{100 * min(1.0, max(0.0, float(value))):.2f}"
