"""`python -m clue_ros.lab.bench.worker ORDER`: measure one subject in a fresh process, events as JSON lines on stdout.

A process of its own makes the peak of memory that of one model, and lets the rest of the bench go on when the system
ends a process for lack of memory.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from typing import Any, Dict

from clue_ros.lab.bench.measure import measure
from clue_ros.lab.bench.order import Order


def main() -> int:
    spoken = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever libraries print must not stand between the events
    warnings.simplefilter("ignore")

    def emit(event: Dict[str, Any]) -> None:
        spoken.write(json.dumps(event) + "\n")
        spoken.flush()

    request = json.loads(sys.argv[1])
    try:
        measure(Order(**request["order"]), request["rounds"], emit, request["only"])
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
