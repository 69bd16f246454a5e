"""Measuring a stage on held-out scenes while it trains, so that the best weights are kept and not just the last.

The same scenes and the same queries each time. Several processes share the batches, and every one gets the same
figures.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import Callable, Dict, Iterator, List

import numpy as np
import torch
from torch import nn

from clue_ros.simulation.scene_data import SceneData
from clue_ros.training.parallel import rank, summed, world

LOWER_IS_BETTER = ("loss", "location", "word", "attention", "box", "bins_off", "ambiguity")
HIGHER_IS_BETTER = (
    "category",
    "color",
    "size",
    "word_accuracy",
    "branch",
    "mass",
    "iou50",
    "accuracy",
    "f1",
    "auc",
    "token_accuracy",
    "target_iou",
    "relevance_iou",
)
KEEP = ("best", "last")
SEED = 909  # of the draw of scenes and queries


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Modules in evaluation mode for a block, then each part as it was before."""
    before = [(part, part.training) for module in modules for part in module.modules()]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for part, training in before:
            part.training = training


def held_out(data: SceneData, count: int) -> SceneData:
    """`count` scenes of a data set (all, if it has fewer), always the same ones, as arrays of their own."""
    index = chosen_scenes(len(data), count)
    return replace(
        data,
        images=np.asarray(data.images[index]),
        patches=data.patches[index],
        objects=[data.objects[i] for i in index],
        sizes=[data.sizes[i] for i in index],
    )


def chosen_scenes(available: int, count: int) -> np.ndarray:
    """int64[min(count, available)]: a fixed draw of scenes, in order."""
    return np.sort(np.random.default_rng(SEED).permutation(available)[:count])


def mean_of_batches(
    scenes: int, batch: int, one: Callable[[np.ndarray, np.random.Generator], Dict[str, float]]
) -> Dict[str, float]:
    """Mean over batches of the named figures that `one(index, rng)` gives for the scenes `index`; nan counts as absent.

    Batches are shared out among the processes; torch's generator is seeded for each, so the figures repeat.
    """
    parts = np.array_split(np.arange(scenes), max(1, round(scenes / batch)))
    keys: List[str] = []
    found: Dict[int, Dict[str, float]] = {}
    for n in range(len(parts)):
        if n % world() != rank() and keys:
            continue  # the first batch is everybody's: it tells what figures there are
        torch.manual_seed(SEED + n)
        with torch.no_grad():
            values = one(parts[n], np.random.default_rng([SEED, n]))
        keys = keys or list(values)
        if n % world() == rank():
            found[n] = values
    table = torch.zeros(len(parts), len(keys), dtype=torch.float64)
    there = torch.zeros(len(parts), len(keys), dtype=torch.float64)
    for n, values in found.items():
        row = torch.tensor([values[k] for k in keys], dtype=torch.float64)
        there[n] = (~row.isnan()).double()
        table[n] = row.nan_to_num()
    table, there = summed(table), summed(there)
    count = there.sum(0)
    return {k: float(table[:, i].sum() / count[i]) if count[i] else float("nan") for i, k in enumerate(keys)}


def is_better(metric: str, new: float, old: float) -> bool:
    """nan is never better, and anything is better than nan."""
    if np.isnan(new) or np.isnan(old):
        return bool(np.isnan(old) and not np.isnan(new))
    return new > old if metric in HIGHER_IS_BETTER else new < old
