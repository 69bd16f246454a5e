"""Bootstrap confidence intervals (B. Efron, 1979), with a fixed seed, over groups of rows that belong together.

Rows about one image are not independent, so whole images are drawn, not rows. Two models on the same rows are compared
pairwise: each draw takes the same images for both, and the interval is that of the difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, Hashable, Optional, Sequence, Tuple, Union

import numpy as np

from clue_ros.measures.metrics import wilson_interval

RESAMPLES = 2000
SEED = 20240


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval; `count`: rows that it is about. value: None of no rows. low, high: None also
    where nothing can be told: a single image, or a mean whose values are all the same."""

    value: Optional[float]
    low: Optional[float]
    high: Optional[float]
    count: int


Values = Union[Sequence[float], np.ndarray]  # one a row; booleans count as 0 and 1
NOTHING = Estimate(None, None, None, 0)


def ratio(
    numerator: Values,
    denominator: Values,
    groups: Sequence[Hashable],
    *,
    rate: bool = False,
    seed: int = SEED,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Σ numerator / Σ denominator over rows, with a percentile interval over groups.

    Means, rates, precision, recall and F1 are such ratios (F1: 2·tp over guessed + true).

    rate: the rows hold successes and trials. Where all or none succeeded (0 of 50), resampling cannot show any spread,
    and Wilson's interval is given instead. Anything else may be 0 or 1 by chance and has no interval then.

    Raises ValueError for a rate with more successes than trials in a row.
    """
    top, bottom = np.asarray(numerator, float), np.asarray(denominator, float)
    if rate and ((top < 0) | (top > bottom)).any():
        raise ValueError("a row has more successes than trials")
    if not len(top) or not bottom.sum():
        return NOTHING
    count = int((bottom != 0).sum())
    sums = _by_group(groups, top, bottom)
    value = float(top.sum() / bottom.sum())
    if rate and value in (0.0, 1.0):
        return Estimate(value, *wilson_interval(int(top.sum()), int(bottom.sum())), count)
    drawn = _draws(len(sums), seed, resamples) @ sums
    return Estimate(value, *_interval(_divided(drawn)), count)


def mean(
    values: Sequence[Optional[float]], groups: Sequence[Hashable], *, seed: int = SEED, resamples: int = RESAMPLES
) -> Estimate:
    """Mean of the numbers that are there (None: left out)."""
    return ratio(*_there(values), groups, seed=seed, resamples=resamples)


def rate(
    values: Sequence[Optional[bool]], groups: Sequence[Hashable], *, seed: int = SEED, resamples: int = RESAMPLES
) -> Estimate:
    """Share of the trials that succeeded (None: left out)."""
    return ratio(*_there(values), groups, rate=True, seed=seed, resamples=resamples)


def statistic(
    function: Callable[[np.ndarray], Optional[float]],
    groups: Sequence[Hashable],
    *,
    seed: int = SEED,
    resamples: int = 300,
) -> Estimate:
    """Any figure of int64[n] row numbers (with repetitions), such as an area under a curve; draws without a value
    are left out."""
    rows = _rows_of(groups)
    value = function(np.arange(len(groups))) if len(groups) else None
    if value is None or not np.isfinite(value):
        return NOTHING
    rng = np.random.default_rng(seed)
    drawn = [
        function(np.concatenate([rows[i] for i in rng.integers(len(rows), size=len(rows))])) for _ in range(resamples)
    ]
    kept = np.array([d for d in drawn if d is not None and np.isfinite(d)])
    return Estimate(float(value), *_interval(kept), len(groups))


def paired_difference(
    first: Tuple[Values, Values],
    second: Tuple[Values, Values],
    groups: Sequence[Hashable],
    *,
    seed: int = SEED,
    resamples: int = RESAMPLES,
) -> Estimate:
    """ratio(second) - ratio(first) on the same rows; each argument is (numerator, denominator). An interval that leaves
    out 0 is a difference at the 5 % level."""
    arrays = [np.asarray(values, float) for pair in (first, second) for values in pair]
    if not len(arrays[0]) or not arrays[1].sum() or not arrays[3].sum():
        return NOTHING
    sums = _by_group(groups, *arrays)
    total = sums.sum(0)
    drawn = _draws(len(sums), seed, resamples) @ sums
    difference = _divided(drawn[:, 2:]) - _divided(drawn[:, :2])
    return Estimate(float(total[2] / total[3] - total[0] / total[1]), *_percentiles(difference), len(arrays[0]))


def _there(values: Sequence[Optional[float]]) -> Tuple[np.ndarray, np.ndarray]:
    """(values with 0 for None, 1 where there is one)."""
    return np.array([0.0 if v is None else v for v in values], float), np.array([v is not None for v in values], float)


def _rows_of(groups: Sequence[Hashable]) -> Sequence[np.ndarray]:
    found: Dict[Hashable, list] = {}
    for row, group in enumerate(groups):
        found.setdefault(group, []).append(row)
    return [np.array(rows) for rows in found.values()]


def _by_group(groups: Sequence[Hashable], *columns: np.ndarray) -> np.ndarray:
    """float64[G,K]: sums of the columns over each group's rows."""
    number = {group: n for n, group in enumerate(dict.fromkeys(groups))}
    place = np.array([number[g] for g in groups])
    return np.stack([np.bincount(place, c, len(number)) for c in columns], 1)


def _draws(groups: int, seed: int, resamples: int) -> np.ndarray:
    """float64[R,G]: how often each group was drawn."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(groups, np.full(groups, 1 / groups), size=resamples).astype(float)


def _divided(sums: np.ndarray) -> np.ndarray:
    """float64[R]; nan where a draw holds nothing to divide by."""
    return np.divide(sums[:, 0], sums[:, 1], out=np.full(len(sums), np.nan), where=sums[:, 1] != 0)


def _interval(values: np.ndarray) -> Tuple[Optional[float], Optional[float]]:
    """None for draws without any spread: they say that resampling cannot tell, not that the figure is certain."""
    low, high = _percentiles(values)
    if low is None or high is None or np.isclose(low, high, rtol=1e-12, atol=1e-12):
        return None, None
    return low, high


def _percentiles(values: np.ndarray) -> Tuple[Optional[float], Optional[float]]:
    kept = values[np.isfinite(values)]
    if not len(kept):
        return None, None
    low, high = np.percentile(kept, [2.5, 97.5])
    return float(low), float(high)
