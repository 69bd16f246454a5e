"""From a base directory, a data set and a recipe to a model directory. Start reading here.

base ── load_directory ──> Objective (frozen model, new adapter, CNN) ─┐
data ── ExampleStream ───> steps of batches, decoded ahead             ├─> Trainer ─> best weights ─> output
recipe ── read_config ───> settings of the task                       ─┘
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional

import torch

from clue_ros.ambiguity.kinds import kind_of
from clue_ros.data.source import Source
from clue_ros.finetune.batch import Collator
from clue_ros.finetune.examples import ExampleStream, Splits, choose_splits, fixed_examples
from clue_ros.finetune.features import GIGABYTE, FeatureCache, FrozenVision
from clue_ros.finetune.objective import Objective
from clue_ros.finetune.output import check_output, write_model
from clue_ros.finetune.recipe import AnyTask, DialogueTask, fixed_settings
from clue_ros.finetune.trainer import Trainer, seed_of
from clue_ros.finetune.validation import report_of
from clue_ros.training.adapters import LoraSettings, load_adapter_weights
from clue_ros.training.base import name_spare_tokens
from clue_ros.training.recipe_file import TrainingError
from clue_ros.vlm.dense import Precision
from clue_ros.vlm.loading import load_directory
from clue_ros.vlm.memory import memory_guard
from clue_ros.vlm.settings import FILE, ClueSettings
from clue_ros.vlm.tokens import PromptTokens

RUNS = "training"  # folder of the run folders in a model directory


@dataclass(frozen=True)
class Order:
    """What the command line asked for. copy_base: weights copied instead of linked; minutes: time slot, None for no
    limit; cpu: no GPU even if there is one; until: step at which to stop as if interrupted (tests)."""

    task: str
    base: Path
    output: Path
    settings: AnyTask
    lora: LoraSettings
    copy_base: bool = False
    minutes: Optional[float] = None
    cpu: bool = False
    until: Optional[int] = None


def finetune(order: Order, source: Source, accelerator=None) -> Dict:
    """Run a task, or go on with it; returns {"done": bool, "step": int, "output": folder, "report": figures or None,
    "interrupted": by a signal}.

    Raises TrainingError, ModelLoadError, DataError, OutOfMemoryError.
    """
    check_output(order.base, order.output)
    folder = Path(order.output) / RUNS / order.task
    accelerator = accelerator or make_accelerator(order, folder)
    # Before anything is loaded or made: a second process must not find half of what the first one is making.
    if accelerator.is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
    accelerator.wait_for_everyone()
    splits = choose_splits(source, order.settings)
    with _tracking(accelerator):
        trainer, tokenizer, new_words = build(order, folder, accelerator, source)
        validation = _held_out(source, splits, splits.valid, order.settings)
        stream = ExampleStream(source, splits.train, order.settings, splits.fractions, trainer.place)
        try:
            with memory_guard(f"training {order.task}; a smaller per_device needs less"):
                done = trainer.train(stream, validation, order.until)
                report = _finish(trainer, order, tokenizer, new_words, source, splits, validation) if done else None
        finally:
            trainer.collator.close()
    return {
        "done": done,
        "interrupted": trainer.interrupted and not done,
        "step": trainer.step,
        "output": str(order.output),
        "report": report,
        "problems": stream.problems.total + trainer.collator.problems.total,
    }


def make_accelerator(order: Order, folder: Path):
    """Accelerate's entry, for the processes that `accelerate launch` started, or for this one alone."""
    from accelerate import Accelerator
    from accelerate.utils import is_tensorboard_available

    log = {"log_with": "tensorboard", "project_dir": str(folder)} if is_tensorboard_available() else {}
    mixed = "bf16" if order.settings.precision == "bf16" else "no"
    return Accelerator(mixed_precision=mixed, cpu=order.cpu, **log)


