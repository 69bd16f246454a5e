"""Measuring on held-out examples: the losses, what share of words and of boxes is right, the detector's F1 and AUC."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Dict, List, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from clue_ros.finetune.batch import IGNORE, Batch, Collator, chunks
from clue_ros.finetune.examples import Example
from clue_ros.finetune.features import FrozenVision
from clue_ros.finetune.objective import Objective
from clue_ros.finetune.recipe import AnswerTask, AnyTask, DetectorTask, DialogueTask, JointTask
from clue_ros.geometry import box_iou
from clue_ros.location import BINS, bins_to_box
from clue_ros.measures.classification import area_under_curve, figures_at, fitted_threshold, rates_at
from clue_ros.training.recipe_file import TrainingError

_LOCATIONS = re.compile(r"<loc(\d{4})>" * 4)


@dataclass
class Held:
    """metrics: named figures; probability float64[M], label bool[M], kinds: of the labelled examples, in order."""

    metrics: Dict[str, float]
    probability: np.ndarray
    label: np.ndarray
    kinds: List[str]


def chosen_metric(settings: AnyTask) -> str:
    """The figure that makes a checkpoint the best. Raises TrainingError for one that the task does not have."""
    available = (
        ["loss"]
        + ([] if isinstance(settings, DetectorTask) else ["token_accuracy"])
        + ([] if isinstance(settings, (DetectorTask, AnswerTask)) else ["iou50"])
        + ([] if isinstance(settings, DialogueTask) else ["f1", "auc", "accuracy", "ambiguity_loss"])
    )
    name = settings.metric or ("f1" if isinstance(settings, DetectorTask) else "loss")
    if name not in available:
        raise TrainingError(f"metric '{name}' is none of this task's: {', '.join(available)}")
    return name


@torch.no_grad()
def measure(
    accelerator,
    objective: Objective,
    vision: FrozenVision,
    collator: Collator,
    examples: Sequence[Example],
    settings: AnyTask,
) -> Held:
    """Run examples, shared out among the processes; every process gets the same figures."""
    objective.eval()
    rank, world = accelerator.process_index, accelerator.num_processes
    place = torch.arange(rank, len(examples), world)
    # language, words, targets, right, boxes, boxes right
    totals = torch.zeros(6, dtype=torch.float64, device=accelerator.device)
    odds, labels = [], []
    for part, batch in chunks([examples[i] for i in place.tolist()], collator, settings.per_device):
        batch = batch.to(accelerator.device)
        with accelerator.autocast():
            features = vision.features(batch)
            out = objective(features, batch)
            ious = boxes_iou(objective, collator, features, part, batch) if settings.metric == "iou50" else []
        counts = torch.tensor([objective.words(batch), batch.tokens], dtype=torch.float64, device=totals.device)
        boxes = counts.new_tensor([len(ious), sum(iou >= 0.5 for iou in ious)])
        totals += torch.stack([out.language.double(), *counts, out.correct.double(), *boxes])
        odds.append(out.verdicts)
        labels.append(batch.labels)
    objective.train()
    totals = accelerator.reduce(totals).tolist()
    # A share may be one shorter than another, or empty: padded to one length, with places that do not exist.
    rows = torch.full((-(-len(examples) // world), 3), -1.0, dtype=torch.float64, device=accelerator.device)
    if odds:
        columns = torch.cat(odds), torch.cat(labels), place.to(accelerator.device)
        own = torch.stack([c.double() for c in columns], 1)
        rows[: len(own)] = own
    rows = accelerator.gather(rows).cpu()
    rows = rows[(rows[:, 2] >= 0) & (rows[:, 1] >= 0) & ~rows[:, 0].isnan()]
    rows = rows[rows[:, 2].argsort()]
    return _held(totals, rows, [f"turn {e.turn}" for e in examples], settings)


def boxes_iou(
    objective: Objective, collator: Collator, features: torch.Tensor, examples: Sequence[Example], batch: Batch
) -> List[float]:
    """IoU of the box that the model gives, token by token and nothing but location tokens (InViG's guesser may not
    ask), for each example of a batch whose suffix is a box. Raises nothing: other examples are passed over."""
    chosen = [(n, found) for n, e in enumerate(examples) if (found := _LOCATIONS.match(e.suffix or ""))]
    if not chosen:
        return []
    index = torch.tensor([n for n, _ in chosen], device=features.device)
    first, rows = collator.first_location, torch.arange(len(chosen), device=features.device)
    prefix = batch.prefix[index]
    ids = F.pad(batch.ids[index], (0, 4))
    ids[torch.arange(ids.shape[1], device=ids.device)[None] >= prefix[:, None]] = 0  # the truth is not told
    one = replace(
        batch, image=batch.image[index], ids=ids, prefix=prefix, rows=F.pad(batch.rows[index], (0, 4)), targets=ids
    )
    for n in range(4):
        targets = torch.full_like(ids, IGNORE)
        targets[rows, prefix - 1 + n] = 0
        logits = objective.next_logits(features[index], replace(one, targets=targets))
        ids[rows, prefix + n] = first + logits[:, first : first + BINS].argmax(-1)
    given = (ids[rows[:, None], prefix[:, None] + torch.arange(4, device=ids.device)] - first).tolist()
    truths = [[int(bin) for bin in found.groups()] for _, found in chosen]
    return [box_iou(bins_to_box(a, 1, 1), bins_to_box(b, 1, 1)) for a, b in zip(given, truths)]


def _held(totals: List[float], rows: torch.Tensor, kinds: List[str], settings: AnyTask) -> Held:
    language, words, targets, right, boxes, found = totals
    metrics = {} if not targets else {"language_loss": language / words, "token_accuracy": right / targets}
    probability, label = rows[:, 0].sigmoid().numpy(), rows[:, 1].numpy() > 0.5
    if boxes:
        metrics["iou50"] = found / boxes
    if len(rows):
        metrics["ambiguity_loss"] = float(F.binary_cross_entropy_with_logits(rows[:, 0], rows[:, 1]))
        threshold, area = fitted_threshold(probability, label), area_under_curve(probability, label)
        at = rates_at(probability, label, threshold)
        metrics.update(
            f1=at.f1 or 0.0,
            accuracy=at.accuracy or 0.0,
            auc=float("nan") if area is None else area,
            threshold=threshold,
        )
    weight = settings.ambiguity_weight if isinstance(settings, JointTask) else 1.0
    parts = [metrics["language_loss"]] if targets else []
    parts += [weight * metrics["ambiguity_loss"]] if len(rows) else []
    metrics["loss"] = sum(parts) if parts else float("nan")
    return Held(metrics, probability, label, [kinds[int(i)] for i in rows[:, 2]])


def report_of(valid: Held, test: Held, threshold: float) -> Dict:
    """Figures for the run's report.json: of the validation examples, and of the test examples at the threshold that was
    fitted on the validation examples."""
    report: Dict = {"valid": _plain(valid.metrics), "threshold": round(threshold, 3)}
    if test.metrics and not np.isnan(test.metrics["loss"]):
        report["test"] = _plain(test.metrics)
        if len(test.label):
            report["test"].update(figures_at(test.probability, test.label, test.kinds, threshold))
    return report


def _plain(metrics: Dict[str, float]) -> Dict:
    """JSON has no nan (the AUC of one class)."""
    return {k: None if np.isnan(v) else round(float(v), 5) for k, v in metrics.items()}
