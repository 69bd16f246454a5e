"""The loop: steps through Accelerate, readings, validation, checkpoints, interruptions."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Dict, List, Optional

import torch

from clue_ros.finetune import checkpoint
from clue_ros.finetune.batch import Batch, Collator, Step, draw, steps
from clue_ros.finetune.examples import Example, ExampleStream
from clue_ros.finetune.features import FrozenVision
from clue_ros.finetune.objective import Objective
from clue_ros.finetune.recipe import AnyTask, JointTask, passes_a_step
from clue_ros.finetune.validation import Held, chosen_metric, is_better, measure
from clue_ros.training.optimizer import linear
from clue_ros.training.readings import READINGS, keep_until
from clue_ros.training.recipe_file import TrainingError

BARREN = 50  # steps in a row without anything to learn from until the run stops


class Trainer:
    """One run in one folder. about: what a resumed run must share (settings, base, data); limit_s: seconds after which
    the run saves and stops, None for no limit."""

    def __init__(
        self,
        accelerator,
        objective: Objective,
        vision: FrozenVision,
        collator: Collator,
        settings: AnyTask,
        folder: Path,
        about: Dict,
        limit_s: Optional[float] = None,
    ):
        self.accelerator, self.vision, self.collator = accelerator, vision, collator
        self.settings, self.folder, self.about = settings, Path(folder), about
        self._ends = None if limit_s is None else time.monotonic() + limit_s
        self._passes = passes_a_step(settings, accelerator.num_processes)
        self._metric = chosen_metric(settings)
        objective.processes = accelerator.num_processes
        if accelerator.num_processes > 1:
            objective.gather = lambda *tensors: (accelerator.process_index, accelerator.gather(tensors))
        self._wrapped = accelerator.prepare_model(objective)
        self.objective = objective
        groups = [{"params": [p for _, p in objective.named], "lr": settings.lr}]
        own = [] if objective.head is None else list(objective.head.parameters())
        if own:
            groups.append({"params": own, "lr": settings.cnn_lr})
        self.optimizer = torch.optim.AdamW(groups, weight_decay=settings.weight_decay)
        self._rates = [g["lr"] for g in groups]
        self.step, self.best, self.place = 0, float("nan"), None
        self.interrupted = False  # by a signal
        self._resume()

    @property
    def metric(self) -> str:
        return self._metric

    def train(self, stream: ExampleStream, validation: List[Example], until: Optional[int] = None) -> bool:
        """Train up to the recipe's steps (or stop at `until`, as an interruption would); True when all are done.

        SIGINT and SIGTERM save and stop. stream: made with `resume=self.place`.
        """
        from tqdm import tqdm

        last = min(self.settings.steps, until or self.settings.steps)
        source = steps(
            stream,
            self.collator,
            self.step,
            self.settings.seed,
            self._passes,
            self.settings.per_device,
            self.accelerator.process_index,
            self.accelerator.num_processes,
        )
        self.objective.train()
        stop, barren = False, 0
        with (
            _Signals() as signals,
            tqdm(
                total=self.settings.steps,
                initial=self.step,
                unit="step",
                mininterval=2,
                desc="finetune",
                file=sys.stderr,
                dynamic_ncols=True,
                disable=not self.accelerator.is_main_process,
            ) as bar,
        ):
            while self.step < last and not stop:
                step = next(source)
                readings, stop = self._step(step, bool(signals.caught) or self._late())
                self.step, self.place = self.step + 1, step.state
                barren = barren + 1 if readings is None else 0
                if barren == BARREN:
                    raise TrainingError(f"{BARREN} steps in a row had nothing to learn from: {self._complaint()}")
                self._log(readings or {}, bar)
                done = self.step == self.settings.steps
                if validation and (self.step % self.settings.validate_every == 0 or done):
                    self._validate(validation, bar)
                if self.step % self.settings.save_every == 0 or done or stop:
                    self.save()
        source.close()
        self.save()
        self.interrupted = stop and not self._late()
        return self.step >= self.settings.steps

    def save(self) -> None:
        if self.accelerator.is_main_process and (self.folder / f"step-{self.step:06d}").is_dir() is False:
            checkpoint.save(
                self.folder,
                self.objective,
                self.optimizer,
                {
                    "step": self.step,
                    "place": self.place,
                    "best": None if self.best != self.best else self.best,
                    "about": self.about,
                },
            )
        self.accelerator.wait_for_everyone()

    def load_best(self) -> None:
        """Put the weights that validated best into the model; without validation the last ones stay."""
        if (self.folder / "best" / "weights.safetensors").is_file():
            checkpoint.put_weights(self.objective, self.folder / "best")

    def _resume(self) -> None:
        state = checkpoint.read_state(self.folder)
        if state is None:
            return
        checkpoint.check_same_run(state, self.about, self.folder)
        checkpoint.load(self.folder, self.objective, self.optimizer)
        self.step, self.place = state["step"], state["place"]
        self.best = float("nan") if state["best"] is None else state["best"]
        if self.accelerator.is_main_process:
            keep_until(self.folder / READINGS, self.step)

    def _step(self, step: Step, stop: bool):
        """(readings or None if the step held nothing, whether any process wants to stop)."""
        begun = time.perf_counter()
        tokens, labels = sum(b.tokens for b in step.batches), sum(b.labelled for b in step.batches)
        # On the way to one step's end every process hears what the others hold, and whether one was told to stop.
        counts = self._sum([tokens, labels, float(stop)])
        tokens, labels, stop = max(1.0, counts[0]), max(1.0, counts[1]), counts[2] > 0
        sums = torch.zeros(3, dtype=torch.float64, device=self.accelerator.device)  # language, ambiguity, right
        for n, batch in enumerate(step.batches):
            last = n == len(step.batches) - 1
            with nullcontext() if last else self.accelerator.no_sync(self._wrapped):
                sums += self._pass(batch.to(self.accelerator.device), tokens, labels)
        for group, rate in zip(self.optimizer.param_groups, self._rates):
            group["lr"] = rate * linear(self.step, self.settings.steps, self.settings.warmup)
        norm = float(
            self.accelerator.clip_grad_norm_(
                [p for g in self.optimizer.param_groups for p in g["params"]], self.settings.clip
            )
        )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if not counts[0] and not counts[1]:
            return None, stop
        language, ambiguity, right = self._sum(sums.tolist())
        readings = {"loss": 0.0, "gradient": norm, "rate": self.optimizer.param_groups[0]["lr"]}
        if counts[0]:
            readings.update(language=language / tokens, token_accuracy=right / tokens)
        if counts[1]:
            readings["ambiguity"] = ambiguity / labels
        readings["loss"] = readings.get("language", 0.0) + self._weight() * readings.get("ambiguity", 0.0)
        readings["seconds"] = time.perf_counter() - begun
        if self.accelerator.device.type == "cuda":
            readings["peak_memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
        return readings, stop

    def _pass(self, batch: Batch, tokens: float, labels: float) -> torch.Tensor:
        with self.accelerator.autocast():
            features = self.vision.features(batch)
        out = self._wrapped(features, batch)
        # Gradients are averaged over the processes, while the counts are of all of them.
        world = self.accelerator.num_processes
        loss = world * (out.language / tokens + self._weight() * out.ambiguity / labels)
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

    def _late(self) -> bool:
        return self._ends is not None and time.monotonic() >= self._ends

    def _validate(self, validation: List[Example], bar) -> None:
        held = self.measure(validation)
        value = held.metrics[self._metric] if self._metric in held.metrics else float("nan")
        if is_better(self._metric, value, self.best):
            self.best = value
            if self.accelerator.is_main_process:
                checkpoint.save_weights(self.objective, self.folder / "best")
        self._write({f"valid_{k}": v for k, v in held.metrics.items()})
        bar.write(f"step {self.step}: " + ", ".join(f"{k} {v:.4g}" for k, v in held.metrics.items()), file=sys.stderr)

    def measure(self, examples: List[Example]) -> Held:
        return measure(self.accelerator, self.objective, self.vision, self.collator, examples, self.settings)

    def _log(self, readings: Dict[str, float], bar) -> None:
        bar.update()
        if not readings:
            return
        if self.step % 10 == 0 or self.step <= 10:
            bar.set_postfix({k: f"{readings[k]:.3g}" for k in ("loss", "ambiguity", "token_accuracy") if k in readings})
        self._write(readings)

    def _write(self, readings: Dict[str, float]) -> None:
        self.accelerator.log(readings, step=self.step)
        if not self.accelerator.is_main_process:
            return
        plain = {k: None if v != v else v for k, v in readings.items()}
        with open(self.folder / READINGS, "a", encoding="utf-8") as log:
            log.write(json.dumps({"step": self.step, **plain}) + "\n")

    def _complaint(self) -> str:
        first = self.collator.problems.first
        return str(first[0]) if first else "look at the data with: clue data show PATH"


class _Signals:
    """Catches SIGINT and SIGTERM (a batch queue's end of slot) between its borders; `caught` lists them."""

    def __init__(self) -> None:
        self.caught: List[int] = []
        self._before: Dict[int, object] = {}

    def __enter__(self) -> "_Signals":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, lambda caught, _: self.caught.append(caught))
        return self

    def __exit__(self, *_) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)


def seed_of(settings: AnyTask) -> int:
    """Of the start of new weights."""
    return draw(settings.seed, 31)
