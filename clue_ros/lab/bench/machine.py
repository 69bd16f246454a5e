"""What this machine can do, measured in the same run: matrix products, memory bandwidth, free memory."""

from __future__ import annotations

import os
import platform
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Callable, Dict

import torch
import torch.nn.functional as F

from clue_ros.processor import has_bfloat16_units
from clue_ros.vlm.memory import available_memory

SQUARE = {"cpu": 2048, "cuda": 8192}  # side of the large matrix product
READ_BYTES = {"cpu": 1 << 29, "cuda": 1 << 32}  # far more than any cache


@dataclass(frozen=True)
class Rates:
    """square, vision, decoder: FLOP/s of a large square product and of the model's own widest ones; read, reread: B/s
    of a large array, and of one as large as the model's weights again and again (small ones stay in the processor's
    cache); dtype: in which the products were taken, that is, in which the model computes; eyes: of a large product in
    bfloat16, 0 for a model without frozen eyes or where the device has no units for it."""

    dtype: str
    square: float
    vision: float
    decoder: float
    read: float
    reread: float
    eyes: float = 0.0

    @property
    def flops(self) -> float:
        """The best of them, so that the floor is one."""
        return max(self.square, self.vision, self.decoder)

    @property
    def bandwidth(self) -> float:
        return max(self.read, self.reread)

    def to_dict(self) -> Dict[str, Any]:
        return asdict(self)


def measure_rates(
    config, weight_bytes: int, device: str, dtype: torch.dtype, seconds: float = 0.6, eyes: bool = False
) -> Rates:
    """Rates for a PaliGemmaConfig; takes about 5 × `seconds`. eyes: whether frozen eyes see for it."""
    kind = torch.device(device).type
    side = SQUARE.get(kind, 2048)
    v, t = config.vision_config, config.text_config
    rows = (v.image_size // v.patch_size) ** 2
    narrow = eyes and (kind != "cpu" or has_bfloat16_units())
    return Rates(
        str(dtype).replace("torch.", ""),
        matmul_rate(side, side, side, device, dtype, seconds),
        matmul_rate(rows, v.hidden_size, v.intermediate_size, device, dtype, seconds),
        matmul_rate(rows, t.hidden_size, t.intermediate_size, device, dtype, seconds),
        read_bandwidth(READ_BYTES.get(kind, READ_BYTES["cpu"]), device, seconds),
        read_bandwidth(weight_bytes, device, seconds),
        matmul_rate(side, side, side, device, torch.bfloat16, seconds) if narrow else 0.0,
    )


def matmul_rate(rows: int, inner: int, columns: int, device: str, dtype: torch.dtype, seconds: float = 0.6) -> float:
    """FLOP/s of [rows, inner] · [inner, columns] as a linear layer does it: the best of repeated calls."""
    x = torch.randn(rows, inner, device=device).to(dtype)
    weight = torch.randn(columns, inner, device=device).to(dtype)
    return 2 * rows * inner * columns / _best(lambda: F.linear(x, weight), device, seconds)


def read_bandwidth(size: int, device: str, seconds: float = 0.6) -> float:
    """B/s of reading an array of `size` bytes again and again (a sum, or a matrix-vector product where that is faster);
    less where memory is short, and never more than READ_BYTES."""
    free = available_memory(device)
    largest = READ_BYTES.get(torch.device(device).type, READ_BYTES["cpu"])
    rows = max(1, min(size, largest, free // 16 if free else largest) // (4 * 1024))
    array, vector = torch.ones(rows, 1024, device=device), torch.ones(1024, device=device)
    fastest = min(_best(array.sum, device, seconds / 2), _best(lambda: array @ vector, device, seconds / 2))
    return array.numel() * 4 / fastest


def synchronize(device: str) -> None:
    """Wait for the device; times are meaningless without it."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def describe(device: str) -> Dict[str, Any]:
    """What a reader must know of the machine to place the figures."""
    about: Dict[str, Any] = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    if torch.device(device).type == "cuda":
        about.update(gpu=torch.cuda.get_device_name(device), cuda=torch.version.cuda)
    return about


def processor() -> str:
    found = re.search(r"model name\s*:\s*(.+)", _text("/proc/cpuinfo"))
    return found.group(1).strip() if found else platform.machine()


def dtype_rates(device: str) -> Dict[str, float]:
    """FLOP/s of a product of middling size in float32 and in bfloat16: processors without bfloat16 units emulate it."""
    return {
        str(d).replace("torch.", ""): matmul_rate(512, 1024, 1024, device, d, 0.15)
        for d in (torch.float32, torch.bfloat16)
    }


def _best(work: Callable[[], Any], device: str, seconds: float) -> float:
    work()
    synchronize(device)
    best, end = float("inf"), time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        work()
        synchronize(device)
        now = time.perf_counter()
        best = min(best, now - start)
        if now >= end:
            return best


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
