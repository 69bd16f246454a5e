"""The training loop that every stage shares: schedule, progress, readings, validation, checkpoints, exact resumption.

A run folder holds `weights.safetensors`, `optimizer.safetensors`, `state.json` (the last finished step, the settings,
the best validation so far), `best.safetensors` (the weights of that validation), `readings.jsonl` (one line a report)
and `validation.jsonl`. All randomness of step n, torch's too, comes from generators seeded with [seed, n] (and the
process), so a resumed run repeats the interrupted one.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Tuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from clue_ros.training.optimizer import Optimizer, rate
from clue_ros.training.parallel import average_gradients, handling, rank, world
from clue_ros.training.readings import READINGS, VALIDATION, Readings
from clue_ros.training.slot import Slot, SlotOver
from clue_ros.training.validation import Validation, is_better
from clue_ros.types import ModelLoadError

LossFunction = Callable[[int, np.random.Generator], Tuple[torch.Tensor, Dict[str, float]]]
WEIGHTS, BEST = "weights.safetensors", "best.safetensors"


class Run:
    """One stage of training in one folder. `modules`: what is saved, by name; `settings`: a dataclass or dict.

    best: {"step", "metric", "value"} of the best validation so far, None before the first.
    """

    def __init__(self, folder: Path, modules: Dict[str, nn.Module], optimizer: Optimizer, settings, seed: int = 0):
        self.folder, self.modules, self.optimizer, self.seed = Path(folder), modules, optimizer, seed
        self.settings = asdict(settings) if is_dataclass(settings) else dict(settings)
        self.step = 0
        self.best: Optional[Dict] = None
        self._gathered: Dict[str, List[float]] = {}  # readings since the last report
        self._seconds = 0.0  # that the steps took, over all calls, without validation and saving
        self.folder.mkdir(parents=True, exist_ok=True)
        if (self.folder / "state.json").exists():
            self._resume()

    def train(
        self,
        steps: int,
        loss_of: LossFunction,
        *,
        warmup: int = 50,
        save_every_s: float = 120.0,
        report_every: int = 50,
        title: str = "",
        schedule: str = "cosine",
        restart: int = 0,
        restart_scale: float = 1.0,
        validation: Optional[Validation] = None,
        slot: Slot = Slot(),
    ) -> None:
        """Train up to `steps` steps in all; schedule: 'cosine' or 'linear' after `warmup` steps, once more from step
        `restart` on, if it is not 0 (optimizer.rate).

        SIGINT and SIGTERM save and raise KeyboardInterrupt, the end of the slot saves and raises SlotOver; the next
        call goes on."""
        from tqdm import tqdm

        readings = Readings(self.folder, self.step) if rank() == 0 else None
        saved = time.monotonic()
        stopped = False
        with (
            _signals() as stop,
            tqdm(
                total=steps,
                initial=self.step,
                desc=title,
                unit="step",
                file=sys.stderr,
                mininterval=5,
                disable=rank() > 0,
            ) as bar,
        ):
            while self.step < steps and not stopped:
                seeds, began = self.seeds(self.step), time.monotonic()
                torch.manual_seed(int(np.random.SeedSequence(seeds).generate_state(1)[0]))
                loss, values = loss_of(self.step, np.random.default_rng(seeds))
                loss.backward()
                stopped = average_gradients(self.optimizer.parameters, bool(stop) or slot.over(self.step + 1))
                scale = rate(schedule, self.step, steps, warmup, restart, restart_scale)
                values["gradient"] = self.optimizer.step(scale)
                values["loss"] = float(loss.detach())
                self._seconds += time.monotonic() - began
                self.step += 1
                bar.update()
                for key, value in values.items():
                    self._gathered.setdefault(key, []).append(value)
                if self.step % report_every == 0 or self.step == steps:
                    self._report(readings, bar)
                if validation and validation.due(self.step, steps):
                    self._validate(validation, readings)
                if time.monotonic() - saved > save_every_s:
                    self.save()
                    saved = time.monotonic()
            if readings:
                readings.close()
            self.save()  # still in the block: another signal (of the terminal, then of the parent) does not cut it off
        if stop:
            raise KeyboardInterrupt
        if self.step < steps:
            raise SlotOver

    def seeds(self, step: int) -> List[int]:
        """What all randomness of a step follows from."""
        return [self.seed, step] + ([rank()] if world() > 1 else [])

    def save(self) -> None:
        """Write everything, then put it in place at once: an end in between leaves the checkpoint before."""
        if rank() > 0:
            return
        flat = {
            f"{p}/{i}/{key}": value.detach().cpu().contiguous()
            for p, part in enumerate(self.optimizer.state_dict())
            for i, state in part["state"].items()
            for key, value in state.items()
        }
        state = {
            "step": self.step,
            "seed": self.seed,
            "settings": self.settings,
            "best": self.best,
            "gathered": self._gathered,
            "seconds": self._seconds,
        }
        written = [_write(self.folder / WEIGHTS, self._tensors()), _write(self.folder / "optimizer.safetensors", flat)]
        partial = self.folder / "state.json.partial"
        partial.write_text(json.dumps(state, default=str))
        for source, target in (*written, (partial, self.folder / "state.json")):
            source.replace(target)

    def _tensors(self) -> Dict[str, torch.Tensor]:
        return {
            f"{name}.{key}": value.detach().cpu().contiguous().clone()
            for name, module in self.modules.items()
            for key, value in _unique(module).items()
        }

    def _resume(self) -> None:
        state = json.loads((self.folder / "state.json").read_text())
        load_modules(self.folder, self.modules, keep="last")
        flat = load_file(str(self.folder / "optimizer.safetensors"))
        states = self.optimizer.state_dict()
        for part in states:
            part["state"] = {}
        for name, value in flat.items():
            p, i, key = name.split("/")
            states[int(p)]["state"].setdefault(int(i), {})[key] = value
        self.optimizer.load_state_dict(states)
        self.step, self.seed = state["step"], state["seed"]
        self.best, self._gathered = state.get("best"), state.get("gathered") or {}
        self._seconds = state.get("seconds", 0.0)

    def _report(self, readings: Optional[Readings], bar) -> None:
        line = {k: round(float(np.mean(v)), 5) for k, v in self._gathered.items()}
        self._gathered = {}
        if readings:
            bar.set_postfix({k: f"{v:.3g}" for k, v in line.items()})
            readings.write(READINGS, self.step, line)

    def _validate(self, validation: Validation, readings: Optional[Readings]) -> None:
        values = validation.measure()
        if readings:
            readings.write(VALIDATION, self.step, {k: round(v, 5) for k, v in values.items()})
        value = values.get(validation.metric, float("nan"))
        if (
            self.best is None
            or self.best["metric"] != validation.metric
            or is_better(validation.metric, value, self.best["value"])
        ):
            self.best = {"step": self.step, "metric": validation.metric, "value": value}
            if rank() == 0:
                partial, best = _write(self.folder / BEST, self._tensors())
                partial.replace(best)
            self.save()


def load_modules(folder: Path, modules: Dict[str, nn.Module], keep: str = "") -> None:
    """Load a run folder's weights into modules by name. keep: 'best' or 'last'; empty for what the run's own settings
    say. Raises ModelLoadError naming the file that is wrong."""
    file = Path(folder) / (BEST if kept(folder, keep)["weights"] == "best" else WEIGHTS)
    try:
        tensors = load_file(str(file))
    except (OSError, SafetensorError) as error:
        raise ModelLoadError(f"cannot read {file}: {error}; run the stage before this one first") from error
    for name, module in modules.items():
        own = {key[len(name) + 1 :]: value for key, value in tensors.items() if key.startswith(name + ".")}
        missing = set(_unique(module)) - set(own)
        if missing:
            raise ModelLoadError(f"{file} lacks {len(missing)} tensors of '{name}', for example {sorted(missing)[0]}")
        module.load_state_dict(own, strict=False)


def _unique(module: nn.Module) -> Dict[str, torch.Tensor]:
    """The state without a tied tensor's second name, which safetensors refuses."""
    seen, state = set(), {}
    for key, value in module.state_dict().items():
        if value.data_ptr() and value.data_ptr() in seen:
            continue
        seen.add(value.data_ptr())
        state[key] = value
    return state


def kept(folder: Path, keep: str = "") -> Dict:
    """{"weights": 'best' or 'last', "step": of them} that the next stage takes from a run folder; step -1 if it is not
    known. The last ones where no validation was made."""
    file = Path(folder) / "state.json"
    try:
        state = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except ValueError as error:
        raise ModelLoadError(f"{file} cannot be read: {error}") from error
    best = state.get("best")
    if best and (keep or state["settings"].get("keep")) == "best" and (Path(folder) / BEST).is_file():
        return {"weights": "best", "step": best["step"]}
    return {"weights": "last", "step": state.get("step", -1)}


def _write(file: Path, tensors: Dict[str, torch.Tensor]) -> Tuple[Path, Path]:
    """(partial file, where it belongs)."""
    partial = file.with_suffix(".partial")
    save_file(tensors, str(partial))
    return partial, file


@contextmanager
def _signals() -> Iterator[list]:
    """A list that is empty until SIGINT or SIGTERM arrives; they are not caught outside the main thread."""
    stop: list = []
    with handling(lambda *_: stop.append(True)):
        yield stop
