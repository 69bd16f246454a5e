"""The training loop that every stage shares: schedule, progress, readings, checkpoints, exact resumption.

A run folder holds `weights.safetensors`, `optimizer.safetensors`, `state.json` (the last finished step and the settings)
and `readings.jsonl` (one line a report). All randomness of step n comes from the generator seeded with [seed, n], so a
resumed run repeats the interrupted one.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Callable, Dict, Tuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from clue_ros.training.optimizer import SCHEDULES, Optimizer
from clue_ros.training.parallel import average_gradients, rank, world
from clue_ros.types import ModelLoadError

LossFunction = Callable[[int, np.random.Generator], Tuple[torch.Tensor, Dict[str, float]]]


class Run:
    """One stage of training in one folder. `modules`: what is saved, by name; `settings`: a dataclass or dict."""

    def __init__(self, folder: Path, modules: Dict[str, nn.Module], optimizer: Optimizer, settings, seed: int = 0):
        self.folder, self.modules, self.optimizer, self.seed = Path(folder), modules, optimizer, seed
        self.settings = asdict(settings) if is_dataclass(settings) else dict(settings)
        self.step = 0
        self.folder.mkdir(parents=True, exist_ok=True)
        if (self.folder / "state.json").exists():
            self._resume()

    def train(self, steps: int, loss_of: LossFunction, *, warmup: int = 50, save_every_s: float = 120.0,
              report_every: int = 50, title: str = "", schedule: str = "cosine") -> None:
        """Train up to `steps` steps in all; schedule: 'cosine' or 'linear' after `warmup` steps.

        SIGINT saves and raises KeyboardInterrupt; the next call goes on."""
        from tqdm import tqdm

        stop = []
        previous = None
        if _in_main_thread():
            previous = signal.signal(signal.SIGINT, lambda *_: stop.append(True))
        torch.manual_seed(self.seed * 100_003 + self.step)
        gathered: Dict[str, list] = {}
        saved = time.monotonic()
        try:
            with tqdm(total=steps, initial=self.step, desc=title, unit="step", file=sys.stderr, mininterval=5,
                      disable=rank() > 0) as bar:
                stopped = False
                while self.step < steps and not stopped:
                    loss, readings = loss_of(self.step, np.random.default_rng(self._seeds()))
                    loss.backward()
                    stopped = average_gradients(self.optimizer.parameters, bool(stop))
                    readings["gradient"] = self.optimizer.step(SCHEDULES[schedule](self.step, steps, warmup))
                    readings["loss"] = float(loss.detach())
                    self.step += 1
                    bar.update()
                    for key, value in readings.items():
                        gathered.setdefault(key, []).append(value)
                    if self.step % report_every == 0 or self.step == steps:
                        self._report(gathered, bar)
                        gathered = {}
                    if time.monotonic() - saved > save_every_s:
                        self.save()
                        saved = time.monotonic()
        finally:
            if previous is not None:
                signal.signal(signal.SIGINT, previous)
        self.save()
        if stopped:
            raise KeyboardInterrupt

    def _seeds(self) -> list:
        return [self.seed, self.step] + ([rank()] if world() > 1 else [])

    def save(self) -> None:
        if rank() > 0:
            return
        tensors = {f"{name}.{key}": value.detach().contiguous().clone()
                   for name, module in self.modules.items() for key, value in _unique(module).items()}
        _replace(self.folder / "weights.safetensors", tensors)
        flat = {f"{p}/{i}/{key}": value.contiguous() for p, part in enumerate(self.optimizer.state_dict())
                for i, state in part["state"].items() for key, value in state.items()}
        _replace(self.folder / "optimizer.safetensors", flat)
        partial = self.folder / "state.json.partial"
        partial.write_text(json.dumps({"step": self.step, "seed": self.seed, "settings": self.settings}, default=str))
        partial.replace(self.folder / "state.json")

    def _resume(self) -> None:
        state = json.loads((self.folder / "state.json").read_text())
        load_modules(self.folder, self.modules)
        flat = load_file(str(self.folder / "optimizer.safetensors"))
        states = self.optimizer.state_dict()
        for part in states:
            part["state"] = {}
        for name, value in flat.items():
            p, i, key = name.split("/")
            states[int(p)]["state"].setdefault(int(i), {})[key] = value
        self.optimizer.load_state_dict(states)
        self.step, self.seed = state["step"], state["seed"]

    def _report(self, gathered: Dict[str, list], bar) -> None:
        line = {k: round(float(np.mean(v)), 5) for k, v in gathered.items()}
        if rank() > 0:
            return
        bar.set_postfix({k: f"{v:.3g}" for k, v in line.items()})
        with open(self.folder / "readings.jsonl", "a", encoding="utf-8") as log:
            log.write(json.dumps({"step": self.step, "at": round(time.time(), 1), **line}) + "\n")


def load_modules(folder: Path, modules: Dict[str, nn.Module]) -> None:
    """Load a run folder's weights into modules by name. Raises ModelLoadError naming the file that is wrong."""
    file = Path(folder) / "weights.safetensors"
    try:
        tensors = load_file(str(file))
    except (OSError, SafetensorError) as error:
        raise ModelLoadError(f"cannot read {file}: {error}; run the stage before this one first") from error
    for name, module in modules.items():
        own = {key[len(name) + 1:]: value for key, value in tensors.items() if key.startswith(name + ".")}
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


def _replace(file: Path, tensors: Dict[str, torch.Tensor]) -> None:
    partial = file.with_suffix(".partial")
    save_file(tensors, str(partial))
    partial.replace(file)


def _in_main_thread() -> bool:
    import threading

    return threading.current_thread() is threading.main_thread()