def build(order: Order, folder: Path, accelerator, source: Source):
    """(Trainer, tokenizer, whether the tokenizer got new names for spare tokens)."""
    settings = order.settings
    dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
    model, tokenizer, clue, _ = load_directory(order.base, "cpu", Precision(dtype, dtype))
    if kind_of(clue, Path(order.base) / FILE).one_pass and isinstance(settings, DialogueTask):
        raise TrainingError(
            f"{order.base} is a one-pass model: its detector reads the dialogue adapter's own "
            "attention and would not fit another one; run the task joint, or start from the base checkpoint"
        )
    tokenizer, renamed = name_spare_tokens(tokenizer)
    _check_tap(settings, model, order)
    torch.manual_seed(seed_of(settings))  # the new adapter and the CNN start alike in every process
    objective = Objective(model, tokenizer, clue, settings, order.lora)
    _start_from(objective, order, clue, tokenizer)
    side = model.config.vision_config.image_size
    tokens = PromptTokens(tokenizer, clue, model.config.image_token_id, model.lm_head.weight.shape[0], "cpu")
    cache = FeatureCache(settings.feature_cache, model, dtype, settings.feature_cache_gb * GIGABYTE)
    collator = Collator(tokens, side, settings.length, cache, settings.workers)
    about = {
        "task": order.task,
        "base": str(Path(order.base).resolve()),
        "data": source.name,
        "images": [str(Path(r.folder).resolve()) for r in source.roots],
        "settings": fixed_settings(settings, order.lora),
    }
    with memory_guard("moving the model to the device"):
        trainer = Trainer(
            accelerator,
            objective,
            FrozenVision(model, cache),
            collator,
            settings,
            folder,
            about,
            None if order.minutes is None else order.minutes * 60,
        )
    return trainer, tokenizer, bool(renamed)


def _check_tap(settings: AnyTask, model, order: Order) -> None:
    layers = model.config.get_text_config().num_hidden_layers
    tap = getattr(settings, "tap", -1)
    if not -1 <= tap < layers:
        raise TrainingError(f"tap is {tap}, but {order.base} has the layers 0 to {layers - 1}")


def _start_from(objective: Objective, order: Order, clue: ClueSettings, tokenizer) -> None:
    if not order.settings.start_from:
        return
    start = Path(order.base) / "adapters" / order.settings.start_from
    load_adapter_weights(objective.model, objective.plan.folder, start)
    kind = objective.plan.kind
    if kind is not None and kind.file and (Path(order.base) / kind.file).is_file():
        objective.head.load_state_dict(kind.load_head(order.base, clue, tokenizer).state_dict())


def _held_out(source: Source, splits: Splits, split: str, settings: AnyTask) -> list:
    if not split or not settings.validation:
        return []
    return fixed_examples(source, split, settings, splits.fractions, settings.validation)


def _finish(
    trainer: Trainer, order: Order, tokenizer, new_words: bool, source: Source, splits: Splits, validation: list
) -> Dict:
    """Measure the best weights, write the model directory and report.json."""
    trainer.load_best()
    report: Dict = {}
    threshold = None
    if validation:
        valid = trainer.measure(validation)
        threshold = valid.metrics.get("threshold")
        test = trainer.measure(_held_out(source, splits, splits.test, order.settings))
        report = report_of(valid, test, 0.5 if threshold is None else threshold)
    report.update(
        task=order.task,
        steps=trainer.step,
        processes=trainer.accelerator.num_processes,
        metric=trainer.metric,
        best=None if trainer.best != trainer.best else trainer.best,
    )
    if trainer.accelerator.is_main_process:
        write_model(trainer.objective, tokenizer, order.base, order.output, threshold, order.copy_base, new_words)
        (trainer.folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    trainer.accelerator.wait_for_everyone()
    return report


@contextmanager
def _tracking(accelerator):
    """TensorBoard, where it is installed, for as long as the block runs."""
    if accelerator.log_with:
        accelerator.init_trackers("tensorboard")
    try:
        yield
    finally:
        for tracker in accelerator.trackers:
            tracker.finish()
