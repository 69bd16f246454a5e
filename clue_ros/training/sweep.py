"""`clue train detector --sweep-layers`: which layer's map tells most (CLUE, Fig. 7).

Everything but the CNN is frozen, without adapters; one CNN a layer is trained on the maps of that layer, all of them
on the same batches of one pass. Writes sweep.json, sweep.csv and sweep.png and returns the rows of the table.
"""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Dict, List, Optional

import numpy as np
import torch
import torch.nn.functional as F

from clue_ros.ambiguity.detector import AmbiguityDetector
from clue_ros.measures.classification import figures_at, fitted_threshold
from clue_ros.simulation.queries import query_of, scene_states
from clue_ros.training.detector_stage import shaken
from clue_ros.training.features import FeatureData
from clue_ros.training.loop import Run
from clue_ros.training.optimizer import Optimizer
from clue_ros.training.packed import maps_of_layers
from clue_ros.training.packing import Pack, Packer
from clue_ros.training.settings import LoopSettings


@dataclass(frozen=True)
class SweepSettings(LoopSettings):
    """lr: of the CNNs; validation_batches: of held-out scenes, half for the threshold and half for the figures."""

    steps: int = 300
    queries: int = 8
    length: int = 160
    lr: float = 2e-3
    prefix: str = "detect"
    validation_batches: int = 40
    warmup: int = 25


class LayerSweep:
    """One CNN for each decoder layer of a frozen model."""

    def __init__(self, model, tokenizer, source: FeatureData, folder: Path, settings: SweepSettings = SweepSettings()):
        self.model, self.source, self.settings = model.requires_grad_(False).eval(), source, settings
        self.layers = list(range(model.config.get_text_config().num_hidden_layers))
        torch.manual_seed(settings.seed)
        self.detectors = torch.nn.ModuleList([AmbiguityDetector() for _ in self.layers])
        self._packer = Packer(tokenizer, source.features.shape[1])
        optimizer = Optimizer(self.detectors.named_parameters(), settings.lr, settings.weight_decay, settings.optimizer)
        self.run = Run(
            folder, {"detectors": self.detectors}, optimizer, {"stage": "sweep", **asdict(settings)}, settings.seed
        )

    def train(self) -> None:
        self.detectors.train()
        self.run.train(self.settings, self._loss, title="sweep")
        self.detectors.eval()

    def _loss(self, step: int, rng: np.random.Generator):
        pack, maps = self._maps(self.source, rng)
        label = torch.tensor([float(q.ambiguous) for q in pack.queries])
        losses = [
            F.binary_cross_entropy_with_logits(detector(shaken(maps[layer], rng)), label)
            for layer, detector in zip(self.layers, self.detectors)
        ]
        return torch.stack(losses).sum(), {f"layer_{n}": float(x.detach()) for n, x in zip(self.layers, losses)}

    def _maps(self, source: FeatureData, rng: np.random.Generator) -> "tuple[Pack, Dict[int, torch.Tensor]]":
        s = self.settings
        features, patches, objects, sizes = source.draw(s.batch, rng)
        per_image = [
            [query_of(state, s.prefix, o, z, rng) for state in scene_states(o, z, rng, s.queries)]
            for o, z in zip(objects, sizes)
        ]
        pack = self._packer.pack(per_image, patches, s.length)
        return pack, maps_of_layers(self.model, features, pack, self.layers)

    @torch.no_grad()
    def report(self, source: FeatureData, seed: int = 1) -> List[Dict]:
        """One row a layer on held-out scenes: F1, accuracy, precision, recall and the threshold."""
        self.detectors.eval()
        scores: Dict[int, list] = {layer: [] for layer in self.layers}
        label, kinds, half = [], [], []
        for n in range(self.settings.validation_batches):
            pack, maps = self._maps(source, np.random.default_rng([seed, n]))
            for layer, detector in zip(self.layers, self.detectors):
                scores[layer] += detector(maps[layer]).sigmoid().tolist()
            label += [q.ambiguous for q in pack.queries]
            kinds += [q.kind for q in pack.queries]
            half += [n % 2] * len(pack.queries)
        truth, fit = np.array(label), np.array(half) == 0
        rows = []
        for layer in self.layers:
            p = np.array(scores[layer])
            report = figures_at(
                p[~fit], truth[~fit], [k for k, f in zip(kinds, fit) if not f], fitted_threshold(p[fit], truth[fit])
            )
            rows.append({"layer": layer, **report})
        return rows


def write_sweep(folder: Path, rows: List[Dict], about: Dict) -> Path:
    """Write sweep.json, sweep.csv and sweep.png; returns the folder."""
    folder = Path(folder)
    (folder / "sweep.json").write_text(json.dumps({**about, "layers": rows}, indent=2) + "\n", encoding="utf-8")
    columns = ("layer", "f1", "accuracy", "precision", "recall", "threshold", "count")
    with open(folder / "sweep.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    _plot(folder / "sweep.png", rows)
    return folder


def _plot(file: Path, rows: List[Dict]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    layers = [r["layer"] for r in rows]
    axes.plot(layers, [r["f1"] for r in rows], "o-", label="F1")
    axes.plot(layers, [r["accuracy"] for r in rows], "s--", label="accuracy")
    axes.set(xlabel="decoder layer whose map is read", ylabel="held-out scenes", xticks=layers)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=150)


def table_of(rows: List[Dict]) -> List[str]:
    """The lines of a report."""
    head = f"{'layer':>5}  {'F1':>6}  {'accuracy':>8}  {'AUC':>6}   ({rows[0]['count']} held-out expressions)"
    form = "{layer:>5}  {f1:6.3f}  {accuracy:8.3f}  {area:>6}"
    return [head, *(form.format(**row, area=figure(row["auc"])) for row in rows)]


def figure(value: Optional[float]) -> str:
    """An area under the curve that one class cannot have shows as '-'."""
    return "-" if value is None else f"{value:.3f}"
