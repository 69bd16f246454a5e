"""Two models on the same items: differences with paired bootstrap intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from clue_ros.evaluation.rows import FILE, Row, read_rows
from clue_ros.measures.bootstrap import Estimate, Values, paired_difference
from clue_ros.measures.results import Cell, Table
from clue_ros.types import ClueError

Terms = Mapping[str, Tuple[Values, Values]]
MAY_DIFFER = ("model", "fingerprint", "quantization", "dtype", "threshold")


def comparison(
    terms_of: Callable[[Sequence[Row]], Terms], rows: Sequence[Row], about: Mapping[str, Any], other: Path
) -> Table:
    """One line a figure: that run's, this run's, the difference with its interval, whether the interval leaves out 0.

    terms_of: the suite's ratios; other: the folder of a run of the same suite with another model. Only items that both
    runs have are counted. Raises ClueError where the other run was of other items or options.
    """
    their_about, theirs = comparable(about, other)
    shared = {r["item"] for r in theirs}
    order = {item: n for n, item in enumerate(dict.fromkeys(r["item"] for r in rows if r["item"] in shared))}
    ours, theirs = ([r for r in run if r["item"] in order] for run in (rows, theirs))
    image = {r["item"]: str(r.get("image", r["item"])) for r in ours}
    groups = [image[item] for item in order]
    lines: List[Tuple[Cell, ...]] = []
    after, before = terms_of(ours), terms_of(theirs)
    for label in (name for name in after if name in before):
        old, new = _by_item(theirs, before[label], order), _by_item(ours, after[label], order)
        difference = paired_difference(old, new, groups)
        lines.append((label, _quotient(*old), _quotient(*new), difference, _verdict(difference)))
    title = f"Beside {their_about.get('model')} on the same {len(order)} items"
    return Table(title, ("figure", "that one", "this one", "this − that", "differs at the 5 % level"), tuple(lines))


def comparable(about: Mapping[str, Any], other: Path) -> Tuple[Row, List[Row]]:
    """(about, rows) of another run of the same items. Raises ClueError naming what differs."""
    their_about, rows = read_rows(Path(other) / FILE)
    wrong = [k for k in {**about, **their_about} if k not in MAY_DIFFER and their_about.get(k) != about.get(k)]
    if wrong:
        raise ClueError(f"{other} was run with another {', '.join(wrong)}: only runs of the same items can be compared")
    return their_about, rows


def _by_item(rows: Sequence[Row], terms, order: Mapping[str, int]) -> Tuple[np.ndarray, np.ndarray]:
    top, bottom = np.zeros(len(order)), np.zeros(len(order))
    for row, a, b in zip(rows, *terms):
        top[order[row["item"]]] += a
        bottom[order[row["item"]]] += b
    return top, bottom


def _quotient(top: np.ndarray, bottom: np.ndarray) -> Optional[float]:
    return float(top.sum() / bottom.sum()) if bottom.sum() else None


def _verdict(difference: Estimate) -> str:
    if difference.low is None or difference.high is None:
        return "-"
    return "yes" if difference.low > 0 or difference.high < 0 else "no"
