"""A decision as JSON values, for one photo and for a batch of them."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

from clue_ros.types import Decision


def decision_to_dict(decision: Decision, seconds: float) -> Dict[str, Any]:
    """A decision as JSON values: boxes [x0, y0, x1, y1] in pixels of the upright photo, probabilities in [0, 1].
    belief: one for each of candidates, which sum to 1 but for rounding; empty where none was kept."""
    reading = decision.ambiguity
    return {
        "expression": decision.expression,
        "outcome": decision.outcome.value,
        "box": _numbers(decision.box) if decision.box is not None else None,
        "confidence": round(float(decision.confidence), 4),
        "ambiguity": round(float(reading.probability), 4) if reading is not None else None,
        "threshold": round(float(reading.threshold), 4) if reading is not None else None,
        "question": decision.question or None,
        "unknown_words": list(decision.unknown_words),
        "candidates": [_numbers(box) for box in decision.candidates],
        "belief": [round(float(p), 6) for p in decision.belief],
        "latency_s": round(seconds, 4),
        "stages_s": {name: round(float(value), 4) for name, value in decision.latency_s.items()},
    }


def _numbers(values: Sequence[float]) -> List[float]:
    return [round(float(value), 2) for value in values]
