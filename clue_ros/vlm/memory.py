"""Memory that is free, and running out of it as a typed error: the work in hand is lost, the model stays usable."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import re
from pathlib import Path
from typing import Iterator, Optional

import torch

from clue_ros.types import OutOfMemoryError

# torch raises a plain RuntimeError when the host's allocator fails.
_HOST_SIGNS = ("not enough memory", "can't allocate memory", "cannot allocate memory", "defaultcpuallocator")


@contextlib.contextmanager
def memory_guard(doing: str) -> Iterator[None]:
    """Translate a failed allocation of device or host memory into OutOfMemoryError and give cached blocks back."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        reason = error
    except RuntimeError as error:
        if not any(sign in str(error).lower() for sign in _HOST_SIGNS):
            raise
        reason = error
    else:
        return
    first_line = (str(reason) or type(reason).__name__).splitlines()[0]
    del reason  # it holds the frames whose tensors are to be freed
    release()
    raise OutOfMemoryError(
        f"memory ran out while {doing}: {first_line}; free some, or load the model with "
        "quantization int8 or int4, in bfloat16, or take a smaller one"
    )


def available_memory(device: str) -> Optional[int]:
    """Bytes that can still be taken on a device, the container's limit included; None where nobody says."""
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    found = re.search(r"MemAvailable:\s+(\d+) kB", _text("/proc/meminfo"))
    limits = [int(found.group(1)) * 1024] if found else []
    limit, used = _text("/sys/fs/cgroup/memory.max").strip(), _text("/sys/fs/cgroup/memory.current").strip()
    if limit.isdigit() and used.isdigit():
        limits.append(max(0, int(limit) - int(used)))
    return min(limits) if limits else None


def release() -> None:
    """Give unused memory back to the device and to the system."""
    gc.collect()
    trim()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def trim() -> None:
    """Give memory that libc keeps for later back to the system, where libc can do that (glibc)."""
    function = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if function is not None:
        function(0)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
