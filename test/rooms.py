"""The order of the rooms, as the table in docs/architecture.md states it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import List

ROOT = Path(__file__).resolve().parents[1]


def rooms_of_the_architecture() -> List[str]:
    """Folders ("vlm/") and single files ("types.py") of clue_ros from the top floor down."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text[text.index("| room |") :].split("\n\n")[0]
    return [name for row in table.splitlines()[2:] for name in re.findall(r"`([\w/.]+)`", row.split("|")[1])]
