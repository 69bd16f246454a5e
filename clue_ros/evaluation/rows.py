"""The rows of a run on disk, one line an item as soon as it is judged, so that a run which was stopped goes on.

{"clue_rows": 1, "about": {…}}          what was run on what: a second run must be of the same
{"key": "invig21k/test/17", "rows": [{…}, …]}
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import numpy as np

from clue_ros.types import ClueError

FILE = "rows.jsonl"
Row = Dict[str, Any]


class OtherRunError(ClueError):
    """The folder holds the rows of another run."""


class RowStore:
    """Rows by item, in the order in which they were judged. `resumed`: items that a former run had done; what it could
    not use ('skipped') is none of them."""

    def __init__(self, folder: Path, about: Mapping[str, Any], fresh: bool = False):
        """about: JSON values that fix the result (suite, model, data, seed, options); fresh: throw former rows away.

        Raises OtherRunError where the folder holds rows of something else, ClueError where it cannot be written."""
        self.file = Path(folder) / FILE
        self._about = json.loads(json.dumps(about))
        self._items: Dict[str, List[Row]] = {}
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            if self.file.exists() and not fresh:
                self._read()
            if not self._items:
                self.file.write_text(self._line({"clue_rows": 1, "about": self._about}), encoding="utf-8")
        except OSError as error:
            raise ClueError(f"cannot write rows to {self.file}: {error.strerror}; choose another --output") from error
        self.resumed = len(self._items)

    def __contains__(self, key: str) -> bool:
        return key in self._items

    def __len__(self) -> int:
        return len(self._items)

    @property
    def rows(self) -> List[Row]:
        """Every row; each carries its item's key as 'item'."""
        return [{"item": key, **row} for key, rows in self._items.items() for row in rows]

    def add(self, key: str, rows: Sequence[Row]) -> None:
        """Append an item's rows. NaN and infinite figures become null."""
        rows = [{name: _finite(value) for name, value in row.items()} for row in rows]
        with open(self.file, "a", encoding="utf-8") as file:
            file.write(self._line({"key": key, "rows": rows}))
        self._items[key] = rows

    def _read(self) -> None:
        data = self.file.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]  # a process that was killed may leave half a line
        if len(whole) < len(data):
            self.file.write_bytes(whole)
        for number, line in enumerate(whole.decode("utf-8").splitlines(), 1):
            try:
                entry = json.loads(line)
                if number == 1:
                    self._check(entry)
                # The cause of what was skipped may be gone: it is tried again.
                elif not entry["rows"] or any("skipped" not in row for row in entry["rows"]):
                    self._items[str(entry["key"])] = list(entry["rows"])
            except (ValueError, KeyError, TypeError) as error:
                raise OtherRunError(
                    f"{self.file}, line {number} is not a row of a suite ({error}): delete the file, "
                    "or choose another --output"
                ) from error

    def _check(self, entry: Any) -> None:
        about = entry["about"]
        if about != self._about:
            keys = [k for k in {**about, **self._about} if about.get(k) != self._about.get(k)]
            told = ", ".join(f"{k} was {about.get(k)!r}, is {self._about.get(k)!r}" for k in keys[:3])
            raise OtherRunError(
                f"{self.file} holds rows of another run ({told}): choose another --output, or --fresh "
                "to throw them away"
            )

    def _line(self, content: Mapping[str, Any]) -> str:
        return json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n"


def read_rows(file: Path) -> Tuple[Row, List[Row]]:
    """(about, rows) of a finished or interrupted run. Raises OtherRunError where the file is none."""
    try:
        lines = [json.loads(line) for line in Path(file).read_text(encoding="utf-8").splitlines()]
        items = {entry["key"]: entry["rows"] for entry in lines[1:]}  # what was skipped stands there again, once judged
        return lines[0]["about"], [{"item": key, **row} for key, rows in items.items() for row in rows]
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise OtherRunError(
            f"{file} holds no rows of a suite ({type(error).__name__}: {error}): give the output "
            "folder of clue evaluate"
        ) from error


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.shape == ()):
        return _finite(value.item())
    return value
