"""What the operator named when the console started: a bag, or a run of `clue evaluate` or of the demo."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

from clue_ros.bags.formats import METADATA, STORAGE_SUFFIXES
from clue_ros.console.replay import Recorded, read_bag
from clue_ros.console.replay_runs import read_run
from clue_ros.types import ClueError


def open_recording(path: Path, load: Callable[[], Any]) -> Recorded:
    """A bag, or a run of `clue evaluate` or of the demo. load: gives the Grounder that a bag is played to; a run needs
    none.

    Raises ClueError: it is neither, or cannot be read.
    """
    path = Path(path)
    if path.suffix in (*STORAGE_SUFFIXES, ".bag") or (path / METADATA).is_file():
        return read_bag(path, load())
    if path.exists():
        return read_run(path)
    raise ClueError(f"{path} is not there: give a bag, or the output folder or file of clue evaluate or of the demo")
