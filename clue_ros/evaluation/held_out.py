"""A model is judged on what it was not trained on: its run folders say which annotations and splits it has seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import yaml

from clue_ros.data.looks import looks_of
from clue_ros.data.source import Source, split_name
from clue_ros.evaluation.samples import Selection
from clue_ros.images.copies import Looks, load_looks
from clue_ros.types import ClueError

# In a model directory, as `clue finetune` writes them.
RECORDS, IMAGES = "training/*/recipe.yaml", "training/*/images.npy"


class LeakError(ClueError):
    """What should be judged is what the model was trained on."""


@dataclass(frozen=True)
class Seen:
    """One run of a model: the task, and the splits it used (fractions where they were made by content)."""

    task: str
    train: str
    test: str
    fractions: Optional[Tuple[float, ...]]


def runs_on(model: Optional[Path], source: Source) -> List[Seen]:
    """The runs of a model directory that were made on just these annotations.

    model: a model directory, None for the embedded model
    source: of the data set; its fingerprint is compared, so a renamed or moved file is still known
    """
    records = sorted(Path(model).glob(RECORDS)) if model is not None else []
    found, own = [], None
    for file in records:
        try:
            run = (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get("run", {})
        except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError):
            continue  # a record of somebody else's
        if not isinstance(run, dict) or "annotations" not in run or not isinstance(run.get("splits"), dict):
            continue
        own = source.fingerprint() if own is None else own
        # Of a mixture each data set is known by itself.
        part = next((p for p in [run, *run.get("parts", ())] if p.get("annotations") == own), None)
        if part is not None:
            splits: Dict[str, Any] = part["splits"]
            fractions = tuple(splits["fractions"]) if splits.get("fractions") else None
            found.append(Seen(file.parent.name, splits.get("train", ""), splits.get("test", ""), fractions))
    return found


def held_out(model: Optional[Path], selection: Selection, allow: bool = False) -> Tuple[Selection, str]:
    """(the selection to judge, what to tell about it, '' for nothing).

    Where nothing was chosen and the model was trained on these annotations, its own held-out split is taken.

    model: a model directory, None for the embedded model
    selection: what was asked for
    allow: take it as it is, and only tell

    Raises LeakError if what was chosen holds training data of the model, or other annotations of its images.
    """
    runs = runs_on(model, selection.source)
    if not runs:
        told = copies_told(model, selection)
        if told and not allow:
            raise LeakError(f"{told}: leave them out, or give --allow-training-data")
        return selection, told
    seen = runs[0]
    chosen_all = selection.split is None and selection.fractions is None
    if chosen_all and not allow and seen.fractions is not None:
        taken = replace(selection, split=seen.test, fractions=seen.fractions)
        copies = copies_told(model, taken)
        text = f"the model was trained on {selection.path} (task {seen.task}): its held-out part is judged"
        return taken, f"{text}; {copies}" if copies else text
    leaks = [run for run in runs if _holds(selection, run)]
    if not leaks:
        return selection, copies_told(model, selection)
    text = f"{selection.path} is what {model} was trained on (task {leaks[0].task})"
    if not allow:
        raise LeakError(
            f"{text}: name a split that was held out, leave --split and --fractions out, or give --allow-training-data"
        )
    return selection, f"{text}, and training data is among what is judged"


def copies_told(model: Optional[Path], selection: Selection) -> str:
    """How many of the selected images look like ones that the model was trained on (images/copies.py), '' for none or
    where no run recorded any. Splits that a data set has itself may hold such pairs: they are told, not refused."""
    files = sorted(Path(model).glob(IMAGES)) if model is not None else []
    known = Looks([look for file in files for look in load_looks(file)])
    if not len(known):
        return ""
    images = list(looks_of(selection))
    copies = [name for name, look in images if known.copy_of(look) is not None]
    if not copies:
        return ""
    count = f"{len(copies)} of {len(images)} images of {selection.path}"
    return f"{count} look like ones that {model} was trained on, such as {copies[0]}"


def _holds(selection: Selection, run: Seen) -> bool:
    """Whether training data of the run is in the selection."""
    if run.fractions is None:
        return selection.split is None or split_name(selection.split) == run.train
    if selection.fractions is None or _normed(selection.fractions) != _normed(run.fractions):
        return True  # divided otherwise, or not at all: some of it was trained on
    return selection.split is None or split_name(selection.split) == run.train


def _normed(fractions: Any) -> List[float]:
    total = sum(fractions)
    return [round(f / total, 6) for f in fractions]
