"""`clue finetune layers`: which layer's map tells most (CLUE, Fig. 7), on a real checkpoint.

Everything but the CNN is frozen, so the model runs once over the data: every layer's map of every example is kept on
disk (float16; 26 layers of 32 x 32: 53 kB an example). One CNN a layer is then trained on the maps, all of them on the
same batches. The threshold is fitted on the validation split, the figures are those of the test split.

    OUTPUT/training/layers/   maps-SPLIT.npy, labels-SPLIT.npy, sweep.json, sweep.csv, sweep.png, and a run folder
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, List, Tuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from clue_ros.ambiguity.detector import AmbiguityDetector
from clue_ros.data.source import Source
from clue_ros.finetune.batch import Collator, chunks, draw
from clue_ros.finetune.examples import Splits, choose_splits, fixed_examples
from clue_ros.finetune.features import GIGABYTE, FeatureCache, FrozenVision, side_of
from clue_ros.finetune.passes import maps_of_layers
from clue_ros.finetune.recipe import FREE, DetectorTask
from clue_ros.measures.classification import figures_at, fitted_threshold
from clue_ros.training.base import name_spare_tokens
from clue_ros.training.loop import Run
from clue_ros.training.optimizer import Optimizer
from clue_ros.training.recipe_file import STATE, TrainingError, hold_recipe
from clue_ros.training.slot import Slot
from clue_ros.training.sweep import write_sweep
from clue_ros.vlm.dense import Precision
from clue_ros.vlm.loading import load_directory
from clue_ros.vlm.memory import memory_guard
from clue_ros.vlm.tokens import PromptTokens

FOLDER = Path("training") / "layers"
BEGUN = (STATE, "labels-*.npy")  # maps of other data must not be read as of these
ALL = 1 << 40  # examples
Kept = Tuple[np.ndarray, np.ndarray]  # float16[N,L,g,g], bool[N]


def sweep(base: Path, source: Source, output: Path, settings: DetectorTask, slot: Slot = Slot(), cpu: bool = False):
    """Run the sweep, or go on with it; returns the rows of the table, one a layer.

    settings: of the detector's section; `tap`, `depth` and `finetune` mean nothing here

    Raises TrainingError, ModelLoadError, DataError, OutOfMemoryError; SlotOver and KeyboardInterrupt as the loop does.
    """
    folder, splits = Path(output) / FOLDER, choose_splits(source, settings)
    run = {"base": str(Path(base).resolve()), "annotations": source.fingerprint(), "splits": asdict(splits)}
    hold_recipe(
        folder, "clue finetune layers", {"run": {**run, "data": source.name}, "detector": settings}, FREE, BEGUN
    )
    kept = _kept(base, source, splits, folder, settings, "cuda" if torch.cuda.is_available() and not cpu else "cpu")
    train, valid, test = kept
    if not len(train[1]) or not len(valid[1]):
        raise TrainingError("the data has no labelled examples for training and validation; look at clue data check")
    detectors = _train(folder, train, settings, slot)
    measured = test if len(test[1]) else valid
    fitted, scored = (_scores(detectors, part[0]) for part in (valid, measured))
    rows = []
    for layer in range(len(detectors)):
        threshold = fitted_threshold(fitted[layer], valid[1])
        figures = figures_at(scored[layer], measured[1], [""] * len(measured[1]), threshold)
        rows.append({"layer": layer, **{k: v for k, v in figures.items() if not isinstance(v, (dict, list))}})
    about = {"base": str(base), "examples": [len(part[1]) for part in kept], "steps": settings.steps}
    write_sweep(folder, rows, about)
    return rows


def _kept(
    base: Path, source: Source, splits: Splits, folder: Path, settings: DetectorTask, device: str
) -> Tuple[Kept, Kept, Kept]:
    """Maps and labels of the three splits; the model is loaded where some are missing, and freed."""
    names = {"train": splits.train, "valid": splits.valid, "test": splits.test}
    missing = [name for name in names if not (folder / f"labels-{name}.npy").exists()]
    if missing:
        with memory_guard("the maps of all layers; a smaller per_device needs less"):
            _run_model(base, source, splits, {name: names[name] for name in missing}, folder, settings, device)
    parts = []
    for name in names:
        labels = np.load(folder / f"labels-{name}.npy", allow_pickle=False)
        maps = np.load(folder / f"maps-{name}.npy", mmap_mode="r", allow_pickle=False)
        known = np.flatnonzero(labels >= 0)
        parts.append((_Rows(maps, known), labels[known] > 0))
    return cast(Any, tuple(parts))


class _Rows:
    """Some rows of an array on disk."""

    def __init__(self, array: np.ndarray, index: np.ndarray):
        self._array, self._index = array, index
        self.layers = array.shape[1]

    def __getitem__(self, rows: Any) -> np.ndarray:
        return np.asarray(self._array[self._index[rows]], np.float32)

    def __len__(self) -> int:
        return len(self._index)


@torch.no_grad()
def _run_model(
    base: Path, source: Source, splits: Splits, names: Dict[str, str], folder: Path, settings: DetectorTask, device: str
) -> None:
    dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
    loaded = load_directory(base, device, Precision(dtype, dtype))
    model, clue = cast(Any, loaded.model), loaded.settings
    tokenizer, _ = name_spare_tokens(cast(Any, loaded.tokenizer))
    tokens = PromptTokens(tokenizer, clue, model.config.image_token_id, model.lm_head.weight.shape[0], "cpu")
    cache = FeatureCache(settings.feature_cache, model, dtype, settings.feature_cache_gb * GIGABYTE)
    collator = Collator(tokens, side_of(model), settings.length, cache, settings.workers)
    vision, language = FrozenVision(model, cache), model.model.language_model
    side = model.config.vision_config.image_size // model.config.vision_config.patch_size
    try:
        for name, split in names.items():
            count = ALL if name == "train" else settings.validation
            examples = fixed_examples(source, split, settings, splits.fractions, count) if split else []
            partial = folder / f"maps-{name}.partial"
            shape = (len(examples), len(language.layers), side, side)
            maps = np.lib.format.open_memmap(partial, "w+", np.float16, shape) if examples else np.zeros(shape, "f2")
            labels, at = np.full(len(examples), -1, np.int8), 0
            with tqdm(total=len(examples), desc=f"maps of {name}", unit="example") as bar:
                for part, batch in chunks(examples, collator, settings.per_device):
                    batch = batch.to(device)
                    found = maps_of_layers(language, vision.features(batch), batch, clue.pattern)
                    maps[at : at + len(part)] = found.cpu().numpy().astype(np.float16)
                    labels[at : at + len(part)] = batch.labels.cpu().numpy()
                    at += len(part)
                    bar.update(len(part))
            if examples:
                cast(np.memmap, maps).flush()
                partial.replace(folder / f"maps-{name}.npy")
            else:
                np.save(folder / f"maps-{name}.npy", maps)
            np.save(folder / f"labels-{name}.npy", labels)
    finally:
        collator.close()


def _train(folder: Path, train: Kept, settings: DetectorTask, slot: Slot) -> nn.ModuleList:
    maps, labels = train
    torch.manual_seed(draw(settings.seed, 31))
    detectors = nn.ModuleList(AmbiguityDetector() for _ in range(cast(Any, maps).layers))
    optimizer = Optimizer(detectors.named_parameters(), settings.cnn_lr, settings.weight_decay, "adamw")
    run = Run(folder, {"detectors": detectors}, optimizer, {"task": "layers", **asdict(settings)}, settings.seed)

    def loss_of(step: int, rng: np.random.Generator) -> Tuple[torch.Tensor, Dict[str, float]]:
        chosen = rng.integers(len(labels), size=settings.batch)
        batch, label = torch.from_numpy(maps[chosen]), torch.from_numpy(labels[chosen].astype(np.float32))
        losses = [
            F.binary_cross_entropy_with_logits(detector(batch[:, layer]), label)
            for layer, detector in enumerate(detectors)
        ]
        return torch.stack(losses).sum(), {f"layer_{n}": float(x.detach()) for n, x in enumerate(losses)}

    detectors.train()
    run.train(settings, loss_of, title="layers", slot=slot)
    return detectors.eval()


@torch.no_grad()
def _scores(detectors: nn.ModuleList, maps: np.ndarray) -> List[np.ndarray]:
    """float64[N] in [0, 1] for each layer."""
    found: List[List[float]] = [[] for _ in detectors]
    for start in range(0, len(maps), 64):
        part = torch.from_numpy(maps[np.arange(start, min(start + 64, len(maps)))])
        for layer, detector in enumerate(detectors):
            found[layer] += detector(part[:, layer]).sigmoid().tolist()
    return [np.array(values, float) for values in found]
