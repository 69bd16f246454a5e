"""What machine-made dialogues add to few true ones (InViG: 21K against 500K + 21K), by the same training at each count.

    clue finetune-curve --base DIR --true true.jsonl --machine out/machine/dialogues.jsonl --counts 0 2000 20000 -o
    runs/curve

For each count N a model is trained on the true dialogues and the first N machine-made ones (shuffled by the seed), with
the same recipe, the same number of steps and the same seed, and measured on the held-out true dialogues. A count that
is done is passed over, so the command goes on where it stopped.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence

import numpy as np

from clue_ros.data.sample import Sample
from clue_ros.data.source import Record, Source
from clue_ros.finetune.recipe import AnyTask
from clue_ros.finetune.run import Order, finetune
from clue_ros.problems import DataError, Problems
from clue_ros.training.adapters import LoraSettings

FILE = "curve.json"


class MixedSource(Source):
    """True dialogues with their splits, and some machine-made ones as more of `train`. Records come true first; a
    stream's shuffle buffer mixes them."""

    name = "mixed"

    def __init__(self, true: Source, machine: Source, count: int, seed: int = 0):
        """Raises DataError if there are fewer than `count` machine-made ones, or the true ones have no split of their
        own to be measured on."""
        self._true, self._machine = true, machine
        if not {"train", "valid"} <= set(true.splits):
            raise DataError(
                "the true dialogues need the splits train and valid (and test), in their lines or file names; they "
                f"have: {', '.join(true.splits) or 'none'}"
            )
        self.splits, self.roots = true.splits, (*true.roots, *machine.roots)
        total = (machine.count() or 0) if count else 0
        if count > total:
            raise DataError(
                f"there are {total} machine-made dialogues, {count} are wanted: make more, or leave that count out"
            )
        chosen = np.random.default_rng([seed, 31]).permutation(total)[:count] if count else ()
        self._chosen = frozenset(int(n) for n in chosen)

    def records(self, split: Optional[str] = None) -> Iterator[Record]:
        wanted = self.wanted(split)
        for record in self._true.records(wanted):
            yield replace(record, content=(self._true, record))
        if wanted in (None, "train") and self._chosen:
            for number, record in enumerate(self._machine.records()):
                if number in self._chosen:
                    yield Record(record.place, "train", (self._machine, record))

    def annotation_files(self) -> Sequence[Path]:
        return [*self._true.annotation_files(), *(self._machine.annotation_files() if self._chosen else ())]

    def parse(self, record: Record, problems: Problems) -> Iterator[Sample]:
        source, inner = record.content
        for sample in source.parse(inner, problems):
            yield replace(sample, split=record.split)


@dataclass(frozen=True)
class Comparison:
    """task, base, settings, lora: as of `clue finetune`; counts: of machine-made dialogues."""

    base: Path
    true: Source
    machine: Source
    counts: Sequence[int]
    output: Path
    settings: AnyTask
    lora: LoraSettings
    task: str = "dialogue"
    seed: int = 0
    cpu: bool = False


def compare(what: Comparison, progress=lambda row: None) -> List[Dict[str, Any]]:
    """One row a count: {"machine": N, "steps": …, "valid": {…}, "test": {…}}, also in OUTPUT/curve.json as soon as it
    is there. Raises TrainingError, DataError, ModelLoadError."""
    file = Path(what.output) / FILE
    rows: List[Dict[str, Any]] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    sources = {n: MixedSource(what.true, what.machine, n, what.seed) for n in what.counts}  # says now what is missing
    for count, source in sources.items():
        if any(row["machine"] == count for row in rows):
            continue
        folder = Path(what.output) / f"machine-{count}"
        result = finetune(Order(what.task, what.base, folder, what.settings, what.lora, cpu=what.cpu), source)
        report = result["report"] or {}
        rows.append(
            {"machine": count, "steps": result["step"], **{k: report[k] for k in ("valid", "test") if k in report}}
        )
        rows.sort(key=lambda row: row["machine"])
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        progress(rows[-1])
    return rows
