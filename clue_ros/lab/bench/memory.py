"""Peak memory: the resident set's high-water mark of this process, or what torch allocated on a GPU."""

from __future__ import annotations

import re
import resource
from pathlib import Path
from typing import Optional

import torch


def reset_peak(device: str) -> bool:
    """Start a new high-water mark; False where the system does not let a process do so (the old mark then stays)."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return True
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def peak(device: str) -> int:
    """Bytes since `reset_peak`: all that is resident of this process (interpreter and libraries included), or on the
    GPU."""
    if torch.device(device).type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def resident() -> Optional[int]:
    """Bytes of this process that are in memory now."""
    return _status("VmRSS")


def _status(key: str) -> Optional[int]:
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    found = re.search(rf"{key}:\s+(\d+) kB", text)
    return int(found.group(1)) * 1024 if found else None
