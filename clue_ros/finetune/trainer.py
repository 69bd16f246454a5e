"""The tasks on a real checkpoint under the shared loop (training/loop.py): a step is some passes through Accelerate."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Tuple

import torch
from torch import nn

from clue_ros.finetune.batch import Batch, Collator, Step, steps
from clue_ros.finetune.examples import Example, ExampleStream
from clue_ros.finetune.features import FrozenVision
from clue_ros.finetune.objective import Objective
from clue_ros.finetune.recipe import AnyTask, DialogueTask, JointTask, passes_a_step
from clue_ros.finetune.validation import Held, chosen_metric, measure
from clue_ros.training.adapters import NamedParameters
from clue_ros.training.checkpoint import load_modules
from clue_ros.training.loop import Run, Values
from clue_ros.training.optimizer import Optimizer
from clue_ros.training.recipe_file import TrainingError
from clue_ros.training.slot import Slot

BARREN = 50  # steps in a row without anything to learn from until the run stops


class Trainer:
    """One run in one folder; it goes on with the checkpoint that is there."""

    def __init__(
        self,
        accelerator,
        objective: Objective,
        vision: FrozenVision,
        collator: Collator,
        settings: AnyTask,
        folder: Path,
    ):
        self.accelerator, self.objective, self.vision, self.collator = accelerator, objective, vision, collator
        self.settings = settings = replace(settings, metric=chosen_metric(settings))
        self._passes = passes_a_step(settings, accelerator.num_processes)
        self._barren = 0  # steps in a row
        objective.processes = accelerator.num_processes
        if accelerator.num_processes > 1:
            objective.gather = lambda *tensors: (accelerator.process_index, accelerator.gather(tensors))
        self._wrapped = accelerator.prepare_model(objective)
        modules: Dict[str, nn.Module] = {"adapter": NamedParameters(objective.named)}
        optimizer = Optimizer(objective.named, settings.lr, settings.weight_decay, settings.optimizer, settings.clip)
        if objective.head is not None and not isinstance(settings, DialogueTask):
            modules["detector"] = objective.head
            optimizer.add(objective.head.named_parameters(), settings.cnn_lr, settings.weight_decay, "adamw")
        self.run = Run(folder, modules, optimizer, asdict(settings), settings.seed)

    def train(self, stream: ExampleStream, validation: List[Example], slot: Slot = Slot()) -> None:
        """Train up to the recipe's steps.

        stream: made with `resume=self.run.place`.
        Raises SlotOver or KeyboardInterrupt as the loop does, everything saved; TrainingError where nothing is learnt.
        """
        s, accelerator = self.settings, self.accelerator
        rank, world = accelerator.process_index, accelerator.num_processes
        source = steps(stream, self.collator, self.run.step, s.seed, self._passes, s.per_device, rank, world)
        self.objective.train()
        try:
            self.run.loop(
                s,
                partial(self._backward, source),
                title="finetune",
                report_every=1,
                save_every=s.save_every,
                measure=(lambda: self.measure(validation).metrics) if validation else None,
                slot=slot,
            )
        finally:
            source.close()

    def load_kept(self) -> None:
        """Put the weights that the recipe keeps into the model: without validation the last ones."""
        self.accelerator.wait_for_everyone()  # until they are written
        load_modules(self.run.folder, self.run.modules, self.settings.keep)

    def _backward(self, source: Iterator[Step], stopping: Callable[[], bool]) -> Tuple[Optional[Values], bool]:
        stop = stopping()
        step = next(source)
        self.run.place = step.state
        tokens, labels = sum(b.tokens for b in step.batches), sum(b.labelled for b in step.batches)
        words = sum(self.objective.words(b) for b in step.batches)
        # On the way to one step's end every process hears what the others hold, and whether one was told to stop.
        counts = self._sum([tokens, labels, float(stop), words])
        tokens, labels, stop, words = max(1.0, counts[0]), max(1.0, counts[1]), counts[2] > 0, max(1.0, counts[3])
        sums = torch.zeros(3, dtype=torch.float64, device=self.accelerator.device)  # language, ambiguity, right
        for n, batch in enumerate(step.batches):
            last = n == len(step.batches) - 1
            with nullcontext() if last else self.accelerator.no_sync(self._wrapped):
                sums += self._pass(batch.to(self.accelerator.device), words, labels)
        self._barren = 0 if counts[0] or counts[1] else self._barren + 1
        if self._barren == BARREN:
            raise TrainingError(f"{BARREN} steps in a row had nothing to learn from: {self._complaint()}")
        if self._barren:
            return None, stop
        language, ambiguity, right = self._sum(sums.tolist())
        values: Values = {}
        if counts[0]:
            values.update(language=language / words, token_accuracy=right / tokens)
        if counts[1]:
            values["ambiguity"] = ambiguity / labels
        values["loss"] = values.get("language", 0.0) + self._weight() * values.get("ambiguity", 0.0)
        if self.accelerator.device.type == "cuda":
            values["peak_memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
        return values, stop

    def _pass(self, batch: Batch, words: float, labels: float) -> torch.Tensor:
        with self.accelerator.autocast():
            features = self.vision.features(batch)
        out = self._wrapped(features, batch)
        # Gradients are averaged over the processes, while the counts are of all of them.
        world = self.accelerator.num_processes
        loss = world * (out.language / words + self._weight() * out.ambiguity / labels)
        self.accelerator.backward(loss)
        return torch.stack([out.language.detach().double(), out.ambiguity.detach().double(), out.correct.double()])

    def _weight(self) -> float:
        return self.settings.ambiguity_weight if isinstance(self.settings, JointTask) else 1.0

    def _sum(self, values: List[float]) -> List[float]:
        """Of all processes."""
        if self.accelerator.num_processes == 1:
            return values
        kind = torch.float32 if self.accelerator.device.type == "mps" else torch.float64
        return self.accelerator.reduce(torch.tensor(values, dtype=kind, device=self.accelerator.device)).tolist()

    def measure(self, examples: List[Example]) -> Held:
        return measure(self.accelerator, self.objective, self.vision, self.collator, examples, self.settings)

    def _complaint(self) -> str:
        first = self.collator.problems.first
        return str(first[0]) if first else "look at the data with: clue data show PATH"
