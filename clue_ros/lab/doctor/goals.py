"""`python -m clue_ros.lab.doctor.goals BENCH.json`: the bars in seconds beside what `clue bench` measured.

Exit code 0: all hold, 1: one does not, 2: nothing was measured that has such a bar.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict, List, Sequence

from clue_ros.lab.bench.targets import SECONDS, SHORT, TARGETS, judge


def goals(rows: Sequence[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """The verdicts of rows of the bench about bars in seconds, each with its row's id."""
    bars = [target for target in TARGETS if target.of == SECONDS]
    return [{"row": row["id"], **verdict} for row in rows for verdict in judge(row, rows, bars)]


def main(arguments: Sequence[str]) -> int:
    found = goals(json.loads(Path(arguments[0]).read_text(encoding="utf-8"))["rows"])
    for goal in found:
        print(f"{SHORT[goal['holds']][0]} {goal['row']:<10} {goal['value'] * 1e3:8.1f} ms   {goal['target']}")
    return 2 if not found else int(not all(goal["holds"] for goal in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
