"""Assemble a model directory from the stages' run folders, and fit the detector's threshold on held-out scenes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict, Tuple

import numpy as np
import torch
from transformers import SiglipImageProcessorPil

from clue_ros.ambiguity.detector import AmbiguityDetector
from clue_ros.simulation.language import FILLERS
from clue_ros.training.adapters import (LoraSettings, NamedParameters, add_adapter, named_adapter_parameters,
                                        save_adapter)
from clue_ros.training.detector_stage import DetectorTrainer
from clue_ros.training.loop import load_modules
from clue_ros.training.tabletop_model import TabletopSize
from clue_ros.training.vision import start
from clue_ros.vlm.settings import ClueSettings


def load_base(language_folder: Path, size: TabletopSize = TabletopSize(), seed: int = 0):
    """(tokenizer, model) as the language stage left it, in evaluation mode."""
    tokenizer, model, _ = start(size, seed)
    load_modules(language_folder, {"model": model})
    model.tie_weights()
    return tokenizer, model.eval()


def export(output: Path, language_folder: Path, detector_folder: Path, dialogue_folder: Path, tap: int,
           threshold: float, size: TabletopSize = TabletopSize(), lora: LoraSettings = LoraSettings()) -> Path:
    """Write a complete model directory (vlm/settings.py), weights in float16 to halve the download."""
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    tokenizer, model = load_base(language_folder, size)
    model.half().save_pretrained(output)
    tokenizer.save_pretrained(output)
    SiglipImageProcessorPil(size={"height": size.image_size, "width": size.image_size}, image_mean=[.5] * 3,
                         image_std=[.5] * 3).save_pretrained(output)
    tokenizer, model = load_base(language_folder, size)
    for name, folder, layers in (("detector", detector_folder, [tap]), ("dialogue", dialogue_folder, None)):
        add_adapter(model, name, layers, lora)
        load_modules(folder, {"adapter": NamedParameters(named_adapter_parameters(model, name))})
        save_adapter(model, name, output / "adapters" / name)
    detector = AmbiguityDetector()
    load_modules(detector_folder, {"detector": detector})
    detector.save(output)
    ClueSettings(prefix_attention="image_blind", tap_layer=tap, tap_rows="last", threshold=round(threshold, 3),
                 closed_vocabulary=True, ignored_words=FILLERS, name="clue-tabletop").save(output)
    return output


@torch.no_grad()
def detector_scores(trainer: DetectorTrainer, batches: int, seed: int = 1) -> Tuple[np.ndarray, np.ndarray, list]:
    """(probability float64[Q], label bool[Q], expression type[Q]) on the trainer's source."""
    trainer.model.eval()
    trainer.detector.eval()
    probability, label, kinds = [], [], []
    for n in range(batches):
        rng = np.random.default_rng([seed, n])
        pack, maps = trainer.maps(*trainer.source.draw(trainer.settings.batch, rng), rng=rng)
        probability += trainer.detector(maps).sigmoid().tolist()
        label += [q.ambiguous for q in pack.queries]
        kinds += [q.kind for q in pack.queries]
    return np.array(probability), np.array(label), kinds


def best_threshold(probability: np.ndarray, label: np.ndarray) -> float:
    """The threshold in [0.2, 0.8] with the highest F1."""
    grid = np.linspace(.2, .8, 61)
    return float(grid[int(np.argmax([f1_score(probability >= t, label) for t in grid]))])


def f1_score(guess: np.ndarray, label: np.ndarray) -> float:
    hit = float((guess & label).sum())
    return 2 * hit / max(1.0, float(guess.sum() + label.sum()))


def detector_report(probability: np.ndarray, label: np.ndarray, kinds: list, threshold: float) -> Dict:
    """Accuracy, precision, recall and F1 at a threshold, and F1 or accuracy by expression type."""
    guess = probability >= threshold
    hit = float((guess & label).sum())
    by_kind = {}
    for kind in sorted(set(kinds)):
        here = np.array([k == kind for k in kinds])
        by_kind[kind] = {"count": int(here.sum()), "accuracy": round(float((guess == label)[here].mean()), 3)}
    return {"threshold": round(threshold, 3), "count": len(label), "accuracy": round(float((guess == label).mean()), 3),
            "precision": round(hit / max(1.0, float(guess.sum())), 3), "recall": round(hit / max(1., label.sum()), 3),
            "f1": round(f1_score(guess, label), 3), "by_kind": by_kind}


def write_report(folder: Path, name: str, report: Dict) -> None:
    (Path(folder) / f"{name}.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
