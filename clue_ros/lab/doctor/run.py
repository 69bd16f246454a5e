"""Every variant in turn, each beside the first one that the memory has room for, and that one beside transformers."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import torch

from clue_ros.lab.bench.machine import describe
from clue_ros.lab.bench.order import Order
from clue_ros.lab.bench.targets import EYES, SECONDS, TARGETS, TOWER
from clue_ros.lab.doctor.outlook import Outlook, is_short, look
from clue_ros.lab.doctor.trial import VARIANTS, Readings, Trial, Variant, attempt
from clue_ros.types import ClueError
from clue_ros.version import VERSION
from clue_ros.vlm.self_check import Finding

# How far logits may be apart, as a share of their length, and maps on average (they lie in [0, 1]).
SAME = {"float32": (1e-3, 0.01), "bfloat16": (0.1, 0.1)}  # the same sums in another order, by what is computed in
OTHER = {"bfloat16": (0.1, 0.1), "int8": (0.15, 0.15), "int4": (0.6, 0.3)}  # narrower numbers
TRANSFORMERS = "transformers"

Say = Callable[[str], None]


@dataclass
class Row:
    """A variant beside another way. distance: of the logits, as a share of their length; map_distance: mean of the
    map's cells; limits: of both; same: False where they differ, None where there was nothing to compare."""

    name: str
    beside: str = ""
    distance: Optional[float] = None
    map_distance: Optional[float] = None
    limits: Tuple[float, float] = (0.0, 0.0)
    same: Optional[bool] = None
    times: Dict[str, float] = field(default_factory=dict)
    peak: int = 0
    findings: Tuple[Finding, ...] = ()
    targets: List[Dict[str, Any]] = field(default_factory=list)
    note: str = ""  # why it was left out, or how it failed


@dataclass
class Report:
    """What a run found; `to_dict` is what can be sent in."""

    order: Order
    outlook: Outlook
    machine: Dict[str, Any]
    started: str
    rows: List[Row] = field(default_factory=list)

    @property
    def differs(self) -> bool:
        """Whether something that should give the same gave something else, or failed."""
        return any(row.same is False or any(finding.remark for finding in row.findings) for row in self.rows)

    def to_dict(self) -> Dict[str, Any]:
        return {
            "what": "doctor",
            "version": VERSION,
            "started": self.started,
            "order": asdict(self.order),
            "machine": self.machine,
            "outlook": asdict(self.outlook),
            "rows": [asdict(row) for row in self.rows],
            "differs": self.differs,
        }


def examine(order: Order, rounds: int, say: Say, variants: Sequence[Variant] = VARIANTS) -> Report:
    """Load and ask every variant of an order whose outlook has no problem. say: told what is done next."""
    report = begin(order)
    if report.outlook.problem:
        raise ClueError(report.outlook.problem)
    config, first, first_name = order.configuration(), None, ""
    for variant in variants:
        say(variant.name)
        wanted = variant.order(order)
        short = is_short(wanted, config)
        if short:
            report.rows.append(Row(variant.name, note=short))
            continue
        try:
            trial = attempt(wanted, first, rounds)
        except ClueError as error:  # torchao is missing, or memory ran out
            report.rows.append(Row(variant.name, note=str(error)))
            continue
        except RuntimeError as error:  # of the device: what this is for
            why = f"failed: {str(error).strip().partition(chr(10))[0]}"
            report.rows.append(Row(variant.name, note=why, same=False))
            continue
        compute = str(wanted.precision.compute).replace("torch.", "")
        row = _row(variant.name, first_name, trial, first, OTHER.get(variant.name, SAME["float32"]))
        if wanted.precision == order.precision and variant.quantization == "none":  # what the bars are for
            row.targets = _targets(wanted, trial)
        report.rows.append(row)
        if first is None:
            first, first_name = trial.readings, variant.name
            if trial.plain is not None:
                limits = SAME.get(compute, SAME["bfloat16"])
                report.rows.append(_beside_transformers(variant.name, trial.readings, trial.plain, limits))
    return report


def begin(order: Order) -> Report:
    """A report with nothing but the outlook."""
    outlook = look(order)
    machine = describe("cpu" if outlook.problem else order.device)
    return Report(order, outlook, machine, time.strftime("%Y-%m-%dT%H:%M:%S%z"))


def apart(expected: Sequence[torch.Tensor], got: Sequence[torch.Tensor]) -> float:
    """The length of the difference as a share of the length; infinite where one is no number."""
    a, b = torch.cat(list(expected)), torch.cat(list(got))
    share = float((a - b).norm() / a.norm())
    return share if share == share else float("inf")


def _row(name: str, beside: str, trial: Trial, first: Optional[Readings], limits: Tuple[float, float]) -> Row:
    row = Row(name, times=trial.times, peak=trial.peak, findings=trial.findings)
    if first is not None:
        _compare(row, beside, first, trial.readings, limits)
    elif not all(bool(torch.isfinite(logits).all()) for logits in trial.readings.logits):
        row.same, row.note = False, "logits that are no numbers"
    return row


def _beside_transformers(beside: str, ours: Readings, plain: Readings, limits: Tuple[float, float]) -> Row:
    """The first token's logits of each prompt, and the map."""
    row = Row(TRANSFORMERS)
    each = len(ours.logits) // len(plain.logits)
    _compare(row, beside, Readings(ours.logits[::each], ours.attention, []), plain, limits)
    return row


def _compare(row: Row, beside: str, expected: Readings, got: Readings, limits: Tuple[float, float]) -> None:
    row.beside, row.limits = beside, limits
    row.distance = apart(expected.logits, got.logits)
    row.map_distance = float((expected.attention - got.attention).abs().mean())
    row.same = row.distance <= limits[0] and row.map_distance <= limits[1]


def _targets(order: Order, trial: Trial) -> List[Dict[str, Any]]:
    """The bars in seconds that hold for this model and device (lab/bench/targets.py), beside what was measured."""
    about = {"model": order.model, "device": order.device, "detector": "", "sees": EYES if order.has_eyes else TOWER}
    measured = [
        (target, trial.times[target.row])
        for target in TARGETS
        if target.of == SECONDS and target.row in trial.times and target.concerns({**about, "id": target.row})
    ]
    return [
        {"row": target.row, "target": target.text(), "seconds": value, "holds": value <= target.limit}
        for target, value in measured
    ]
