"""From a base directory, a data set and a recipe to a model directory. Start reading here.

base ── load_directory ──> Objective (frozen model, new adapter, CNN) ─┐
data ── ExampleStream ───> steps of batches, decoded ahead             ├─> Trainer ─> best weights ─> output
recipe ── read_config ───> settings of the task                       ─┘
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Dict, Tuple, cast

import torch

from clue_ros.ambiguity.kinds import kind_of
from clue_ros.data.looks import looks_of
from clue_ros.data.mixture import MixtureSource
from clue_ros.data.source import Source
from clue_ros.data.stream import SampleStream
from clue_ros.eyes.sight import has_sight
from clue_ros.finetune.batch import Collator, draw
from clue_ros.finetune.card import push, write_card
from clue_ros.finetune.examples import ExampleStream, Splits, balance, choose_splits, fixed_examples
from clue_ros.finetune.features import GIGABYTE, FeatureCache, FrozenVision, side_of
from clue_ros.finetune.objective import Objective
from clue_ros.finetune.older_runs import adopt
from clue_ros.finetune.output import check_output, write_model
from clue_ros.finetune.recipe import FREE, AnswerTask, AnyTask, DialogueTask
from clue_ros.finetune.trainer import Trainer
from clue_ros.finetune.validation import chosen_metric, report_of
from clue_ros.images.copies import save_looks
from clue_ros.prompt import ANSWER
from clue_ros.training.adapters import LoraSettings, load_adapter_weights
from clue_ros.training.base import name_spare_tokens
from clue_ros.training.recipe_file import STATE, TrainingError, hold_recipe
from clue_ros.training.slot import Slot, SlotOver
from clue_ros.vlm.dense import Precision
from clue_ros.vlm.loading import load_directory
from clue_ros.vlm.memory import memory_guard
from clue_ros.vlm.settings import FILE, ClueSettings
from clue_ros.vlm.tokens import PromptTokens

RUNS = "training"  # folder of the run folders in a model directory
SEEN = "images.npy"  # in a run folder: the looks of its training images, by which evaluation/held_out.py knows copies


@dataclass(frozen=True)
class Order:
    """What the command line asked for.

    copy_base: weights copied instead of linked.
    slot: when the run saves and stops.
    cpu: no GPU even if there is one.
    push: OWNER/NAME on the Hugging Face hub that gets what was trained, '' for none.
    """

    task: str
    base: Path
    output: Path
    settings: AnyTask
    lora: LoraSettings
    copy_base: bool = False
    slot: Slot = Slot()
    cpu: bool = False
    push: str = ""


def finetune(order: Order, source: Source, accelerator=None) -> Dict:
    """Run a task, or go on with it; returns {"done": bool, "step": int, "output": folder, "report": figures or None,
    "interrupted": by a signal}.

    Raises TrainingError, ModelLoadError, DataError, OutOfMemoryError.
    """
    check_output(order.base, order.output)
    folder = Path(order.output) / RUNS / order.task
    accelerator = accelerator or make_accelerator(order)
    # Before anything is loaded or made: a second process must not find half of what the first one is making.
    if accelerator.is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
        adopt(folder, chosen_metric(order.settings))
    accelerator.wait_for_everyone()
    order, splits = hold(order, source)
    if accelerator.is_main_process and not ((folder / STATE).exists() and (folder / SEEN).exists()):
        stream = SampleStream(source, splits.train, fractions=splits.fractions)
        save_looks(folder / SEEN, [look for _, look in looks_of(stream)])
    trainer, tokenizer, new_words = build(order, folder, accelerator)
    validation = _held_out(source, splits, splits.valid, order.settings)
    stream = ExampleStream(source, splits.train, order.settings, splits.fractions, trainer.run.place)
    report, interrupted = None, False
    try:
        with memory_guard(f"training {order.task}; a smaller per_device needs less"):
            trainer.train(stream, validation, order.slot)
            report = _finish(trainer, order, tokenizer, new_words, source, splits, validation)
    except SlotOver:
        pass
    except KeyboardInterrupt:
        interrupted = True
    finally:
        trainer.collator.close()
    return {
        "done": report is not None,
        "interrupted": interrupted,
        "step": trainer.run.step,
        "output": str(order.output),
        "report": report,
        "problems": stream.problems.total + trainer.collator.problems.total,
    }


def make_accelerator(order: Order):
    """Accelerate's entry, for the processes that `accelerate launch` started, or for this one alone."""
    from accelerate import Accelerator

    return Accelerator(mixed_precision="bf16" if order.settings.precision == "bf16" else "no", cpu=order.cpu)


