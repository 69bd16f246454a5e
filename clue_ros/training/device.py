"""Where a stage runs, and how its batches are made there. The CPU is the default; a CUDA card gets larger batches.

On a card matrices are multiplied in TF32, and the vision tower may run in bfloat16 (`gpu.precision: bf16`): its output
is rounded to float16 for the later stages anyway. The decoder stays out of bfloat16: a location's logit, near 30, would
be rounded to steps of 0.125 there.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, List, TypeVar

import numpy as np
import torch

from clue_ros.configuration import choice_problems, range_problems
from clue_ros.processor import has_bfloat16_units
from clue_ros.types import ClueError

T = TypeVar("T")
PRECISIONS = ("tf32", "bf16", "fp32")
CPU_PRECISIONS = ("auto", "bf16", "fp32")


@dataclass(frozen=True)
class GpuSettings:
    """What a card changes. batch: factor on every stage's batch; rate: factor on its learning rates; precision:
    'tf32', 'bf16' (the vision tower in bfloat16, the rest in TF32) or 'fp32'; workers: processes that make batches
    ahead, -1 for the machine's cores less one.

    Learning rate: with a batch k times as large the rule for Adam and its kin is a rate √k times as large. The recipes'
    rates are near the highest that trains stably, so the default leaves them (rate: 1); nothing of it was
    measured."""

    batch: int = 4
    rate: float = 1.0
    precision: str = "tf32"
    workers: int = -1


@dataclass(frozen=True)
class Device:
    """name: as torch names it; precision: of GpuSettings; workers: processes that make batches ahead, 0 for none."""

    name: str = "cpu"
    precision: str = "fp32"
    workers: int = 0

    @classmethod
    def open(cls, name: str, settings: GpuSettings, cores: int) -> "Device":
        """The device of a command line. Raises ClueError if it is not there."""
        if name == "cpu":
            return cls()
        if not torch.cuda.is_available():
            raise ClueError(
                f"--device {name}: torch finds no CUDA card here; run with --device cpu, or install a "
                "torch built for CUDA and a driver"
            )
        tf32 = settings.precision != "fp32"
        torch.backends.cuda.matmul.allow_tf32 = tf32
        torch.backends.cudnn.allow_tf32 = tf32
        return cls(name, settings.precision, max(0, cores - 1) if settings.workers < 0 else settings.workers)

    @property
    def is_cpu(self) -> bool:
        return self.name == "cpu"

    def tower(self, on_cpu: str = "fp32"):
        """The context in which the vision tower runs. on_cpu: its precision there, of CPU_PRECISIONS."""
        bf16 = self.precision == "bf16"
        if self.is_cpu:
            bf16 = on_cpu == "bf16" or on_cpu == "auto" and has_bfloat16_units()
        if not bf16:
            return nullcontext()
        return torch.autocast(torch.device(self.name).type, torch.bfloat16)

    def decoder(self, on_cpu: str = "fp32"):
        """The same for the decoder, which stays in float32 on a card."""
        return self.tower(on_cpu) if self.is_cpu else nullcontext()

    def fits(self, size: int) -> bool:
        """Is there room for an array of `size` bytes beside a training step? Never on the CPU, where a memory-mapped
        file does as well."""
        return not self.is_cpu and size < 0.4 * torch.cuda.mem_get_info(self.name)[0]


def scaled(settings, gpu: GpuSettings):
    """A stage's settings on a card: batch × gpu.batch, every learning rate × gpu.rate."""
    rates = {f.name: getattr(settings, f.name) * gpu.rate for f in fields(settings) if f.name.split("_")[-1] == "lr"}
    return replace(settings, batch=settings.batch * gpu.batch, **rates)


def gpu_problems(settings: GpuSettings) -> List[str]:
    """What is wrong with the section beyond its types."""
    found = range_problems(settings, "gpu", ("batch",), 1) + range_problems(settings, "gpu", ("workers",), -1)
    found += range_problems(settings, "gpu", ("rate",), 0, above=True)
    return found + choice_problems(settings, "gpu", {"precision": PRECISIONS})


def moved(value: T, device: str) -> T:
    """A dataclass, tuple or tensor with every tensor in it on a device; everything else as it is."""
    return _moved(value, device)


def _moved(value: Any, device: str) -> Any:
    if torch.is_tensor(value):
        return value.to(device, non_blocking=True)
    if isinstance(value, np.ndarray):
        return value
    if type(value) is tuple:
        return tuple(_moved(v, device) for v in value)
    if is_dataclass(value) and not isinstance(value, type):
        there = {f.name: getattr(value, f.name) for f in fields(value)}
        return replace(value, **{k: _moved(v, device) for k, v in there.items() if torch.is_tensor(v)})
    return value
