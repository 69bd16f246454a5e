"""Intervals for rates, means and medians. Pure functions."""

from __future__ import annotations

import math
from typing import Optional, Sequence, Tuple


def wilson_interval(successes: int, total: int, z: float = 1.96) -> Tuple[float, float]:
    """Wilson score interval of a rate (E. B. Wilson, 1927); z = 1.96 gives 95 %. (0, 1) for no trials.

    Raises ValueError unless 0 <= successes <= total.
    """
    if not 0 <= successes <= total:
        raise ValueError(f"{successes} successes of {total} trials")
    if total == 0:
        return 0.0, 1.0
    rate = successes / total
    scale = 1 + z * z / total
    center = (rate + z * z / (2 * total)) / scale
    spread = z / scale * math.sqrt(rate * (1 - rate) / total + z * z / (4 * total * total))
    return max(0.0, center - spread), min(1.0, center + spread)


def mean(values: Sequence[float]) -> Optional[float]:
    """Arithmetic mean; None of nothing."""
    return sum(values) / len(values) if values else None


def median(values: Sequence[float]) -> Optional[float]:
    """Median (p50); None of nothing."""
    ordered = sorted(values)
    if not ordered:
        return None
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