def hold(order: Order, source: Source) -> Tuple[Order, Splits]:
    """What a run is made of, into its folder; evaluation/held_out.py reads the fingerprint and the splits from it.
    Returns (the order with its weights counted, the splits). Raises TrainingError for another run's folder."""
    splits = choose_splits(source, order.settings)
    if getattr(order.settings, "pos_weight", 1.0) == 0:
        weight = round(balance(source, splits, order.settings), 4)
        order = replace(order, settings=replace(cast(Any, order.settings), pos_weight=weight))
    run = {
        "base": str(Path(order.base).resolve()),
        "data": source.name,
        "images": [str(Path(r.folder).resolve()) for r in source.roots],
        "annotations": source.fingerprint(),
        "splits": asdict(splits),
    }
    if isinstance(source, MixtureSource):
        run["parts"] = [
            {
                "annotations": part.source.fingerprint(),
                "splits": {**asdict(splits), "fractions": list(source.fractions) if part.divided else None},
                "weight": part.weight,
            }
            for part in source.parts
        ]
    sections = {"run": run, order.task: order.settings, "lora": order.lora}
    hold_recipe(Path(order.output) / RUNS / order.task, f"clue finetune {order.task}", sections, FREE)
    return order, splits


def build(order: Order, folder: Path, accelerator):
    """(Trainer, tokenizer, whether the tokenizer got new names for spare tokens)."""
    settings = order.settings
    dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
    # Eyes run where they were opened; everything else is moved by Accelerate.
    device = str(accelerator.device) if has_sight(order.base) else "cpu"
    loaded = load_directory(order.base, device, Precision(dtype, dtype))
    model, clue = cast(Any, loaded.model), loaded.settings
    speaks = isinstance(settings, DialogueTask) and not isinstance(settings, AnswerTask)
    if speaks and kind_of(clue, Path(order.base) / FILE).one_pass:
        raise TrainingError(
            f"{order.base} is a one-pass model: its detector reads the dialogue adapter's own "
            "attention and would not fit another one; run the task joint, or start from the base checkpoint"
        )
    tokenizer, renamed = name_spare_tokens(cast(Any, loaded.tokenizer))
    if isinstance(settings, AnswerTask) and clue.closed_vocabulary and ANSWER not in tokenizer.get_vocab():
        raise TrainingError(f"{order.base} cannot play the person: its closed vocabulary has no word '{ANSWER}'")
    _check_tap(settings, model, order)
    torch.manual_seed(draw(settings.seed, 31))  # the new adapter and the CNN start alike in every process
    objective = Objective(model, tokenizer, clue, settings, order.lora)
    _start_from(objective, order, clue, tokenizer)
    tokens = PromptTokens(tokenizer, clue, model.config.image_token_id, model.lm_head.weight.shape[0], "cpu")
    cache = FeatureCache(settings.feature_cache, model, dtype, settings.feature_cache_gb * GIGABYTE)
    collator = Collator(tokens, side_of(model), settings.length, cache, settings.workers)
    with memory_guard("moving the model to the device"):
        trainer = Trainer(accelerator, objective, FrozenVision(model, cache), collator, settings, folder)
    return trainer, tokenizer, bool(renamed)


def _check_tap(settings: AnyTask, model, order: Order) -> None:
    layers = model.config.get_text_config().num_hidden_layers
    tap = getattr(settings, "tap", -1)
    if not -1 <= tap < layers:
        raise TrainingError(f"tap is {tap}, but {order.base} has the layers 0 to {layers - 1}")


def _start_from(objective: Objective, order: Order, clue: ClueSettings, tokenizer) -> None:
    if not order.settings.start_from:
        return
    if objective.plan.layers:
        start = Path(order.base) / "adapters" / order.settings.start_from
        load_adapter_weights(objective.model, objective.plan.folder, start)
    kind, head = objective.plan.kind, objective.head
    if kind is not None and head is not None and kind.file and (Path(order.base) / kind.file).is_file():
        head.load_state_dict(kind.load_head(order.base, clue, tokenizer).state_dict())


def _held_out(source: Source, splits: Splits, split: str, settings: AnyTask) -> list:
    if not split or not settings.validation:
        return []
    return fixed_examples(source, split, settings, splits.fractions, settings.validation)


def _finish(
    trainer: Trainer, order: Order, tokenizer, new_words: bool, source: Source, splits: Splits, validation: list
) -> Dict:
    """Measure the best weights, write the model directory and report.json."""
    trainer.load_kept()
    report: Dict = {}
    threshold = None
    if validation:
        valid = trainer.measure(validation)
        threshold = valid.metrics.get("threshold")
        test = trainer.measure(_held_out(source, splits, splits.test, order.settings))
        report = report_of(valid, test, 0.5 if threshold is None else threshold)
    report.update(
        task=order.task,
        steps=trainer.run.step,
        processes=trainer.accelerator.num_processes,
        metric=trainer.settings.metric,
        best=trainer.run.best and trainer.run.best["value"],
    )
    if trainer.accelerator.is_main_process:
        write_model(trainer.objective, tokenizer, order.base, order.output, threshold, order.copy_base, new_words)
        (trainer.run.folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        reports = (Path(order.output) / RUNS).glob("*/report.json")
        write_card(order.output, {f.parent.name: json.loads(f.read_text(encoding="utf-8")) for f in reports})
        if order.push:
            push(order.output, order.push)
    trainer.accelerator.wait_for_everyone()
    return report
