"""What a run writes down while it trains: readings.jsonl, validation.jsonl, and the same values for TensorBoard.

A line holds the step, the time (seconds since 1970) and the values with six digits, null for nan. Lines of steps that
an interruption lost are dropped when the run goes on, so the files are those of a run that was never interrupted.
"""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any, Dict, List

from clue_ros.training.recipe_file import TrainingError

READINGS, VALIDATION = "readings.jsonl", "validation.jsonl"


class Readings:
    """The logs of one run folder. step: the last finished step; what the files hold beyond it is dropped; project: of
    Weights & Biases, '' for none. Raises TrainingError where a project is named and wandb is not installed."""

    def __init__(self, folder: Path, step: int = 0, project: str = ""):
        self._folder, self._step = Path(folder), step
        self._wandb: Any = _wandb_run(project, self._folder) if project else None
        self._writer: Any = None  # False where there can be none
        for name in (READINGS, VALIDATION):
            keep_until(self._folder / name, step)

    def write(self, name: str, step: int, values: Dict[str, float]) -> None:
        """Append a line to a file (READINGS or VALIDATION) and to TensorBoard, under the file's name."""
        plain = {k: None if v != v else float(f"{v:.6g}") for k, v in values.items()}  # JSON has no nan
        line = {"step": step, "at": round(time.time(), 1), **plain}
        with open(self._folder / name, "a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        if self._wandb:
            self._wandb.log({f"{Path(name).stem}/{k}": v for k, v in plain.items() if v is not None}, step=step)
        writer = self._tensorboard()
        for key, value in values.items() if writer else ():
            writer.add_scalar(f"{Path(name).stem}/{key}", value, step)
        if writer:
            writer.flush()

    def close(self) -> None:
        if self._writer:
            self._writer.close()
        if self._wandb:
            self._wandb.finish()
        self._writer = self._wandb = None

    def _tensorboard(self) -> Any:
        """A writer to FOLDER/tensorboard; None where TensorBoard is not installed."""
        if self._writer is None:
            from accelerate.utils import is_tensorboard_available

            self._writer = False
            if is_tensorboard_available():
                from torch.utils.tensorboard import SummaryWriter

                self._writer = SummaryWriter(str(self._folder / "tensorboard"), purge_step=self._step + 1)
        return self._writer


def _wandb_run(project: str, folder: Path) -> Any:
    """A run of Weights & Biases named by its folder, which a resumed run goes on with."""
    try:
        import wandb  # pyright: ignore[reportMissingImports]  # only where it is installed
    except ImportError as error:
        raise TrainingError(
            f"the recipe's wandb names the project '{project}', but wandb is not installed: pip install wandb"
        ) from error
    name = "-".join(folder.resolve().parts[-3:])
    key = hashlib.blake2b(str(folder.resolve()).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    return wandb.init(project=project, name=name, id=key, resume="allow", dir=str(folder))


def keep_until(file: Path, step: int) -> None:
    """Drop lines of later steps, which will be run again, and a last line torn by the interruption."""
    if not file.is_file():
        return
    lines = file.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if _step_of(line) <= step]
    if kept != lines:
        partial = file.with_suffix(".partial")
        partial.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        partial.replace(file)


def read_lines(file: Path) -> List[dict]:
    """The lines of a log, [] if there is none yet."""
    if not Path(file).is_file():
        return []
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if _step_of(line) < float("inf")]


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return float("inf")
