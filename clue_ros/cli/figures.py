"""The tables that a suite prints."""

from __future__ import annotations

from typing import Any, Sequence


def print_results(results: Any) -> None:
    """Every table, and last the headline figures, with 95 % intervals in brackets."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from clue_ros.measures.results import by_condition, shown

    console = Console()
    console = console if console.is_terminal else Console(width=180)  # piped output keeps whole lines
    state = "95 % intervals in brackets" if results.complete else "incomplete"
    title = f"{results.title}: {results.about['model']} ({state})"
    head = Table(title=escape(title), title_justify="left")
    conditions, lines = by_condition(results.measures)
    head.add_column("figure", no_wrap=True)
    for condition in conditions:
        head.add_column(escape(condition or "value"), justify="right")
        head.add_column("count", justify="right")
        head.add_column("goal")
    for label, found in lines:
        head.add_row(escape(label), *(cell for m in found for cell in _cells(m)))
    for table in results.tables:
        drawn = Table(title=escape(table.title), title_justify="left")
        for number, column in enumerate(table.columns):
            drawn.add_column(escape(column), justify="right" if number else "left")
        for row in table.rows:
            drawn.add_row(*(escape(shown(cell, table.form)) for cell in row))
        console.print(drawn)
    if lines:
        console.print(head)
    for note in results.notes:
        console.print(f"note: {escape(note)}", soft_wrap=True)


def _cells(measure: Any) -> Sequence[str]:
    """Value, count and goal of a figure under one condition."""
    from clue_ros.measures.results import goal_text, shown

    if measure is None:
        return "", "", ""
    mark = {True: "[green]reached[/]", False: "[red]not reached[/]", None: ""}[measure.reached]
    return shown(measure.estimate, measure.form), str(measure.estimate.count), f"{goal_text(measure)} {mark}".strip()
