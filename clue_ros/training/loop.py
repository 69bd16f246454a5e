"""The training loop that the stages of the embedded model and the tasks on real checkpoints share: schedule, progress,
readings, validation, checkpoints, signals, exact resumption.

A run folder holds the last checkpoint and the best weights (training/checkpoint.py), `readings.jsonl` (one line a
report) and `validation.jsonl`. All randomness of step n, torch's too, comes from generators seeded with [seed, n] (and
the process), so a resumed run repeats the interrupted one.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple, cast

import numpy as np
import torch
from torch import nn

from clue_ros.training import checkpoint
from clue_ros.training.optimizer import Optimizer, rate
from clue_ros.training.parallel import average_gradients, handling, rank, world
from clue_ros.training.readings import READINGS, VALIDATION, Readings
from clue_ros.training.settings import LoopSettings, MeasuredSettings
from clue_ros.training.slot import Slot, SlotOver
from clue_ros.training.validation import HIGHER_IS_BETTER, is_better

SAVE_EVERY_S = 120.0
Values = Dict[str, float]
Measure = Callable[[], Values]
LossFunction = Callable[[int, np.random.Generator], Tuple[torch.Tensor, Values]]
# Given a function that says whether this process is to stop, makes the gradients of one step, the mean over the
# processes, and returns its readings (None: there was nothing to learn from) and whether any process is to stop.
Backward = Callable[[Callable[[], bool]], Tuple[Optional[Values], bool]]


class Run:
    """One training in one folder.

    modules: what is saved, by name.
    settings: a dataclass or dict, kept in state.json.
    best: {"step", "metric", "value"} of the best validation so far, None before the first.
    place: where the source of the batches stands, as JSON; None for one that follows from the step's number.
    """

    def __init__(self, folder: Path, modules: Dict[str, nn.Module], optimizer: Optimizer, settings: Any, seed: int = 0):
        self.folder, self.modules, self.optimizer, self.seed = Path(folder), modules, optimizer, seed
        self.settings: Dict = asdict(cast(Any, settings)) if is_dataclass(settings) else dict(cast(Dict, settings))
        self.step = 0
        self.best: Optional[Dict] = None
        self.ranked: List[Tuple[int, float]] = []  # (step, value) of the weights that are kept, the best first
        self.place: Optional[Dict] = None
        self._gathered: Dict[str, List[float]] = {}  # readings since the last report
        self._seconds = 0.0  # that the steps took, over all calls, without validation and saving
        self.folder.mkdir(parents=True, exist_ok=True)
        state = checkpoint.read_state(self.folder)
        if state is not None:
            checkpoint.load(self.folder, modules, optimizer)
            self.step, self.seed = state["step"], state["seed"]
            self.best, self.place = state.get("best"), state.get("place")
            self.ranked = [(step, value) for step, value in state.get("ranked") or ()]
            self._gathered, self._seconds = state.get("gathered") or {}, state.get("seconds", 0.0)

    def train(self, settings: LoopSettings, loss_of: LossFunction, **how) -> None:
        """`loop` where a step is one loss of one batch. how: the other arguments of `loop`."""
        self.loop(settings, partial(self._one_batch, loss_of), **how)

    def loop(
        self,
        settings: LoopSettings,
        backward: Backward,
        *,
        title: str = "",
        report_every: int = 25,
        save_every: int = 0,
        measure: Optional[Measure] = None,
        slot: Slot = Slot(),
    ) -> None:
        """Train up to `settings.steps` steps in all.

        save_every: steps between two checkpoints, 0: one whenever two minutes are over.
        measure: named figures on what is held out, of the weights as they are; with it settings are MeasuredSettings.

        SIGINT and SIGTERM save and raise KeyboardInterrupt, the end of the slot saves and raises SlotOver; the next
        call goes on."""
        from tqdm import tqdm

        s, steps = settings, settings.steps
        watched = settings if isinstance(settings, MeasuredSettings) and settings.validate_every else None
        project = watched.wandb if watched else ""
        readings = Readings(self.folder, self.step, project) if rank() == 0 else None
        saved = time.monotonic()
        stop: List[bool] = []
        stopped = False
        with (
            handling(lambda *_: stop.append(True)),
            tqdm(
                total=steps,
                initial=self.step,
                desc=title,
                unit="step",
                file=sys.stderr,
                mininterval=5,
                dynamic_ncols=True,
                disable=rank() > 0,
            ) as bar,
        ):
            while self.step < steps and not stopped:
                began = time.monotonic()
                values, stopped = backward(lambda: bool(stop) or slot.over(self.step + 1))
                scale = rate(s.schedule, self.step, steps, s.warmup, s.restart, s.restart_scale)
                gradient = self.optimizer.step(scale)
                seconds = time.monotonic() - began
                self._seconds += seconds
                self.step += 1
                bar.update()
                if values is not None:
                    values.update(gradient=gradient, rate=scale * self.optimizer.rate, seconds=seconds)
                    for key, value in values.items():
                        self._gathered.setdefault(key, []).append(value)
                if self._gathered and (self.step % report_every == 0 or self.step == steps):
                    self._report(readings, bar)
                if watched and measure and (self.step % watched.validate_every == 0 or self.step == steps):
                    self._validate(measure(), watched, readings, bar)
                if self.step % save_every == 0 if save_every else time.monotonic() - saved > SAVE_EVERY_S:
                    self.save()
                    saved = time.monotonic()
            if readings:
                readings.close()
            self.save()  # still in the block: another signal (of the terminal, then of the parent) does not cut it off
        if stop or (self.step < steps and not slot.over(self.step)):  # or of another process, which was told to stop
            raise KeyboardInterrupt
        if self.step < steps:
            raise SlotOver

    def _one_batch(self, loss_of: LossFunction, stopping: Callable[[], bool]) -> Tuple[Values, bool]:
        seeds = self.seeds(self.step)
        torch.manual_seed(int(np.random.SeedSequence(seeds).generate_state(1)[0]))
        loss, values = loss_of(self.step, np.random.default_rng(seeds))
        loss.backward()
        stopped = average_gradients(self.optimizer.parameters, stopping())
        return {**values, "loss": float(loss.detach())}, stopped

    def seeds(self, step: int) -> List[int]:
        """What all randomness of a step follows from."""
        return [self.seed, step] + ([rank()] if world() > 1 else [])

    def save(self) -> None:
        """Write the checkpoint; one process does."""
        if rank() > 0:
            return
        state = {
            "step": self.step,
            "seed": self.seed,
            "settings": self.settings,
            "best": self.best,
            "ranked": self.ranked,
            "place": self.place,
            "gathered": self._gathered,
            "seconds": self._seconds,
        }
        checkpoint.save(self.folder, self.modules, self.optimizer, state)

    def _report(self, readings: Optional[Readings], bar) -> None:
        line = {k: float(np.mean(v)) for k, v in self._gathered.items()}
        self._gathered = {}
        if readings:
            shown = {k: f"{v:.3g}" for k, v in line.items() if k not in ("rate", "seconds")}
            bar.set_postfix(shown, refresh=False)
            readings.write(READINGS, self.step, line)

    def _validate(self, values: Values, watched: MeasuredSettings, readings: Optional[Readings], bar) -> None:
        metric = watched.metric
        if readings:
            readings.write(VALIDATION, self.step, values)
            bar.write(f"step {self.step}: " + ", ".join(f"{k} {v:.4g}" for k, v in values.items()), file=sys.stderr)
        value, best = values.get(metric, float("nan")), self.best
        if best is None or best["metric"] != metric or is_better(metric, value, best["value"]):
            self.best = {"step": self.step, "metric": metric, "value": value}
            if rank() == 0:
                checkpoint.save_best(self.folder, self.modules)
            self.save()
        if watched.keep_best > 1 and not np.isnan(value):
            self._rank(value, watched)

    def _rank(self, value: float, watched: MeasuredSettings) -> None:
        """Keep these weights where they are among the best few."""
        sign = -1.0 if watched.metric in HIGHER_IS_BETTER else 1.0
        ranked = sorted([*(r for r in self.ranked if r[0] != self.step), (self.step, value)], key=lambda r: sign * r[1])
        self.ranked, dropped = ranked[: watched.keep_best], ranked[watched.keep_best :]
        if (self.step, value) in self.ranked:
            if rank() == 0:
                checkpoint.save_ranked(self.folder, self.modules, self.step, [step for step, _ in dropped])
            self.save()
