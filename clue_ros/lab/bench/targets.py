"""The bars that a row is held against: of issue 3, section 3, and for eyes of issue 18; nothing here is a result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from clue_ros.ambiguity.kinds import JOINT

PLAIN, FLOOR, SECONDS, ROW, WEIGHTS = "plain", "floor", "seconds", "row", "weights"
EMBEDDED, THREE_B = "embedded", "3b"
TOWER, EYES, TORCH, OPENVINO = "tower", "eyes", "torch", "openvino"  # what sees; eyes in an engine, or in any
SHORT = {True: ("✓", "green"), False: ("✗", "red"), None: ("?", "yellow")}  # holds -> mark and colour


@dataclass(frozen=True)
class Target:
    """limit: the most that a row may reach of `of`: the plain path's p50, the floor, seconds, another row's p50, or the
    weights' size. The other fields say which rows it is for; empty is any. sees: TOWER, TORCH or OPENVINO;
    glances: second ones of eyes, None for any number."""

    row: str
    of: str
    limit: float
    models: Sequence[str] = ()
    device: str = ""
    other: str = ""
    detector: str = ""
    note: str = ""
    sees: str = ""
    glances: Optional[int] = None

    def concerns(self, row: Mapping[str, Any]) -> bool:
        return (
            self.row == row["id"]
            and (not self.models or row["model"] in self.models)
            and (not self.device or row["device"].startswith(self.device))
            and (not self.detector or row.get("detector") == self.detector)
            and (not self.sees or row.get("sees", TOWER) == self.sees)
            and (self.glances is None or row.get("glances") == self.glances)
        )

    def text(self) -> str:
        what = {
            PLAIN: f"≤ {self.limit:.2f} × plain",
            FLOOR: f"≤ {self.limit:.1f} × floor",
            SECONDS: f"≤ {self.limit * 1000:.0f} ms",
            ROW: f"≤ {self.limit:.2f} × {self.other.replace('_', ' ')}",
            WEIGHTS: f"≤ {self.limit:.2f} × weights",
        }[self.of]
        return f"{what} ({self.note})" if self.note else what


TARGETS: List[Target] = [
    Target("detection", PLAIN, 0.50, (EMBEDDED, THREE_B)),
    Target("detection", FLOOR, 1.5, (THREE_B,), "cpu"),
    Target("detection", SECONDS, 0.010, (THREE_B,), "cuda", note="H200, bf16"),
    Target("box", PLAIN, 0.60, (EMBEDDED, THREE_B)),
    Target("box", SECONDS, 0.150, (EMBEDDED,), "cpu", note="2 cores", sees=TOWER),
    Target("box", SECONDS, 0.035, (THREE_B,), "cuda", note="H200, bf16"),
    Target("box", PLAIN, 0.45, (EMBEDDED, THREE_B), detector=JOINT.name),
    Target("box_one_pass", PLAIN, 0.45, (EMBEDDED, THREE_B)),
    Target("box_two_pass", PLAIN, 0.60, (EMBEDDED, THREE_B)),
    Target("question", SECONDS, 0.060, (THREE_B,), "cuda", note="H200, bf16"),
    Target("second_turn", ROW, 0.80, (EMBEDDED, THREE_B), other="box"),
    Target("decision", SECONDS, 0.060, (EMBEDDED,), "cpu", note="2 cores", sees=TOWER),
    Target("decision", SECONDS, 0.150, (EMBEDDED,), "cpu", note="2 cores, one glance", sees=TORCH, glances=0),
    Target("decision", SECONDS, 0.450, (EMBEDDED,), "cpu", note="2 cores", sees=TORCH, glances=8),
    Target("decision", SECONDS, 0.090, (EMBEDDED,), "cpu", note="2 cores, one glance", sees=OPENVINO, glances=0),
    Target("decision", SECONDS, 0.250, (EMBEDDED,), "cpu", note="2 cores", sees=OPENVINO, glances=8),
    Target("decision", FLOOR, 2.0, (EMBEDDED,), "cpu", sees=TORCH),
    Target("decision", FLOOR, 2.0, (EMBEDDED,), "cpu", sees=OPENVINO),
    Target("seen_decision", SECONDS, 0.015, (EMBEDDED,), "cpu", note="2 cores"),
    Target("seen_box", SECONDS, 0.060, (EMBEDDED,), "cpu", note="2 cores"),
    Target("blind_seen_decision", ROW, 0.10, (THREE_B,), other="blind_decision"),
    Target("memory", WEIGHTS, 1.15, (THREE_B,)),
]


def judge(
    row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], targets: Sequence[Target] = TARGETS
) -> List[Dict[str, Any]]:
    """[{target, value, holds}] of a row; `holds` is None where the figure that it is compared with is missing.

    rows: all rows so far, for targets that compare with another row of the same model and device.
    """
    return [_verdict(target, row, rows) for target in targets if target.concerns(row)]


def _verdict(target: Target, row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Dict[str, Any]:
    readings: Dict[str, Callable[[], Optional[float]]] = {
        PLAIN: lambda: row.get("ratio"),
        FLOOR: lambda: row.get("times_floor"),
        SECONDS: lambda: row["ours"]["p50"],
        ROW: lambda: _relative(row, rows, target.other),
        WEIGHTS: lambda: row.get("times_weights"),
    }
    value = readings[target.of]()
    return {"target": target.text(), "value": value, "holds": None if value is None else value <= target.limit}


def _relative(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], other: str) -> Optional[float]:
    for candidate in rows:
        alike = all(candidate[k] == row[k] for k in ("model", "device"))
        if alike and candidate["id"] == other and candidate["ours"]["p50"]:
            return row["ours"]["p50"] / candidate["ours"]["p50"]
    return None
