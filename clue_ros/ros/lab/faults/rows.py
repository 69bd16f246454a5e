"""The table of a fault suite: a row says what was done, what must hold, what was seen. On disk after every row."""

from __future__ import annotations

import csv
import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional

from rich.console import Console
from rich.table import Table
from rich.text import Text

from clue_ros.types import ClueError
from clue_ros.version import VERSION

NARROWEST = 150  # columns of piped output
VERDICTS = {True: ("held", "green"), False: ("NOT held", "bold red"), None: ("skipped", "yellow")}


@dataclass(frozen=True)
class Check:
    """One thing that must hold. `held` None: it could not be tried here, and `seen` says why."""

    done: str
    bound: str
    seen: str
    held: Optional[bool]


@dataclass(frozen=True)
class Fault:
    """`play(robot)` does it and yields a Check for each thing that must hold; what it raises is a row not held."""

    name: str
    play: Callable[[Any], Iterator[Check]]


class CannotTry(ClueError):
    """This machine cannot produce the fault; the text says why."""


@dataclass
class Rows:
    """The rows of one run. JSON and CSV are replaced as a whole after each, so they can always be read.

    Raises:
        ClueError: a file cannot be written; the text names it.
    """

    what: str
    json_path: Path
    csv_path: Path
    figures: Dict[str, Any] = field(default_factory=dict)
    rows: List[Dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._started = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        self.save(complete=False)

    def add(self, fault: str, check: Check, seconds: float) -> None:
        """seconds: that doing and checking took."""
        held = None if check.held is None else bool(check.held)  # a bool of numpy's is none to json
        row = {"fault": fault, **asdict(check), "held": held, "seconds": round(seconds, 2), "load": load_average()}
        self.rows.append(row)
        self.save(complete=False)

    @property
    def broken(self) -> int:
        return sum(row["held"] is False for row in self.rows)

    def save(self, complete: bool) -> None:
        content = {"what": self.what, "version": VERSION, "started": self._started, "cores": os.cpu_count(),
                   "complete": complete, "figures": self.figures, "rows": self.rows}  # fmt: skip
        try:
            for path in (self.json_path, self.csv_path):
                path.parent.mkdir(parents=True, exist_ok=True)
            part = self.json_path.with_name(self.json_path.name + ".part")
            part.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            os.replace(part, self.json_path)
            part = self.csv_path.with_name(self.csv_path.name + ".part")
            with part.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, ("fault", "done", "bound", "seen", "held", "seconds", "load"))
                writer.writeheader()
                writer.writerows({**row, "held": VERDICTS[row["held"]][0]} for row in self.rows)
            os.replace(part, self.csv_path)
        except OSError as error:
            raise ClueError(f"cannot write {part}: {error.strerror}; choose other --json and --csv") from error

    def markdown(self) -> str:
        """The table for a document."""
        lines = ["| fault | done | must hold | seen | |", "|---|---|---|---|---|"]
        last = None
        for row in self.rows:
            cells = [row["fault"] if row["fault"] != last else "", row["done"], row["bound"], row["seen"]]
            cells = [" ".join(cell.split()).replace("|", "\\|").replace("<", "\\<") for cell in cells]
            lines.append(f"| {' | '.join(cells)} | {VERDICTS[row['held']][0]} |")
            last = row["fault"]
        return "\n".join(lines) + "\n"

    def show(self, console: Console) -> None:
        if not console.is_terminal:
            console = Console(width=NARROWEST)  # piped output keeps whole lines instead of rich's 80 columns
        table = Table(title=self.what, title_justify="left")
        for column, share in (("fault", 2), ("done", 5), ("must hold", 4), ("seen", 5)):
            table.add_column(column, ratio=share, overflow="fold")
        table.add_column("", no_wrap=True)
        last = None
        for row in self.rows:
            word, style = VERDICTS[row["held"]]
            name = "" if row["fault"] == last else row["fault"]
            texts = [Text(row[key]) for key in ("done", "bound", "seen")]
            table.add_row(Text(name), *texts, Text(word, style=style), end_section=False)
            last = row["fault"]
        console.print(table)


def load_average() -> float:
    """Of the last minute: what else ran beside a row."""
    return round(os.getloadavg()[0], 1)
