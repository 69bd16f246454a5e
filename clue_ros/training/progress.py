"""Which stages of a training folder are done: OUTPUT/finished.json, so that `clue train all` goes on where it
stopped.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict, Sequence

from clue_ros.training.eye_settings import EYES, PARTS

FINISHED = "finished.json"
# The file without which a stage is not done, where that is not its run's state.
PROOFS = {"export": "model/clue.json", "calibrate": "model/clue.json", EYES: "eyes/eyes.json"}


class Progress:
    """output: the folder of the run folders; order: the recipe's stages."""

    def __init__(self, output: Path, order: Sequence[str]):
        self._output, eyes = Path(output), (*PARTS, EYES)
        known = order if set(order) & set(eyes) else (EYES, *order)  # a recipe without them can run them all the same
        self._order = [each for stage in known for each in (eyes if stage == EYES else (stage,))]

    def finished(self, stage: str, steps: int) -> bool:
        """Did this stage end, with as many steps as it has now, and none before it run again since?"""
        proof = self._output / PROOFS.get(stage, f"{stage}/state.json")
        return proof.is_file() and self._record().get(stage, -1) == steps

    def begins(self, stage: str) -> None:
        """A stage that runs takes itself and those after it from the list."""
        self._write(stage, {})

    def ends(self, stage: str, steps: int) -> None:
        self._write(stage, {stage: steps})

    def _write(self, stage: str, more: Dict[str, int]) -> None:
        later = self._order[self._order.index(stage) :] if stage in self._order else [stage]
        record = {k: v for k, v in self._record().items() if k not in later}
        self._output.mkdir(parents=True, exist_ok=True)
        (self._output / FINISHED).write_text(json.dumps({**record, **more}) + "\n", encoding="utf-8")

    def _record(self) -> Dict[str, int]:
        file = self._output / FINISHED
        try:
            return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        except ValueError:
            return {}  # cut off while it was written: every stage then looks for itself how far it is
