"""`clue finetune variants`: the detector variants on the same data, judged on the same sets (CLUE, Table I).

    clue finetune variants --base DIR --data scenes.jsonl --data /data/it2p --test dataset2.csv --output runs/table1

    OUTPUT/VARIANT/             the model directory of each, with its run folder
    OUTPUT/VARIANT/judged/SET/  what `clue evaluate ambiguity` writes, one folder a set
    OUTPUT/table.json, table.csv

The first set is what the runs held out of their training data, of all data sets together (the paper's Dataset 1). A
variant that is done is passed over, so the command goes on where it stopped; other data is refused, and a further set
is judged.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Sequence

import numpy as np

from clue_ros.data.source import Source
from clue_ros.evaluation.ambiguity_suite import AmbiguitySuite
from clue_ros.evaluation.held_out import held_out
from clue_ros.evaluation.rows import FILE, Row, read_rows
from clue_ros.evaluation.samples import Selection
from clue_ros.evaluation.subject import Subject
from clue_ros.evaluation.suite import run_suite
from clue_ros.finetune.run import Order, finetune, hold
from clue_ros.measures.classification import estimates
from clue_ros.training.variants import with_variant

HELD_OUT = "held out"
FIGURES = ("accuracy", "precision", "recall", "f1")


@dataclass(frozen=True)
class Trial:
    """order: of a detector's run; its output is the folder of the whole table; source: what all variants learn from;
    held: the data sets of that source; tests: further sets by name, none of which is trained on."""

    order: Order
    source: Source
    held: Sequence[Selection]
    tests: Dict[str, Selection]
    device: str = "cpu"


def compare_variants(trial: Trial, names: Sequence[str], progress=lambda row: None) -> List[Dict[str, Any]]:
    """One row a variant: {"variant", "threshold", SET: {"count", "accuracy", "precision", "recall", "f1"}}. Fewer rows
    where the slot was over or a signal came. Raises TrainingError, DataError, LeakError, ModelLoadError."""
    output = Path(trial.order.output)
    file = output / "table.json"
    rows: List[Dict[str, Any]] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    for name in names:
        order = replace(trial.order, output=output / name, settings=with_variant(trial.order.settings, name))
        done = next((row for row in rows if row["variant"] == name), None)
        if done is not None:
            hold(order, trial.source)
            if {key: done[key]["annotations"] for key in set_names([done])} == _sets(trial):
                continue
            rows.remove(done)
        elif not finetune(order, trial.source)["done"]:
            break
        rows.append({"variant": name, **_judged(output / name, trial)})
        file.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        _write_csv(output / "table.csv", rows)
        progress(rows[-1])
    return rows


def set_names(rows: Sequence[Dict[str, Any]]) -> List[str]:
    """The sets that were judged, in order."""
    return list(dict.fromkeys(k for row in rows for k, v in row.items() if isinstance(v, dict)))


def _judged(model: Path, trial: Trial) -> Dict[str, Any]:
    subject = Subject.load(model, trial.device, "none", "auto")
    try:
        threshold, found = subject.grounder.threshold, {}
        held: List[Row] = []
        for number, selection in enumerate(trial.held):
            held += _rows(subject, held_out(model, selection)[0], model / "judged" / f"held-out-{number}")
        found[HELD_OUT] = _figures(held, threshold)
        for name, selection in trial.tests.items():
            rows = _rows(subject, held_out(model, selection)[0], model / "judged" / name)
            found[name] = _figures(rows, threshold)
    finally:
        subject.close()
    return {"threshold": threshold, **{key: {**found[key], "annotations": own} for key, own in _sets(trial).items()}}


def _sets(trial: Trial) -> Dict[str, str]:
    """The fingerprint of each set's annotations."""
    own = {name: selection.source.fingerprint() for name, selection in trial.tests.items()}
    return {HELD_OUT: trial.source.fingerprint(), **own}


def _rows(subject: Subject, selection: Selection, folder: Path) -> List[Row]:
    run_suite(AmbiguitySuite(subject, selection), folder, gallery=0)
    return [{**row, "image": f"{folder.name}/{row['image']}"} for row in read_rows(folder / FILE)[1]]


def _figures(rows: Sequence[Row], threshold: float) -> Dict[str, Any]:
    kept = [row for row in rows if row.get("probability") is not None]
    probability, label = (np.array([row[key] for row in kept]) for key in ("probability", "ambiguous"))
    if not len(kept):
        return {"count": 0, **dict.fromkeys(FIGURES)}
    found = estimates(probability.astype(float), label.astype(bool), threshold, [row["image"] for row in kept])
    return {"count": len(kept), **{name: estimate.value for name, estimate in found}}


def _write_csv(file: Path, rows: Sequence[Dict[str, Any]]) -> None:
    sets = set_names(rows)
    with open(file, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["variant", "threshold", *(f"{name}: {key}" for name in sets for key in ("count", *FIGURES))])
        for row in rows:
            figures = [row.get(name, {}).get(key) for name in sets for key in ("count", *FIGURES)]
            writer.writerow([row["variant"], row["threshold"], *figures])
